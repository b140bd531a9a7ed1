"""Makes `tests/golden/circuits-{neox,mamba}.safetensors`: circuits patched in two of the golden models.

    python golden_circuits.py            writes tests/golden/circuits-{neox,mamba}.safetensors
    python golden_circuits.py --check    compares instead

The models are those that golden_models.py made, run in float64 by the plain functions of
`golden_forward.py`. Every result is computed here from its definition. "Logits" are always
those of the last position.

Shapes: N prompts, T positions, L layers, V vocabulary; D, H, d, E, S, K as D, H, d, E, N, K
in `golden_forward.py`.
"""

import json
from dataclasses import dataclass, field

import torch
from golden_common import GOLDEN, assert_close, main, save_reference
from golden_forward import Tape, layer_norm, mamba, neox, rms_norm
from safetensors.torch import load_file

N, T = 3, 12
LAST = T - 1
BLOCK = T // 2  # of the repeated prompts
RECEIVER = (2, 1)  # layer and head
WRITE_LAYER, WRITES = 1, 5

# Float64 on values of order one: what must agree does so far better than this.
EXACT = 1e-12
SUM = 1e-9


# --- Prompts ----------------------------------------------------------------------------


def at(x, positions):
    """x [N,T,..] at one position of each prompt: [N,..]; `positions` is [N], or one for all."""
    return x[torch.arange(N), positions]


def put(x, positions, value):
    """x [N,T,..] with `value` [N,..] at one position of each prompt."""
    x = x.clone()
    x[torch.arange(N), positions] = value
    return x


def distinct(count, vocab, generator):
    """[N,count] ids from 1..vocab-1, none twice in a row."""
    return torch.stack([1 + torch.randperm(vocab - 1, generator=generator)[:count] for _ in range(N)])


def induction(a, vocab, generator):
    """Prompts [N,T] where A stands at a and T-1, B at a+1, and no other token twice; and three more
    tokens [N,3] that are not in the prompt."""
    tokens = distinct(T + 3, vocab, generator)
    return put(tokens[:, :T], LAST, at(tokens, a)), tokens[:, T:]


def make_prompts(vocab, generator):
    a = 1 + torch.randperm(4, generator=generator)[:N]
    clean, spare = induction(a, vocab, generator)
    b_changed = put(clean, a + 1, spare[:, 0])
    prompts = {
        "clean": clean,
        "a": a,
        "b_token": at(clean, a + 1),
        "unrelated": torch.randint(1, vocab, (N, T), generator=generator),
        "b_changed": b_changed,
        "other_token": spare[:, 0],
        "ab_changed": put(b_changed, a, spare[:, 1]),
        "last_changed": put(clean, LAST, spare[:, 2]),
        "repeated": distinct(BLOCK, vocab, generator).repeat(1, 2),
    }
    for n in range(N):
        a_token, b_token = clean[n, a[n]], prompts["b_token"][n]
        assert (clean[n] == a_token).nonzero().flatten().tolist() == [a[n], LAST]
        assert (clean[n] == b_token).nonzero().flatten().tolist() == [a[n] + 1]
    changed = {"b_changed": 1, "ab_changed": 2, "last_changed": 1}
    for name, count in changed.items():
        assert ((prompts[name] != clean).sum(1) == count).all(), name
    return prompts


# --- Running ----------------------------------------------------------------------------


@dataclass
class EditTape(Tape):
    """A Tape whose `edits` map a name to a function of the value computed."""

    edits: dict = field(default_factory=dict)

    def __call__(self, name, x):
        if name in self.edits:
            x = self.edits[name](x)
        return super().__call__(name, x)


def whole(value):
    """The edit that replaces all of a value."""
    return lambda x: value


def one(positions, value):
    """The edit that replaces one position of each prompt."""
    return lambda x: put(x, positions, value)


@dataclass
class Model:
    forward: object
    w: dict
    c: dict
    clean_tokens: torch.Tensor = None  # what `logits` runs

    def __call__(self, tokens, edits=None):
        """The last position's logits [N,V], and every named result."""
        tape = EditTape(edits=edits or {})
        logits = self.forward(self.w, self.c, tokens, tape)
        assert not edits or edits.keys() <= tape.kept.keys()
        return logits[:, LAST], tape.kept

    def logits(self, edits):
        """The last position's, of the clean prompts."""
        return self(self.clean_tokens, edits)[0]


