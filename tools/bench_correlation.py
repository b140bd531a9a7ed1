"""The same work as `benches/correlation.rs` by others' programs; prints a JSON row for each on standard output.

    python tools/bench_correlation.py FOLDER [--cuda] [--all]

FOLDER holds the codes that `mppc-bench-correlation` left there. scipy.sparse multiplies AᵀB, alone and with the maxima of what is stored; standardising is not counted, as little as the pairs
that never fire together, which would take more. torch multiplies dense standardised features, and only on a GPU: on a processor that takes hours. Cases
of more than 100,000 tokens take SciPy many gigabytes and are left out; `--all` tries them.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import scipy
import scipy.sparse
from safetensors.numpy import load_file

REPEATS = 3
LARGEST = 100_000


def codes(path, features):
    file = load_file(path)
    shape = (len(file["indptr"]) - 1, features)
    return scipy.sparse.csr_array((file["values"], file["indices"].astype(np.int32), file["indptr"]), shape=shape)


def standardised(x):
    """z = x/(σ√n) of each column."""
    n = x.shape[0]
    mean = x.sum(0, dtype=np.float64) / n
    variance = (x * x).sum(0, dtype=np.float64) / n - mean**2
    scale = 1 / np.sqrt(np.maximum(variance, 1e-30) * n)
    return x.multiply(scale.astype(np.float32)[None, :]).tocsr()


def by_scipy(a, b):
    """Seconds of the product alone, and with the maxima."""
    alone, whole = [], []
    at = a.T.tocsr()
    for _ in range(REPEATS):
        start = time.perf_counter()
        s = at @ b
        alone.append(time.perf_counter() - start)
        s.max(axis=1), s.max(axis=0)
        whole.append(time.perf_counter() - start)
    return {"scipy.sparse, the product alone (one thread)": alone, "scipy.sparse (one thread)": whole}


def by_torch(a, b):
    """Seconds of f32 products of dense chunks of tokens, added up on the GPU, with the maxima at the end."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    samples = []
    for i in range(REPEATS + 1):
        torch.cuda.synchronize()
        start = time.perf_counter()
        total = torch.zeros(a.shape[1], b.shape[1], device="cuda")
        for t in range(0, a.shape[0], 8_192):
            x, y = (torch.tensor(m[t : t + 8_192].toarray(), device="cuda") for m in (a, b))
            total.addmm_(x.T, y)
        total.max(1), total.max(0)
        torch.cuda.synchronize()
        if i > 0:
            samples.append(time.perf_counter() - start)
    return {f"torch cuda, dense f32 ({torch.cuda.get_device_name()})": samples}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--all", action="store_true", help="also cases that are too large for most machines")
    parser.add_argument("--cuda", action="store_true", help="torch on the GPU, too")
    args = parser.parse_args()
    print(f"scipy {scipy.__version__}, numpy {np.__version__}", file=sys.stderr)
    cases = sorted(args.folder.glob("*.json"))
    if not cases:
        sys.exit(f"{args.folder} holds no codes; run `cargo xtask bench correlation`")
    for path in cases:
        case = json.loads(path.read_text())
        files = [path.with_name(f"{path.stem}-{side}.safetensors") for side in "ab"]
        a, b = (standardised(codes(file, case["features"])) for file in files)
        runs = {}
        if args.all or a.shape[0] <= LARGEST:
            runs |= by_scipy(a, b)
        if args.cuda:
            runs |= by_torch(a, b)
        for who, samples in runs.items():
            row = {"what": case["what"], "who": who, "seconds": sorted(samples)[len(samples) // 2], "samples": samples}
            print(json.dumps(row | {"amount": case["amount"], "unit": case["unit"]}), flush=True)


if __name__ == "__main__":
    main()
