"""Converts SAEs of dictionary_learning for the lab, which opens no pickles.

    python convert_dictionary_learning.py FOLDER [OUT]

Every `ae.pt` in FOLDER and below becomes `ae.safetensors`, beside it or under OUT, where `config.json` is copied
as well. Pickles are read with `weights_only=True`, so that none of them can run code.
"""

import argparse
import os
import pickle
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file


def convert(source, target):
    """Converts the SAE in one folder into another, which may be the same."""
    state = torch.load(source / "ae.pt", map_location="cpu", weights_only=True)
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise ValueError("it holds no tensors by name")
    target.mkdir(parents=True, exist_ok=True)
    # The lab reads no float64.
    tensors = {n: v.float() if v.dtype == torch.float64 else v for n, v in tensors.items()}
    # Tensors of one storage are stored one by one. The file takes its name when it is whole.
    part = target / "ae.safetensors.part"
    save_file({name: value.clone().contiguous() for name, value in tensors.items()}, part)
    os.replace(part, target / "ae.safetensors")
    if target != source:
        shutil.copyfile(source / "config.json", target / "config.json")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path, nargs="?", help="where to write; beside each ae.pt if it is not given")
    args = parser.parse_args()
    found = sorted(path.parent for path in args.folder.rglob("ae.pt"))
    if not found:
        sys.exit(f"error: {args.folder} has no ae.pt; give a folder that dictionary_learning saved to")
    for source in found:
        if not (source / "config.json").is_file():
            sys.exit(f"error: {source} has no config.json, which says what the SAE is; save it beside ae.pt")
        target = args.out / source.relative_to(args.folder) if args.out else source
        try:
            convert(source, target)
        except pickle.UnpicklingError:
            sys.exit(f"error: {source / 'ae.pt'} holds more than tensors, or is damaged, and is not opened; "
                     "save torch.save(sae.state_dict(), ...) of it where it comes from")
        except Exception as error:  # a broken file raises anything
            sys.exit(f"error: {source / 'ae.pt'} cannot be converted: {str(error).splitlines()[0]}")
        print(target / "ae.safetensors")


if __name__ == "__main__":
    main()
