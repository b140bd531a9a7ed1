"""Makes tests/golden/tokenizer-{builtin,neox}.json: token ids of difficult texts, by Python's `tokenizers`.

    python golden_tokenizer.py [--neox FILE]            writes
    python golden_tokenizer.py [--neox FILE] --check    compares instead

`builtin` is models/tiny-neox/tokenizer.json. FILE is the tokenizer.json of GPT-NeoX-20B, which is not in the repository; without
it that golden file is left as it is. Both hold the tokenizer's SHA-256 and, for each text, its ids and what they decode to.
"""

import argparse
import hashlib
import json
import random
import sys
from pathlib import Path

from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parent.parent
BUILTIN = ROOT / "models" / "tiny-neox" / "tokenizer.json"

TEXTS = [
    "",
    " ",
    "\n",
    "The lighthouse keeper counted seventeen ships before breakfast.",
    "the the the  the   the    the",
    "She'd've said it's what they're after, wouldn't she? I'LL GO, YOU'RE late; we'd 'twas 'S 's",
    # Runs of spaces of every length, then tabs and mixtures of both; spaces at the ends.
    "".join(f"{'x' if n % 2 else 'y'}{' ' * n}" for n in range(1, 32)),
    "  two leading and two trailing  ",
    "a\tb\t\tc\t\t\td \t e\t \tf",
    "line\nline\n\nline\r\nline\r\rline \n line\n  indented\n\tindented\n\n\n",
    "no\u00a0break, thin\u2009space, ideographic\u3000space, zero\u200bwidth, line\u2028separator, next\u0085line, \u1680ogham",
    "def scan(a, b):\n    h = 0.0\n    for t in range(len(a)):\n        h = a[t] * h + b[t]  # one step\n    return h\n",
    "fn main() -> Result<(), Box<dyn Error>> {\n\tlet x: &'static str = r#\"raw\"#;\n\tprintln!(\"{x:?}\");\n}\n",
    '{"key": [1, 2.5e-3, null, true], "path": "C:\\\\tmp\\\\a b"}',
    "<div class=\"a b\">&amp;&#x27;</div><!-- -- -->",
    "SELECT * FROM t WHERE a<>b AND c!=d OR e>=10; -- ???",
    "3.14159 1,000,000 1e-12 0x7FFF 12:34:56 2024-02-30 ½ ¾ ² ³ ₂ Ⅷ ① ٣٤٥ ३४५ 一二三 𝟙𝟚𝟛",
    "http://example.org/a?b=c&d=%20#frag user.name+tag@example.org @handle #tag $9.99 50% a/b\\c ~^|`",
    "Zażółć gęślą jaźń. Příliš žluťoučký kůň. Ærøskøbing, Straße, İstanbul ıI, naïve façade, œuvre",
    # The same letters composed and decomposed: NFC makes them equal, no normalizer keeps them apart.
    "é e\u0301 ô o\u0302 ñ n\u0303 Å A\u030a \u212b ṩ s\u0323\u0307 s\u0307\u0323",
    "Z\u0334\u0321\u0352a\u0337\u0349l\u0336\u034dg\u0335\u0315o\u0338\u0327 \u0301 alone, \u0301\u0302\u0303 stacked",
    "Ελληνικά: τὸ ὄνομα, ΣΊΣΥΦΟΣ. Русский: съешь ещё этих булок. Հայերեն. ქართული.",
    "עברית: שָׁלוֹם עוֹלָם. العربية: اَلسَّلَامُ عَلَيْكُمْ\u200f، لا. فارسی: می\u200cخواهم.",
    "हिन्दी: क्षत्रिय, कृपया। தமிழ்: நன்றி. বাংলা: ধন্যবাদ। ไทย: สวัสดีครับ ภาษาไทย. ខ្មែរ: សួស្តី។",
    "中文:灯塔看守人数了十七艘船。日本語:カタカナとひらがな、漢字。ﾊﾝｶｸ ＦＵＬＬ 한국어: 등대지기 \u1112\u1161\u11ab",
    "😀 😃😄 ❤️ ❤ ☕︎ ☕️ 👍🏽 👩‍🚀 👨‍👩‍👧‍👦 🏳️‍🌈 🇳🇴🇯🇵🇳 1️⃣ 🫠 🪿 🫨",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝒻𝓊𝓃 ⠓⠑⠇⠇⠕ ♔♕♖ ∀x∈ℝ: ⌈x⌉ = −⌊−x⌋ ≤ x² ∑ᵢ αᵢ → ∞ ∫₀¹ … — – “quoted” ‘single’ «guillemets» ¿qué? ¡sí!",
    "\x00\x01\x07\x1b[31mred\x1b[0m\x7f \ufeffbom \ufffd \ue000 \U0010ffff \U000e0041\U000e007f",
    "<|endoftext|>",
    "before<|endoftext|>after <|endoftext|> <|endoftext|><|endoftext|>",
    "<|padding|> a <|padding|><|endoftext|>b",
    "<|endoftext| > <|ENDOFTEXT|> <|endoftext <endoftext> |endoftext|>",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "!!!!!!!!!!!!!!!! ................ ---------------- ================ ________________",
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis Donaudampfschiff" + "fahrt" * 12,
    "CamelCaseAndSnake_case_and-kebab-case andALLCAPSrun 4letters2digits x1y2z3",
    # Scripts of Unicode 12 to 17: an engine with older tables does not know that these are letters or digits.
    "\U00010fe0\U00010fe1 \U00010fb0 \U00012f90 \U0001e290 \U0001e4d0\U0001e4f1 \U00010d40\U00010d4a \U000105c0 \U00011bc1 \U00010940",
    "\u0bd0\u0be6 \ua7dc \U0001ccf0 \u1c89 \u10e0\u1ca0 \ua64a \u0560\u0588",
]


