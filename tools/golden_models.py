"""Makes the model part of `tests/golden/`: small random checkpoints and all their hooks.

    python golden_models.py            writes tests/golden/{neox,mamba}-*/
    python golden_models.py --check    compares instead

Each forward pass is computed twice in float64 from the weights as stored: by
transformers from the files written here, and by the plain functions of
`golden_forward.py`, which name every intermediate result. They must agree to 1e-9.
What the files hold is told in `tests/golden/README.md`.
"""

import json
import math
from dataclasses import dataclass

import numpy as np
import torch
from golden_common import assert_close, main, save_reference, write_json
from golden_forward import Tape, mamba, neox
from safetensors.torch import load_file, save_file
from torch.overrides import TorchFunctionMode
from transformers import AutoModelForCausalLM, GPTNeoXConfig, MambaConfig, MambaForCausalLM
from transformers.utils import logging

# Both ways are float64 on values of order one through a few layers: about 1e-15 a step.
AGREEMENT = 1e-9
# transformers as everybody runs it, in f32 throughout.
F32_AGREEMENT = 1e-4


class KeepFloat64(TorchFunctionMode):
    """Lets a float64 model stay in float64: transformers computes norms, rotary angles,
    softmax and A in float32 whatever the model's type is."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        def keep(value):
            return torch.float64 if value is torch.float32 else value

        if function is torch.Tensor.float:
            function = torch.Tensor.double
        return function(*map(keep, args), **{k: keep(v) for k, v in (kwargs or {}).items()})


# --- Comparing with transformers --------------------------------------------------------


class Seen:
    """What passed through transformers' modules, under our hook names."""

    def __init__(self):
        self.values = {}

    def watch(self, module, into=None, out=None):
        def see(module, inputs, output):
            if into:
                self.values[into] = inputs[0]
            if out:
                self.values[out] = output

        module.register_forward_hook(see)

    def watch_parts(self, module, names, cut):
        """`cut` makes one part of the module's output for each name."""

        def see(module, inputs, output):
            self.values.update(zip(names, cut(output)))

        module.register_forward_hook(see)

    def watch_normalized(self, norm, name):
        """The result of a layer norm before its weight and bias."""
        self.watch_parts(norm, [name], lambda output: [(output - norm.bias) / norm.weight])


def neox_seen(model, c, seen):
    """Has transformers' modules put what they receive and return into `seen`."""
    heads = c["num_attention_heads"]

    def per_head(qkv):
        return qkv.view(*qkv.shape[:2], heads, 3, -1).unbind(3)

    seen.watch(model.gpt_neox.embed_in, out="hook_embed")
    for i, layer in enumerate(model.gpt_neox.layers):
        b = f"blocks.{i}"
        seen.watch(layer, into=f"{b}.hook_resid_pre", out=f"{b}.hook_resid_post")
        seen.watch(layer.attention.dense, into=f"{b}.attn.hook_z", out=f"{b}.hook_attn_out")
        seen.watch(layer.mlp.dense_h_to_4h, out=f"{b}.mlp.hook_pre")
        seen.watch(layer.mlp, out=f"{b}.hook_mlp_out")
        seen.watch(layer.mlp.dense_4h_to_h, into=f"{b}.mlp.hook_post")
        if not c["use_parallel_residual"]:
            seen.watch(layer.post_attention_layernorm, into=f"{b}.hook_resid_mid")

        names = [f"{b}.attn.hook_{n}" for n in "qkv"]
        seen.watch_parts(layer.attention.query_key_value, names, per_head)
        seen.watch_parts(layer.attention, [f"{b}.attn.hook_pattern"], lambda output: [output[1]])
        for norm, name in ((layer.input_layernorm, "ln1"), (layer.post_attention_layernorm, "ln2")):
            seen.watch_normalized(norm, f"{b}.{name}.hook_normalized")
    seen.watch_normalized(model.gpt_neox.final_layer_norm, "ln_final.hook_normalized")


