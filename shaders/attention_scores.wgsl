// Attention scores, −∞ above the diagonal. One lane a score.
// Behind per_element.wgsl.

struct Params {
    count: u32, // scores
    steps: u32,
    heads: u32,
    width: u32, // of a head
    scale: f32, // 1 / √width
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>; // [sequences, steps, heads, width]
@group(0) @binding(2) var<storage, read> k: array<f32>; // as q
// [sequences, heads, queries, keys]: floats, written as bits because WGSL cannot write an infinity.
@group(0) @binding(3) var<storage, read_write> scores: array<u32>;

const MINUS_INFINITY: u32 = 0xff800000u;

fn element(i: u32) {
    let s = i % p.steps;
    let t = i / p.steps % p.steps;
    if s > t {
        scores[i] = MINUS_INFINITY;
        return;
    }
    let head = i / (p.steps * p.steps) % p.heads;
    let sequence = i / (p.steps * p.steps) / p.heads;
    let query = ((sequence * p.steps + t) * p.heads + head) * p.width;
    let key = ((sequence * p.steps + s) * p.heads + head) * p.width;
    var sum = 0.0;
    for (var j = 0u; j < p.width; j++) {
        sum += q[query + j] * k[key + j];
    }
    scores[i] = bitcast<u32>(sum * p.scale);
}
