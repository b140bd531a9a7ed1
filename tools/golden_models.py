"""Makes the model part of `tests/golden/`: small random checkpoints and all their hooks.

    python golden_models.py            writes tests/golden/{neox,mamba}-*/
    python golden_models.py --check    compares instead

Each forward pass is computed twice in float64 from the weights as stored: by
transformers from the files written here, and by the plain functions `neox` and `mamba`
below, which name every intermediate result. They must agree to 1e-9. What the files
hold is told in `tests/golden/README.md`.

Shapes: B batch, T positions, D model width, H heads, d head width, V vocabulary,
E Mamba's inner width, N state, K conv taps, R rank of the time step.
"""

import json
import math
from dataclasses import dataclass, field

import numpy as np
import torch
from golden_common import assert_close, main, save_reference, write_json
from safetensors.torch import load_file, save_file
from torch.nn.functional import linear
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


@dataclass
class Tape:
    """Keeps every named result; `replace` maps a name to (value, positions or None)."""

    replace: dict = field(default_factory=dict)
    kept: dict = field(default_factory=dict)

    def __call__(self, name, x):
        if name in self.replace:
            value, positions = self.replace[name]
            if positions is None:
                assert value.shape == x.shape, name
                x = value
            else:
                x = x.index_copy(1, torch.tensor(positions), value)
        self.kept[name] = x
        return x


# --- GPT-NeoX -------------------------------------------------------------------------


def layer_norm(w, prefix, x, eps, tape, name):
    x = x - x.mean(-1, keepdim=True)
    scale = tape(f"{name}.hook_scale", (x.pow(2).mean(-1, keepdim=True) + eps).sqrt())
    x = tape(f"{name}.hook_normalized", x / scale)  # before weight and bias
    return x * w[f"{prefix}.weight"] + w[f"{prefix}.bias"]


def rotary(x, n_rotary, base):
    """x [B,T,H,d]: turns the pair (i, i + n_rotary/2) at position t by t·base^(-2i/n_rotary)."""
    half = n_rotary // 2
    frequency = base ** (-torch.arange(half, dtype=torch.float64) * 2 / n_rotary)
    angle = torch.arange(x.shape[1], dtype=torch.float64)[:, None] * frequency
    cos, sin = angle.cos()[None, :, None], angle.sin()[None, :, None]
    first, second, rest = x[..., :half], x[..., half:n_rotary], x[..., n_rotary:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin, rest], -1)


def attention(w, prefix, x, c, tape, name):
    batch, length, width = x.shape
    heads = c["num_attention_heads"]
    head = width // heads
    qkv = linear(x, w[f"{prefix}.query_key_value.weight"], w[f"{prefix}.query_key_value.bias"])
    q, k, v = qkv.view(batch, length, heads, 3, head).unbind(3)
    q, k, v = (tape(f"{name}.hook_{n}", t) for n, t in (("q", q), ("k", k), ("v", v)))
    n_rotary = int(head * c["rotary_pct"])
    q = tape(f"{name}.hook_rot_q", rotary(q, n_rotary, c["rotary_emb_base"]))
    k = tape(f"{name}.hook_rot_k", rotary(k, n_rotary, c["rotary_emb_base"]))
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(head)
    future = torch.ones(length, length, dtype=torch.bool).triu(1)
    scores = tape(f"{name}.hook_attn_scores", scores.masked_fill(future, -math.inf))
    weights = (scores - scores.amax(-1, keepdim=True)).exp()
    pattern = tape(f"{name}.hook_pattern", weights / weights.sum(-1, keepdim=True))
    z = tape(f"{name}.hook_z", torch.einsum("bhqk,bkhd->bqhd", pattern, v))
    return linear(z.reshape(batch, length, width), w[f"{prefix}.dense.weight"], w[f"{prefix}.dense.bias"])


