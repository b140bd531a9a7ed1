"""Makes the likeness part of `tests/golden/`: activations of two sides and how alike other measures than MPPC find them.

    python golden_likeness.py            writes tests/golden/likeness.safetensors
    python golden_likeness.py --check    compares instead

Everything is float64 NumPy and SciPy on the stored f32 values, and written from the papers:
CKA from n × n kernels, canonical correlations from orthonormal bases of the activations
(no covariance is formed), matchings by SciPy. What the file holds is told in
`tests/golden/README.md`.
"""

import numpy as np
import torch
from golden_common import main, save_reference
from scipy.optimize import linear_sum_assignment
from scipy.stats import spearmanr

KEEP = 0.99
# Singular values below this share of the largest are no directions. The cases have none between 5e-3 and 1e-6.
RANK = 1e-4
# A decision (how many directions hold 99 %, which row is nearest) must not hang on less than this.
MARGIN = 1e-4


def centred(x):
    return x - x.mean(0)


def cka(x, y):
    """Kornblith et al. 2019, equation 4 with HSIC of equation 3 and linear kernels."""
    n = len(x)
    h = np.eye(n) - 1 / n

    def hsic(k, m):
        return np.trace(k @ h @ m @ h) / (n - 1) ** 2

    # The data are centred first: H would do it, but not to the last digits where a mean is 1e4.
    k, m = centred(x) @ centred(x).T, centred(y) @ centred(y).T
    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


