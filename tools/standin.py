"""Writes the same stand-ins as the crate `standin`, by NumPy; `tools/standin/README.md` has the rule.

    python tools/standin.py pythia-160m DIR [--dtype f16|bf16|f32] [--seed N] [--layers N] [--original]
    python tools/standin.py --check      # the Rust program and this one, at small sizes, compared by SHA-256
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

G = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1
PIECE = 1 << 20
ROOT = Path(__file__).resolve().parent.parent

EMBEDDING, BIAS, CONV = (0.0, 4), (0.0, 5), (0.0, 1)
NORM, SKIP, A_LOG, DT_BIAS = (1.0, 1), (1.0, 1), (1.0, 0), (-4.0, -1)
TYPES = {"f32": ("F32", 4, "float32"), "f16": ("F16", 2, "float16"), "bf16": ("BF16", 2, "bfloat16")}
KINDS = {"pythia-160m": ("f16", 12), "mamba-130m": ("f32", 24)}


def splitmix64(x):
    """Of a NumPy array of uint64."""
    z = x + np.uint64(G)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def fnv1a(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = ((h ^ byte) * 0x100000001B3) & MASK
    return h


def fan_in(k):
    """Centre and e of a matrix with k columns."""
    e = 0
    while 3 * 4 ** (e + 1) <= 2 * k:
        e += 1
    return 0.0, e


def values(seed, name, spread, start, stop):
    """Elements start..stop of a tensor, float32."""
    key = fnv1a(name.encode()) ^ int(splitmix64(np.array([seed], np.uint64))[0])
    z = splitmix64(np.uint64(key) + np.arange(start, stop, dtype=np.uint64) * np.uint64(G))
    k = (z >> np.uint64(57)).astype(np.int32) - 64
    centre, e = spread
    if centre == 0.0:
        return (2 * k + 1).astype(np.float32) * np.float32(2.0 ** -(e + 7))
    return np.float32(centre) + k.astype(np.float32) * np.float32(2.0 ** -(e + 6))


def tensor(seed, name, shape, spread):
    """A whole tensor, float32."""
    return values(seed, name, spread, 0, int(np.prod(shape))).reshape(shape)


def parameters(kind, layers, original=False):
    """Name to shape and spread, in the order of the file."""
    d, mlp, inner, state, taps, rank = 768, 3072, 1536, 16, 4, 48
    found = {}
    if kind == "pythia-160m":
        found["gpt_neox.embed_in.weight"] = ([50304, d], EMBEDDING)
        found["gpt_neox.final_layer_norm.weight"] = ([d], NORM)
        found["gpt_neox.final_layer_norm.bias"] = ([d], BIAS)
        found["embed_out.weight"] = ([50304, d], fan_in(d))
        for layer in range(layers):
            at = f"gpt_neox.layers.{layer}."
            for norm in ["input_layernorm", "post_attention_layernorm"]:
                found[f"{at}{norm}.weight"] = ([d], NORM)
                found[f"{at}{norm}.bias"] = ([d], BIAS)
            for part, n, k in [
                ("attention.query_key_value", 3 * d, d),
                ("attention.dense", d, d),
                ("mlp.dense_h_to_4h", mlp, d),
                ("mlp.dense_4h_to_h", d, mlp),
            ]:
                found[f"{at}{part}.weight"] = ([n, k], fan_in(k))
                found[f"{at}{part}.bias"] = ([n], BIAS)
    else:
        found[f"backbone.{'embedding' if original else 'embeddings'}.weight"] = ([50280, d], EMBEDDING)
        found["backbone.norm_f.weight"] = ([d], NORM)
        for layer in range(layers):
            at = f"backbone.layers.{layer}."
            found[f"{at}norm.weight"] = ([d], NORM)
            at += "mixer."
            found[f"{at}conv1d.weight"] = ([inner, 1, taps], CONV)
            found[f"{at}conv1d.bias"] = ([inner], BIAS)
            found[f"{at}dt_proj.bias"] = ([inner], DT_BIAS)
            found[f"{at}A_log"] = ([inner, state], A_LOG)
            found[f"{at}D"] = ([inner], SKIP)
            for part, n, k in [
                ("in_proj", 2 * inner, d),
                ("x_proj", rank + 2 * state, inner),
                ("dt_proj", inner, rank),
                ("out_proj", d, inner),
            ]:
                found[f"{at}{part}.weight"] = ([n, k], fan_in(k))
    return dict(sorted(found.items()))


def encode(piece, dtype):
    """Bytes of float32 values in an element type that holds them exactly."""
    if dtype == "f32":
        return piece.astype("<f4").tobytes()
    if dtype == "f16":
        return piece.astype("<f2").tobytes()
    return (piece.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()


def write_weights(path, kind, *, dtype, seed, layers, original=False):
    """Writes model.safetensors; returns its SHA-256."""
    name_in_file, width, _ = TYPES[dtype]
    all_parameters = parameters(kind, layers, original)
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, (shape, _) in all_parameters.items():
        end = at + int(np.prod(shape)) * width
        header[name] = {"dtype": name_in_file, "shape": shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    with open(path, "xb") as file:
        for data in [len(text).to_bytes(8, "little"), text]:
            file.write(data)
            digest.update(data)
        for name, (shape, spread) in all_parameters.items():
            count = int(np.prod(shape))
            for start in range(0, count, PIECE):
                data = encode(values(seed, name, spread, start, min(count, start + PIECE)), dtype)
                file.write(data)
                digest.update(data)
    return digest.hexdigest()


def config(kind, *, dtype, layers, original=False):
    """`config.json`, as the real repositories have it."""
    torch_dtype = TYPES[dtype][2]
    if kind == "pythia-160m":
        return {
            "architectures": ["GPTNeoXForCausalLM"], "bos_token_id": 0, "eos_token_id": 0, "hidden_act": "gelu",
            "hidden_size": 768, "initializer_range": 0.02, "intermediate_size": 3072, "layer_norm_eps": 1e-05,
            "max_position_embeddings": 2048, "model_type": "gpt_neox", "num_attention_heads": 12,
            "num_hidden_layers": layers, "rotary_emb_base": 10000, "rotary_pct": 0.25, "tie_word_embeddings": False,
            "torch_dtype": torch_dtype, "use_cache": True, "use_parallel_residual": True, "vocab_size": 50304,
        }  # fmt: skip
    if original:
        return {
            "d_model": 768, "fused_add_norm": True, "n_layer": layers, "pad_vocab_size_multiple": 8,
            "residual_in_fp32": True, "rms_norm": True, "ssm_cfg": {}, "vocab_size": 50277,
        }  # fmt: skip
    return {
        "architectures": ["MambaForCausalLM"], "bos_token_id": 0, "conv_kernel": 4, "d_model": 768, "eos_token_id": 0,
        "expand": 2, "fused_add_norm": True, "hidden_act": "silu", "hidden_size": 768, "initializer_range": 0.1,
        "intermediate_size": 1536, "layer_norm_epsilon": 1e-05, "model_type": "mamba", "n_layer": layers,
        "num_hidden_layers": layers, "pad_token_id": 0, "pad_vocab_size_multiple": 8, "rescale_prenorm_residual": False,
        "residual_in_fp32": True, "rms_norm": True, "ssm_cfg": {}, "state_size": 16, "time_step_floor": 0.0001,
        "time_step_init_scheme": "random", "time_step_max": 0.1, "time_step_min": 0.001, "time_step_rank": 48,
        "time_step_scale": 1.0, "torch_dtype": torch_dtype, "use_bias": False, "use_cache": True, "use_conv_bias": True,
        "vocab_size": 50280,
    }  # fmt: skip


def bytes_tokenizer():
    """The crate's tokenizer: byte-level BPE without merges."""
    special = ["<|endoftext|>", "<|padding|>"]
    vocab, unused = {token: i for i, token in enumerate(special)}, 0x100
    for byte in range(256):
        printable = 0x21 <= byte <= 0x7E or 0xA1 <= byte <= 0xAC or 0xAE <= byte
        vocab[chr(byte if printable else unused)] = byte + len(special)
        unused += not printable
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    off = {"normalized": False, "lstrip": False, "rstrip": False, "single_word": False}
    return {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "pre_tokenizer": level,
        "added_tokens": [{"id": i, "content": token, "special": True, **off} for i, token in enumerate(special)],
        "post_processor": None, "decoder": level,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
            "vocab": vocab, "merges": [],
        },
    }  # fmt: skip


