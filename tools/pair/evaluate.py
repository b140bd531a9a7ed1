"""The figures of models/README.md, measured on the exported f16 files with f32 arithmetic."""

import json
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from . import data, train
from .export import folder_name, load_exported
from .models import MODELS

WINDOW = 256  # held-out text is read in windows of BOS and 256 tokens
DISCOUNT = 0.75
PERIODS = (8, 16, 32, 64)
LENGTHS = (16, 32, 64, 128)
PROMPTS = 512
SEED = 11
CURVE = 12  # about one in this many lines of the log goes to training.json


# ---- held-out text -------------------------------------------------------------------------


def held_out_windows(stream):
    """[rows, WINDOW + 1]: BOS, then WINDOW consecutive tokens of the stream, documents with their own BOS.

    The last row is filled up with BOS, which is never counted as a target.
    """
    stream = np.pad(stream, (0, -len(stream) % WINDOW), constant_values=data.BOS)
    body = stream.reshape(-1, WINDOW)
    return np.concatenate([np.full((len(body), 1), data.BOS), body], 1)


@torch.no_grad()
def mean_loss(model, ids, rows=32):
    """Mean loss in nats over every token of ids [rows, length] but the first of a row and BOS."""
    total = 0.0
    for i in range(0, len(ids), rows):
        block = train.on_device(ids[i : i + rows])
        total += train.losses(model, block)[block[:, 1:] != data.BOS].sum().item()
    return total / predicted(ids)


def predicted(ids):
    """How many tokens a mean loss is over."""
    return int((ids[:, 1:] != data.BOS).sum())


def unigram(counted, vocabulary):
    """Add-one probabilities of the tokens other than BOS."""
    counts = np.bincount(counted, minlength=vocabulary) + 1.0
    counts[data.BOS] = 0.0
    return counts / counts.sum()


def bigram(counted, vocabulary):
    """[before, after]: absolute discounting by DISCOUNT, interpolated with the add-one unigram."""
    pairs = np.zeros((vocabulary, vocabulary))
    np.add.at(pairs, (counted[:-1], counted[1:]), 1)
    pairs[:, data.BOS] = 0
    total = pairs.sum(1, keepdims=True)
    kinds = (pairs > 0).sum(1, keepdims=True)
    backed_off = np.tile(unigram(counted, vocabulary), (vocabulary, 1))
    seen = total[:, 0] > 0
    mixed = np.maximum(pairs - DISCOUNT, 0) + DISCOUNT * kinds * backed_off
    backed_off[seen] = mixed[seen] / total[seen]
    return backed_off


def baselines(counted, ids, vocabulary):
    """Mean losses of both, on the same tokens as `mean_loss`."""
    before, after = ids[:, :-1], ids[:, 1:]
    kept = after != data.BOS
    return {
        "unigram": float(-np.log(unigram(counted, vocabulary)[after[kept]]).mean()),
        "bigram": float(-np.log(bigram(counted, vocabulary)[before[kept], after[kept]]).mean()),
    }


class HeldOut:
    """The held-out texts in the tokens of one tokenizer."""

    def __init__(self, tokenizer, texts):
        self.vocabulary = tokenizer.get_vocab_size()
        self.windows = {}
        self.per_character = {}  # tokens
        for kind, stream in data.encode_all(tokenizer, texts.held_out).items():
            self.windows[kind] = held_out_windows(stream)
            self.per_character[kind] = predicted(self.windows[kind]) / sum(map(len, texts.held_out[kind]))

    def losses(self, model):
        """Nats by token and by character, for each kind of text."""
        found = {}
        for kind, windows in self.windows.items():
            token = mean_loss(model, windows)
            found[kind] = {"token": token, "character": token * self.per_character[kind]}
        return found

    def baselines(self, tokenizer, texts):
        streams = data.encode_all(tokenizer, texts.train)
        found = {}
        for kind, windows in self.windows.items():
            by_token = baselines(streams[kind], windows, self.vocabulary)
            found[kind] = {
                name: {"token": loss, "character": loss * self.per_character[kind]} for name, loss in by_token.items()
            }
        return found, {kind: len(stream) for kind, stream in streams.items()}, data.fingerprint(streams)