def mamba_seen(model, c, seen):
    """Has transformers' modules put what they receive and return into `seen`."""
    sizes = [c["time_step_rank"], c["state_size"], c["state_size"]]
    seen.watch(model.backbone.embeddings, out="hook_embed")
    for i, layer in enumerate(model.backbone.layers):
        b, m = f"blocks.{i}", layer.mixer
        seen.watch(layer, into=f"{b}.hook_resid_pre", out=f"{b}.hook_resid_post")
        seen.watch(layer.norm, out=f"{b}.hook_normalized_input")
        seen.watch(m.x_proj, into=f"{b}.hook_ssm_input")
        seen.watch(m.out_proj, into=f"{b}.hook_after_skip", out=f"{b}.hook_out_proj")
        halves = [f"{b}.hook_in_proj", f"{b}.hook_skip"]
        seen.watch_parts(m.in_proj, halves, lambda output: output.chunk(2, -1))
        parts = [f"{b}.hook_delta_1", f"{b}.hook_B", f"{b}.hook_C"]
        seen.watch_parts(m.x_proj, parts, lambda output: output.split(sizes, -1))
    seen.watch(model.backbone.norm_f, out="hook_norm")


def load(case, folder, dtype):
    """The model as transformers reads it from the files (the original Mamba layout: renamed first)."""
    if case.config.get("model_type"):
        model, info = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, attn_implementation="eager", output_loading_info=True
        )
        assert not info["missing_keys"] and not info["mismatched_keys"], info
    else:
        config = MambaConfig(**{k: case.facts[k] for k in MAMBA_SSM_AS_HF})
        model = MambaForCausalLM(config).to(dtype)
        weights = {as_hf(name): tensor for name, tensor in load_file(folder / "model.safetensors").items()}
        model.load_state_dict(weights | {"lm_head.weight": weights["backbone.embeddings.weight"]})
    return model.eval()


def as_hf(name):
    return name.replace("backbone.embedding.weight", "backbone.embeddings.weight")


def load_exact(case, folder):
    """The model in float64, its rotary frequencies too."""
    model = load(case, folder, torch.float64)
    if case.kind == "neox":
        emb = model.gpt_neox.rotary_emb
        emb.inv_freq = emb.compute_default_rope_parameters(model.config)[0]
        assert emb.inv_freq.dtype == torch.float64
    return model


def reference(case, folder, weights, tokens):
    """All hooks and logits of the clean run, checked against transformers."""
    tape = Tape()
    forward = {"neox": neox, "mamba": mamba}[case.kind]
    logits = forward(weights, case.facts, tokens, tape)
    seen = Seen()
    with KeepFloat64():
        model = load_exact(case, folder)
        {"neox": neox_seen, "mamba": mamba_seen}[case.kind](model, case.facts, seen)
        seen.values["logits"] = model(tokens, use_cache=False).logits
    worst = 0.0
    for name, theirs in seen.values.items():
        ours = logits if name == "logits" else tape.kept[name]
        assert theirs.dtype == torch.float64, name
        worst = max(worst, assert_close(name, ours, theirs.view(ours.shape), AGREEMENT))
    plain = load(case, folder, torch.float32)(tokens, use_cache=False).logits
    usual = assert_close("logits in f32", plain, logits, F32_AGREEMENT)
    print(f"{case.name}: {len(seen.values)} of {len(tape.kept) + 1} results seen in transformers, "
          f"worst {worst:.1e} in float64; its f32 logits {usual:.1e} away")
    return tape.kept, logits


# --- Cases ------------------------------------------------------------------------------


@dataclass
class Case:
    """A checkpoint: `config` as its file says it, `facts` the same in one vocabulary of keys."""

    name: str
    kind: str
    seed: int
    config: dict
    facts: dict
    dtype: torch.dtype
    shape: tuple
    shards: int = 1
    real_vocab: int = 0
    extra: bool = False


