"""Makes the part of `tests/golden/` that holds SAEs of other libraries than SAELens' version 6.

    python golden_saes_formats.py            writes tests/golden/{saelens-old,sparsify,dictionary-learning,lm-saes}-*/
    python golden_saes_formats.py --check    compares instead

sparsify and dictionary_learning save and encode themselves, in float64. Language-Model-SAEs is not on PyPI:
`lm_saes_2024`, `lm_saes_scope` and `lm_saes_2025` below are its arithmetic in plain torch, written from the formulas,
as is that of old SAELens files, which today's SAELens confirms where it still reads them. Nothing here is shared with the lab. What the files hold is told in
`tests/golden/README.md`.
"""

import math
import os
import shutil

import numpy as np
import torch
from convert_dictionary_learning import convert
from dictionary_learning.dictionary import AutoEncoder, AutoEncoderNew, GatedAutoEncoder, JumpReluAutoEncoder
from dictionary_learning.trainers.batch_top_k import BatchTopKSAE
from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE
from dictionary_learning.trainers.top_k import AutoEncoderTopK
from golden_common import assert_close, main, save_reference, write_json
from sae_lens import SAE
from safetensors.torch import load_file, save_file

os.environ["SPARSIFY_DISABLE_TRITON"] = "1"  # its decoder for GPUs; the one for processors is the same sum
from sparsify import SparseCoder, SparseCoderConfig  # noqa: E402

D, F, TOKENS = 12, 40, 15
HOOK = "blocks.1.hook_resid_post"

# No pre-activation lies closer than this to what decides whether its feature fires, so f32 decides as float64.
MARGIN = 1e-4


class TooClose(Exception):
    """A pre-activation lies so close to what decides that f32 may decide otherwise."""


def rng_of(seed):
    return np.random.default_rng(seed)


def with_margin(maker):
    """Tries the seed, and then others, until no decision is close."""

    def attempt(root, name, seed, *args, **options):
        while True:
            try:
                return maker(root, name, seed, *args, **options)
            except TooClose:
                shutil.rmtree(root / name)
                seed += 1000

    return attempt


def random(rng, *shape, scale=1.0, shift=0.0):
    return torch.from_numpy(shift + scale * rng.standard_normal(shape))


def inputs(rng):
    """Activations of different norms, as the file will hold them."""
    acts = 0.2 + rng.standard_normal((TOKENS, D)) * rng.uniform(0.5, 3, (TOKENS, 1))
    return torch.from_numpy(acts).float().double()


def randomize(module, rng):
    """Random values, rounded to f32 as they are saved; decoder rows keep different norms."""
    for name, parameter in module.named_parameters():
        if name in ("encoder.weight", "W_enc"):
            values = random(rng, *parameter.shape, scale=1 / math.sqrt(D))
        elif name in ("encoder.bias", "b_enc"):
            values = random(rng, *parameter.shape, scale=0.3, shift=-0.5)
        elif name == "threshold":
            values = 0.3 + 0.2 * random(rng, *parameter.shape).abs()
        else:
            values = random(rng, *parameter.shape, scale=0.3)
        parameter.data = values.float().to(parameter.dtype)


def margin_of(pre, *limits):
    """Refuses a seed if a pre-activation is too close to what decides."""
    for limit in (0.0, *limits):
        least = (pre - limit).abs().min().item()
        if least <= MARGIN:
            raise TooClose


def gap_of(pre, k):
    """Refuses a seed if the k-th value is too close to the next."""
    ranked = pre.relu().sort(-1, descending=True).values
    gap = (ranked[:, k - 1] - ranked[:, k])[ranked[:, k - 1] > 0].min().item()
    if gap <= MARGIN:
        raise TooClose


def finish(folder, acts, features, reconstruction):
    fired = (features > 0).sum(-1)
    assert fired.sum() > 0 and (features == 0).any()
    print(f"{folder.name}: {fired.min()} to {fired.max()} features a token")
    save_reference(
        folder / "reference.safetensors", {"acts": acts, "features": features, "reconstruction": reconstruction}
    )


@with_margin
def sparsify(root, name, seed, k, dtype=torch.float32, **options):
    """sparsify saves; its encode runs in float64 on what was saved. The folder is named after the module."""
    rng = rng_of(seed)
    folder = root / name / "layers.1"
    coder = SparseCoder(D, SparseCoderConfig(num_latents=F, k=k, **options), dtype=dtype)
    randomize(coder, rng)
    coder.save_to_disk(folder)
    coder = SparseCoder.load_from_disk(folder).double()
    acts = inputs(rng)
    top, indices, pre = coder.encode(acts)
    gap_of(pre, k)
    margin_of((acts - (0 if coder.cfg.transcode else coder.b_dec)) @ coder.encoder.weight.T + coder.encoder.bias)
    features = torch.zeros_like(pre).scatter(-1, indices, top)
    finish(folder, acts, features, coder.decode(top, indices))


