"""Makes the correlation part of `tests/golden/`: small dense codes and their exact correlations.

    python golden_correlation.py            writes tests/golden/correlation*.safetensors
    python golden_correlation.py --check    compares instead

The sums are exact (integers), so a constant feature has no variance whatever its value
and duplicates tie exactly; only the last square root and division are rounded, to
float64. NumPy's own float64 `corrcoef` must agree to 1e-9. What the files hold is told
in `tests/golden/README.md`.
"""

import math

import numpy as np
import torch
from golden_common import main, save_reference

AGREEMENT = 1e-9
# Two correlations that are not exact ties differ by at least this at a maximum, so that
# an answer good to 1e-5 has the same argmax.
MARGIN = 1e-4


def exact_correlation(a, b):
    """ρ [Fa, Fb] of f32 columns, NaN where either has no variance."""
    whole = [(x.astype(np.float64) * 2.0**149).astype(object) for x in (a, b)]  # every f32 is a multiple of 2^-149
    a, b = (np.vectorize(int, otypes=[object])(x) for x in whole)
    n = len(a)
    covariance = n * (a.T @ b) - np.outer(a.sum(0), b.sum(0))
    variances = [n * (x * x).sum(0) - x.sum(0) ** 2 for x in (a, b)]
    rho = np.full(covariance.shape, np.nan)
    for i, va in enumerate(variances[0]):
        for j, vb in enumerate(variances[1]):
            if va > 0 and vb > 0:
                # √(c²/(va·vb)) to 120 bits in whole numbers, then once to float64.
                c = covariance[i, j]
                root = math.isqrt((c * c << 240) // (va * vb)) / 2**120
                rho[i, j] = math.copysign(root, c)
    return rho


def best(rho):
    """Per row the largest value (NaN if there is none) and its lowest index (-1 if there is none)."""
    value = np.full(len(rho), np.nan)
    index = np.full(len(rho), -1)
    for i, row in enumerate(rho):
        if np.isnan(row).all():
            continue
        index[i], value[i] = np.nanargmax(row), np.nanmax(row)
        others = row[(row < value[i])]
        assert not len(others) or value[i] - others.max() > MARGIN, f"row {i}: near tie; choose another seed"
    return value, index


def sparse_columns(rng, tokens, count, hidden):
    """Features as an SAE has them: zero on most tokens, driven by shared hidden causes."""
    drive = hidden @ rng.standard_normal((hidden.shape[1], count)) + 0.6 * rng.standard_normal((tokens, count))
    return np.maximum(drive - 1.2, 0)


def mixed_codes():
    rng = np.random.default_rng(31)
    tokens = 259
    hidden = rng.standard_normal((tokens, 6))
    a, b = sparse_columns(rng, tokens, 17, hidden), sparse_columns(rng, tokens, 13, hidden)

    def column(value):
        return np.full((tokens, 1), value)

    def single(token, value):
        x = np.zeros((tokens, 1))
        x[token] = value
        return x

    offset = 100 + hidden[:, :3] + 0.3 * rng.standard_normal((tokens, 3))
    negative = -np.abs(hidden[:, 3:5] + 0.5 * rng.standard_normal((tokens, 2))) - 0.1
    a = np.concatenate([
        a, column(0), column(3.5), column(0.1), column(-1e-3),      # 17..20 constants
        single(3, 2.5), single(258, 0.7), single(100, 1e-3),         # 21..23 fire once
        offset, offset[:, :1] * 2,                                   # 24..26 mean 100, spread 1; 27 = 2 × 24
        negative, a[:, 4:5], -a[:, 5:6],                             # 28, 29 all negative; 30 = 4; 31 = -5
        -100 + hidden[:, 2:3],                                       # 32 mean -100, spread 1
    ], 1).astype(np.float32)
    b = np.concatenate([
        b, column(0), column(0.1),                                   # 13, 14 constants
        single(3, 9), single(258, 1e-4), single(7, 1),               # 15..17 fire once
        100 + hidden[:, :2] + 0.3 * rng.standard_normal((tokens, 2)),  # 18, 19 mean 100, spread 1
        -np.abs(hidden[:, 3:4]) - 2, b[:, 2:3], b[:, 2:3] * 4,        # 20 all negative; 21 = 2; 22 = 4 × 2
        1e-4 * np.abs(hidden[:, 5:6]),                               # 23 small values
    ], 1).astype(np.float32)
    return a, b


def disjoint_codes():
    """No feature of A fires together with one of B: every correlation is negative."""
    rng = np.random.default_rng(32)
    a, b = np.zeros((37, 3)), np.zeros((37, 4))
    for j, tokens in enumerate(([0, 1, 2], [4, 9], [11])):
        a[tokens, j] = rng.uniform(0.5, 2, len(tokens))
    for j, tokens in enumerate(([20], [20, 21, 22, 23], [25, 30, 36, 27, 28, 12], [13, 14])):
        b[tokens, j] = rng.uniform(0.5, 2, len(tokens))
    return a.astype(np.float32), b.astype(np.float32)


def constant_codes():
    """B has no feature with variance: nothing is a candidate for A, and B has no answer."""
    rng = np.random.default_rng(33)
    b = np.stack([np.zeros(19), np.full(19, 0.3), np.full(19, -7.0)], 1)
    return rng.standard_normal((19, 5)).astype(np.float32), b.astype(np.float32)


def make(root):
    for name, (a, b) in {
        "correlation": mixed_codes(),
        "correlation-disjoint": disjoint_codes(),
        "correlation-constant": constant_codes(),
    }.items():
        rho = exact_correlation(a, b)
        with np.errstate(invalid="ignore", divide="ignore"):
            usual = np.corrcoef(a.T.astype(np.float64), b.T.astype(np.float64))[: a.shape[1], a.shape[1] :]
        defined = ~np.isnan(rho)
        error = np.abs(usual - rho)[defined].max(initial=0)
        assert error < AGREEMENT, f"{name}: {error:.1e} from NumPy"
        a_value, a_index = best(rho)
        b_value, b_index = best(rho.T)
        if name == "correlation":
            # The duplicates are the best match of somebody, so the lowest index has to win there.
            assert 2 in a_index and 24 in b_index and 4 in b_index, (a_index, b_index)
        print(f"{name}: A {a.shape}, B {b.shape}, NumPy {error:.1e} away, "
              f"MPPC of A {np.nanmin(a_value, initial=1):.3f} to {np.nanmax(a_value, initial=-1):.3f}")
        save_reference(
            root / f"{name}.safetensors",
            {
                key: torch.from_numpy(np.ascontiguousarray(value))
                for key, value in {
                    "a": a, "b": b, "rho": rho,
                    "a_to_b.mppc": a_value, "a_to_b.argmax": a_index,
                    "b_to_a.mppc": b_value, "b_to_a.argmax": b_index,
                }.items()
            },
        )


if __name__ == "__main__":
    main(__doc__.splitlines()[0], make)