NEOX_PARALLEL = {
    "architectures": ["GPTNeoXForCausalLM"],
    "bos_token_id": 0,
    "eos_token_id": 0,
    "hidden_act": "gelu",
    "hidden_size": 30,
    "initializer_range": 0.02,
    "intermediate_size": 52,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 32,
    "model_type": "gpt_neox",
    "num_attention_heads": 3,
    "num_hidden_layers": 3,
    "rotary_emb_base": 10000,
    "rotary_pct": 0.4,
    "tie_word_embeddings": False,
    "torch_dtype": "float32",
    "transformers_version": "4.24.0",
    "use_cache": True,
    "use_parallel_residual": True,
    "vocab_size": 61,
}
NEOX_SEQUENTIAL = json.loads(
    GPTNeoXConfig(
        architectures=["GPTNeoXForCausalLM"],
        dtype="bfloat16",
        hidden_size=28,
        intermediate_size=68,
        layer_norm_eps=3e-4,
        max_position_embeddings=48,
        num_attention_heads=2,
        num_hidden_layers=2,
        rope_parameters={"rope_type": "default", "rope_theta": 700.0, "partial_rotary_factor": 1.0},
        tie_word_embeddings=True,
        use_parallel_residual=False,
        vocab_size=47,
        bos_token_id=0,
        eos_token_id=0,
    ).to_json_string()
)
MAMBA_HF = {
    "architectures": ["MambaForCausalLM"],
    "bos_token_id": 0,
    "conv_kernel": 4,
    "d_inner": 52,
    "d_model": 26,
    "eos_token_id": 0,
    "expand": 2,
    "fused_add_norm": True,
    "hidden_act": "silu",
    "hidden_size": 26,
    "initializer_range": 0.1,
    "intermediate_size": 52,
    "layer_norm_epsilon": 2e-3,
    "model_type": "mamba",
    "n_layer": 3,
    "num_hidden_layers": 3,
    "pad_token_id": 0,
    "pad_vocab_size_multiple": 8,
    "rescale_prenorm_residual": False,
    "residual_in_fp32": True,
    "rms_norm": True,
    "ssm_cfg": {},
    "state_size": 5,
    "tie_word_embeddings": False,
    "time_step_floor": 0.0001,
    "time_step_init_scheme": "random",
    "time_step_max": 0.1,
    "time_step_min": 0.001,
    "time_step_rank": 3,
    "time_step_scale": 1.0,
    "torch_dtype": "float32",
    "transformers_version": "4.39.0.dev0",
    "use_bias": True,
    "use_cache": True,
    "use_conv_bias": True,
    "vocab_size": 59,
}
MAMBA_SSM = {
    "d_model": 18,
    "n_layer": 2,
    "vocab_size": 53,
    "ssm_cfg": {},
    "rms_norm": True,
    "residual_in_fp32": True,
    "fused_add_norm": True,
    "pad_vocab_size_multiple": 8,
}
# What the original layout leaves to its code's defaults.
MAMBA_SSM_AS_HF = {
    "hidden_size": 18,
    "num_hidden_layers": 2,
    "vocab_size": 56,
    "state_size": 16,
    "conv_kernel": 4,
    "expand": 2,
    "time_step_rank": 2,
    "use_bias": False,
    "use_conv_bias": True,
    "layer_norm_epsilon": 1e-5,
    "tie_word_embeddings": True,
}

CASES = [
    Case("neox-parallel", "neox", 11, NEOX_PARALLEL, NEOX_PARALLEL, torch.float32, (2, 13), extra=True),
    Case(
        "neox-sequential", "neox", 12, NEOX_SEQUENTIAL,
        NEOX_SEQUENTIAL | {"rotary_pct": 1.0, "rotary_emb_base": 700.0},
        torch.bfloat16, (2, 11), shards=3,
    ),
    Case("mamba-hf", "mamba", 13, MAMBA_HF, MAMBA_HF, torch.float32, (2, 13)),
    Case("mamba-ssm", "mamba", 14, MAMBA_SSM, MAMBA_SSM_AS_HF, torch.float16, (2, 9), real_vocab=53),
]


