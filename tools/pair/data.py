"""What the models are trained on: random tokens in which something comes back, and texts."""

import hashlib
import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from . import returning
from .models import VOCABULARY

BOS = 0  # "<|endoftext|>": also the end of a text and padding
END = "<|endoftext|>"
HELD_OUT = 0.05  # the last part of each book, and of the generator's documents
DOCUMENT = 2000  # characters after which a book is cut into another document
RETURNING_DOCUMENTS = 6000
SUBSET = 128  # half of the repeated blocks use only this many different tokens
RETURNS = (0.05, 0.6)  # the share of moments at which a pair comes back, by row
REPOSITORY = Path(__file__).resolve().parent.parent.parent


# ---- random tokens in which something comes back -------------------------------------------


def repeats(generator, rows, length, shortest, longest, vocabulary=VOCABULARY):
    """Rows of random blocks, each block repeated to the end of its row.

    The block length is uniform in [shortest, longest]; half of the rows draw from a random subset of
    the vocabulary. Returns ids [rows, length], without BOS: the paper's induction prompts have none.
    """
    return repeated(generator, rows, length, shortest, longest, vocabulary)[0]


def repeated(generator, rows, length, shortest, longest, vocabulary=VOCABULARY):
    """`repeats`, and which tokens [rows, length] an earlier block tells."""
    ids, told = np.empty((rows, length), np.int64), np.zeros((rows, length), bool)
    for row, mark in zip(ids, told):
        period = generator.integers(shortest, longest + 1)
        pool = np.arange(1, vocabulary)
        if generator.random() < 0.5:
            pool = generator.choice(pool, SUBSET, replace=False)
        row[:] = np.resize(generator.choice(pool, period), length)
        mark[period + 1 :] = True
    return ids, told


def pairs(generator, rows, length, reach):
    """Rows of distinct random tokens in which, now and then, a token said before and the one behind it come again.

    Each row has its own share of such moments and its own reach, how many tokens back a pair may stand, uniform in
    [4, reach]. Returns ids [rows, length] and which of them, the second of a returning pair, can be known.
    """
    ids, told = np.empty((rows, length), np.int64), np.zeros((rows, length), bool)
    for row, mark in zip(ids, told):
        fresh = iter(generator.permutation(np.arange(1, VOCABULARY))[:length])
        share, back = generator.uniform(*RETURNS), generator.integers(4, reach + 1)
        dice = generator.random(length)
        firsts = []  # where a pair stands that was said once or more, and whose first token nothing else has followed
        t = 0
        while t < length:
            near = [first for first in firsts if first >= t - back] if dice[t] < share else []
            if near and t + 1 < length:
                first = near[generator.integers(len(near))]
                row[t : t + 2] = row[first : first + 2]
                mark[t + 1] = True
                # What comes next is a second successor of the pair's second token.
                firsts = [other for other in firsts if other != first + 1]
                t += 2
            else:
                row[t] = next(fresh)
                if t and not mark[t - 1]:
                    firsts.append(t - 1)
                t += 1
    return ids, told


def prompts(generator, rows, length, vocabulary=VOCABULARY):
    """The paper's prompts: A somewhere in the first half, B behind it, A again at the end.

    Neither A nor B stands anywhere else. Returns ids [rows, length] and B [rows].
    """
    ids = np.empty((rows, length), np.int64)
    answers = np.empty(rows, np.int64)
    for row, i in zip(ids, range(rows)):
        a, b = generator.choice(np.arange(1, vocabulary), 2, replace=False)
        others = np.setdiff1d(np.arange(1, vocabulary), (a, b))
        row[:] = generator.choice(others, length)
        place = generator.integers(0, length // 2)
        row[place], row[place + 1], row[-1] = a, b, a
        answers[i] = b
    return ids, answers


# ---- texts ---------------------------------------------------------------------------------


@dataclass
class Texts:
    """Documents by origin (english, generator, returning): what is trained on, and what is held out."""

    train: dict[str, list[str]]
    held_out: dict[str, list[str]]


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
    return [json.loads(line)["text"] for line in lines.splitlines() if line]


def split(documents):
    cut = int(len(documents) * (1 - HELD_OUT))
    return documents[:cut], documents[cut:]


def read_texts(arguments):
    english = read_english(arguments.corpus)
    parts = {
        "english": english,
        "generator": split(read_generator(arguments.generator, arguments.documents, arguments.generator_seed)),
        "returning": split(returning.documents(RETURNING_DOCUMENTS, english[0])),
    }
    return Texts({kind: part[0] for kind, part in parts.items()}, {kind: part[1] for kind, part in parts.items()})


# ---- tokenizer -----------------------------------------------------------------------------


def train_tokenizer(texts):
    """Byte-level BPE over what is trained on of English and of the generator's text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts.train["english"] + texts.train["generator"], trainer)
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


def fingerprint(streams):
    """SHA-256 of the streams in order of kind, to tell whether two runs saw the same tokens."""
    digest = hashlib.sha256()
    for kind in sorted(streams):
        digest.update(streams[kind].astype("<u2").tobytes())
    return digest.hexdigest()


def encode(tokenizer, texts):
    """The documents as one stream of ids; every document begins with BOS."""
    encoded = tokenizer.encode_batch(texts, add_special_tokens=False)
    return np.concatenate([np.array([BOS, *item.ids], np.int64) for item in encoded])


def encode_all(tokenizer, documents):
    return {kind: encode(tokenizer, part) for kind, part in documents.items()}


def windows(generator, stream, rows, length):
    """Windows [rows, length] of a stream: half begin with a document, half anywhere."""
    last = len(stream) - length
    beginnings = np.flatnonzero(stream[: last + 1] == BOS)
    starts = generator.integers(0, last + 1, rows)
    starts[::2] = generator.choice(beginnings, len(starts[::2]))
    return stream[starts[:, None] + np.arange(length)]
