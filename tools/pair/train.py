"""Training in stages: repeated random blocks alone, then the mix of texts and repeats."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from . import data
from .models import MODELS, VOCABULARY

WEIGHT_DECAY = 0.1  # on matrices; vectors, norms, A_log and D have none
BETAS = (0.9, 0.95)
CLIP = 1.0
SAVE_EVERY = 200


@dataclass(frozen=True)
class Stage:
    """One run of the optimizer. `shares` are rows of English, generator text and repeats in a batch."""

    steps: int
    fall: int  # the last steps, over which the rate falls linearly to almost nothing
    rows: int
    length: int
    warm_up: int
    peak_rate: float
    shares: tuple[int, int, int]
    blocks: tuple[int, int]  # shortest and longest
    fresh_block: int | None = None  # drawn anew instead of taken from the stage before
    penalty: float = 0.0  # on the mean square of the residual stream before the final norm

    @property
    def tokens(self):
        return self.steps * self.rows * self.length

    def rate(self, step):
        """Linear warm-up, constant, then the fall."""
        rate = self.peak_rate * min(1.0, (step + 1) / self.warm_up)
        left = self.steps - step
        return rate if left >= self.fall else rate * left / self.fall


# After the repeats, tiny-mamba's last block does nothing but say "nothing to copy yet": it raises the residual
# stream a hundredfold, and the final norm then wipes out what the other blocks wrote. Text looks like that to it
# for ever, and no gradient gets through. So that block starts anew in the mix, and a penalty keeps the stream small.
RECIPES = {
    "tiny-neox": {
        "repeats": Stage(650, 0, 48, 128, 50, 2e-3, (0, 0, 48), (4, 42)),
        "mix": Stage(3000, 1000, 16, 256, 50, 2e-3, (9, 4, 3), (4, 85)),
    },
    "tiny-mamba": {
        "repeats": Stage(1000, 0, 48, 64, 50, 2e-3, (0, 0, 48), (2, 21)),
        "mix": Stage(800, 0, 12, 256, 150, 1.5e-3, (6, 3, 3), (2, 42), fresh_block=7, penalty=1e-4),
        "settle": Stage(2000, 600, 12, 256, 100, 1.5e-3, (5, 2, 5), (2, 42), penalty=1e-4),
    },
}


def batch(generator, stage, streams):
    """ids [rows, length + 1]."""
    english, generated, repeated = stage.shares
    parts = []
    if english:
        parts.append(data.windows(generator, streams.english_train, english, stage.length + 1))
    if generated:
        parts.append(data.windows(generator, streams.generator_train, generated, stage.length + 1))
    if repeated:
        parts.append(data.repeats(generator, repeated, stage.length + 1, *stage.blocks))
    return np.concatenate(parts)


def losses(model, ids, low_precision=False):
    """Loss in nats of every predicted token: [rows, length - 1] for ids [rows, length]."""
    ids = torch.as_tensor(ids)
    inputs, targets = ids[:, :-1], ids[:, 1:]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=low_precision):
        logits = model(inputs)
    flat = F.cross_entropy(logits.float().reshape(-1, VOCABULARY), targets.reshape(-1), reduction="none")
    return flat.view(targets.shape)


def repeat_losses(model, period, rows=16, seed=7):
    """Mean loss on the first and on the second occurrence of random blocks of `period` tokens."""
    ids = data.repeats(np.random.default_rng(seed), rows, 2 * period, period, period)
    with torch.no_grad():
        each = losses(model, ids)
    return each[:, : period - 1].mean().item(), each[:, period:].mean().item()


def make_optimizer(model):
    matrices = [p for name, p in model.named_parameters() if p.dim() == 2 and "A_log" not in name]
    rest = [p for name, p in model.named_parameters() if p.dim() != 2 or "A_log" in name]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, betas=BETAS, fused=True)


def save(path, **content):
    """Replaces a checkpoint only once the new one is whole."""
    part = path.with_suffix(".part")
    torch.save(content, part)
    part.replace(path)


def without_block(tensors, block):
    """The tensors of a checkpoint but those of one block."""
    return {key: value for key, value in tensors.items() if f".layers.{block}." not in key}


def train(name, stage_name, folder, streams, start=None, seed=0):
    """Runs one stage from its beginning, or on from where its own checkpoint stopped.

    `start` is the checkpoint of the stage before; its weights are taken, its optimizer state is not.
    """
    stage = RECIPES[name][stage_name]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.{stage_name}.pt"
    torch.manual_seed(seed)
    generator = np.random.default_rng([seed, len(stage_name)])
    model = MODELS[name]()
    optimizer = make_optimizer(model)
    first = 0
    if path.exists():
        saved = torch.load(path, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        generator.bit_generator.state = json.loads(saved["generator"])
        first = saved["step"]
    elif start is not None:
        before = torch.load(start, weights_only=True)["model"]
        model.load_state_dict({**model.state_dict(), **without_block(before, stage.fresh_block)})
    residual = []
    model.final_norm().register_forward_pre_hook(lambda _, inputs: residual.append(inputs[0]))
    log = open(folder / f"{name}.{stage_name}.log", "a", encoding="utf-8")
    begun = time.monotonic()
    for step in range(first, stage.steps):
        for group in optimizer.param_groups:
            group["lr"] = stage.rate(step)
        residual.clear()
        each = losses(model, batch(generator, stage, streams), low_precision=True)
        size = residual[0].float().square().mean()
        optimizer.zero_grad()
        (each.mean() + stage.penalty * size).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        done = step + 1
        if done % 50 == 0 or done == stage.steps:
            rows = np.cumsum([0, *stage.shares])
            by_kind = [each[a:b].mean().item() if b > a else None for a, b in zip(rows, rows[1:])]
            record = {
                "step": done,
                "tokens": done * stage.rows * stage.length,
                "losses": by_kind,
                "residual_rms": size.item() ** 0.5,
                "repeat16": repeat_losses(model, 16),
                "repeat40": repeat_losses(model, 40),
                "tokens_per_second": (done - first) * stage.rows * stage.length / (time.monotonic() - begun),
            }
            print(json.dumps(record), file=log, flush=True)
        if done % SAVE_EVERY == 0 or done == stage.steps:
            save(
                path,
                model=model.state_dict(),
                optimizer=optimizer.state_dict(),
                generator=json.dumps(generator.bit_generator.state),
                step=done,
                recipe=json.dumps(asdict(stage)),
            )
    return path