def parameter_shapes(case):
    """Names and shapes as published checkpoints have them."""
    f = case.facts
    d, v = f["hidden_size"], f["vocab_size"]
    shapes = {}
    if case.kind == "neox":
        inner = f["intermediate_size"]
        shapes["gpt_neox.embed_in.weight"] = (v, d)
        for i in range(f["num_hidden_layers"]):
            p = f"gpt_neox.layers.{i}"
            for norm in ("input_layernorm", "post_attention_layernorm"):
                shapes |= {f"{p}.{norm}.weight": (d,), f"{p}.{norm}.bias": (d,)}
            for name, rows, columns in (
                ("attention.query_key_value", 3 * d, d), ("attention.dense", d, d),
                ("mlp.dense_h_to_4h", inner, d), ("mlp.dense_4h_to_h", d, inner),
            ):
                shapes |= {f"{p}.{name}.weight": (rows, columns), f"{p}.{name}.bias": (rows,)}
        shapes |= {"gpt_neox.final_layer_norm.weight": (d,), "gpt_neox.final_layer_norm.bias": (d,)}
        if not f["tie_word_embeddings"]:
            shapes["embed_out.weight"] = (v, d)
        return shapes
    inner, state, rank = f["expand"] * d, f["state_size"], f["time_step_rank"]
    shapes["backbone.embeddings.weight" if case.config.get("model_type") else "backbone.embedding.weight"] = (v, d)
    for i in range(f["num_hidden_layers"]):
        p = f"backbone.layers.{i}"
        shapes |= {
            f"{p}.norm.weight": (d,),
            f"{p}.mixer.A_log": (inner, state),
            f"{p}.mixer.D": (inner,),
            f"{p}.mixer.in_proj.weight": (2 * inner, d),
            f"{p}.mixer.conv1d.weight": (inner, 1, f["conv_kernel"]),
            f"{p}.mixer.conv1d.bias": (inner,),
            f"{p}.mixer.x_proj.weight": (rank + 2 * state, inner),
            f"{p}.mixer.dt_proj.weight": (inner, rank),
            f"{p}.mixer.dt_proj.bias": (inner,),
            f"{p}.mixer.out_proj.weight": (d, inner),
        }
        if f["use_bias"]:
            shapes |= {f"{p}.mixer.in_proj.bias": (2 * inner,), f"{p}.mixer.out_proj.bias": (d,)}
    shapes["backbone.norm_f.weight"] = (d,)
    if not f["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (v, d)
    return shapes


def random_parameter(name, shape, rng):
    """Values that keep activations of order one and bend every nonlinearity."""
    normal = rng.standard_normal(shape)
    if name.endswith("A_log"):
        return np.log(rng.uniform(0.3, 4.0, shape))
    if name.endswith(".D"):
        return 1 + 0.5 * normal
    if name.endswith("dt_proj.bias"):
        return -1 + 0.7 * normal
    if name.endswith(".bias"):
        return 0.3 * normal
    if "norm" in name:
        return 1 + 0.3 * normal
    if "embed_in" in name or "backbone.embedding" in name:
        return normal
    if "conv1d" in name:
        return 0.6 * normal
    gain = 1.6 if "query_key_value" in name else 1.0
    return gain * normal / math.sqrt(shape[-1])


def write_weights(case, folder, weights):
    """Writes one safetensors file, or shards and their index."""
    if case.shards == 1:
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        return
    total = sum(t.nbytes for t in weights.values())
    parts, done = [{} for _ in range(case.shards)], 0
    for name, tensor in weights.items():
        parts[min(case.shards - 1, done * case.shards // total)][name] = tensor
        done += tensor.nbytes
    index = {"metadata": {"total_size": total}, "weight_map": {}}
    for i, part in enumerate(parts):
        file = f"model-{i + 1:05}-of-{case.shards:05}.safetensors"
        save_file(part, folder / file, metadata={"format": "pt"})
        index["weight_map"] |= dict.fromkeys(part, file)
    write_json(folder / "model.safetensors.index.json", index)


def ignored_tensors(config):
    """Buffers that older NeoX checkpoints carry and that mean nothing: their values are wrong on purpose."""
    size = config["max_position_embeddings"]
    zeros = torch.zeros(1, 1, size, size, dtype=torch.bool)
    return {
        "gpt_neox.layers.0.attention.bias": zeros,
        "gpt_neox.layers.0.attention.masked_bias": torch.tensor(7.0),
        "gpt_neox.layers.0.attention.rotary_emb.inv_freq": torch.full((2,), 9.0),
        "gpt_neox.layers.1.attention.bias": zeros.to(torch.uint8),
        "gpt_neox.layers.1.attention.masked_bias": torch.tensor(-1e9),
    }


# --- Interventions ------------------------------------------------------------------------


def patches(case, kept, rng):
    """(file part, hook, value, positions or None, hooks to keep besides the logits)."""

    def like(name, count=None):
        shape = list(kept[name].shape)
        if count is not None:
            shape[1] = count
        return torch.from_numpy(rng.standard_normal(shape))

    if case.name == "neox-parallel":
        z, pattern, post = "blocks.1.attn.hook_z", "blocks.0.attn.hook_pattern", "blocks.0.mlp.hook_post"
        yield "z", z, like(z, 1), [5], ["blocks.1.hook_resid_post", "blocks.2.hook_resid_post"]
        weights = torch.from_numpy(rng.uniform(0, 1, kept[pattern].shape)).tril()
        yield "pattern", pattern, weights, None, ["blocks.0.attn.hook_z", "blocks.2.hook_resid_post"]
        yield "mlp-post", post, like(post, 2), [2, 9], ["blocks.0.hook_mlp_out", "blocks.2.hook_resid_post"]
    if case.name == "mamba-hf":
        last = "blocks.2.hook_resid_post"
        h, conv, skip, A_bar = (
            "blocks.1.hook_h.6", "blocks.0.hook_conv", "blocks.2.hook_skip", "blocks.1.hook_A_bar"
        )
        yield "h", h, like(h), None, ["blocks.1.hook_y", "blocks.1.hook_h.12", last]
        yield "conv", conv, like(conv, 1), [4], ["blocks.0.hook_delta", "blocks.0.hook_resid_post", last]
        decay = torch.from_numpy(rng.uniform(0, 1, (case.shape[0], 1, *kept[A_bar].shape[2:])))
        yield "A-bar", A_bar, decay, [7], ["blocks.1.hook_h.7", "blocks.1.hook_y", last]
        yield "skip", skip, like(skip), None, ["blocks.2.hook_after_skip", last]


def check_with_transformers(case, folder, tokens, replaced, logits):
    """Two of the interventions sit on a module of transformers: make them there too."""
    hook, value, positions = replaced
    with KeepFloat64():
        model = load_exact(case, folder)
        if hook == "blocks.1.attn.hook_z":

            def swap(module, inputs):
                return inputs[0].index_copy(1, torch.tensor(positions), value.flatten(2))

            model.gpt_neox.layers[1].attention.dense.register_forward_pre_hook(swap)
        elif hook == "blocks.2.hook_skip":

            def swap(module, inputs, output):
                return torch.cat([output[..., : value.shape[-1]], value], -1)

            model.backbone.layers[2].mixer.in_proj.register_forward_hook(swap)
        else:
            return
        assert_close(f"{hook} replaced", logits, model(tokens, use_cache=False).logits, AGREEMENT)


def write_patches(case, folder, weights, tokens, clean):
    rng = np.random.default_rng(case.seed + 100)
    forward = {"neox": neox, "mamba": mamba}[case.kind]
    for part, hook, value, positions, keep in patches(case, clean, rng):
        value = value.float().double()  # what the file will hold
        tape = Tape(replace={hook: (value, positions)})
        logits = forward(weights, case.facts, tokens, tape)
        check_with_transformers(case, folder, tokens, (hook, value, positions), logits)
        result = {f"value.{hook}": value, "logits": logits} | {name: tape.kept[name] for name in keep}
        if positions is not None:
            result["positions"] = torch.tensor(positions)
        save_reference(folder / f"patched-{part}.safetensors", result)


def make(root):
    for case in CASES:
        rng = np.random.default_rng(case.seed)
        folder = root / case.name
        folder.mkdir()
        stored = {
            name: torch.from_numpy(random_parameter(name, shape, rng)).to(case.dtype)
            for name, shape in parameter_shapes(case).items()
        }
        write_json(folder / "config.json", case.config)
        write_weights(case, folder, stored | (ignored_tensors(case.config) if case.extra else {}))
        tokens = torch.from_numpy(rng.integers(0, case.real_vocab or case.facts["vocab_size"], case.shape))
        weights = {as_hf(name): tensor.double() for name, tensor in stored.items()}
        kept, logits = reference(case, folder, weights, tokens)
        save_reference(folder / "reference.safetensors", kept | {"tokens": tokens, "logits": logits})
        write_patches(case, folder, weights, tokens, kept)


if __name__ == "__main__":
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    main(__doc__.splitlines()[0], make)
