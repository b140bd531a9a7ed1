"""The figures of models/README.md, measured on the exported f16 files with f32 arithmetic."""

import math
from dataclasses import asdict

import numpy as np
import torch

from . import data, train
from .export import load_exported
from .models import MODELS, VOCABULARY

WINDOW = 256  # held-out text is read in windows of BOS and 256 tokens
DISCOUNT = 0.75
PERIODS = (8, 16, 32, 64)
SEED = 11


# ---- held-out text -------------------------------------------------------------------------


def held_out_windows(stream):
    """[rows, WINDOW + 1]: BOS, then WINDOW consecutive tokens of the stream, documents with their own BOS."""
    rows = len(stream) // WINDOW
    body = stream[: rows * WINDOW].reshape(rows, WINDOW)
    return np.concatenate([np.full((rows, 1), data.BOS), body], 1)


@torch.no_grad()
def mean_loss(model, ids, rows=32):
    """Mean loss in nats over every token of ids [rows, length] but the first of a row and BOS."""
    total = 0.0
    for i in range(0, len(ids), rows):
        block = torch.from_numpy(ids[i : i + rows])
        total += train.losses(model, block)[block[:, 1:] != data.BOS].sum().item()
    return total / predicted(ids)


def predicted(ids):
    """How many tokens a mean loss is over."""
    return int((ids[:, 1:] != data.BOS).sum())


def unigram(counted):
    """Add-one probabilities of the tokens other than BOS."""
    counts = np.bincount(counted, minlength=VOCABULARY) + 1.0
    counts[data.BOS] = 0.0
    return counts / counts.sum()


def bigram(counted):
    """[before, after]: absolute discounting by DISCOUNT, interpolated with the add-one unigram."""
    pairs = np.zeros((VOCABULARY, VOCABULARY))
    np.add.at(pairs, (counted[:-1], counted[1:]), 1)
    pairs[:, data.BOS] = 0
    total = pairs.sum(1, keepdims=True)
    kinds = (pairs > 0).sum(1, keepdims=True)
    backed_off = np.tile(unigram(counted), (VOCABULARY, 1))
    seen = total[:, 0] > 0
    mixed = np.maximum(pairs - DISCOUNT, 0) + DISCOUNT * kinds * backed_off
    backed_off[seen] = mixed[seen] / total[seen]
    return backed_off


def baselines(counted, ids):
    """Mean losses of both, on the same tokens as `mean_loss`."""
    before, after = ids[:, :-1], ids[:, 1:]
    kept = after != data.BOS
    return {
        "unigram": round(float(-np.log(unigram(counted)[after[kept]]).mean()), 4),
        "bigram": round(float(-np.log(bigram(counted)[before[kept], after[kept]]).mean()), 4),
    }


# ---- induction -----------------------------------------------------------------------------


@torch.no_grad()
def prefix_matching(model, period=32, rows=64):
    """Per layer and head: mean attention from t to t - period + 1 over the second occurrence."""
    ids = data.repeats(np.random.default_rng(SEED), rows, 2 * period, period, period)
    patterns = []
    model(torch.from_numpy(ids), patterns)
    return [p.diagonal(1 - period, -2, -1)[..., 1:].mean((0, 2)).tolist() for p in patterns]


@torch.no_grad()
def previous_token(model, period=32, rows=64):
    """Per layer and head: mean attention from t to t - 1 on random tokens."""
    ids = data.repeats(np.random.default_rng(SEED), rows, 2 * period, 2 * period, 2 * period)
    patterns = []
    model(torch.from_numpy(ids), patterns)
    return [p.diagonal(-1, -2, -1).mean((0, 2)).tolist() for p in patterns]


def rounded(scores):
    return [[round(score, 4) for score in row] for row in scores]


def best_head(scores):
    layer = max(range(len(scores)), key=lambda i: max(scores[i]))
    head = max(range(len(scores[layer])), key=lambda i: scores[layer][i])
    return {"layer": layer, "head": head, "score": round(scores[layer][head], 4)}


# ---- all of it -----------------------------------------------------------------------------


def evaluate(streams, models_folder):
    """Every figure as one JSON-able object."""
    english = held_out_windows(streams.english_held_out)
    generated = held_out_windows(streams.generator_held_out)
    figures = {
        "unit": "nats per token",
        "held_out_tokens": {"english": predicted(english), "generator": predicted(generated)},
        "training_tokens": {"english": len(streams.english_train), "generator": len(streams.generator_train)},
        "streams_sha256": streams.fingerprint(),
        "uniform": round(math.log(VOCABULARY), 4),
        "baselines": {
            "english": baselines(streams.english_train, english),
            "generator": baselines(streams.generator_train, generated),
        },
        "models": {},
    }
    for name in MODELS:
        model = load_exported(name, models_folder / name)
        repeats = {}
        for period in PERIODS:
            first, second = train.repeat_losses(model, period, rows=64, seed=SEED)
            repeats[str(period)] = {"first": round(first, 4), "second": round(second, 4)}
        entry = {
            "recipe": {
                stage: {**asdict(recipe), "tokens": recipe.tokens} for stage, recipe in train.RECIPES[name].items()
            },
            "parameters": sum(p.numel() for p in model.parameters()),
            "held_out": {
                "english": round(mean_loss(model, english), 4),
                "generator": round(mean_loss(model, generated), 4),
            },
            "repeated_blocks": repeats,
        }
        if name == "tiny-neox":
            matching, previous = prefix_matching(model), previous_token(model)
            entry["best_prefix_matching_head"] = best_head(matching)
            entry["best_previous_token_head"] = best_head(previous)
            entry["prefix_matching"] = rounded(matching)
            entry["previous_token"] = rounded(previous)
        figures["models"][name] = entry
    return figures


def tables(figures):
    """The figures as the Markdown tables of models/README.md."""
    models, base = figures["models"], figures["baselines"]
    lines = ["| held-out loss | " + " | ".join(models) + " | bigram | unigram |", "|---" * (len(models) + 3) + "|"]
    for text, baseline in base.items():
        row = [f"{m['held_out'][text]:.3f}" for m in models.values()]
        row += [f"{baseline[key]:.3f}" for key in ("bigram", "unigram")]
        lines.append(f"| {text} | " + " | ".join(row) + " |")
    lines += ["", "| loss, first → second time | " + " | ".join(models) + " |", "|---" * (len(models) + 1) + "|"]
    for period in map(str, PERIODS):
        cells = [m["repeated_blocks"][period] for m in models.values()]
        row = [f"{cell['first']:.2f} → {cell['second']:.2f}" for cell in cells]
        lines.append(f"| blocks of {period} | " + " | ".join(row) + " |")
    lines.append("")
    for kind in ("prefix_matching", "previous_token"):
        head = models["tiny-neox"][f"best_{kind}_head"]
        label = kind.replace("_", " ")
        lines.append(f"- Best {label} head of tiny-neox: {head['layer']}.{head['head']}, score {head['score']:.2f}")
    return "\n".join(lines)