def cka_debiased(x, y, centre=True):
    """The same with the unbiased estimator, Song et al. 2012, equation 5 (Nguyen et al. 2021, equation 3)."""
    n = len(x)
    one = np.ones(n)

    def hsic(k, m):
        k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
        ends = (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
        return (np.trace(k @ m) + ends - 2 / (n - 2) * (one @ k @ m @ one)) / (n * (n - 3))

    if centre:
        x, y = centred(x), centred(y)
    k, m = x @ x.T, y @ y.T
    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


def basis(x):
    """Orthonormal directions [n, rank] of centred activations, and their singular values."""
    u, s, _ = np.linalg.svd(centred(x), full_matrices=False)
    assert not ((s < 5e-3 * s[0]) & (s > 1e-6 * s[0])).any(), "a direction that is hardly there"
    rank = int((s > RANK * s[0]).sum())
    return u[:, :rank], s[:rank]


def svcca(x, y):
    """Raghu et al. 2017: the directions of 99 % of the variance, then the mean canonical correlation."""
    kept = []
    for side in (x, y):
        u, s = basis(side)
        share = np.cumsum(s**2) / (s**2).sum()
        assert np.abs(share[:-1] - KEEP).min(initial=1) > MARGIN, "a share too near to 99 %"
        kept.append(u[:, : int((share < KEEP).sum()) + 1])
    return np.linalg.svd(kept[0].T @ kept[1], compute_uv=False).mean()


def pwcca(x, y):
    """Morcos et al. 2018, equations 2 and 3, with the canonical variables and the columns of `x`."""
    # Columns of length 1 span the same space, and bases of them can be told apart from nothing.
    scaled = [centred(side) / np.maximum(np.linalg.norm(centred(side), axis=0), 1e-9) for side in (x, y)]
    bases = [basis(side)[0] for side in scaled]
    u, rho, _ = np.linalg.svd(bases[0].T @ bases[1], full_matrices=False)
    variables = bases[0] @ u  # h_i as columns, of norm 1
    alpha = np.abs(variables.T @ centred(x)).sum(1)
    return (alpha * rho).sum() / alpha.sum()


def rsa(x, y):
    def dissimilarities(side):
        return (1 - np.corrcoef(side))[np.triu_indices(len(side), 1)]

    return spearmanr(dissimilarities(x), dissimilarities(y)).statistic


def cases():
    rng = np.random.default_rng(71)
    normal = rng.standard_normal

    def shared(n, a, b, latent, noise):
        """Two sides that see the same causes."""
        z = normal((n, latent))
        return [z @ normal((latent, d)) + noise * normal((n, d)) for d in (a, b)]

    x, y = shared(200, 12, 9, 5, 0.7)
    yield "plain", x, y
    x, y = shared(180, 10, 8, 4, 0.7)
    # Means far beyond the spread, one for each column. (float32 keeps 1e-3 of the spread at 1e4.)
    yield "means", x + rng.choice([-100.0, 100, 1e4], 10), y + rng.choice([-1e3, 1e4], 8)
    x, y = shared(150, 8, 7, 4, 0.7)
    constant = np.full((150, 1), 3.3)
    yield "duplicates", np.concatenate([x, x[:, 1:3], constant, 4 * x[:, :1]], 1), np.concatenate([constant, y, -y[:, 2:3]], 1)
    # One column is 20 times as large as the others, whose directions are cut off.
    x, y = shared(160, 9, 11, 4, 0.7)
    yield "outlier", x * np.array([20.0] + 8 * [1]), y
    yield "short", *shared(20, 30, 25, 6, 0.7)
    x, _ = shared(120, 11, 1, 5, 0.7)
    yield "same", x, x
    # More tokens than columns in all: else the two share directions by necessity, and PWCCA has no weights for them.
    yield "independent", normal((90, 40)), normal((90, 30))


def sparse_matching(tensors):
    """A sparse graph of candidates, of which SciPy sees the dense matrix with 0 for everything else."""
    rng = np.random.default_rng(72)
    rows, cols, k = 60, 50, 5
    counts = rng.integers(0, k + 1, rows)
    # Crowded on the lower indices, so that many want the same.
    indices = [np.sort(rng.choice(cols, c, replace=False, p=_crowd(cols))) for c in counts]
    weights = [rng.uniform(0.01, 1, c).astype(np.float32) for c in counts]
    dense = np.zeros((rows, cols))
    for i, (j, w) in enumerate(zip(indices, weights)):
        dense[i, j] = w
    row, col = linear_sum_assignment(dense, maximize=True)
    partner = np.full(rows, -1)
    matched = dense[row, col] > 0
    partner[row[matched]] = col[matched]
    greedy = _greedy(dense)
    assert dense.sum() > 0 and greedy < dense[row, col].sum() - 0.1, "greedy is as good: no test"
    # Unique: without any one of its matches the best is worse.
    for i in np.flatnonzero(partner >= 0):
        other = dense.copy()
        other[i, partner[i]] = 0
        r, c = linear_sum_assignment(other, maximize=True)
        assert other[r, c].sum() < dense[row, col].sum() - 1e-6, "another matching is as good"
    tensors["assignment.counts"] = counts
    tensors["assignment.indices"] = np.concatenate(indices)
    tensors["assignment.weights"] = np.concatenate(weights)
    tensors["assignment.others"] = np.array([cols])
    tensors["assignment.partner"] = partner
    tensors["assignment.total"] = np.array([dense[row, col].sum()])
    print(f"assignment: {int(matched.sum())} matched, {dense[row, col].sum():.4f} in all, greedy {greedy:.4f}")


def _crowd(cols):
    p = 1 / (1 + np.arange(cols))
    return p / p.sum()


def _greedy(dense):
    left, total = dense.copy(), 0.0
    while left.max() > 0:
        i, j = np.unravel_index(left.argmax(), left.shape)
        total += left[i, j]
        left[i], left[:, j] = 0, 0
    return total


def decoders(tensors):
    rng = np.random.default_rng(75)
    a = rng.standard_normal((40, 10))
    b = rng.standard_normal((33, 10))
    b[5] = 3 * a[7]  # the same direction
    b[6] = -a[8]     # the opposite one
    a[3], b[9] = 0, 0  # no direction
    a, b = a.astype(np.float32), b.astype(np.float32)
    tensors["decoder.a"], tensors["decoder.b"] = a, b
    norms = [np.linalg.norm(x.astype(np.float64), axis=1) for x in (a, b)]
    with np.errstate(invalid="ignore"):
        cosines = a.astype(np.float64) @ b.astype(np.float64).T / np.outer(*norms)
    for name, table, own in (("a_to_b", cosines, norms[0]), ("b_to_a", cosines.T, norms[1])):
        table = np.where(np.isnan(table), -2, table)
        ordered = np.sort(table, 1)
        assert (ordered[own > 0, -1] - ordered[own > 0, -2]).min() > MARGIN, "near tie; choose another seed"
        tensors[f"decoder.{name}.cosine"] = np.where(own > 0, table.max(1), np.nan)
        tensors[f"decoder.{name}.argmax"] = np.where(own > 0, table.argmax(1), -1)


def make(root):
    tensors = {}
    for name, x, y in cases():
        x, y = x.astype(np.float32), y.astype(np.float32)
        tensors[f"{name}.x"], tensors[f"{name}.y"] = x, y
        x, y = x.astype(np.float64), y.astype(np.float64)
        values = {
            "cka": cka(x, y), "cka_debiased": cka_debiased(x, y), "svcca": svcca(x, y),
            "pwcca_by_a": pwcca(x, y), "pwcca_by_b": pwcca(y, x), "rsa": rsa(x, y),
        }
        if name != "means":
            # The estimator does not care for means; there the digits are lost instead.
            assert abs(cka_debiased(x, y, centre=False) - values["cka_debiased"]) < 1e-9, name
        for measure, value in values.items():
            tensors[f"{name}.{measure}"] = np.array([value])
        print(f"{name}: {x.shape[0]} × {x.shape[1]}, {y.shape[1]}: "
              + ", ".join(f"{measure} {value:.4f}" for measure, value in values.items()))
    # Tied dissimilarities: some tokens occur twice and thrice.
    rng = np.random.default_rng(74)
    rows = rng.integers(0, 9, 30)
    x, y = rng.standard_normal((9, 6))[rows].astype(np.float32), rng.standard_normal((9, 5))[rows].astype(np.float32)
    tensors["ties.x"], tensors["ties.y"] = x, y
    # Rounding would break ties between equal pairs of tokens, so each is computed once.
    small = [np.unique(side.astype(np.float64), axis=0, return_inverse=True) for side in (x, y)]
    pairs = np.triu_indices(30, 1)
    tied = [(1 - np.corrcoef(u))[np.ix_(at.ravel(), at.ravel())] for u, at in small]
    tied = [np.where(at.ravel()[:, None] == at.ravel(), 0, (t + t.T) / 2) for t, (_, at) in zip(tied, small)]
    tensors["ties.rsa"] = np.array([spearmanr(tied[0][pairs], tied[1][pairs]).statistic])
    sparse_matching(tensors)
    decoders(tensors)
    arrays = {key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in tensors.items()}
    save_reference(root / "likeness.safetensors", arrays)


if __name__ == "__main__":
    main(__doc__.splitlines()[0], make)