# ---- what comes back -----------------------------------------------------------------------


def lesson():
    return json.loads(Path(__file__).with_name("lesson.json").read_text(encoding="utf-8"))


@torch.no_grad()
def lesson_answers(model, tokenizer):
    """For each sentence of the lesson: the chance of the answer's first token, and what the model would say.

    `first`: that token is the likeliest. `whole`: so is every token of the answer, each after those before it.
    """
    found = []
    for sentence in lesson():
        ids = tokenizer.encode(sentence["text"]).ids
        both = tokenizer.encode(f"{sentence['text']} {sentence['answer']}").ids
        if both[: len(ids)] != ids:
            raise SystemExit(f"error: the tokens of {sentence['text']!r} change when its answer is added: reword it")
        logits = model(train.on_device(np.array([both[:-1]])))[0, len(ids) - 1 :]
        answer = train.on_device(np.array(both[len(ids) :]))
        likeliest = logits.argmax(-1)
        found.append(
            {
                "text": sentence["text"],
                "answer": sentence["answer"],
                "chance": logits[0].softmax(-1)[answer[0]].item(),
                "said": tokenizer.decode([likeliest[0].item()]),
                "first": bool(likeliest[0] == answer[0]),
                "whole": bool((likeliest == answer).all()),
            }
        )
    return found


@torch.no_grad()
def prefix_matching(model, period=32, rows=64):
    """Per layer and head: mean attention from t to t - period + 1 over the second occurrence."""
    ids = data.repeats(np.random.default_rng(SEED), rows, 2 * period, period, period, model.config["vocab_size"])
    patterns = []
    model(train.on_device(ids), patterns)
    return [p.diagonal(1 - period, -2, -1)[..., 1:].mean((0, 2)).tolist() for p in patterns]


@torch.no_grad()
def previous_token(model, period=32, rows=64):
    """Per layer and head: mean attention from t to t - 1 on random tokens."""
    length, vocabulary = 2 * period, model.config["vocab_size"]
    ids = data.repeats(np.random.default_rng(SEED), rows, length, length, length, vocabulary)
    patterns = []
    model(train.on_device(ids), patterns)
    return [p.diagonal(-1, -2, -1).mean((0, 2)).tolist() for p in patterns]


def best_head(scores):
    layer = max(range(len(scores)), key=lambda i: max(scores[i]))
    head = max(range(len(scores[layer])), key=lambda i: scores[layer][i])
    return {"layer": layer, "head": head, "score": scores[layer][head]}


# ---- all of it -----------------------------------------------------------------------------


def rounded(value):
    """Numbers with four decimals, throughout."""
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return round(value, 4) if isinstance(value, float) else value


def figures_of(name, model, tokenizer, held_out):
    """What is measured on one model."""
    found = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "held_out": held_out.losses(model),
        "pairs": {},
        "repeated_blocks": {},
    }
    for length in LENGTHS:
        chance, first = train.pair_answers(model, length, PROMPTS, SEED)
        found["pairs"][str(length)] = {"chance": chance, "first": first}
    for period in PERIODS:
        first, second = train.repeat_losses(model, period, rows=64, seed=SEED)
        found["repeated_blocks"][str(period)] = {"first": first, "second": second}
    found["lesson"] = lesson_answers(model, tokenizer)
    if name == "tiny-neox":
        matching, previous = prefix_matching(model), previous_token(model)
        found["best_prefix_matching_head"] = best_head(matching)
        found["best_previous_token_head"] = best_head(previous)
        found["prefix_matching"] = matching
        found["previous_token"] = previous
    return found


def curve(log):
    """Some lines of a training's log, the last of each stage among them."""
    if not log.exists():
        return []
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    ends = {line["stage"]: i for i, line in enumerate(lines)}
    kept = [line for i, line in enumerate(lines) if i % CURVE == CURVE - 1 or i in ends.values()]
    for line in kept:
        line.pop("tokens_per_second", None)
    return kept


