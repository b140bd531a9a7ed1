"""GPT-NeoX and Mamba in plain float64, with every intermediate result named.

Weights are a dict by the names of published checkpoints, `c` holds the config's facts,
and a `Tape` keeps and replaces results by their hook names: TransformerLens' names for
GPT-NeoX (a model loaded without processing), MambaLens' names for Mamba.

Shapes: B batch, T positions, D model width, H heads, d head width, V vocabulary,
E Mamba's inner width, N state, K conv taps, R rank of the time step.
"""

import math
from dataclasses import dataclass, field

import torch
from torch.nn.functional import linear


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


# --- Mamba ----------------------------------------------------------------------------


def rms_norm(x, weight, eps):
    return x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt() * weight


def silu(x):
    return x * torch.sigmoid(x)


def mixer(w, p, u, tape, b):
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
        x = tape(f"{b}.hook_resid_post", x + mixer(w, f"{p}.mixer", u, tape, b))
    x = tape("hook_norm", rms_norm(x, w["backbone.norm_f.weight"], eps))
    return linear(x, w.get("lm_head.weight", embedding))
