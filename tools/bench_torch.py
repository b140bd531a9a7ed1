"""The same work as `benches/` in torch and transformers, f32; prints a JSON row for each on standard output.

    python tools/bench_torch.py [--threads N]

On the processor, and on CUDA where there is one. Models have the paper's shapes and random weights; only the trunk runs (no
logits), as in benches/model.rs. `cargo xtask bench torch` keeps the rows. transformers computes Mamba by its plain path unless its
kernels (mamba-ssm, causal-conv1d) are installed.
"""

import argparse
import json
import os
import statistics
import sys
import time

import torch
import transformers
from transformers import GPTNeoXConfig, GPTNeoXModel, MambaConfig, MambaModel

BATCH, TOKENS, REPEATS = 4, 512, 5


def measure(work, device, repeats):
    """Seconds of each repeat, after a first one to warm up."""
    samples = []
    for i in range(repeats + 1):
        start = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        if i > 0:
            samples.append(time.perf_counter() - start)
    return samples


def tell(what, who, samples, amount, unit):
    row = {"what": what, "who": who, "seconds": statistics.median(samples), "samples": samples}
    print(json.dumps(row | {"amount": amount, "unit": unit}), flush=True)


def products(device, who):
    for m, k, n in [(1024, 1024, 1024), (2048, 768, 3072)]:
        a = torch.rand(m, k, device=device)
        b = torch.rand(n, k, device=device)
        # Many at a time, as in benches/kernels.rs: a launch alone would be measured otherwise.
        many = 100 if device == "cuda" else 5
        samples = measure(lambda: [a @ b.T for _ in range(many)], device, REPEATS)
        tell(f"matmul {m}×{k}×{n} f32 weights", who, [s / many for s in samples], 2 * m * k * n, "FLOP")


def pythia():
    config = GPTNeoXConfig(
        hidden_size=768,
        intermediate_size=3072,
        num_attention_heads=12,
        num_hidden_layers=12,
        vocab_size=50304,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25},
    )
    return GPTNeoXModel(config)


def mamba():
    return MambaModel(MambaConfig(hidden_size=768, num_hidden_layers=24, vocab_size=50280))


def models(device, who):
    for name, build in [("pythia-160m", pythia), ("mamba-130m", mamba)]:
        torch.manual_seed(0)
        model = build().eval().to(device)
        ids = torch.randint(0, 50277, (BATCH, TOKENS), device=device)
        repeats = REPEATS if device == "cuda" or name == "pythia-160m" else 2
        samples = measure(lambda: model(ids, use_cache=False), device, repeats)
        what = f"{name}, {BATCH} × {TOKENS} tokens to the last residual stream"
        tell(what, who, samples, BATCH * TOKENS, "token")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="all of them unless said")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    # f32 means f32, as the lab computes.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    transformers.utils.logging.set_verbosity_error()
    print(f"torch {torch.__version__}, transformers {transformers.__version__}", file=sys.stderr)
    devices = [("cpu", "torch cpu")]
    if torch.cuda.is_available():
        devices.append(("cuda", f"torch cuda ({torch.cuda.get_device_name()})"))
    with torch.inference_mode():
        for device, who in devices:
            products(device, who)
            models(device, who)


if __name__ == "__main__":
    main()