def load(name, forward):
    folder = GOLDEN / name
    weights = {k: v.double() for k, v in load_file(folder / "model.safetensors").items()}
    return Model(forward, weights, json.loads((folder / "config.json").read_text()))


def resid(kept, layers):
    """The residual stream before each block and after the last, at the last position: [L+1,N,D]."""
    names = [f"blocks.{i}.hook_resid_pre" for i in range(layers)] + [f"blocks.{layers - 1}.hook_resid_post"]
    return torch.stack([kept[name][:, LAST] for name in names])


def attention_scores(pattern):
    """Prefix matching, previous token and duplicate token [3,M] of patterns [M,N,T,T] on repeated prompts."""
    second, later = range(BLOCK, T), range(1, T)
    prefix = torch.stack([pattern[:, :, t, t - BLOCK + 1] for t in second]).mean((0, 2))
    previous = torch.stack([pattern[:, :, t, t - 1] for t in later]).mean((0, 2))
    duplicate = torch.stack([pattern[:, :, t, t - BLOCK] for t in second]).mean((0, 2))
    return torch.stack([prefix, previous, duplicate])


# --- GPT-NeoX ---------------------------------------------------------------------------


def z_name(layer):
    return f"blocks.{layer}.attn.hook_z"


def with_head(clean, other, layer, head, position, layers):
    """Edits that freeze z of all heads of `layers` at `position`, one head's to what it is in `other`."""
    edits = {}
    for i in layers:
        z = at(clean[z_name(i)], position).clone()  # [N,H,d]
        if i == layer:
            z[:, head] = at(other[z_name(i)], position)[:, head]
        edits[z_name(i)] = one(position, z)
    return edits


def head_to_logit(model, clean, other):
    layers, heads = model.c["num_hidden_layers"], model.c["num_attention_heads"]
    return torch.stack([
        torch.stack([model.logits(with_head(clean, other, i, h, LAST, range(layers))) for h in range(heads)])
        for i in range(layers)
    ])


def head_to_head_to_logit(model, clean, other, a):
    layer, head = RECEIVER

    def through(sender_layer, sender_head):
        edits = with_head(clean, other, sender_layer, sender_head, a + 1, range(layer))
        _, first = model(model.clean_tokens, edits)

        def receive(z):
            z = z.clone()
            z[:, LAST, head] = first[z_name(layer)][:, LAST, head]
            return z

        return model.logits({z_name(layer): receive})

    heads = range(model.c["num_attention_heads"])
    return torch.stack([torch.stack([through(i, h) for h in heads]) for i in range(layer)])


def neox_unembed(model, x):
    """Final layer norm and unembedding of a residual stream [..,D]."""
    norm = layer_norm(model.w, "gpt_neox.final_layer_norm", x, model.c["layer_norm_eps"], Tape(), "ln_final")
    return norm @ model.w["embed_out.weight"].T


def dense_by_head(model, layer):
    """[D,H,d]: what each head's z is multiplied by."""
    dense = model.w[f"gpt_neox.layers.{layer}.attention.dense.weight"]
    return dense.view(dense.shape[0], model.c["num_attention_heads"], -1)


def neox_attribution(model, clean, b_token):
    """What each component adds to B's logit, the final layer norm's scale as it is."""
    w, layers = model.w, range(model.c["num_hidden_layers"])
    u = w["embed_out.weight"][b_token]  # [N,D]
    scale = clean["ln_final.hook_scale"][:, LAST]  # [N,1]

    def along(out):  # [..,D], with [..,N] out, or [D] the same for all prompts
        centred = out - out.mean(-1, keepdim=True)
        return (centred / scale * w["gpt_neox.final_layer_norm.weight"] * u).sum(-1)

    heads = [
        torch.einsum("nhk,dhk->hnd", clean[z_name(i)][:, LAST], dense_by_head(model, i)) for i in layers
    ]
    return {
        "attribution_embed": along(clean["hook_embed"][:, LAST]),
        "attribution_heads": torch.stack([along(z) for z in heads]),
        "attribution_attn_bias": torch.stack(
            [along(w[f"gpt_neox.layers.{i}.attention.dense.bias"]) for i in layers]
        ),
        "attribution_mlp": torch.stack([along(clean[f"blocks.{i}.hook_mlp_out"][:, LAST]) for i in layers]),
        "attribution_rest": u @ w["gpt_neox.final_layer_norm.bias"],
    }


