"""Makes `tests/golden/health-*/`: SAEs of two of the golden models, and how healthy they are.

    python golden_health.py            writes tests/golden/health-{neox,mamba}/
    python golden_health.py --check    compares instead

The models are those that golden_models.py made, run by transformers in float64 with the
activations after a block replaced. The SAEs encode and decode with SAELens in float64.
Every figure is computed here from its definition, with NumPy. What the files hold is told
in `tests/golden/README.md`.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from golden_common import GOLDEN, main, save_reference
from golden_models import CASES, KeepFloat64, load_exact
from sae_lens import SAE
from transformers.utils import logging

# No pre-activation lies closer than this to where its feature fires, so f32 decides as float64 does, and no cosine
# to the edge of a bin.
MARGIN = 1e-4
ALWAYS = 0.99
QUANTILES = [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1]


@dataclass
class Health:
    name: str
    model: str
    vocab: int
    features: int
    seed: int
    options: tuple  # of the SAEs after blocks 0 and 1


HEALTH = [
    Health("health-neox", "neox-parallel", 61, 70, 1, ({"architecture": "standard"}, {"architecture": "topk", "k": 6})),
    Health(
        "health-mamba", "mamba-ssm", 53, 50, 1,
        (
            {"architecture": "topk", "k": 5},
            {"architecture": "standard", "normalize_activations": "constant_norm_rescale"},
        ),
    ),
]
SHAPE = (3, 12)
PAD = 0


def tokens_of(model, case, vocab, rng):
    """Rows of BOS, tokens and padding, and which positions count: neither BOS, nor padding, nor a second BOS. The
    tokens are drawn from the model's own predictions, so that it predicts them better than chance."""
    ids = torch.full(SHAPE, PAD)
    for t in range(1, SHAPE[1]):
        logits, _ = run(model, case, ids[:, :t])
        likely = logits[:, -1, 1:vocab].softmax(-1).cumsum(-1)
        drawn = torch.from_numpy(rng.uniform(0, 1, (SHAPE[0], 1))) * likely[:, -1:]
        ids[:, t] = 1 + torch.searchsorted(likely, drawn)[:, 0].clamp(max=vocab - 2)
        ids[2, 5] = PAD
    ids[1, 8:] = PAD
    return ids, ids != PAD


def make_sae(folder, hook, width, features, options, mean, scale, rng):
    """A SAE that reconstructs something: the encoder reads along the decoder's rows. Among its features are a dead
    one, an always active one (where the architecture allows it), two alike, and one that writes nothing."""
    config = {"d_in": width, "d_sae": features, "metadata": {"model_name": "golden", "hook_name": hook}} | options
    sae = SAE.from_dict(config)
    decoder = rng.standard_normal((features, width))
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    decoder[5] = decoder[4]
    norms = rng.uniform(0.5, 2.0, (features, 1))
    bias = -0.25 * scale * rng.uniform(0.5, 1.5, features)
    bias[0], bias[1] = -100 * scale, 30 * scale
    weights = {
        "W_enc": (decoder / norms).T / 2,
        "W_dec": decoder * norms,
        "b_enc": bias,
        "b_dec": mean,
    }
    weights["W_dec"][2] = 0
    weights["W_dec"][1] *= 1e-3
    for name, parameter in sae.named_parameters():
        parameter.copy_(torch.from_numpy(weights[name]))
    sae.save_model(folder)
    return SAE.load_from_disk(folder, dtype="float64")


def run(model, case, ids, layer=None, value=None):
    """Logits and the residual stream after each block, with `value` put after block `layer` behind position 0."""
    layers = model.gpt_neox.layers if case.kind == "neox" else model.backbone.layers
    seen, handles = {}, []
    for i, block in enumerate(layers):

        def see(module, inputs, output, i=i):
            first = output[0] if isinstance(output, tuple) else output
            if i == layer:
                first = torch.cat([first[:, :1], value], 1)
            seen[i] = first
            return (first, *output[1:]) if isinstance(output, tuple) else first

        handles.append(block.register_forward_hook(see))
    with KeepFloat64():
        logits = model(ids, use_cache=False).logits
    for handle in handles:
        handle.remove()
    assert logits.dtype == torch.float64
    return logits, seen


def quantiles(values):
    return np.quantile(values, QUANTILES, method="inverted_cdf")


def histogram(values, edges):
    return np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]


def code_figures(features, x, recon):
    """Figures of codes [N, F] of activations [N, D] and their reconstruction."""
    features, x, recon = features.numpy(), x.numpy(), recon.numpy()
    active = features > 0
    l0 = active.sum(1)
    density = active.mean(0)
    error, spread = ((x - recon) ** 2).sum(), ((x - x.mean(0)) ** 2).sum()
    edges = np.array([10 ** (-7 + i / 4) for i in range(29)])
    return {
        "tokens": len(x),
        "l0": l0.mean(),
        "l0_quantiles": quantiles(l0),
        "explained_variance": 1 - error / spread,
        "fvu": error / spread,
        "mse": error / x.size,
        "dead": (density == 0).mean(),
        "always_on": (density >= ALWAYS).mean(),
        "density": histogram(density[density > 0], edges),
        "density_zero": (density == 0).sum(),
        "density_edges": edges,
    }