@with_margin
def dictionary_learning(root, name, seed, sae, config, threshold=None):
    """The library's state dict as `ae.pt`, converted by the tool; the library's own encode."""
    rng = rng_of(seed)
    folder = root / name
    folder.mkdir()
    randomize(sae.float(), rng)  # an earlier seed may have left it in float64
    if threshold is not None:
        sae.threshold.fill_(threshold)
    torch.save(sae.state_dict(), folder / "ae.pt")
    trainer = {
        "dict_class": type(sae).__name__,
        "activation_dim": D,
        "dict_size": F,
        "layer": 1,
        "lm_name": "golden",
        "submodule_name": "resid_post_layer_1",
    }
    write_json(folder / "config.json", {"trainer": trainer | config, "buffer": {"d_submodule": D}})
    if isinstance(sae, AutoEncoder):
        sae = AutoEncoder.from_pretrained(folder / "ae.pt")  # scales the decoder
    else:
        sae.load_state_dict(torch.load(folder / "ae.pt", weights_only=True))
    convert(folder, folder)
    (folder / "ae.pt").unlink()
    sae = sae.double()
    acts = inputs(rng)
    features = sae.encode(acts)
    b_dec = {"bias": getattr(sae, "bias", None), "decoder_bias": getattr(sae, "decoder_bias", None)}
    subtract = next((v for v in b_dec.values() if v is not None), None)
    if isinstance(sae, (AutoEncoderTopK, BatchTopKSAE, MatryoshkaBatchTopKSAE)):
        subtract = sae.b_dec
    x = acts if subtract is None else acts - subtract
    if hasattr(sae, "W_enc"):
        pre = x @ sae.W_enc + sae.b_enc
    elif isinstance(sae, GatedAutoEncoder):
        product = sae.encoder(x)
        margin_of(sae.r_mag.exp() * product + sae.mag_bias)
        pre = product + sae.gate_bias
    else:
        pre = sae.encoder(x)
    limits = [sae.threshold] if hasattr(sae, "threshold") and not isinstance(sae, AutoEncoderTopK) else []
    margin_of(pre, *limits)
    if isinstance(sae, AutoEncoderTopK):
        gap_of(pre, int(sae.k))
    finish(folder, acts, features, sae.decode(features))


@with_margin
def lm_saes_2024(root, name, seed, norm, dataset_norm=None, subtract=True):
    """Summer 2024: features in the activations' own scale, a mask and a scale behind ReLU."""
    rng = rng_of(seed)
    folder = root / name
    folder.mkdir()
    weights = {
        "encoder.weight": random(rng, F, D, scale=1 / math.sqrt(D)),
        "encoder.bias": random(rng, F, scale=0.3, shift=-0.5),
        "decoder.weight": random(rng, D, F, scale=0.3),
        "decoder.bias": random(rng, D, scale=0.3),
        "feature_act_mask": torch.from_numpy((rng.random(F) > 0.2).astype(float)),
        "feature_act_scale": 1 + 0.1 * random(rng, F).abs(),
    }
    save_file({k: v.float().contiguous() for k, v in weights.items()}, folder / "sae_weights.safetensors")
    config = {
        "hook_point_in": HOOK, "hook_point_out": HOOK, "use_decoder_bias": True,
        "apply_decoder_bias_to_pre_encoder": subtract, "expansion_factor": F / D, "d_model": D, "d_sae": F,
        "norm_activation": norm, "use_glu_encoder": False, "sparsity_include_decoder_norm": True, "dtype": "torch.float32",
    }
    if dataset_norm:
        config["dataset_average_activation_norm"] = {"in": dataset_norm, "out": dataset_norm}
    write_json(folder / "hyperparams.json", config)

    w = {k: v.double() for k, v in load_file(folder / "sae_weights.safetensors").items()}
    acts = inputs(rng)

    def factor(x):
        if norm == "token-wise":
            return math.sqrt(D) / x.norm(dim=-1, keepdim=True)
        return math.sqrt(D) / dataset_norm if norm == "dataset-wise" else 1.0

    # The library takes the input's norm after it subtracted the bias, and the features' from the token as it was.
    x = acts - w["decoder.bias"] if subtract else acts
    pre = (x * factor(x)) @ w["encoder.weight"].T + w["encoder.bias"]
    pre = pre / factor(acts)
    margin_of(pre)
    features = w["feature_act_mask"] * w["feature_act_scale"] * pre.relu()
    finish(folder, acts, features, features @ w["decoder.weight"].T + w["decoder.bias"])


