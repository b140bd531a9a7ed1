#!/usr/bin/env python3
"""Makes the built-in models: trains, exports and measures tiny-neox and tiny-mamba, two seeds each, on a CPU.

    tools/train_pair.py all --corpus FOLDER          everything below in order
    tools/train_pair.py check                        the C++ scan against a float64 loop
    tools/train_pair.py tokenizer --corpus FOLDER
    tools/train_pair.py train [MODEL] --corpus FOLDER
    tools/train_pair.py export
    tools/train_pair.py evaluate --corpus FOLDER     models/training.json and its tables

A stage that was interrupted goes on from its last checkpoint in --out when the command is given again.
"""

import argparse
import fcntl
import subprocess
import sys
from functools import cached_property
from pathlib import Path

import torch
from tokenizers import Tokenizer

from pair import data, evaluate, export, scan, train
from pair.models import MODELS

REPOSITORY = Path(__file__).resolve().parent.parent
STAGES = ["check", "tokenizer", "train", "export", "evaluate"]


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=["all", *STAGES])
    parser.add_argument("model", nargs="?", choices=list(MODELS), help="for train; both side by side without it")
    parser.add_argument("--corpus", help="folder of plain English .txt files")
    parser.add_argument("--generator", help="JSONL dump of the built-in generator; made by the lab without it")
    parser.add_argument("--documents", type=int, default=6900, help="documents asked from the generator")
    parser.add_argument("--generator-seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="of initial weights and batches")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "target" / "pair", help="checkpoints and logs")
    parser.add_argument("--models", type=Path, default=REPOSITORY / "models", help="where the models go")
    parser.add_argument("--old", type=Path, help="for evaluate: another models folder to measure beside")
    parser.add_argument("--threads", type=int, default=1, help="of each model")
    arguments = parser.parse_args()
    if arguments.stage in ("all", "tokenizer", "train", "evaluate") and arguments.corpus is None:
        parser.error("this stage reads English: pass --corpus FOLDER")
    return arguments


class Texts:
    """The texts and their tokens, read when they are first asked for: the first stages need none."""

    def __init__(self, arguments):
        self.arguments = arguments

    @cached_property
    def tokenizer(self):
        return Tokenizer.from_file(str(tokenizer_path(self.arguments)))

    @cached_property
    def all(self):
        return data.read_texts(self.arguments)

    @cached_property
    def train(self):
        return data.encode_all(self.tokenizer, self.all.train)


def tokenizer_path(arguments):
    return arguments.out / "tokenizer.json"


def check(arguments):
    errors = scan.self_check()
    for name, error in errors.items():
        print(f"{name:12} {error:.1e}")
    # f32 against float64: sums of some hundred terms keep five digits.
    if max(errors.values()) > 1e-5:
        raise SystemExit("error: the C++ scan disagrees with the plain loop: do not train with it")


def make_tokenizer(arguments):
    path = tokenizer_path(arguments)
    if not path.exists():
        arguments.out.mkdir(parents=True, exist_ok=True)
        data.train_tokenizer(data.read_texts(arguments)).save(str(path), pretty=False)


def train_models(arguments):
    """One model here; both as two processes of this same command."""
    if arguments.model is None:
        command = [sys.executable, __file__, "train", *sys.argv[2:]]
        running = [subprocess.Popen([*command[:3], name, *command[3:]]) for name in MODELS]
        if any([process.wait() for process in running]):
            raise SystemExit("error: a training stopped early: give the command again to go on")
        return
    name = arguments.model
    arguments.out.mkdir(parents=True, exist_ok=True)
    with open(arguments.out / f"{name}.lock", "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"error: {name} is being trained in {arguments.out} by another process") from None
        texts = Texts(arguments)
        for seed in arguments.seeds:
            before = None
            for stage in train.RECIPES[name]:
                before = train.train(name, stage, arguments.out, texts, before, seed)


def export_models(arguments):
    tokenizer = Tokenizer.from_file(str(tokenizer_path(arguments)))
    for name in MODELS:
        for seed in arguments.seeds:
            checkpoint = train.checkpoint(arguments.out, name, seed, list(train.RECIPES[name])[-1])
            folder = arguments.models / export.folder_name(name, seed)
            export.export(name, checkpoint, tokenizer, data.TOKENIZER_CONFIG, folder)


def measure(arguments):
    figures = evaluate.evaluate(
        data.read_texts(arguments), arguments.models, arguments.old, arguments.out, arguments.seeds
    )
    export.write_json(arguments.models / "training.json", figures)
    print(evaluate.tables(figures))


def main():
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    runs = dict(zip(STAGES, [check, make_tokenizer, train_models, export_models, measure]))
    for name, run in runs.items():
        if arguments.stage in (name, "all"):
            run(arguments)


if __name__ == "__main__":
    main()