def random_texts():
    """Letters, marks, spaces and symbols thrown together: whatever the list above did not think of."""
    rng = random.Random(7)
    pools = [
        [chr(c) for c in range(0x20, 0x7F)],
        list(" \n\t\r\u00a0\u2003\u3000"),
        [chr(c) for c in range(0xA1, 0x250)],
        [chr(c) for c in range(0x300, 0x370)],
        [chr(c) for c in range(0x391, 0x560) if chr(c).isprintable()],
        [chr(c) for c in range(0x900, 0xA00) if chr(c).isprintable()],
        [chr(c) for c in range(0x2000, 0x2070)],
        [chr(c) for c in range(0x4E00, 0x4F00)],
        [chr(c) for c in range(0x1F300, 0x1F650)],
        ["'s", "'ll", "'t", "’s", "\u200d", "\ufe0f", "  ", "    ", "<|endoftext|>"],
    ]
    weights = [6, 4, 2, 1, 1, 1, 1, 1, 1, 3]
    for _ in range(60):
        length = rng.randrange(1, 60)
        yield "".join(rng.choice(rng.choices(pools, weights)[0]) for _ in range(length))


def golden(path):
    """The golden file of a tokenizer."""
    data = Path(path).read_bytes()
    tokenizer = Tokenizer.from_str(data.decode())
    cases = []
    for text in [*TEXTS, *random_texts()]:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        cases.append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=False)})
    lines = ",\n".join("    " + json.dumps(case) for case in cases)
    return f'{{\n  "sha256": "{hashlib.sha256(data).hexdigest()}",\n  "cases": [\n{lines}\n  ]\n}}\n'


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--neox", type=Path, metavar="FILE", help="tokenizer.json of GPT-NeoX-20B")
    parser.add_argument("--check", action="store_true", help="compare with tests/golden/ and write nothing there")
    args = parser.parse_args()
    failed = False
    for name, path in [("builtin", BUILTIN), ("neox", args.neox)]:
        if path is None:
            print(f"{name}: left as it is; --neox names its tokenizer")
            continue
        made, kept = golden(path), ROOT / "tests" / "golden" / f"tokenizer-{name}.json"
        if not args.check:
            kept.write_text(made)
        elif made != kept.read_text():
            print(f"{kept.name} is not what this script makes", file=sys.stderr)
            failed = True
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
