"""Makes `tests/golden/corpora/`: small Parquet files, and the texts they hold.

    python golden_corpora.py            writes tests/golden/corpora/
    python golden_corpora.py --check    compares instead

pyarrow writes the files in many ways; `texts.json` has what pyarrow reads from them. What the files hold is told in
`tests/golden/README.md`.
"""

import argparse
import json
import random
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

GOLDEN = Path(__file__).parent.parent / "tests/golden/corpora"
WORDS = "ash birch cedar Ärger œuvre дуб 柳 🌲 the of and a in".split()


def texts(seed, count):
    """Sentences of some hundred bytes; every seventh row has none, every eleventh is white space."""
    rng = random.Random(seed)
    rows = [" ".join(rng.choices(WORDS, k=rng.randint(3, 24))) + "." for _ in range(count)]
    for i in range(count):
        rows[i] = None if i % 7 == 3 else " \n" if i % 11 == 5 else rows[i]
    return rows


def table(seed, count=90, kind=pa.string(), name="text"):
    """A column of texts between others."""
    return pa.table(
        {
            "id": pa.array(range(count), pa.int64()),
            name: pa.array(texts(seed, count), kind),
            "scores": pa.array([[i / 2, i / 4] for i in range(count)], pa.list_(pa.float32())),
        }
    )


def required(texts):
    return pa.table([texts], schema=pa.schema([pa.field("text", pa.string(), nullable=False)]))


PLAIN = {"use_dictionary": False}
PAGES = PLAIN | {"data_page_version": "2.0", "data_page_size": 500, "write_batch_size": 8}
DELTA = PLAIN | {"column_encoding": {"text": "DELTA_BYTE_ARRAY"}, "write_page_checksum": True}
TWO = {"title": [f"Number {i}" for i in range(9)], "body": texts(7, 9), "raw": [b"\xff\x00"] * 9}
NESTED = [{"text": "inside", "n": 1}, None, {"text": None, "n": 2}, {"text": "again", "n": 3}]

# File, table, how it is written, and the column that holds the texts.
FILES = [
    ("plain", table(1), PLAIN | {"compression": "none"}, "text"),
    ("snappy-dictionary-groups", table(2), {"compression": "snappy", "row_group_size": 40}, "text"),
    ("zstd-pages-v2", table(3), PAGES | {"compression": "zstd"}, "text"),
    ("gzip-large", table(4, kind=pa.large_string()), {"compression": "gzip"}, "text"),
    ("lz4-delta-checksums", table(5), DELTA | {"compression": "lz4"}, "text"),
    ("other-name", table(6, name="content"), {"row_group_size": 50}, "content"),
    ("two-columns", pa.table(TWO), {}, "body"),
    ("required", required(["all", "of", "these"]), {}, "text"),
    ("nested", pa.table({"page": NESTED}), {}, "page.text"),
    ("no-strings", pa.table({"id": [1, 2], "tags": [["a"], ["b"]]}), {}, None),
    ("no-rows", pa.table({"text": pa.array([], pa.string())}), {}, "text"),
    ("only-nulls", pa.table({"text": pa.array([None, " ", None], pa.string())}), {}, "text"),
    ("brotli", table(8, 5), {"compression": "brotli"}, "text"),
]


def read(path, column):
    """The documents of a file by pyarrow: the column's texts without nulls and white space."""
    if column is None:
        return None
    rows = pq.read_table(path).to_pylist()
    for part in column.split("."):
        rows = [row[part] for row in rows if row is not None]
    return [text for text in rows if text is not None and text.strip()]


def make(folder):
    folder.mkdir(parents=True, exist_ok=True)
    held = {}
    for name, content, options, column in FILES:
        path = folder / f"{name}.parquet"
        pq.write_table(content, path, **options)
        held[f"{name}.parquet"] = {"column": column, "texts": read(path, column)}
    # A text that is none: a string column whose third row is not UTF-8.
    bad = pa.StringArray.from_buffers(3, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0\4\0\0\0"), pa.py_buffer(b"abc\xff"))
    pq.write_table(pa.table({"text": bad}), folder / "not-utf8.parquet", use_dictionary=False)
    # JSON as the repository's other golden files have it: readable, one line a text.
    (folder / "texts.json").write_text(json.dumps(held, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def check():
    """Other versions of pyarrow write other bytes, but the texts stay."""
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        same = (Path(folder) / "texts.json").read_bytes() == (GOLDEN / "texts.json").read_bytes()
    held = json.loads((GOLDEN / "texts.json").read_text(encoding="utf-8"))
    wrong = [name for name, one in held.items() if read(GOLDEN / name, one["column"]) != one["texts"]]
    if not same or wrong:
        raise SystemExit(f"texts.json differs: {not same}; files that hold something else: {wrong}")
    print("as stored")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check() if parser.parse_args().check else make(GOLDEN)
