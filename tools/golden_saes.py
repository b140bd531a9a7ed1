"""Makes the SAE part of `tests/golden/`: small random SAEs saved by SAELens, and what they encode.

    python golden_saes.py            writes tests/golden/saelens-*/
    python golden_saes.py --check    compares instead

Each SAE is saved with SAELens' own `save_model`, read back with its `load_from_disk` in
float64, and encodes and decodes in float64. The plain function `encode_plain` below must
agree to 1e-12. What the files hold is told in `tests/golden/README.md`.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from golden_common import assert_close, main, save_reference
from sae_lens import SAE, TrainingSAE

D_IN, D_SAE, TOKENS = 23, 61, 17

# Both ways are the same few float64 operations: about 1e-15.
AGREEMENT = 1e-12
# No pre-activation lies closer than this to the value that decides whether its feature
# fires (zero, a threshold, the next value in a top-k), so f32 decides as float64 does.
MARGIN = 1e-4


@dataclass
class Case:
    name: str
    architecture: str
    seed: int
    options: dict = field(default_factory=dict)


CASES = [
    Case("saelens-standard", "standard", 21),
    Case("saelens-standard-raw-input", "standard", 52, {"apply_b_dec_to_input": False}),
    Case("saelens-standard-layer-norm", "standard", 23, {"normalize_activations": "layer_norm"}),
    Case(
        "saelens-standard-expected-average", "standard", 24,
        {"normalize_activations": "expected_average_only_in", "apply_b_dec_to_input": False, "dtype": "float16"},
    ),
    Case("saelens-topk", "topk", 25, {"k": 5}),
    Case(
        "saelens-topk-norm-rescale", "topk", 26,
        {
            "k": 7,
            "rescale_acts_by_decoder_norm": True,
            "normalize_activations": "constant_norm_rescale",
            "apply_b_dec_to_input": False,
            "dtype": "bfloat16",
        },
    ),
    Case("saelens-jumprelu", "jumprelu", 57),
    Case("saelens-gated", "gated", 28, {"apply_b_dec_to_input": False}),
    Case("saelens-jumprelu-norm-rescale", "jumprelu", 29, {"normalize_activations": "constant_norm_rescale"}),
    Case("saelens-gated-layer-norm", "gated", 30, {"normalize_activations": "layer_norm", "dtype": "bfloat16"}),
    # Trained as batchtopk, saved for use: SAELens makes it a jumprelu.
    Case("saelens-batchtopk", "batchtopk", 31, {"k": 5.0}),
]


def randomize(sae, rng):
    """Gives every parameter random values; decoder rows keep different norms."""
    for name, parameter in sae.named_parameters():
        values = rng.standard_normal(tuple(parameter.shape))
        if name == "W_enc":
            values /= math.sqrt(D_IN)
        elif name == "W_dec":
            values *= 0.3
        elif name == "threshold":
            values = 0.3 + 0.2 * np.abs(values)
        elif name == "b_enc":
            values = -0.9 + 0.3 * values  # negative, so that some tokens fire fewer than k features
        else:
            values *= 0.3
        parameter.copy_(torch.from_numpy(values))


def encode_plain(sae, x):
    """Features [T, d_sae] and how far each pre-activation is from deciding otherwise."""
    cfg = sae.cfg
    if cfg.normalize_activations == "constant_norm_rescale":
        x = x * math.sqrt(cfg.d_in) / x.norm(dim=-1, keepdim=True)
    elif cfg.normalize_activations == "layer_norm":
        x = x - x.mean(-1, keepdim=True)
        variance = x.pow(2).sum(-1, keepdim=True) / (cfg.d_in - 1)
        x = x / (variance.sqrt() + 1e-5)
    if cfg.apply_b_dec_to_input:
        x = x - sae.b_dec
    if cfg.architecture() == "gated":
        gate = x @ sae.W_enc + sae.b_gate
        magnitude = (x @ sae.W_enc) * sae.r_mag.exp() + sae.b_mag
        return torch.where(gate > 0, magnitude.relu(), 0.0), min(gate.abs().min(), magnitude[gate > 0].abs().min())
    pre = x @ sae.W_enc + sae.b_enc
    if cfg.architecture() == "standard":
        return pre.relu(), pre.abs().min()
    if cfg.architecture() == "jumprelu":
        return torch.where(pre > sae.threshold, pre.relu(), 0.0), (pre - sae.threshold).abs().min()
    if cfg.rescale_acts_by_decoder_norm:
        pre = pre * sae.W_dec.pow(2).sum(-1).sqrt()
    ranked = pre.sort(-1, descending=True).values
    kept = pre >= ranked[:, cfg.k - 1 : cfg.k]
    gap = (ranked[:, cfg.k - 1] - ranked[:, cfg.k]).min()
    return torch.where(kept, pre.relu(), 0.0), min(gap, pre[kept].abs().min())


def make(root):
    for case in CASES:
        rng = np.random.default_rng(case.seed)
        folder = root / case.name
        config = {
            "architecture": case.architecture,
            "d_in": D_IN,
            "d_sae": D_SAE,
            "metadata": {"model_name": "golden", "hook_name": "blocks.1.hook_resid_post"},
        }
        if case.architecture == "batchtopk":
            sae = TrainingSAE.from_dict(config | case.options)
            randomize(sae, rng)
            sae.topk_threshold.fill_(0.4)
            sae.save_inference_model(folder)
        else:
            sae = SAE.from_dict(config | case.options)
            randomize(sae, rng)
            sae.save_model(folder)

        sae = SAE.load_from_disk(folder, dtype="float64")
        acts = torch.from_numpy(0.2 + rng.standard_normal((TOKENS, D_IN)) * rng.uniform(0.5, 3, (TOKENS, 1)))
        acts = acts.float().double()  # what the file will hold
        features = sae.encode(acts)
        reconstruction = sae.decode(features)
        plain, margin = encode_plain(sae, acts)
        assert features.dtype == torch.float64
        error = assert_close(case.name, plain, features, AGREEMENT)
        assert margin > MARGIN, f"{case.name}: a decision is {margin:.1e} close; choose another seed"
        fired = (features > 0).sum(-1)
        print(f"{case.name}: {fired.min()} to {fired.max()} features a token, "
              f"margin {margin:.1e}, plain {error:.1e} away")
        save_reference(
            folder / "reference.safetensors",
            {"acts": acts, "features": features, "reconstruction": reconstruction},
        )


if __name__ == "__main__":
    main(__doc__.splitlines()[0], make)