def measure_folder(folder, texts, seeds):
    """The figures of every model of a folder, by the folder's name."""
    tokenizer, held_out, found = None, None, {}
    for seed in seeds:
        for name in MODELS:
            place = folder / folder_name(name, seed)
            if place.exists():
                if tokenizer is None:
                    tokenizer = Tokenizer.from_file(str(place / "tokenizer.json"))
                    held_out = HeldOut(tokenizer, texts)
                found[place.name] = figures_of(name, load_exported(name, place).to(train.DEVICE), tokenizer, held_out)
    if tokenizer is None:
        raise SystemExit(f"error: no model in {folder}: export one first")
    return tokenizer, held_out, found


def evaluate(texts, models_folder, old_folder, logs, seeds):
    """Every figure as one JSON-able object."""
    tokenizer, held_out, found = measure_folder(models_folder, texts, seeds)
    base, tokens, digest = held_out.baselines(tokenizer, texts)
    for seed in seeds:
        for name in MODELS:
            entry = found.get(folder_name(name, seed))
            if entry is not None:
                entry["seed"] = seed
                entry["recipe"] = {
                    stage: {**asdict(recipe), "tokens": recipe.tokens} for stage, recipe in train.RECIPES[name].items()
                }
                entry["curve"] = curve(logs / f"{name}.{seed}.log")
    figures = {
        "unit": "nats",
        "held_out_tokens": {kind: predicted(windows) for kind, windows in held_out.windows.items()},
        "held_out_characters": {kind: sum(map(len, part)) for kind, part in texts.held_out.items()},
        "training_tokens": tokens,
        "streams_sha256": digest,
        "uniform": math.log(held_out.vocabulary),
        "baselines": base,
        "models": found,
    }
    if old_folder is not None:
        figures["old"] = measure_folder(old_folder, texts, [0])[2]
    return rounded(figures)


def table(heading, names, rows):
    lines = [f"| {heading} | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    return "\n".join([*lines, *(f"| {label} | " + " | ".join(cells) + " |" for label, cells in rows)])


def tables(figures):
    """The figures as the Markdown tables of models/README.md; `old` models stand behind the others."""
    models = {**figures["models"], **{f"{name} before": m for name, m in figures.get("old", {}).items()}}
    every, base = list(models.values()), figures["baselines"]
    pairs = [
        (f"{length} tokens", [f"{m['pairs'][length]['chance']:.2f}, {m['pairs'][length]['first']:.0%}" for m in every])
        for length in map(str, LENGTHS)
    ]
    blocks = []
    for period in map(str, PERIODS):
        cells = [m["repeated_blocks"][period] for m in every]
        blocks.append((f"blocks of {period}", [f"{cell['first']:.2f} → {cell['second']:.2f}" for cell in cells]))
    names = [
        (label, [f"{sum(answer[key] for answer in m['lesson'])} of {len(m['lesson'])}" for m in every])
        for label, key in (("first token", "first"), ("whole name", "whole"))
    ]
    parts = [
        table("P(B), share with B first", models, pairs),
        table("loss, first → second time", models, blocks),
        table("returning names", models, names),
    ]
    for unit in ("character", "token"):
        rows = []
        for kind, baseline in base.items():
            cells = [f"{m['held_out'][kind][unit]:.3f}" for m in every]
            rows.append((kind, cells + [f"{baseline[key][unit]:.3f}" for key in ("bigram", "unigram")]))
        parts.append(table(f"held-out loss per {unit}", [*models, "bigram", "unigram"], rows))
    lines = []
    for name, m in figures["models"].items():
        for kind in ("prefix_matching", "previous_token"):
            if f"best_{kind}_head" in m:
                head = m[f"best_{kind}_head"]
                label = kind.replace("_", " ")
                lines.append(f"- Best {label} head of {name}: {head['layer']}.{head['head']}, score {head['score']:.2f}")
    return "\n\n".join([*parts, "\n".join(lines)])
