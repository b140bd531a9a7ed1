"""Training in stages: repeated random blocks, then single pairs, then the mix of texts and both."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from . import data
from .models import MODELS, VOCABULARY
from .optimize import Optimizer

SAVE_SECONDS = 120
LOG_EVERY = 100
TESTED = 128  # prompts in each of the log's measurements
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
UNTOLD = 0.2  # of the random tokens that nothing before them tells, this share is asked for


@dataclass(frozen=True)
class Stage:
    """One run of the optimizer over batches of `rows` by kind, each `length` tokens and one long."""

    steps: int
    rows: dict[str, int]  # of english, generator, returning (names), blocks, pairs
    length: int
    blocks: tuple[int, int]  # shortest and longest
    reach: int  # how far back a pair may stand
    fall: int = 0  # the last steps, over which the rate falls linearly to almost nothing
    warm_up: int = 50
    rate: float = 1.0  # of the rates in optimize.py
    penalty: float = 0.0  # on the mean square of the residual stream before the final norm

    @property
    def tokens(self):
        return self.steps * self.batch_tokens

    @property
    def batch_tokens(self):
        return sum(self.rows.values()) * self.length

    def rate_at(self, step):
        """Linear warm-up, constant, then the fall."""
        rate = self.rate * min(1.0, (step + 1) / self.warm_up)
        left = self.steps - step
        return rate if left >= self.fall else rate * left / self.fall


MIX = {"english": 5, "generator": 2, "returning": 1, "blocks": 1, "pairs": 3}
SETTLE = {"english": 5, "generator": 3, "returning": 1, "blocks": 1, "pairs": 2}
LONG_MIX = {"english": 5, "generator": 3, "returning": 1, "blocks": 1, "pairs": 3}
RECIPES = {
    "tiny-neox": {
        "blocks": Stage(700, {"blocks": 24}, 64, blocks=(2, 20), reach=80),
        "mix": Stage(1000, MIX, 256, blocks=(2, 64), reach=96),
        "settle": Stage(2600, SETTLE, 256, blocks=(2, 64), reach=96, fall=2000, rate=0.7),
    },
    "tiny-mamba": {
        "blocks": Stage(1200, {"blocks": 24}, 64, blocks=(2, 20), reach=80, penalty=1e-4),
        "pairs": Stage(1500, {"blocks": 8, "pairs": 16}, 64, blocks=(2, 31), reach=60, penalty=1e-4),
        "mix": Stage(3200, LONG_MIX, 256, blocks=(2, 64), reach=80, fall=2000, rate=0.8, penalty=1e-4),
    },
}


# ---- batches and losses ------------------------------------------------------------------------


def batch(generator, stage, texts):
    """ids [rows, length + 1] and which targets [rows, length] are asked for."""
    ids, asked = [], []
    for kind, rows in stage.rows.items():
        length = stage.length + 1
        if kind in ("blocks", "pairs"):
            if kind == "blocks":
                tokens, told = data.repeated(generator, rows, length, *stage.blocks)
            else:
                tokens, told = data.pairs(generator, rows, length, stage.reach)
            asked.append((told | (generator.random(told.shape) < UNTOLD))[:, 1:])
        else:
            tokens = data.windows(generator, texts.train[kind], rows, length)
            asked.append(np.ones((rows, stage.length), bool))
        ids.append(tokens)
    return on_device(np.concatenate(ids)), on_device(np.concatenate(asked))


def on_device(array):
    return torch.from_numpy(array).to(DEVICE)


def losses(model, ids):
    """Loss in nats of every predicted token: [rows, length - 1] for ids [rows, length]."""
    inputs, targets = ids[:, :-1], ids[:, 1:]
    logits = model(inputs)
    return F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")


# ---- measurements ------------------------------------------------------------------------------


@torch.no_grad()
def repeat_losses(model, period, rows=16, seed=7):
    """Mean loss on the first and on the second occurrence of random blocks of `period` tokens."""
    vocabulary = model.config["vocab_size"]
    ids = data.repeats(np.random.default_rng(seed), rows, 2 * period, period, period, vocabulary)
    each = losses(model, on_device(ids))
    return each[:, : period - 1].mean().item(), each[:, period:].mean().item()


@torch.no_grad()
def pair_answers(model, length, rows=TESTED, seed=7):
    """On the paper's prompts of `length` tokens: the mean P(B) and the share of them with B first."""
    ids, answers = data.prompts(np.random.default_rng(seed), rows, length, model.config["vocab_size"])
    chances = model.logits(model.stream(on_device(ids))[:, -1]).softmax(-1)
    answers = on_device(answers)
    said = chances.gather(1, answers[:, None]).mean().item()
    return said, (chances.argmax(-1) == answers).float().mean().item()