def write(folder, kind, *, dtype=None, seed=0, layers=None, original=False, tokenizer=None):
    """Writes a stand-in's directory; returns the SHA-256 of its weights."""
    dtype, layers = dtype or KINDS[kind][0], layers or KINDS[kind][1]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        sys.exit(f"error: {folder} is not empty; choose a new directory")
    written = config(kind, dtype=dtype, layers=layers, original=original)
    (folder / "config.json").write_text(json.dumps(written, indent=2) + "\n")
    if tokenizer:
        shutil.copy(tokenizer, folder / "tokenizer.json")
    else:
        (folder / "tokenizer.json").write_text(json.dumps(bytes_tokenizer(), indent=2) + "\n")
    how = {"dtype": dtype, "seed": seed, "layers": layers, "original": original}
    return write_weights(folder / "model.safetensors", kind, **how)


def check():
    """The Rust program and this one must write the same weights, configs and tokenizers."""
    failed = False
    for kind, dtype, seed, original in [
        ("pythia-160m", "f16", 0, False),
        ("mamba-130m", "f32", 1, False),
        ("mamba-130m", "bf16", 2**64 - 1, True),
    ]:
        with tempfile.TemporaryDirectory() as temporary:
            ours, theirs = Path(temporary) / "python", Path(temporary) / "rust"
            digest = write(ours, kind, dtype=dtype, seed=seed, layers=1, original=original)
            args = ["standin", "--", kind, str(theirs), "--dtype", dtype, "--seed", str(seed), "--layers", "1"]
            args += ["--original"] if original else []
            command = ["cargo", "run", "--quiet", "--package", *args]
            told = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()[0]
            same = told == digest == hashlib.sha256((theirs / "model.safetensors").read_bytes()).hexdigest()
            for name in ["config.json", "tokenizer.json"]:
                same &= json.loads((ours / name).read_text()) == json.loads((theirs / name).read_text())
            print(f"{'same' if same else 'DIFFERENT'}  {kind} {dtype} seed {seed}  {digest}")
            failed |= not same
    sys.exit(1 if failed else 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the Rust program and write nothing")
    parser.add_argument("model", nargs="?", choices=KINDS)
    parser.add_argument("dir", nargs="?", type=Path)
    parser.add_argument("--dtype", choices=TYPES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--layers", type=int)
    parser.add_argument("--original", action="store_true", help="mamba-130m: layout of the state-spaces repository")
    parser.add_argument("--tokenizer", type=Path, help="a tokenizer.json to copy")
    args = parser.parse_args()
    if args.check:
        check()
    if not args.model or not args.dir:
        parser.error("MODEL and DIR are needed")
    how = {"dtype": args.dtype, "seed": args.seed, "layers": args.layers, "original": args.original}
    print(write(args.dir, args.model, tokenizer=args.tokenizer, **how), " model.safetensors")


if __name__ == "__main__":
    main()
