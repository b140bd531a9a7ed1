"""What the scripts that make `tests/golden/` share: writing tensors, and `--check`."""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"

# Float tensors may differ by this much of their largest value when made again: the
# arithmetic is float64 but the files hold f32, so another CPU or library version may
# round a value to its neighbour (6e-8), and never move it further.
CHECK_TOLERANCE = 1e-6


def save_reference(path, tensors):
    """Writes results: floats as f32, integers as i32."""
    stored = {
        name: tensor.to(torch.float32 if tensor.is_floating_point() else torch.int32).contiguous()
        for name, tensor in tensors.items()
    }
    save_file(stored, path)


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n")


def assert_close(name, ours, theirs, tolerance):
    """Fails unless both agree to `tolerance` of the larger of 1 and the largest value."""
    assert ours.shape == theirs.shape, f"{name}: shape {tuple(ours.shape)} against {tuple(theirs.shape)}"
    error = (ours.double() - theirs.double()).abs().max().item()
    scale = max(1.0, theirs.abs().max().item())
    assert error <= tolerance * scale, f"{name}: differs by {error:.3e}, scale {scale:.3e}"
    return error / scale


def differences(made, kept):
    """Lists what differs between a file made just now and the one in the repository."""
    if not kept.exists():
        return ["is missing"]
    if made.suffix == ".json":
        return [] if json.loads(made.read_text()) == json.loads(kept.read_text()) else ["differs"]
    new, old = load_file(made), load_file(kept)
    found = [f"{name}: only in one of the two" for name in sorted(new.keys() ^ old.keys())]
    for name in sorted(new.keys() & old.keys()):
        a, b = new[name], old[name]
        if a.dtype != b.dtype or a.shape != b.shape:
            found.append(f"{name}: dtype or shape differs")
        elif a.dtype == torch.float32:
            finite = torch.isfinite(a)
            same = torch.equal(finite, torch.isfinite(b)) and torch.equal(
                torch.nan_to_num(a[~finite]), torch.nan_to_num(b[~finite])
            )
            scale = a[finite].abs().max() if finite.any() else 0.0
            if not same or ((a - b)[finite].abs() > CHECK_TOLERANCE * scale).any():
                found.append(f"{name}: values differ")
        elif not torch.equal(a, b):
            found.append(f"{name}: values differ")
    return found


def main(description, make):
    """Runs `make(folder)`, then puts what it wrote into `tests/golden/`, or compares it with `--check`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--check", action="store_true", help="compare with tests/golden/ and write nothing there")
    check = parser.parse_args().check
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        made = Path(temporary)
        with torch.no_grad():
            make(made)
        if not check:
            for entry in made.iterdir():
                if entry.is_dir():
                    shutil.rmtree(GOLDEN / entry.name, ignore_errors=True)
                    shutil.copytree(entry, GOLDEN / entry.name)
                else:
                    shutil.copy(entry, GOLDEN / entry.name)
            return
        failed = False
        for path in sorted(p for p in made.rglob("*") if p.is_file()):
            name = path.relative_to(made)
            for difference in differences(path, GOLDEN / name):
                print(f"{name}: {difference}", file=sys.stderr)
                failed = True
        for entry in (e for e in made.iterdir() if e.is_dir()):
            for kept in (GOLDEN / entry.name).glob("*"):
                if not (entry / kept.name).exists():
                    print(f"{entry.name}/{kept.name}: not made by this script", file=sys.stderr)
                    failed = True
        sys.exit("error: tests/golden/ is not what this script makes" if failed else 0)
