"""The two architectures in plain torch, with the parameter names of Hugging Face checkpoints.

B batch, T time, D model width, H heads, V vocabulary; Mamba: E inner width, N states, K taps, R rank of Δ.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from . import scan

VOCABULARY = 2048
CONTEXT = 512  # positions the configs announce; see models/README.md for the length trained on

NEOX_CONFIG = {
    "architectures": ["GPTNeoXForCausalLM"],
    "model_type": "gpt_neox",
    "bos_token_id": 0,
    "eos_token_id": 0,
    "hidden_act": "gelu",
    "hidden_size": 128,
    "initializer_range": 0.02,
    "intermediate_size": 512,
    "layer_norm_eps": 1e-5,
    "max_position_embeddings": CONTEXT,
    "num_attention_heads": 4,
    "num_hidden_layers": 4,
    "rotary_emb_base": 10000,
    "rotary_pct": 0.25,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "use_cache": True,
    "use_parallel_residual": True,
    "vocab_size": VOCABULARY,
}

MAMBA_CONFIG = {
    "architectures": ["MambaForCausalLM"],
    "model_type": "mamba",
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
    "conv_kernel": 4,
    "expand": 2,
    "hidden_act": "silu",
    "hidden_size": 128,
    "initializer_range": 0.1,
    "intermediate_size": 256,
    "layer_norm_epsilon": 1e-5,
    "num_hidden_layers": 8,
    "rescale_prenorm_residual": False,
    "residual_in_fp32": True,
    "state_size": 32,
    "tie_word_embeddings": True,
    "time_step_floor": 1e-4,
    "time_step_init_scheme": "random",
    "time_step_max": 0.1,
    "time_step_min": 0.001,
    "time_step_rank": 8,
    "time_step_scale": 1.0,
    "torch_dtype": "float16",
    "use_bias": False,
    "use_cache": True,
    "use_conv_bias": True,
    "vocab_size": VOCABULARY,
}


# ---- GPT-NeoX ------------------------------------------------------------------------------


def rotary_tables(length, dims, base):
    """cos and sin [T, dims], the two halves alike."""
    frequency = base ** (-torch.arange(0, dims, 2).float() / dims)
    angle = torch.arange(length).float()[:, None] * frequency
    angle = torch.cat([angle, angle], -1)
    return angle.cos(), angle.sin()


def rotate(x, cos, sin):
    """Half-rotation of the first dimensions of x [B, H, T, head]."""
    dims = cos.shape[-1]
    turned, rest = x[..., :dims], x[..., dims:]
    low, high = turned.chunk(2, -1)
    turned = turned * cos + torch.cat([-high, low], -1) * sin
    return torch.cat([turned, rest], -1)


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        width = config["hidden_size"]
        self.heads = config["num_attention_heads"]
        self.head_dim = width // self.heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.dense = nn.Linear(width, width)

    def forward(self, x, cos, sin, patterns=None):
        """x [B, T, D] -> [B, T, D]; appends the pattern [B, H, T, T] to the list `patterns`."""
        b, t, d = x.shape
        qkv = self.query_key_value(x).view(b, t, self.heads, 3 * self.head_dim).transpose(1, 2)
        q, k, v = qkv.chunk(3, -1)
        q, k = rotate(q, cos, sin).to(v.dtype), rotate(k, cos, sin).to(v.dtype)
        z = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        if patterns is not None:
            scores = q @ k.transpose(-1, -2) / math.sqrt(self.head_dim)
            future = torch.ones(t, t, dtype=torch.bool, device=x.device).triu(1)
            patterns.append(scores.masked_fill(future, float("-inf")).softmax(-1))
        return self.dense(z.transpose(1, 2).reshape(b, t, d))


class Mlp(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.dense_h_to_4h = nn.Linear(config["hidden_size"], config["intermediate_size"])
        self.dense_4h_to_h = nn.Linear(config["intermediate_size"], config["hidden_size"])

    def forward(self, x):
        return self.dense_4h_to_h(F.gelu(self.dense_h_to_4h(x)))


class NeoxBlock(nn.Module):
    def __init__(self, config):
        super().__init__()
        width, eps = config["hidden_size"], config["layer_norm_eps"]
        self.input_layernorm = nn.LayerNorm(width, eps)
        self.post_attention_layernorm = nn.LayerNorm(width, eps)
        self.attention = Attention(config)
        self.mlp = Mlp(config)

    def forward(self, x, cos, sin, patterns):
        attended = self.attention(self.input_layernorm(x), cos, sin, patterns)
        return x + attended + self.mlp(self.post_attention_layernorm(x))


class NeoxTrunk(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.embed_in = nn.Embedding(config["vocab_size"], config["hidden_size"])
        self.layers = nn.ModuleList(NeoxBlock(config) for _ in range(config["num_hidden_layers"]))
        self.final_layer_norm = nn.LayerNorm(config["hidden_size"], config["layer_norm_eps"])


class Neox(nn.Module):
    """GPT-NeoX with parallel residuals."""

    def __init__(self, config=NEOX_CONFIG):
        super().__init__()
        self.config = config
        self.gpt_neox = NeoxTrunk(config)
        self.embed_out = nn.Linear(config["hidden_size"], config["vocab_size"], bias=False)
        dims = int(config["hidden_size"] // config["num_attention_heads"] * config["rotary_pct"])
        tables = rotary_tables(config["max_position_embeddings"], dims, config["rotary_emb_base"])
        self.register_buffer("cos", tables[0], persistent=False)
        self.register_buffer("sin", tables[1], persistent=False)
        self.apply(self.initialise)
        depth_scale = 1 / math.sqrt(2 * config["num_hidden_layers"])
        with torch.no_grad():
            for block in self.gpt_neox.layers:
                block.attention.dense.weight.mul_(depth_scale)
                block.mlp.dense_4h_to_h.weight.mul_(depth_scale)

    def initialise(self, module):
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=self.config["initializer_range"])
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def stream(self, ids, patterns=None):
        """ids [B, T] -> the residual stream before the final norm [B, T, D]."""
        t = ids.shape[1]
        cos, sin = self.cos[:t], self.sin[:t]
        x = self.gpt_neox.embed_in(ids)
        for block in self.gpt_neox.layers:
            x = block(x, cos, sin, patterns)
        return x

    def logits(self, x):
        """stream [..., D] -> logits [..., V]."""
        return self.embed_out(self.gpt_neox.final_layer_norm(x))

    def forward(self, ids, patterns=None):
        """ids [B, T] -> logits [B, T, V]."""
        return self.logits(self.stream(ids, patterns))


# ---- Mamba ---------------------------------------------------------------------------------


class RmsNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


class Mixer(nn.Module):
    def __init__(self, config):
        super().__init__()
        width, inner = config["hidden_size"], config["intermediate_size"]
        self.states, self.rank = config["state_size"], config["time_step_rank"]
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, config["conv_kernel"], groups=inner)
        self.x_proj = nn.Linear(inner, self.rank + 2 * self.states, bias=False)
        self.dt_proj = nn.Linear(self.rank, inner)
        # Mamba begins with A from 1 to N. Then a strong write (a large Δ) erases what was there, and pairs are forgotten
        # after some 16 tokens. From 1/200 to 1, repeats are learnt in about seven tenths of the tokens.
        self.A_log = nn.Parameter(torch.linspace(math.log(1 / 200), 0.0, self.states).repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_proj = nn.Linear(inner, width, bias=False)
        self.initialise(config)

    @torch.no_grad()
    def initialise(self, config):
        """Δ starts log-uniform in [time_step_min, time_step_max]; its bias is the inverse softplus of that."""
        bound = self.rank**-0.5
        nn.init.uniform_(self.dt_proj.weight, -bound, bound)
        low, high = math.log(config["time_step_min"]), math.log(config["time_step_max"])
        dt = torch.exp(torch.rand(config["intermediate_size"]) * (high - low) + low)
        dt = dt.clamp(min=config["time_step_floor"])
        self.dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))
        self.out_proj.weight.div_(math.sqrt(config["num_hidden_layers"]))

    def forward(self, x):
        """x [B, T, D] -> [B, T, D]."""
        x, gate = self.in_proj(x).float().chunk(2, -1)
        x = scan.causal_conv_silu(x, self.conv1d.weight[:, 0].t(), self.conv1d.bias)
        dt, b, c = self.x_proj(x).split([self.rank, self.states, self.states], -1)
        dt = F.softplus(self.dt_proj(dt).float())
        a = -torch.exp(self.A_log).t()
        y = scan.selective_scan(x, dt, a, b.float(), c.float(), self.D, gate)
        return self.out_proj(y)


class MambaBlock(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.norm = RmsNorm(config["hidden_size"], config["layer_norm_epsilon"])
        self.mixer = Mixer(config)

    def forward(self, x):
        return x + self.mixer(self.norm(x))


class MambaTrunk(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.embeddings = nn.Embedding(config["vocab_size"], config["hidden_size"])
        nn.init.normal_(self.embeddings.weight, std=0.02)
        self.layers = nn.ModuleList(MambaBlock(config) for _ in range(config["num_hidden_layers"]))
        self.norm_f = RmsNorm(config["hidden_size"], config["layer_norm_epsilon"])


class Mamba(nn.Module):
    """Mamba-1 with a tied head."""

    def __init__(self, config=MAMBA_CONFIG):
        super().__init__()
        self.config = config
        self.backbone = MambaTrunk(config)

    def stream(self, ids):
        """ids [B, T] -> the residual stream before the final norm [B, T, D]."""
        x = self.backbone.embeddings(ids)
        for block in self.backbone.layers:
            x = block(x)
        return x

    def logits(self, x):
        """stream [..., D] -> logits [..., V]."""
        return F.linear(self.backbone.norm_f(x), self.backbone.embeddings.weight)

    def forward(self, ids):
        """ids [B, T] -> logits [B, T, V]."""
        return self.logits(self.stream(ids))


MODELS = {"tiny-neox": Neox, "tiny-mamba": Mamba}
