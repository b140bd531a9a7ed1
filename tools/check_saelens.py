"""Checks by hand that SAELens opens the SAEs in FOLDER and encodes as the lab does.

    python check_saelens.py FOLDER [--mppc ../target/release/mppc]

FOLDER is what `mppc sae train --save` or `mppc sae convert --save` wrote, or a folder of several. SAELens encodes
and decodes in float64. Where a feature fires here and not there, its value must be within the tolerance of what
decides.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from sae_lens import SAE
from safetensors.torch import load_file, save_file

TOKENS = 64
# Products of d_in terms in f32, of the size of the largest feature.
TOLERANCE = 1e-5


def encode(mppc, folder, acts):
    """Features as `mppc sae encode` gives them, dense."""
    with tempfile.TemporaryDirectory() as temporary:
        source, codes = Path(temporary) / "acts.safetensors", Path(temporary) / "codes.safetensors"
        save_file({"acts": acts.float()}, source)
        command = [mppc, "sae", "encode", folder, source, "--key", "acts", "--save", codes, "--engine", "cpu"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        file = load_file(codes)
    rows = torch.repeat_interleave(torch.arange(len(acts)), file["indptr"].diff())
    return rows, file["indices"].long(), file["values"].double()


def check(mppc, folder):
    sae = SAE.load_from_disk(folder, dtype="float64")
    generator = torch.Generator().manual_seed(1)
    # Around the decoder's bias, where the SAE was trained.
    spread = sae.b_dec.std().clamp(min=1.0)
    acts = sae.b_dec + spread * torch.randn(TOKENS, sae.cfg.d_in, generator=generator, dtype=torch.float64)
    acts = acts.float().double()
    theirs = sae.encode(acts)
    ours = torch.zeros_like(theirs)
    rows, columns, values = encode(mppc, folder, acts)
    ours[rows, columns] = values
    scale = max(1.0, theirs.abs().max().item())
    error = (ours - theirs).abs()
    flips = ((ours > 0) != (theirs > 0)).sum().item()
    print(f"{folder}: {sae.cfg.architecture()}, {(theirs > 0).sum().item() / TOKENS:.1f} features a token, "
          f"differs by {error.max().item() / scale:.1e}, {flips} fire in one only")
    return error.max().item() <= TOLERANCE * scale


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mppc", default=str(Path(__file__).resolve().parent.parent / "target/release/mppc"))
    args = parser.parse_args()
    found = sorted(path.parent for path in args.folder.rglob("cfg.json"))
    if not found:
        sys.exit(f"error: {args.folder} has no cfg.json; give what mppc saved")
    with torch.no_grad():
        sound = [check(args.mppc, folder) for folder in found]
    sys.exit(0 if all(sound) else "error: SAELens and the lab encode differently")


if __name__ == "__main__":
    main()