def measured(model):
    """What the log says besides the losses of the batch."""
    return {
        "pairs": {length: pair_answers(model, length) for length in (32, 64)},
        "repeats": {period: repeat_losses(model, period) for period in (8, 16, 32, 64)},
    }


# ---- training ----------------------------------------------------------------------------------


def save(path, **content):
    """Replaces a checkpoint only once the new one is whole."""
    part = path.with_suffix(".part")
    torch.save(content, part)
    part.replace(path)


def by_kind(stage, asked, each):
    """The mean loss of each kind of row, over what was asked."""
    whole = torch.zeros(asked.shape, device=each.device)
    whole[asked] = each.detach()
    found, row = {}, 0
    for kind, rows in stage.rows.items():
        here = slice(row, row + rows)
        found[kind] = (whole[here].sum() / asked[here].sum()).item()
        row += rows
    return found


def checkpoint(folder, name, seed, stage_name):
    return Path(folder) / f"{name}.{seed}.{stage_name}.pt"


def train(name, stage_name, folder, texts, start=None, seed=0):
    """Runs one stage from its beginning, or on from where its own checkpoint stopped.

    `start` is the checkpoint of the stage before: its weights and its optimizer's state are taken.
    """
    stage = RECIPES[name][stage_name]
    path = checkpoint(folder, name, seed, stage_name)
    torch.manual_seed(seed)
    generator = np.random.default_rng([seed, list(RECIPES[name]).index(stage_name)])
    model = MODELS[name]().to(DEVICE)
    optimizer = Optimizer(model)
    first, tokens = 0, 0
    saved = path if path.exists() else start
    if saved is not None:
        saved = torch.load(saved, map_location=DEVICE, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        tokens = saved["tokens"]
        if path.exists():
            generator.bit_generator.state = json.loads(saved["generator"])
            first = saved["step"]
    log = open(path.with_name(f"{name}.{seed}.log"), "a", encoding="utf-8")
    begun = spoken = written = time.monotonic()
    for step in range(first, stage.steps):
        optimizer.rate(stage.rate_at(step))
        ids, asked = batch(generator, stage, texts)
        stream = model.stream(ids[:, :-1])
        each = F.cross_entropy(model.logits(stream[asked]), ids[:, 1:][asked], reduction="none")
        size = stream.square().mean()
        optimizer.zero_grad()
        (each.mean() + stage.penalty * size).backward()
        optimizer.step()
        tokens += stage.batch_tokens
        done = step + 1
        if done % LOG_EVERY == 0 or done == stage.steps:
            now = time.monotonic()
            record = {
                "stage": stage_name,
                "step": done,
                "tokens": tokens,
                "losses": by_kind(stage, asked, each),
                "residual_rms": size.item() ** 0.5,
                **measured(model),
                "tokens_per_second": ((done - 1) % LOG_EVERY + 1) * stage.batch_tokens / (now - spoken),
            }
            spoken = time.monotonic()
            print(json.dumps(record), file=log, flush=True)
        if time.monotonic() - written > SAVE_SECONDS or done == stage.steps:
            save(
                path,
                model=model.state_dict(),
                optimizer=optimizer.state_dict(),
                generator=json.dumps(generator.bit_generator.state),
                step=done,
                tokens=tokens,
                recipe=json.dumps(asdict(stage)),
            )
            written = time.monotonic()
    return path