def mlp(w, prefix, x, tape, name):
    pre = linear(x, w[f"{prefix}.dense_h_to_4h.weight"], w[f"{prefix}.dense_h_to_4h.bias"])
    pre = tape(f"{name}.hook_pre", pre)
    post = tape(f"{name}.hook_post", pre * 0.5 * (1 + torch.erf(pre / math.sqrt(2))))
    return linear(post, w[f"{prefix}.dense_4h_to_h.weight"], w[f"{prefix}.dense_4h_to_h.bias"])


def neox(w, c, tokens, tape):
    """GPT-NeoX, tokens [B,T] to logits [B,T,V]; hooks named and shaped as in TransformerLens."""
    eps = c["layer_norm_eps"]
    x = tape("hook_embed", w["gpt_neox.embed_in.weight"][tokens])
    for i in range(c["num_hidden_layers"]):
        p, b = f"gpt_neox.layers.{i}", f"blocks.{i}"
        x = tape(f"{b}.hook_resid_pre", x)
        normal = layer_norm(w, f"{p}.input_layernorm", x, eps, tape, f"{b}.ln1")
        attn = tape(f"{b}.hook_attn_out", attention(w, f"{p}.attention", normal, c, tape, f"{b}.attn"))
        middle = x if c["use_parallel_residual"] else tape(f"{b}.hook_resid_mid", x + attn)
        normal = layer_norm(w, f"{p}.post_attention_layernorm", middle, eps, tape, f"{b}.ln2")
        out = tape(f"{b}.hook_mlp_out", mlp(w, f"{p}.mlp", normal, tape, f"{b}.mlp"))
        x = tape(f"{b}.hook_resid_post", x + attn + out)
    x = layer_norm(w, "gpt_neox.final_layer_norm", x, eps, tape, "ln_final")
    return linear(x, w.get("embed_out.weight", w["gpt_neox.embed_in.weight"]))


def neox_seen(model, c, seen):
    """Has transformers' modules put what they receive and return into `seen`."""
    batch, length, heads = c["shape"][0], c["shape"][1], c["num_attention_heads"]
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

        def split(module, inputs, output, b=b):
            for name, part in zip("qkv", output.view(batch, length, heads, 3, -1).unbind(3)):
                seen.values[f"{b}.attn.hook_{name}"] = part

        layer.attention.query_key_value.register_forward_hook(split)
        layer.attention.register_forward_hook(
            lambda module, inputs, output, b=b: seen.values.update({f"{b}.attn.hook_pattern": output[1]})
        )
        for norm, name in ((layer.input_layernorm, "ln1"), (layer.post_attention_layernorm, "ln2")):
            seen.watch_normalized(norm, f"{b}.{name}.hook_normalized")
    seen.watch_normalized(model.gpt_neox.final_layer_norm, "ln_final.hook_normalized")


# --- Mamba ----------------------------------------------------------------------------


def rms_norm(x, weight, eps):
    return x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt() * weight


def silu(x):
    return x * torch.sigmoid(x)