def assert_sum(attribution, logits, b_token):
    total = sum(value.reshape(-1, N).sum(0) for value in attribution.values())
    assert_close("attribution", total, at(logits, b_token), SUM)


def check_neox(model, clean, other, results):
    """Freezing everything clean changes nothing; a last head's effect is also what it writes, unembedded."""
    layers, heads = model.c["num_hidden_layers"], model.c["num_attention_heads"]
    frozen = model.logits(with_head(clean, clean, 0, 0, LAST, range(layers)))
    assert_close("all heads frozen", frozen, results["clean_logits"], EXACT)
    nothing_sent = head_to_head_to_logit(model, clean, clean, results["a"])
    assert_close("nothing sent", nothing_sent, results["clean_logits"].expand_as(nothing_sent), EXACT)
    last = layers - 1
    change = (other[z_name(last)] - clean[z_name(last)])[:, LAST]  # [N,H,d]
    for head in range(heads):
        out = resid(clean, layers)[-1] + change[:, head] @ dense_by_head(model, last)[:, head].T
        assert_close("last heads", results["head_to_logit"][last, head], neox_unembed(model, out), EXACT)
    assert_close("lens", results["logit_lens"][-1], results["clean_logits"], EXACT)


def neox_results():
    model = load("neox-parallel", neox)
    layers = model.c["num_hidden_layers"]
    prompts = make_prompts(model.c["vocab_size"], torch.Generator().manual_seed(41))
    model.clean_tokens = prompts["clean"]
    clean_logits, clean = model(prompts["clean"])
    _, unrelated = model(prompts["unrelated"])
    _, b_changed = model(prompts["b_changed"])
    _, repeated = model(prompts["repeated"])
    patterns = [repeated[f"blocks.{i}.attn.hook_pattern"].transpose(0, 1) for i in range(layers)]  # [H,N,T,T]
    attribution = neox_attribution(model, clean, prompts["b_token"])
    assert_sum(attribution, clean_logits, prompts["b_token"])
    results = prompts | attribution | {
        "clean_logits": clean_logits,
        "head_to_logit": head_to_logit(model, clean, unrelated),
        "head_to_head_to_logit": head_to_head_to_logit(model, clean, b_changed, prompts["a"]),
        "head_scores": torch.stack([attention_scores(pattern) for pattern in patterns], 1),
        "logit_lens": neox_unembed(model, resid(clean, layers)),
    }
    check_neox(model, clean, unrelated, results)
    return results


# --- Mamba: states ----------------------------------------------------------------------


def frozen_states(clean, layers):
    """Edits that keep the last state of `layers` as it is in the clean run."""
    return {f"blocks.{i}.hook_h.{LAST}": whole(clean[f"blocks.{i}.hook_h.{LAST}"]) for i in layers}


def decay(A_bar, s, t):
    """Product of A_bar [N,T,E,S] over positions s+1..t: [N,E,S]."""
    return A_bar[:, s + 1 : t + 1].prod(1)


def writes(kept, layer):
    """What each position adds to the state: B_bar x, [N,T,E,S]."""
    return kept[f"blocks.{layer}.hook_B_bar"] * kept[f"blocks.{layer}.hook_ssm_input"][..., None]


def remaining(kept, layer):
    """What is left of each position's write in the last state: [N,T,E,S]."""
    A_bar = kept[f"blocks.{layer}.hook_A_bar"]
    return torch.stack([decay(A_bar, s, LAST) for s in range(T)], 1) * writes(kept, layer)


