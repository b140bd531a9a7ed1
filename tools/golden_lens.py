"""Compares the model part of `tests/golden/` with TransformerLens and MambaLens.

    python golden_lens.py

Every stored hook and intervention must exist there under the same name, with the same
shape and value; nothing is written. Needs transformer-lens and mamba-lens (install the
latter with `--no-deps`: its pins are old).
"""

import sys

import golden_models
import torch
import transformer_lens.pretrained.weight_conversions as conversions
from golden_common import GOLDEN
from mamba_lens import HookedMamba, convert_original_state_dict_to_hooked_state_dict
from mamba_lens.HookedMamba import MambaCfg
from safetensors.torch import load_file
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformers.utils import logging

# The files hold f32 of float64 results: half a unit in the last place is 6e-8.
TOLERANCE = 1e-7


def hooked_transformer(case, folder):
    f = case.facts
    head = f["hidden_size"] // f["num_attention_heads"]
    config = HookedTransformerConfig(
        n_layers=f["num_hidden_layers"], d_model=f["hidden_size"], d_head=head, n_heads=f["num_attention_heads"],
        d_mlp=f["intermediate_size"], d_vocab=f["vocab_size"], n_ctx=f["max_position_embeddings"],
        act_fn="gelu", eps=f["layer_norm_eps"], normalization_type="LN",
        positional_embedding_type="rotary", rotary_dim=int(f["rotary_pct"] * head),
        rotary_base=f["rotary_emb_base"], rotary_adjacent_pairs=False,
        parallel_attn_mlp=f["use_parallel_residual"], dtype=torch.float64, device="cpu",
    )
    theirs = golden_models.load(case, folder, torch.float64)
    theirs.embed_out = theirs.lm_head  # the name the conversion still expects
    model = HookedTransformer(config)
    model.load_state_dict(conversions.convert_neox_weights(theirs, config), strict=False)
    return model


def hooked_mamba(case, folder):
    f = case.facts
    weights = {
        name.replace("embeddings.weight", "embedding.weight"): tensor.double()
        for name, tensor in load_file(folder / "model.safetensors").items()
    }
    weights.setdefault("lm_head.weight", weights["backbone.embedding.weight"])
    biases = {n: weights.pop(n) for n in list(weights) if n.endswith(("in_proj.bias", "out_proj.bias"))}
    config = MambaCfg(
        d_model=f["hidden_size"], n_layers=f["num_hidden_layers"], vocab_size=f["vocab_size"],
        d_state=f["state_size"], d_conv=f["conv_kernel"], expand=f["expand"], dt_rank=f["time_step_rank"],
        pad_vocab_size_multiple=1, device="cpu",
    )
    model = HookedMamba(cfg=config, tokenizer=None, initialize_params=False)
    model.load_state_dict(convert_original_state_dict_to_hooked_state_dict(config, weights))
    model = model.double()
    for module in model.modules():
        if type(module).__name__ == "RMSNorm":
            module.eps = f["layer_norm_epsilon"]
    if biases:  # MambaLens has no place for them, but its layers are torch's
        for i, block in enumerate(model.blocks):
            mixer = f"backbone.layers.{i}.mixer"
            x, gate = biases[f"{mixer}.in_proj.bias"].chunk(2)
            block.in_proj.bias, block.skip_proj.bias = torch.nn.Parameter(x), torch.nn.Parameter(gate)
            block.out_proj.bias = torch.nn.Parameter(biases[f"{mixer}.out_proj.bias"])
    return model


def error(name, theirs, stored):
    """Their difference as a fraction of the largest stored value."""
    assert theirs.shape == stored.shape, f"{name}: shape {tuple(theirs.shape)} against {tuple(stored.shape)}"
    finite = torch.isfinite(stored)
    assert torch.equal(finite, torch.isfinite(theirs)), f"{name}: masked elsewhere"
    return ((theirs - stored)[finite].abs().max() / stored[finite].abs().max()).item()


def compare(case):
    folder = GOLDEN / case.name
    model = {"neox": hooked_transformer, "mamba": hooked_mamba}[case.kind](case, folder)
    stored = load_file(folder / "reference.safetensors")
    tokens = stored.pop("tokens").long()
    torch.set_default_dtype(torch.float64)  # MambaLens makes its first state in the default type
    logits, cache = model.run_with_cache(tokens)
    errors = [error("logits", logits, stored.pop("logits"))]
    errors += [error(name, cache[name], value) for name, value in stored.items()]
    for path in sorted(folder.glob("patched-*.safetensors")):
        patch = load_file(path)
        [hook] = [name.removeprefix("value.") for name in patch if name.startswith("value.")]
        value = patch[f"value.{hook}"].double()

        def replace(x, hook):
            return x.index_copy(1, patch["positions"].long(), value) if "positions" in patch else value

        patched = model.run_with_hooks(tokens, fwd_hooks=[(hook, replace)])
        errors.append(error(f"{path.name}: logits", patched, patch["logits"]))
    torch.set_default_dtype(torch.float32)
    print(f"{case.name}: {len(errors)} results agree to {max(errors):.1e}")
    return max(errors)


if __name__ == "__main__":
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    with torch.no_grad():
        if max([compare(case) for case in golden_models.CASES]) > TOLERANCE:
            sys.exit("error: tests/golden/ is not what TransformerLens and MambaLens compute")
