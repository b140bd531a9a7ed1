"""Makes tests/golden/fullsize-*.safetensors: what transformers computes with the stand-ins at full size.

    python golden_fullsize.py            writes tests/golden/fullsize-{pythia-160m,mamba-130m}.safetensors
    python golden_fullsize.py --check    compares instead

The weights are those of `standin.py` (seed 0, the real element types), made in a temporary folder of 0.5 GB; transformers
runs them in float64 (some 10 GB of memory, a few minutes). The short prompts are also computed by `golden_forward.py`, and both must
agree to 1e-9. Only samples are kept, and the largest value of each whole tensor; tests/golden/README.md says which.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import standin
import torch
from golden_common import assert_close, main
from golden_forward import Tape, mamba, neox
from golden_models import AGREEMENT, KeepFloat64
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging

REAL_VOCABULARY = 50277
# name: batch, tokens, positions kept
PROMPTS = {
    "short": (2, 48, [0, 1, 2, 23, 46, 47]),
    "long": (1, 2048, [0, 1, 127, 128, 1000, 1023, 1024, 2046, 2047]),
}
SAMPLED_ROWS = 500
# A likeliest token is kept only where the runner-up is further away than this much of the largest logit: tests allow
# half of it.
DECISIVE = 2e-4


class Some(Tape):
    """A tape of the wanted hooks alone; all of them would not fit in memory."""

    def __init__(self, wanted):
        super().__init__()
        self.wanted = wanted

    def __call__(self, name, value):
        if name in self.wanted:
            self.kept[name] = value
        return value


def run(model, blocks, hooks, tokens):
    """The residual stream after some blocks, and the logits, from transformers."""
    seen, handles = {}, []
    for name, layer in hooks.items():

        def see(module, inputs, output, name=name):
            seen[name] = output[0] if isinstance(output, tuple) else output

        handles.append(blocks[layer].register_forward_hook(see))
    with KeepFloat64():
        logits = model(tokens, use_cache=False).logits
    for handle in handles:
        handle.remove()
    assert all(value.dtype == torch.float64 for value in [logits, *seen.values()])
    return seen, logits


def samples(seen, logits, positions, rows):
    """What is kept of a run."""
    found = {}
    for name, value in [*seen.items(), ("logits", logits)]:
        kept = value[:, positions]
        found[name] = (kept[..., rows] if name == "logits" else kept).float().contiguous()
        found[f"{name}.max"] = value.abs().max().float().reshape(1)
    best = logits[:, positions, :REAL_VOCABULARY].topk(2)
    decisive = (best.values[..., 0] - best.values[..., 1]) > DECISIVE * logits.abs().max()
    found["argmax"] = torch.where(decisive, best.indices[..., 0], -1).int()
    print(f"  {decisive.float().mean().item():.0%} of {decisive.numel()} likeliest tokens are decisive")
    return found


def make_one(root, kind, seed, folder):
    dtype, layers = standin.KINDS[kind]
    digest = standin.write(folder, kind)
    print(f"{kind}: {digest}")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()
    if kind == "pythia-160m":
        blocks, forward, emb = model.gpt_neox.layers, neox, model.gpt_neox.rotary_emb
        with KeepFloat64():
            emb.inv_freq = emb.compute_default_rope_parameters(model.config)[0]
        assert emb.inv_freq.dtype == torch.float64
    else:
        blocks, forward = model.backbone.layers, mamba
    hooks = {f"blocks.{layer}.hook_resid_post": layer for layer in [0, layers // 2 - 1, layers - 1]}

    rng = np.random.default_rng(seed)
    total = model.config.vocab_size
    edges = [0, 1, REAL_VOCABULARY - 1, REAL_VOCABULARY, total - 1]
    rows = sorted({*edges, *rng.choice(total, SAMPLED_ROWS, replace=False).tolist()})
    tensors = {"rows": torch.tensor(rows, dtype=torch.int32)}
    for name, (batch, length, positions) in PROMPTS.items():
        tokens = torch.from_numpy(rng.integers(0, REAL_VOCABULARY, (batch, length)))
        seen, logits = run(model, blocks, hooks, tokens)
        if name == "short":
            weights = {k: v.double() for k, v in load_file(folder / "model.safetensors").items()}
            tape = Some(hooks)
            ours = forward(weights, standin.config(kind, dtype=dtype, layers=layers), tokens, tape)
            worst = max(assert_close(hook, tape.kept[hook], seen[hook], AGREEMENT) for hook in hooks)
            worst = max(worst, assert_close("logits", ours, logits, AGREEMENT))
            print(f"  {name}: both ways agree to {worst:.1e}")
            del weights, ours, tape
        tensors[f"{name}.tokens"] = tokens.int()
        tensors[f"{name}.positions"] = torch.tensor(positions, dtype=torch.int32)
        tensors |= {f"{name}.{k}": v for k, v in samples(seen, logits, positions, rows).items()}
        scales = {k: round(v.item(), 2) for k, v in tensors.items() if k.startswith(name) and k.endswith(".max")}
        print(f"  {name}: largest values {scales}")
    notes = {"standin": kind, "dtype": dtype, "seed": "0", "sha256": digest}
    save_file(tensors, root / f"fullsize-{kind}.safetensors", metadata=notes)


def make(root):
    torch.set_num_threads(2)
    for seed, kind in enumerate(standin.KINDS):
        with tempfile.TemporaryDirectory() as folder:
            make_one(root, kind, seed, Path(folder))
        sys.stdout.flush()


if __name__ == "__main__":
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    main(__doc__.splitlines()[0], make)