def with_state(model, clean, tokens, layer, h):
    """Logits with `h` [N,E,S] as the last state of `layer` and every other layer's frozen."""
    edits = frozen_states(clean, range(model.c["num_hidden_layers"]))
    edits[f"blocks.{layer}.hook_h.{LAST}"] = whole(h)
    return model(tokens, edits)[0]


def state_to_logit(model, clean, other):
    result = []
    for i in range(model.c["num_hidden_layers"]):
        h = clean[f"blocks.{i}.hook_A_bar"][:, LAST] * other[f"blocks.{i}.hook_h.{LAST - 1}"]
        h = h + writes(clean, i)[:, LAST]
        result.append(with_state(model, clean, model.clean_tokens, i, h))
    return torch.stack(result)


def y_to_logit(model, clean, other):
    names = [f"blocks.{i}.hook_y" for i in range(model.c["num_hidden_layers"])]
    frozen = {name: one(LAST, clean[name][:, LAST]) for name in names}
    return torch.stack([model.logits(frozen | {name: one(LAST, other[name][:, LAST])}) for name in names])


def ssm_parts(model, clean, other):
    """[L,5,N,V]: x (while Delta, B and C stay clean), Delta, B, C or the gate of one layer from `other`."""
    result = []
    for i in range(model.c["num_hidden_layers"]):
        names = [f"blocks.{i}.hook_{part}" for part in ("ssm_input", "delta", "B", "C", "skip")]
        still = {name: whole(clean[name]) for name in names[1:4]}
        edits = [still | {names[0]: whole(other[names[0]])}] + [{name: whole(other[name])} for name in names[1:]]
        result.append(torch.stack([model.logits(edit) for edit in edits]))
    return torch.stack(result)


def write_position(model, tokens, clean, other, published):
    """One write of `other` among the clean ones. The published variant decays it, from p to p+1, by the
    A_bar of `other`, too."""
    layer = WRITE_LAYER
    A_bar, other_A_bar = (kept[f"blocks.{layer}.hook_A_bar"] for kept in (clean, other))
    result = []
    for p in range(WRITES):
        A = put(A_bar, p + 1, other_A_bar[:, p + 1]) if published else A_bar
        left = remaining(clean, layer)
        left[:, p] = decay(A, p, LAST) * writes(other, layer)[:, p]
        result.append(with_state(model, clean, tokens, layer, left.sum(1)))
    return torch.stack(result)


def hidden_attention(kept, layer):
    """alpha [N,T,T,E]: how much the output at t reads, in each channel, of the input at s."""
    A_bar, B_bar, C = (kept[f"blocks.{layer}.hook_{name}"] for name in ("A_bar", "B_bar", "C"))
    alpha = A_bar.new_zeros(N, T, T, A_bar.shape[2])
    for t in range(T):
        for s in range(t + 1):
            alpha[:, t, s] = (C[:, t, None] * decay(A_bar, s, t) * B_bar[:, s]).sum(-1)
    y = torch.einsum("ntse,nse->nte", alpha, kept[f"blocks.{layer}.hook_ssm_input"])
    assert_close("hidden attention", y, kept[f"blocks.{layer}.hook_y"], EXACT)
    return alpha


def mamba_scores(kept, layers):
    mean = torch.stack([hidden_attention(kept, i).abs().mean(-1) for i in range(layers)])  # [L,N,T,T]
    return attention_scores(mean / mean.sum(-1, keepdim=True))


# --- Mamba: convolution -----------------------------------------------------------------


def taps_of(model, layer):
    """[K,E], the first for the current token, and the bias [E]."""
    p = f"backbone.layers.{layer}.mixer.conv1d"
    return model.w[f"{p}.weight"][:, 0].flip(-1).T, model.w[f"{p}.bias"]


def reads(model, kept, layer):
    """[N,T,K,E]: what each tap reads at each position, nothing before the beginning."""
    x, count = kept[f"blocks.{layer}.hook_in_proj"], model.c["conv_kernel"]
    past = torch.cat([x.new_zeros(N, count - 1, x.shape[-1]), x], 1)
    return torch.stack([past[:, count - 1 - j : count - 1 - j + T] for j in range(count)], 2)


