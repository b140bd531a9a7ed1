"""A trained model as a Hugging Face directory in f16."""

import json

import torch
from safetensors.torch import load_file, save_file

from .models import MODELS, VOCABULARY

SIZE_LIMIT = 4 * 1024 * 1024
# Two orders of f32 sums through up to 8 blocks: 1e-4 of the largest logit leaves room for both.
TOLERANCE = 1e-4


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def folder_name(name, seed):
    """tiny-neox for seed 0, tiny-neox-seed1 for seed 1: as the seeds of Pythia are called on the hub."""
    return name if seed == 0 else f"{name}-seed{seed}"


def export(name, checkpoint, tokenizer, tokenizer_config, folder):
    """Writes config.json, model.safetensors (f16) and the tokenizer to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    model = MODELS[name]()
    model.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["model"])
    tensors = {key: value.half().contiguous() for key, value in model.state_dict().items()}
    if not all(torch.isfinite(value).all() for value in tensors.values()):
        raise SystemExit(f"error: {checkpoint} has weights that are not finite in f16: train again with a lower rate")
    size = sum(value.numel() * 2 for value in tensors.values())
    if size > SIZE_LIMIT:
        raise SystemExit(f"error: {name} would take {size} bytes, more than {SIZE_LIMIT}: make it smaller")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    write_json(folder / "config.json", model.config)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    write_json(folder / "tokenizer_config.json", tokenizer_config)
    compare(name, folder)


def load_exported(name, folder):
    """The model of an exported folder, its f16 weights widened to f32."""
    model = MODELS[name](json.loads((folder / "config.json").read_text(encoding="utf-8")))
    tensors = load_file(folder / "model.safetensors")
    model.load_state_dict({key: value.float() for key, value in tensors.items()})
    return model.eval()


@torch.no_grad()
def compare(name, folder):
    """Stops unless transformers reads the folder and computes the same logits."""
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast  # heavy, and wanted here alone

    ids = torch.randint(VOCABULARY, (2, 48), generator=torch.Generator().manual_seed(3))
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()(ids).logits
    ours = load_exported(name, folder)(ids)
    error = ((ours - theirs).abs().max() / theirs.abs().max()).item()
    print(f"{name}: logits agree with transformers to {error:.1e} of the largest")
    if not error < TOLERANCE:
        raise SystemExit(f"error: {folder} gives other logits in transformers ({error:.1e}): do not ship it")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    text = "In 1851 she said: \u201cna\u00efve\u201d.\n"
    if tokenizer.decode(tokenizer(text).input_ids) != text:
        raise SystemExit(f"error: the tokenizer in {folder} does not give a text back: do not ship it")