@with_margin
def lm_saes_scope(root, name, seed):
    """Autumn 2024: no mask, a JumpReLU threshold in the activations' own scale, dataset-wise norm, checkpoints/."""
    rng = rng_of(seed)
    folder = root / name
    (folder / "checkpoints").mkdir(parents=True)
    norm, threshold = 5.5, 0.35
    weights = {
        "encoder.weight": random(rng, F, D, scale=1 / math.sqrt(D)),
        "encoder.bias": random(rng, F, scale=0.3),
        "decoder.weight": random(rng, D, F, scale=0.3),
        "decoder.bias": random(rng, D, scale=0.3),
    }
    path = folder / "checkpoints" / "final.safetensors"
    save_file({k: v.bfloat16().contiguous() for k, v in weights.items()}, path)
    write_json(folder / "hyperparams.json", {
        "hook_point_in": HOOK, "hook_point_out": HOOK, "use_decoder_bias": True,
        "apply_decoder_bias_to_pre_encoder": False, "expansion_factor": F / D, "d_model": D, "d_sae": F,
        "act_fn": "jumprelu", "jump_relu_threshold": threshold, "top_k": 50, "norm_activation": "dataset-wise",
        "dataset_average_activation_norm": {"in": norm, "out": norm}, "use_glu_encoder": False,
        "sparsity_include_decoder_norm": True,
    })
    w = {k: v.double() for k, v in load_file(path).items()}
    acts = inputs(rng)
    s = math.sqrt(D) / norm
    # For inference scales are folded away and decoder rows made unit vectors; then the threshold is applied.
    bias, decoder = w["encoder.bias"] / s, w["decoder.weight"]
    norms = decoder.norm(dim=0)
    pre = (acts @ w["encoder.weight"].T + bias) * norms
    margin_of(pre, threshold)
    unit = torch.where(pre > threshold, pre, 0.0)
    reconstruction = unit @ (decoder / norms).T + w["decoder.bias"] / s
    # Features as the normalised activations give them: the same up to a factor for each.
    finish(folder, acts, unit / norms * s, reconstruction)


@with_margin
def lm_saes_2025(root, name, seed, act, norm, include_norm=True, k=6):
    """2025: everything in the normalised scale; the activation function sees decoder norms."""
    rng = rng_of(seed)
    folder = root / name
    folder.mkdir()
    average = 4.75
    weights = {
        "W_E": random(rng, D, F, scale=1 / math.sqrt(D)),
        "b_E": random(rng, F, scale=0.3, shift=-0.3),
        "W_D": random(rng, F, D, scale=0.3),
        "b_D": random(rng, D, scale=0.3),
        f"dataset_average_activation_norm.{HOOK}": torch.tensor(average),
    }
    if act == "jumprelu":
        weights["activation_function.log_jumprelu_threshold"] = random(rng, F, scale=0.3, shift=-1.5)
    path = folder / "sae_weights.safetensors"
    save_file({n: v.float().contiguous() for n, v in weights.items()}, path)
    write_json(folder / "config.json", {
        "sae_type": "sae", "d_model": D, "expansion_factor": F / D, "use_decoder_bias": True, "act_fn": act,
        "norm_activation": norm, "sparsity_include_decoder_norm": include_norm, "top_k": k,
        "jumprelu_threshold_window": 2.0, "hook_point_in": HOOK, "hook_point_out": HOOK, "use_glu_encoder": False,
    })
    w = {n: v.double() for n, v in load_file(path).items()}
    acts = inputs(rng)
    if norm in ("token-wise", "batch-wise"):  # batches of one token
        s = math.sqrt(D) / acts.norm(dim=-1, keepdim=True)
    else:
        s = math.sqrt(D) / average if norm == "dataset-wise" else 1.0
    pre = (acts * s) @ w["W_E"] + w["b_E"]
    norms = w["W_D"].norm(dim=1) if include_norm else torch.ones(F, dtype=torch.float64)
    seen = pre * norms
    margin_of(seen)
    if act in ("topk", "batchtopk"):
        gap_of(seen, k)
        kept = seen >= seen.sort(-1, descending=True).values[:, k - 1 : k]
        after = torch.where(kept, seen.relu(), 0.0)
    elif act == "jumprelu":
        threshold = w["activation_function.log_jumprelu_threshold"].exp()
        margin_of(seen, threshold)
        after = torch.where(seen > threshold, seen, 0.0)
    else:
        after = seen.relu()
    features = after / norms
    reconstruction = (features @ w["W_D"] + w["b_D"]) / s
    # The lab keeps what top-k ranked, the features times their decoder norms.
    ranked = act in ("topk", "batchtopk") and include_norm
    finish(folder, acts, after if ranked else features, reconstruction)