def conv_taps(model, clean, other, a):
    """Of one layer: [2,2,K,N,V] for each place, cumulative or single, how far back."""
    layers, count = model.c["num_hidden_layers"], model.c["conv_kernel"]

    def patched(layer, q, chosen):
        mixed = at(reads(model, clean, layer), q)  # [N,K,E]
        mixed[:, chosen] = at(reads(model, other, layer), q)[:, chosen]
        taps, bias = taps_of(model, layer)
        conv = (mixed * taps).sum(1) + bias
        if chosen == list(range(count)):
            assert_close("all taps", conv, at(other[f"blocks.{layer}.hook_conv"], q), EXACT)
        edits = frozen_states(clean, range(layer + 1, layers))
        return model.logits(edits | {f"blocks.{layer}.hook_conv": one(q, conv)})

    def place(layer, q):
        cumulative = [patched(layer, q, list(range(j + 1))) for j in range(count)]
        single = [patched(layer, q, [j]) for j in range(count)]
        return torch.stack([torch.stack(cumulative), torch.stack(single)])

    return torch.stack([torch.stack([place(i, a + 1), place(i, a + 2)]) for i in range(layers)])


def tap_shares(model, kept, layer):
    """[K]: the part of each tap in the sum of absolute values."""
    size = (reads(model, kept, layer) * taps_of(model, layer)[0]).abs().sum(-1)  # [N,T,K]
    size = size[:, model.c["conv_kernel"] - 1 :]
    return (size / size.sum(-1, keepdim=True)).mean((0, 1))


def off_by_one(model, clean):
    """What a convolution with one tap missing, or reading one too late, and a layer fed the next input do."""
    count = model.c["conv_kernel"]
    result = {"delete_tap": [], "shift_taps": [], "shift_input": []}
    for i in range(model.c["num_hidden_layers"]):
        taps, bias = taps_of(model, i)
        x = reads(model, clean, i)  # [N,T,K,E]
        conv, ssm_input = f"blocks.{i}.hook_conv", f"blocks.{i}.hook_ssm_input"
        assert_close("conv", (x * taps).sum(2) + bias, clean[conv], EXACT)

        def without(j):
            others = [k for k in range(count) if k != j]
            return (x[:, :, others] * taps[others]).sum(2) + bias

        deleted = [model.logits({conv: whole(without(j))}) for j in range(count)]
        late = (x[:, :, : count - 1] * taps[1:]).sum(2) + bias  # tap j reads x_{t-(j-1)}
        next_input = torch.cat([clean[ssm_input][:, 1:], clean[ssm_input][:, LAST:]], 1)
        result["delete_tap"].append(torch.stack(deleted))
        result["shift_taps"].append(model.logits({conv: whole(late)}))
        result["shift_input"].append(model.logits({ssm_input: whole(next_input)}))
    return {name: torch.stack(values) for name, values in result.items()}


# --- Mamba: the rest --------------------------------------------------------------------


def mamba_unembed(model, x):
    """Final norm and unembedding of a residual stream [..,D]."""
    norm = rms_norm(x, model.w["backbone.norm_f.weight"], model.c["layer_norm_epsilon"])
    return norm @ model.w["lm_head.weight"].T


def mamba_attribution(model, clean, b_token):
    """What each block adds to B's logit, the final norm's scale as it is."""
    layers = model.c["num_hidden_layers"]
    u = model.w["lm_head.weight"][b_token]  # [N,D]
    end = resid(clean, layers)[-1]
    scale = (end.pow(2).mean(-1, keepdim=True) + model.c["layer_norm_epsilon"]).sqrt()  # [N,1]

    def along(out):  # [N,D]
        return (out / scale * model.w["backbone.norm_f.weight"] * u).sum(-1)

    blocks = [along(clean[f"blocks.{i}.hook_out_proj"][:, LAST]) for i in range(layers)]
    return {
        "attribution_embed": along(clean["hook_embed"][:, LAST]),
        "attribution_blocks": torch.stack(blocks),
    }


