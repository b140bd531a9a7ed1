"""Mamba's causal convolution and selective scan as torch functions, backed by `selective_scan.cpp`.

B batch, T time, E channels, N states, K taps. Everything is f32. On a GPU both are plain torch, step by step.
"""

import os
import sys
from functools import cache
from pathlib import Path

import torch
from torch.utils.cpp_extension import load

SOURCE = Path(__file__).resolve().parent.parent / "selective_scan.cpp"


@cache
def extension():
    """The compiled extension; building it takes about a minute the first time."""
    # ninja sits beside python in a virtual environment, which need not be activated.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    flags = ["-O3", "-march=native", "-ffast-math", "-mprefer-vector-width=512"]
    return load(name="selective_scan", sources=[str(SOURCE)], extra_cflags=flags)


class CausalConvSilu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, taps, bias):
        ctx.save_for_backward(x, taps, bias)
        return extension().conv_forward(x, taps, bias)

    @staticmethod
    def backward(ctx, grad):
        return tuple(extension().conv_backward(grad.contiguous(), *ctx.saved_tensors))


class SelectiveScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, dt, a, b, c, d, z):
        out, kept = extension().scan_forward(x, dt, a, b, c, d, z)
        ctx.save_for_backward(kept, x, dt, a, b, c, d, z)
        return out

    @staticmethod
    def backward(ctx, grad):
        return tuple(extension().scan_backward(grad.contiguous(), *ctx.saved_tensors))


def causal_conv_silu(x, taps, bias):
    """silu(conv(x) + bias): x [B, T, E], taps [K, E] (tap K-1 is the current token), bias [E]."""
    if x.is_cuda:
        return reference_conv_silu(x, taps, bias)
    return CausalConvSilu.apply(x, taps.contiguous(), bias)


def selective_scan(x, dt, a, b, c, d, z):
    """(C_t·h_t + D x_t) silu(z_t) with h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t.

    x, dt, z [B, T, E]; a [N, E], negative; b, c [B, T, N]; d [E].
    """
    if x.is_cuda:
        return reference_scan(x, dt, a, b, c, d, z)
    return SelectiveScan.apply(x, dt.contiguous(), a.contiguous(), b.contiguous(), c.contiguous(), d, z)


def reference_conv_silu(x, taps, bias):
    """The same as `causal_conv_silu` in plain torch."""
    k = taps.shape[0]
    padded = torch.nn.functional.pad(x, (0, 0, k - 1, 0))
    pre = bias + sum(taps[i] * padded[:, i : i + x.shape[1]] for i in range(k))
    return torch.nn.functional.silu(pre)


def reference_scan(x, dt, a, b, c, d, z):
    """The same as `selective_scan` in plain torch, one step at a time."""
    h = x.new_zeros(x.shape[0], a.shape[0], x.shape[2])
    rows = []
    for t in range(x.shape[1]):
        decay = torch.exp(dt[:, t, None, :] * a)
        h = decay * h + (dt[:, t] * x[:, t])[:, None, :] * b[:, t, :, None]
        rows.append((h * c[:, t, :, None]).sum(1) + d * x[:, t])
    return torch.stack(rows, 1) * torch.nn.functional.silu(z)


def self_check(seed=0):
    """Largest error of outputs and gradients against a float64 loop, relative to the largest value.

    Returns {name: error}. f32 sums over a few dozen steps and channels leave errors near 1e-6.
    """
    generator = torch.Generator().manual_seed(seed)
    batch, time, e, n, k = 3, 37, 48, 16, 4

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    cases = {
        "conv": (causal_conv_silu, reference_conv_silu, [draw(batch, time, e), draw(k, e), draw(e)]),
        "scan": (
            selective_scan,
            reference_scan,
            [
                draw(batch, time, e),
                torch.nn.functional.softplus(draw(batch, time, e) - 1),
                -torch.exp(draw(n, e)),
                draw(batch, time, n),
                draw(batch, time, n),
                draw(e),
                draw(batch, time, e),
            ],
        ),
    }
    errors = {}
    for name, (fast, reference, inputs) in cases.items():
        weight = draw(batch, time, e)
        wide = [t.clone().requires_grad_() for t in inputs]
        narrow = [t.float().requires_grad_() for t in inputs]
        out_wide, out_narrow = reference(*wide), fast(*narrow)
        (out_wide * weight).sum().backward()
        (out_narrow * weight.float()).sum().backward()
        pairs = [(out_narrow, out_wide)] + [(a.grad, b.grad) for a, b in zip(narrow, wide)]
        for i, (got, want) in enumerate(pairs):
            label = f"{name}.{'out' if i == 0 else f'grad{i - 1}'}"
            errors[label] = ((got.double() - want).abs().max() / want.abs().max()).item()
    return errors