@with_margin
def saelens_old(root, name, seed, config, scaling=None, scaler=None):
    """SAELens before version 6: flat keys, a scaling factor behind the features; or an unfolded checkpoint."""
    rng = rng_of(seed)
    folder = root / name
    folder.mkdir()
    weights = {
        "W_enc": random(rng, D, F, scale=1 / math.sqrt(D)),
        "b_enc": random(rng, F, scale=0.3, shift=-0.5),
        "W_dec": random(rng, F, D, scale=0.3),
        "b_dec": random(rng, D, scale=0.3),
    }
    if scaling:
        weights["scaling_factor"] = 1 + 0.2 * random(rng, F)
    save_file({k: v.float().contiguous() for k, v in weights.items()}, folder / "sae_weights.safetensors")
    write_json(folder / "cfg.json", {"d_in": D, "d_sae": F, "dtype": "torch.float32"} | config)
    if scaler:
        write_json(folder / "activation_scaler.json", {"scaling_factor": scaler})
    w = {k: v.double() for k, v in load_file(folder / "sae_weights.safetensors").items()}
    acts = inputs(rng)
    c = scaler or 1.0
    pre = (acts * c - w["b_dec"]) @ w["W_enc"] + w["b_enc"]
    margin_of(pre)
    features = pre.relu()
    if config.get("activation_fn_str") == "topk":
        k = config["activation_fn_kwargs"]["k"]
        gap_of(pre, k)
        features = torch.where(pre >= pre.sort(-1, descending=True).values[:, k - 1 : k], features, 0.0)
    scaled = features * w["scaling_factor"] if scaling else features
    reconstruction = (scaled @ w["W_dec"] + w["b_dec"]) / c
    if not scaling:  # today's SAELens refuses scaling factors
        sae = SAE.load_from_disk(folder, dtype="float64")
        if scaler:
            sae.fold_activation_norm_scaling_factor(scaler)
        assert_close(name, features, sae.encode(acts), 1e-12)
        assert_close(name, reconstruction, sae.decode(features), 1e-12)
    finish(folder, acts, features, reconstruction)


def make(root):
    old = {"model_name": "golden", "hook_point": HOOK, "hook_point_layer": 1, "hook_point_head_index": None}
    saelens_old(root, "saelens-old-topk", 61, old | {
        "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 5}, "normalize_activations": False,
    })
    saelens_old(root, "saelens-old-finetuned", 62, old | {
        "activation_fn_str": "relu", "normalize_activations": "none", "finetuning_scaling_factor": True,
    }, scaling=True)
    saelens_old(root, "saelens-checkpoint-average", 63, {
        "architecture": "standard", "apply_b_dec_to_input": True, "normalize_activations": "expected_average_only_in",
        "metadata": {"model_name": "golden", "hook_name": HOOK},
    }, scaler=0.625)

    sparsify(root, "sparsify-topk", 71, 5)
    sparsify(root, "sparsify-transcode", 72, 6, dtype=torch.float16, transcode=True)

    for name, seed, sae, config, threshold in [
        ("relu", 81, AutoEncoder(D, F), {}, None),
        ("relu-new", 82, AutoEncoderNew(D, F), {}, None),
        ("topk", 83, AutoEncoderTopK(D, F, 5), {"k": 5}, 0.4),
        ("batchtopk", 84, BatchTopKSAE(D, F, 5), {"k": 5}, 0.4),
        ("matryoshka", 85, MatryoshkaBatchTopKSAE(D, F, 5, [10, 30]), {"k": 5, "submodule_name": None}, 0.4),
        ("jumprelu", 86, JumpReluAutoEncoder(D, F), {}, None),
        ("gated", 87, GatedAutoEncoder(D, F), {}, None),
    ]:
        dictionary_learning(root, f"dictionary-learning-{name}", seed, sae, config, threshold)

    lm_saes_2024(root, "lm-saes-2024-token-wise", 91, "token-wise")
    lm_saes_2024(root, "lm-saes-2024-token-wise-raw-input", 92, "token-wise", subtract=False)
    lm_saes_2024(root, "lm-saes-2024-dataset-wise", 93, "dataset-wise", dataset_norm=6.25)
    lm_saes_2024(root, "lm-saes-2024-none", 94, "none")
    lm_saes_scope(root, "lm-saes-2024-jumprelu", 95)
    lm_saes_2025(root, "lm-saes-2025-relu", 101, "relu", "token-wise")
    lm_saes_2025(root, "lm-saes-2025-topk", 102, "topk", "dataset-wise")
    lm_saes_2025(root, "lm-saes-2025-batchtopk", 103, "batchtopk", "batch-wise", include_norm=False)
    lm_saes_2025(root, "lm-saes-2025-jumprelu", 104, "jumprelu", "dataset-wise")
    lm_saes_2025(root, "lm-saes-2025-inference", 105, "jumprelu", "inference", include_norm=False)


if __name__ == "__main__":
    main(__doc__.splitlines()[0], make)