def check_mamba(model, clean, early, results):
    """Freezing everything clean, or what reaches no result, changes nothing; the writes make the state."""
    layers, logits = model.c["num_hidden_layers"], results["clean_logits"]
    assert_close("all states frozen", model.logits(frozen_states(clean, range(layers))), logits, EXACT)
    for name, patch in (("state", state_to_logit), ("y", y_to_logit)):
        assert_close(name, patch(model, clean, clean), logits.expand(layers, -1, -1), EXACT)
    assert_close("parts", ssm_parts(model, clean, clean), logits.expand(layers, 5, -1, -1), EXACT)
    for i in range(layers):
        assert_close("writes", remaining(clean, i).sum(1), clean[f"blocks.{i}.hook_h.{LAST}"], EXACT)
    early_logits, early_kept = early
    for published in (False, True):
        same = write_position(model, results["early"], early_kept, early_kept, published)
        assert_close("no write changed", same, early_logits.expand_as(same), EXACT)
    # What stands before the changed token writes the same, but in the published variant decays otherwise.
    assert_close("write before", results["write_position"][0], early_logits, EXACT)
    same = conv_taps(model, clean, clean, results["a"])
    assert_close("no tap changed", same, logits.expand_as(same), EXACT)
    # In layer 0 only the taps that read a and a+1 change anything.
    single = results["conv_taps"][0, :, 1]  # [2,K,N,V]
    assert_close("first place", single[0, 2:], logits.expand(2, -1, -1), EXACT)
    assert_close("second place", single[1, [0, 3]], logits.expand(2, -1, -1), EXACT)
    assert_close("lens", results["logit_lens"][-1], logits, EXACT)


def mamba_results():
    model = load("mamba-hf", mamba)
    layers, vocab = range(model.c["num_hidden_layers"]), model.c["vocab_size"]
    generator = torch.Generator().manual_seed(42)
    prompts = make_prompts(vocab, generator)
    prompts["early"], spare = induction(0, vocab, generator)
    prompts["early_b"] = prompts["early"][:, 1]
    prompts["early_changed"] = put(prompts["early"], 1, spare[:, 0])
    model.clean_tokens = prompts["clean"]
    clean_logits, clean = model(prompts["clean"])
    early = model(prompts["early"])
    others = {name: model(prompts[name])[1] for name in
              ("b_changed", "ab_changed", "last_changed", "early_changed", "repeated")}
    attribution = mamba_attribution(model, clean, prompts["b_token"])
    assert_sum(attribution, clean_logits, prompts["b_token"])
    alpha = torch.stack([hidden_attention(clean, i) for i in layers])  # [L,N,T,T,E]
    writing = (model, prompts["early"], early[1], others["early_changed"])
    results = prompts | attribution | off_by_one(model, clean) | {
        "clean_logits": clean_logits,
        "state_to_logit": state_to_logit(model, clean, others["b_changed"]),
        "y_to_logit": y_to_logit(model, clean, others["last_changed"]),
        "ssm_parts": ssm_parts(model, clean, others["b_changed"]),
        "write_position": write_position(*writing, published=False),
        "write_position_published": write_position(*writing, published=True),
        "conv_taps": conv_taps(model, clean, others["ab_changed"], prompts["a"]),
        "hidden_attention": alpha.abs().mean(-1),
        "hidden_attention_channel0": alpha[..., 0],
        "state_writes": torch.stack([remaining(clean, i).flatten(2).norm(dim=-1) for i in layers]),
        "tap_shares": torch.stack([tap_shares(model, clean, i) for i in layers]),
        "mamba_scores": mamba_scores(others["repeated"], len(layers)),
        "logit_lens": mamba_unembed(model, resid(clean, len(layers))),
    }
    check_mamba(model, clean, early, results)
    return results


def make(root):
    for name, results in (("neox", neox_results()), ("mamba", mamba_results())):
        told = {key: list(value.shape) for key, value in results.items()}
        print(f"circuits-{name}: {told}")
        save_reference(root / f"circuits-{name}.safetensors", results)


if __name__ == "__main__":
    main(__doc__.splitlines()[0], make)