def decoder_figures(w_dec):
    norms = np.linalg.norm(w_dec, axis=1)
    unit = w_dec[norms > 0] / norms[norms > 0, None]
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -2)
    nearest = cosines.max(1).clip(-1, 1)
    edges = np.linspace(-1, 1, 41)
    gap = np.abs(nearest[:, None] - edges[None, 1:-1]).min()
    assert gap > 1e-6, f"a cosine is {gap:.1e} from an edge; choose another seed"
    return {
        "norm_mean": norms.mean(),
        "norm_quantiles": quantiles(norms),
        "cosine_mean": nearest.mean(),
        "cosine_quantiles": quantiles(nearest),
        "cosine_histogram": histogram(nearest, edges),
    }


def prediction_figures(clean, spliced, zero, ids, keep, vocab):
    """Losses over the positions whose next token counts; the softmax is over the real vocabulary."""
    counted = keep[:, 1:]
    target = ids[:, 1:][counted]
    log_probs = [logits[:, :-1, :vocab][counted].log_softmax(-1) for logits in (clean, spliced, zero)]
    ce = [-p.gather(-1, target[:, None]).mean().item() for p in log_probs]
    kl = [(log_probs[0].exp() * (log_probs[0] - q)).sum(-1).mean().item() for q in log_probs[1:]]
    return {
        "ce_clean": ce[0],
        "ce_spliced": ce[1],
        "ce_zero": ce[2],
        "ce_recovered": (ce[2] - ce[1]) / (ce[2] - ce[0]) if ce[2] > ce[0] else math.nan,
        "kl_spliced": kl[0],
        "kl_zero": kl[1],
        "kl_recovered": 1 - kl[0] / kl[1],
    }


def margin(sae, x):
    """How far the nearest pre-activation is from deciding otherwise."""
    pre = sae.hook_sae_acts_pre
    seen = []
    handle = pre.register_forward_hook(lambda module, inputs, output: seen.append(output))
    sae.encode(x)
    handle.remove()
    pre = seen[0]
    if sae.cfg.architecture() == "standard":
        return pre.abs().min()
    ranked = pre.sort(-1, descending=True).values
    kept = ranked[:, : sae.cfg.k]
    return min((ranked[:, sae.cfg.k - 1] - ranked[:, sae.cfg.k]).min(), kept.abs().min())


def make(root):
    for health in HEALTH:
        rng = np.random.default_rng(health.seed)
        case = next(c for c in CASES if c.name == health.model)
        with KeepFloat64():
            model = load_exact(case, GOLDEN / case.name)
        ids, keep = tokens_of(model, case, health.vocab, rng)
        clean, seen = run(model, case, ids)
        result = {"tokens": ids, "keep": keep.int()}
        for layer, options in enumerate(health.options):
            hook = f"blocks.{layer}.hook_resid_post"
            x = seen[layer]
            mean, scale = x[keep].mean(0).numpy(), x[keep].std().item()
            if options.get("normalize_activations"):
                mean, scale = 0 * mean, 1.0
            folder = root / health.name / hook
            sae = make_sae(folder, hook, x.shape[-1], health.features, options, mean, scale, rng)
            gap = margin(sae, x[:, 1:].reshape(-1, x.shape[-1]))
            assert gap > MARGIN, f"{health.name} {hook}: a decision is {gap:.1e} close; choose another seed"
            features = sae.encode(x[keep])
            recon = sae.decode(features)
            after = sae.decode(sae.encode(x[:, 1:].reshape(-1, x.shape[-1]))).view(x[:, 1:].shape)
            spliced, _ = run(model, case, ids, layer, after)
            zero, _ = run(model, case, ids, layer, torch.zeros_like(after))
            figures = code_figures(features, x[keep], recon) | decoder_figures(sae.W_dec.numpy())
            figures |= prediction_figures(clean, spliced, zero, ids, keep, health.vocab)
            told = {k: round(float(v), 3) for k, v in figures.items() if np.ndim(v) == 0}
            print(f"{health.name} {hook}: margin {gap:.1e}, {told}")
            for name, value in figures.items():
                value = np.atleast_1d(np.asarray(value, dtype=np.float64))
                result[f"{layer}.{name}"] = torch.from_numpy(value)
        save_reference(root / health.name / "reference.safetensors", result)


if __name__ == "__main__":
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    main(__doc__.splitlines()[0], make)
