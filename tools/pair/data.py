"""What the pair is trained on: repeated random blocks, English, and text of the built-in generator."""

import hashlib
import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from .models import VOCABULARY

BOS = 0  # "<|endoftext|>": also the end of a text and padding
END = "<|endoftext|>"
HELD_OUT = 0.05  # the last part of each book, and of the generator's documents
DOCUMENT = 2000  # characters after which a book is cut into another document
SUBSET = 128  # half of the repeated blocks use only this many different tokens
REPOSITORY = Path(__file__).resolve().parent.parent.parent


# ---- repeated random blocks ----------------------------------------------------------------


def repeats(generator, rows, length, shortest, longest):
    """Rows of random blocks, each block repeated to the end of its row.

    The block length is uniform in [shortest, longest]; half of the rows draw from a random subset of
    the vocabulary. Returns ids [rows, length], without BOS: the paper's induction prompts have none.
    """
    out = np.empty((rows, length), np.int64)
    for row in out:
        period = generator.integers(shortest, longest + 1)
        pool = np.arange(1, VOCABULARY)
        if generator.random() < 0.5:
            pool = generator.choice(pool, SUBSET, replace=False)
        row[:] = np.resize(generator.choice(pool, period), length)
    return out


# ---- texts ---------------------------------------------------------------------------------


@dataclass
class Texts:
    """Documents by origin; each list is split into what is trained on and what is held out."""

    english_train: list[str]
    english_held_out: list[str]
    generator_train: list[str]
    generator_held_out: list[str]


LICENCE_START = re.compile(r"\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG[^\n]*\n")
LICENCE_END = re.compile(r"\*\*\* ?END OF (?:THE|THIS) PROJECT GUTENBERG|End of (?:the )?Project Gutenberg")
CREDIT = re.compile(r"^(?:Produced by|This file was produced|An Anonymous Volunteer)[^\n]*\n", re.MULTILINE)


def read_book(path):
    """One book without licence texts and credits of its digital edition."""
    text = path.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n")
    start = LICENCE_START.search(text)
    text = text[start.end() :] if start else text
    end = LICENCE_END.search(text)
    text = text[: end.start()] if end else text
    return re.sub(r"\n{3,}", "\n\n", CREDIT.sub("", text)).strip() + "\n"


def cut_book(text):
    """Documents of at least DOCUMENT characters, each cut at the end of a line."""
    documents, start = [], 0
    while start < len(text):
        end = text.find("\n", start + DOCUMENT) + 1 or len(text)
        documents.append(text[start:end].strip("\n") + "\n")
        start = end
    return documents


def read_english(folder):
    """The documents of all .txt files of a folder, in the order of the names: (trained on, held out)."""
    train, held_out = [], []
    for path in sorted(Path(folder).glob("*.txt")):
        text = read_book(path)
        cut = text.index("\n", int(len(text) * (1 - HELD_OUT))) + 1
        train += cut_book(text[:cut])
        held_out += cut_book(text[cut:])
    if not train:
        raise SystemExit(f"error: no .txt file in {folder}: pass --corpus with a folder of plain English texts")
    return train, held_out


def read_generator(path, documents, seed):
    """Documents of the built-in generator, from a JSONL dump or else from the lab itself."""
    if path is None:
        command = ["cargo", "run", "--release", "-p", "mppc", "--", "corpus"]
        command += ["--documents", str(documents), "--seed", str(seed)]
        lines = subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE, text=True).stdout
    else:
        lines = Path(path).read_text(encoding="utf-8")
    texts = [json.loads(line)["text"] for line in lines.splitlines() if line]
    cut = int(len(texts) * (1 - HELD_OUT))
    return texts[:cut], texts[cut:]


def read_texts(arguments):
    english = read_english(arguments.corpus)
    generator = read_generator(arguments.generator, arguments.documents, arguments.generator_seed)
    return Texts(*english, *generator)


# ---- tokenizer -----------------------------------------------------------------------------


def train_tokenizer(texts):
    """Byte-level BPE over the trained part of both kinds of text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts.english_train + texts.generator_train, trainer)
    assert tokenizer.get_vocab_size() == VOCABULARY and tokenizer.token_to_id(END) == BOS
    return tokenizer


TOKENIZER_CONFIG = {
    "add_bos_token": False,
    "add_eos_token": False,
    "add_prefix_space": False,
    "bos_token": END,
    "clean_up_tokenization_spaces": False,
    "eos_token": END,
    "pad_token": END,
    "tokenizer_class": "PreTrainedTokenizerFast",
    "unk_token": END,
}


@dataclass
class Streams:
    """The texts as token streams; every document begins with BOS."""

    english_train: np.ndarray
    english_held_out: np.ndarray
    generator_train: np.ndarray
    generator_held_out: np.ndarray

    def fingerprint(self):
        """SHA-256 of all four streams, to tell whether two runs saw the same tokens."""
        digest = hashlib.sha256()
        for stream in vars(self).values():
            digest.update(stream.astype("<u2").tobytes())
        return digest.hexdigest()


def encode(tokenizer, texts):
    encoded = tokenizer.encode_batch(texts, add_special_tokens=False)
    return np.concatenate([np.array([BOS, *item.ids], np.int64) for item in encoded])


def encode_all(tokenizer, texts):
    return Streams(*(encode(tokenizer, part) for part in vars(texts).values()))


def windows(generator, stream, rows, length):
    """Windows [rows, length] of a stream: half begin with a document, half anywhere."""
    last = len(stream) - length
    beginnings = np.flatnonzero(stream[: last + 1] == BOS)
    starts = generator.integers(0, last + 1, rows)
    starts[::2] = generator.choice(beginnings, len(starts[::2]))
    return stream[starts[:, None] + np.arange(length)]
