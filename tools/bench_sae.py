"""The same work as `benches/sae.rs` in torch, dense, f32; prints a JSON row for each on standard output.

    python tools/bench_sae.py [--threads N]

A step is what SAE libraries do: dense products forwards and backwards by autograd, `torch.topk` and a scatter, Adam. On the
processor, and on CUDA where there is one. `cargo xtask bench sae` keeps the rows.
"""

import argparse
import os
import sys

import torch
from bench_torch import REPEATS, measure, tell

D, F, K = 768, 24_576, 32


class Dense(torch.nn.Module):
    def __init__(self, k, bias=0.0):
        super().__init__()
        self.k = k
        self.w_enc = torch.nn.Parameter(torch.randn(D, F) / D**0.5)
        self.w_dec = torch.nn.Parameter(self.w_enc.data.T.clone())
        self.b_enc = torch.nn.Parameter(torch.full((F,), bias))
        self.b_dec = torch.nn.Parameter(torch.zeros(D))

    def encode(self, x):
        features = torch.relu((x - self.b_dec) @ self.w_enc + self.b_enc)
        if not self.k:
            return features
        values, places = features.topk(self.k, dim=1, sorted=False)
        return torch.zeros_like(features).scatter(1, places, values)


def training(device, who, k, tokens, what):
    torch.manual_seed(0)
    sae = Dense(k).to(device)
    adam = torch.optim.Adam(sae.parameters(), lr=1e-4)
    x = torch.randn(tokens, D, device=device)

    def step():
        features = sae.encode(x)
        loss = ((features @ sae.w_dec + sae.b_dec - x) ** 2).sum(1).mean()
        if not k:
            loss = loss + 1e-2 * (features * sae.w_dec.norm(dim=1)).sum(1).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()

    tell(what, who, measure(step, device, REPEATS), tokens, "token")


def encoding(device, who, k, bias, what):
    torch.manual_seed(0)
    sae = Dense(k, bias).to(device)
    x = torch.randn(4096, D, device=device)
    with torch.inference_mode():
        tell(what, who, measure(lambda: sae.encode(x), device, REPEATS), 4096, "token")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="all of them unless said")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    # f32 means f32, as the lab computes.
    torch.backends.cuda.matmul.allow_tf32 = False
    print(f"torch {torch.__version__}", file=sys.stderr)
    devices = [("cpu", "torch cpu")]
    if torch.cuda.is_available():
        devices.append(("cuda", f"torch cuda ({torch.cuda.get_device_name()})"))
    for device, who in devices:
        for tokens in [1024, 4096]:
            training(device, who, K, tokens, f"SAE training step, topk {K}, {tokens} tokens")
        what = "SAE training step, relu (half of the features active), 4096 tokens"
        training(device, who, None, 4096, what)
        encoding(device, who, K, 0.0, f"SAE encode, topk {K}, 4096 tokens")
        encoding(device, who, None, -2.89, "SAE encode, relu, 4096 tokens")


if __name__ == "__main__":
    main()
