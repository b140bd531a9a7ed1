#!/usr/bin/env python3
"""Makes the embedded pair of models: trains, exports and measures tiny-neox and tiny-mamba on a CPU.

    tools/train_pair.py all --corpus FOLDER          everything below in order
    tools/train_pair.py check                        the C++ scan against a float64 loop
    tools/train_pair.py tokenizer --corpus FOLDER
    tools/train_pair.py train [MODEL] --corpus FOLDER
    tools/train_pair.py export
    tools/train_pair.py evaluate --corpus FOLDER     models/training.json and its table

A stage that was interrupted goes on from its last checkpoint in --out when the command is given again.
"""

import argparse
from pathlib import Path

import torch
from tokenizers import Tokenizer

from pair import data, evaluate, export, scan, train
from pair.models import MODELS

REPOSITORY = Path(__file__).resolve().parent.parent


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    stages = ["all", "check", "tokenizer", "train", "export", "evaluate"]
    parser.add_argument("stage", choices=stages)
    parser.add_argument("model", nargs="?", choices=list(MODELS), help="for train; both without it")
    parser.add_argument("--corpus", help="folder of plain English .txt files")
    parser.add_argument("--generator", help="JSONL dump of the built-in generator; made by the lab without it")
    parser.add_argument("--documents", type=int, default=6900, help="documents asked from the generator")
    parser.add_argument("--generator-seed", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="of initial weights and batches")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "target" / "pair", help="checkpoints and logs")
    parser.add_argument("--models", type=Path, default=REPOSITORY / "models", help="where the models go")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.stage in ("all", "tokenizer", "train", "evaluate") and arguments.corpus is None:
        parser.error("this stage reads English: pass --corpus FOLDER")
    return arguments


def tokenizer_path(arguments):
    return arguments.out / "tokenizer.json"


def read_streams(arguments, texts=None):
    """The token streams; the tokenizer is the one trained in --out, or the one beside the models."""
    path = tokenizer_path(arguments)
    path = path if path.exists() else arguments.models / "tiny-neox" / "tokenizer.json"
    return data.encode_all(Tokenizer.from_file(str(path)), texts or data.read_texts(arguments))


def check():
    errors = scan.self_check()
    for name, error in errors.items():
        print(f"{name:12} {error:.1e}")
    # f32 against float64: sums of some hundred terms keep five digits.
    if max(errors.values()) > 1e-5:
        raise SystemExit("error: the C++ scan disagrees with the plain loop: do not train with it")


def make_tokenizer(arguments):
    arguments.out.mkdir(parents=True, exist_ok=True)
    data.train_tokenizer(data.read_texts(arguments)).save(str(tokenizer_path(arguments)), pretty=False)


def train_models(arguments):
    streams = read_streams(arguments)
    for name in [arguments.model] if arguments.model else MODELS:
        before = None
        for stage in train.RECIPES[name]:
            before = train.train(name, stage, arguments.out, streams, before, arguments.seed)


def export_models(arguments):
    tokenizer = Tokenizer.from_file(str(tokenizer_path(arguments)))
    for name in MODELS:
        checkpoint = arguments.out / f"{name}.{list(train.RECIPES[name])[-1]}.pt"
        export.export(name, checkpoint, tokenizer, data.TOKENIZER_CONFIG, arguments.models / name)


def measure(arguments):
    figures = evaluate.evaluate(read_streams(arguments), arguments.models)
    export.write_json(arguments.models / "training.json", figures)
    print(evaluate.tables(figures))


def main():
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    stages = {
        "check": check,
        "tokenizer": lambda: make_tokenizer(arguments),
        "train": lambda: train_models(arguments),
        "export": lambda: export_models(arguments),
        "evaluate": lambda: measure(arguments),
    }
    for name, run in stages.items():
        if arguments.stage in (name, "all"):
            run()


if __name__ == "__main__":
    main()
