"""The figures of models/README.md, measured on the exported f16 files with f32 arithmetic."""

import math

import numpy as np
import torch

from . import data, train
from .export import load_exported
from .models import MODELS, VOCABULARY

WINDOW = 256  # held-out text is read in windows of BOS and 256 tokens
PERIODS = (8, 16, 32, 64)
SEED = 11


# ---- held-out text -------------------------------------------------------------------------


def held_out_windows(stream):
    """[rows, WINDOW + 1]: BOS, then consecutive tokens; BOS inside the stream is left out."""
    tokens = stream[stream != data.BOS]
    rows = len(tokens) // WINDOW
    body = tokens[: rows * WINDOW].reshape(rows, WINDOW)
    return np.concatenate([np.full((rows, 1), data.BOS), body], 1)


@torch.no_grad()
def mean_loss(model, ids, rows=32):
    """Mean loss over every predicted token of ids [rows, length], in nats."""
    parts = [train.losses(model, ids[i : i + rows]).sum().item() for i in range(0, len(ids), rows)]
    return sum(parts) / (ids.shape[0] * (ids.shape[1] - 1))


def unigram_loss(counted, ids):
    """Add-one unigram of the trained tokens, on the same predictions as `mean_loss`."""
    counts = np.bincount(counted[counted != data.BOS], minlength=VOCABULARY) + 1.0
    counts[data.BOS] = 1.0
    return float(-np.log(counts / counts.sum())[ids[:, 1:]].mean())


def bigram_loss(counted, ids):
    """Interpolated bigram with absolute discounting by 0.75, backing off to the add-one unigram."""
    discount = 0.75
    tokens = counted
    pairs = np.zeros((VOCABULARY, VOCABULARY))
    np.add.at(pairs, (tokens[:-1], tokens[1:]), 1)
    pairs[:, data.BOS] = 0
    unigram = np.bincount(tokens[tokens != data.BOS], minlength=VOCABULARY) + 1.0
    unigram /= unigram.sum()
    total = pairs.sum(1, keepdims=True)
    kinds = (pairs > 0).sum(1, keepdims=True)
    seen = total[:, 0] > 0
    probability = np.tile(unigram, (VOCABULARY, 1))
    kept = np.maximum(pairs - discount, 0) + discount * kinds * unigram
    probability[seen] = kept[seen] / total[seen]
    return float(-np.log(probability[ids[:, :-1], ids[:, 1:]]).mean())


# ---- induction -----------------------------------------------------------------------------


def prefix_matching(model, period=32, rows=64):
    """Per layer and head: mean attention from t to t - period + 1 over the second occurrence."""
    ids = data.repeats(np.random.default_rng(SEED), rows, 2 * period, period, period)
    patterns = []
    with torch.no_grad():
        model(torch.from_numpy(ids), patterns)
    scores = [p.diagonal(1 - period, -2, -1)[..., 1:].mean((0, 2)).tolist() for p in patterns]
    return scores


def previous_token(model, period=32, rows=64):
    """Per layer and head: mean attention from t to t - 1 on random tokens."""
    ids = data.repeats(np.random.default_rng(SEED), rows, 2 * period, 2 * period, 2 * period)
    patterns = []
    with torch.no_grad():
        model(torch.from_numpy(ids), patterns)
    return [p.diagonal(-1, -2, -1).mean((0, 2)).tolist() for p in patterns]


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
        "held_out_tokens": {"english": english[:, 1:].size, "generator": generated[:, 1:].size},
        "training_tokens": {"english": len(streams.english_train), "generator": len(streams.generator_train)},
        "streams_sha256": streams.fingerprint(),
        "uniform": round(math.log(VOCABULARY), 4),
        "baselines": {
            "english": {
                "unigram": round(unigram_loss(streams.english_train, english), 4),
                "bigram": round(bigram_loss(streams.english_train, english), 4),
            },
            "generator": {
                "unigram": round(unigram_loss(streams.generator_train, generated), 4),
                "bigram": round(bigram_loss(streams.generator_train, generated), 4),
            },
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
            "parameters": sum(p.numel() for p in model.parameters()),
            "held_out": {
                "english": round(mean_loss(model, english), 4),
                "generator": round(mean_loss(model, generated), 4),
            },
            "repeated_blocks": repeats,
        }
        if name == "tiny-neox":
            matching = prefix_matching(model)
            entry["best_prefix_matching_head"] = best_head(matching)
            entry["prefix_matching"] = [[round(s, 4) for s in row] for row in matching]
            entry["best_previous_token_head"] = best_head(previous_token(model))
        figures["models"][name] = entry
    return figures