def mixer(w, p, u, c, tape, b):
    """One selective state-space layer: u [B,T,D] to [B,T,D]."""
    batch, length, _ = u.shape
    inner, state = w[f"{p}.A_log"].shape
    rank = w[f"{p}.dt_proj.weight"].shape[1]
    x, gate = linear(u, w[f"{p}.in_proj.weight"], w.get(f"{p}.in_proj.bias")).split(inner, -1)
    x = tape(f"{b}.hook_in_proj", x)
    gate = tape(f"{b}.hook_skip", gate)

    taps = w[f"{p}.conv1d.weight"][:, 0]  # [E,K]: the last tap is the current token
    past = torch.cat([x.new_zeros(batch, taps.shape[1] - 1, inner), x], 1)
    conv = sum(past[:, k : k + length] * taps[:, k] for k in range(taps.shape[1]))
    x = tape(f"{b}.hook_conv", conv + w.get(f"{p}.conv1d.bias", 0))
    x = tape(f"{b}.hook_ssm_input", silu(x))

    delta, B, C = linear(x, w[f"{p}.x_proj.weight"]).split([rank, state, state], -1)
    delta = tape(f"{b}.hook_delta_1", delta)
    B = tape(f"{b}.hook_B", B)
    C = tape(f"{b}.hook_C", C)
    delta = tape(f"{b}.hook_delta_2", linear(delta, w[f"{p}.dt_proj.weight"], w[f"{p}.dt_proj.bias"]))
    delta = tape(f"{b}.hook_delta", torch.logaddexp(delta, torch.zeros_like(delta)))  # softplus
    A = tape(f"{b}.hook_A", -w[f"{p}.A_log"].exp())
    A_bar = tape(f"{b}.hook_A_bar", (delta[..., None] * A).exp())
    B_bar = tape(f"{b}.hook_B_bar", delta[..., None] * B[:, :, None])

    h = x.new_zeros(batch, inner, state)
    ys = []
    for t in range(length):
        h = tape(f"{b}.hook_h.{t}", A_bar[:, t] * h + B_bar[:, t] * x[:, t, :, None])
        ys.append((h * C[:, t, None]).sum(-1))
    y = tape(f"{b}.hook_y", torch.stack(ys, 1))
    y = tape(f"{b}.hook_ssm_output", y + w[f"{p}.D"] * x)
    y = tape(f"{b}.hook_after_skip", y * silu(gate))
    return tape(f"{b}.hook_out_proj", linear(y, w[f"{p}.out_proj.weight"], w.get(f"{p}.out_proj.bias")))


def mamba(w, c, tokens, tape):
    """Mamba, tokens [B,T] to logits [B,T,V]; hooks named and shaped as in MambaLens."""
    eps = c["layer_norm_epsilon"]
    embedding = w["backbone.embeddings.weight"]
    x = tape("hook_embed", embedding[tokens])
    for i in range(c["num_hidden_layers"]):
        p, b = f"backbone.layers.{i}", f"blocks.{i}"
        x = tape(f"{b}.hook_resid_pre", x)
        u = tape(f"{b}.hook_normalized_input", rms_norm(x, w[f"{p}.norm.weight"], eps))
        x = tape(f"{b}.hook_resid_post", x + mixer(w, f"{p}.mixer", u, c, tape, b))
    x = tape("hook_norm", rms_norm(x, w["backbone.norm_f.weight"], eps))
    return linear(x, w.get("lm_head.weight", embedding))


def mamba_seen(model, c, seen):
    """Has transformers' modules put what they receive and return into `seen`."""
    state = c["state_size"]
    seen.watch(model.backbone.embeddings, out="hook_embed")
    for i, layer in enumerate(model.backbone.layers):
        b, m = f"blocks.{i}", layer.mixer
        seen.watch(layer, into=f"{b}.hook_resid_pre", out=f"{b}.hook_resid_post")
        seen.watch(layer.norm, out=f"{b}.hook_normalized_input")
        seen.watch(m.x_proj, into=f"{b}.hook_ssm_input")
        seen.watch(m.out_proj, into=f"{b}.hook_after_skip", out=f"{b}.hook_out_proj")

        def split(module, inputs, output, names, sizes, b=b):
            for name, part in zip(names, output.split(sizes, -1)):
                seen.values[f"{b}.hook_{name}"] = part

        inner = m.intermediate_size
        m.in_proj.register_forward_hook(
            lambda *a, split=split: split(*a, ("in_proj", "skip"), [inner, inner])
        )
        m.x_proj.register_forward_hook(
            lambda *a, split=split: split(*a, ("delta_1", "B", "C"), [m.time_step_rank, state, state])
        )
    seen.watch(model.backbone.norm_f, out="hook_norm")


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

    def watch_normalized(self, norm, name):
        def see(module, inputs, output):
            self.values[name] = (output - norm.bias) / norm.weight

        norm.register_forward_hook(see)


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
        {"neox": neox_seen, "mamba": mamba_seen}[case.kind](model, case.facts | {"shape": tokens.shape}, seen)
        seen.values["logits"] = model(tokens, use_cache=False).logits
    worst = 0.0
    for name, theirs in (seen.values).items():
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
