// Rotary position embedding, GPT-NeoX's way: dimension i of a head turns together with dimension i + pairs.
// One lane an element.
// Behind per_element.wgsl.

struct Params {
    count: u32, // elements of x
    steps: u32,
    heads: u32,
    width: u32, // of a head
    pairs: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;       // [batch, steps, heads, width]
@group(0) @binding(2) var<storage, read> turns: array<f32>;   // [steps, pairs, 2]: cosine, sine
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // as x

fn element(at: u32) {
    let i = at % p.width;
    let t = at / (p.width * p.heads) % p.steps;
    if i < p.pairs {
        let turn = 2u * (t * p.pairs + i);
        y[at] = x[at] * turns[turn] - x[at + p.pairs] * turns[turn + 1u];
    } else if i < 2u * p.pairs {
        let turn = 2u * (t * p.pairs + i - p.pairs);
        y[at] = x[at] * turns[turn] + x[at - p.pairs] * turns[turn + 1u];
    } else {
        y[at] = x[at];
    }
}
