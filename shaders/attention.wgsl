// Causal attention with a running softmax. A lane answers one query of one head: it holds the query and the
// weighted sum of values in registers and walks over the keys, which its whole workgroup reads together.
// Keys are taken a tile at a time, so that the sum is rescaled once a tile when the maximum has moved.
// Behind per_group.wgsl.

struct Params {
    count: u32, // blocks of 64 queries, of each head of each sequence
    steps: u32,
    heads: u32,
    scale: f32, // 1 / √(head width)
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4f>; // [sequences, steps, heads, WIDTH4]
@group(0) @binding(2) var<storage, read> k: array<vec4f>; // as q
@group(0) @binding(3) var<storage, read> v: array<vec4f>; // as q
@group(0) @binding(4) var<storage, read_write> z: array<vec4f>;

const LANES: u32 = 64u;
override WIDTH4: u32 = 16u; // width of a head, in fours: at most 32
const TILE: u32 = 8u;
const LOWEST: f32 = -3.4028234e38;

fn group(index: u32, lane: u32) {
    let blocks = (p.steps + LANES - 1u) / LANES;
    let t = index % blocks * LANES + lane;
    if t >= p.steps {
        return;
    }
    let head = index / blocks % p.heads;
    let sequence = index / blocks / p.heads;
    let start = (sequence * p.steps * p.heads + head) * WIDTH4; // of the head's first token
    let stride = p.heads * WIDTH4;                              // from token to token

    var query: array<vec4f, 32>;
    var sum: array<vec4f, 32>;
    for (var i = 0u; i < WIDTH4; i++) {
        query[i] = q[start + t * stride + i] * p.scale;
        sum[i] = vec4f();
    }
    var peak = LOWEST;
    var total = 0.0;

    for (var first = 0u; first <= t; first += TILE) {
        let count = min(TILE, t + 1u - first);
        var score: array<f32, TILE>;
        var highest = peak;
        for (var j = 0u; j < count; j++) {
            let key = start + (first + j) * stride;
            var s = 0.0;
            for (var i = 0u; i < WIDTH4; i++) {
                s += dot(query[i], k[key + i]);
            }
            score[j] = s;
            highest = max(highest, s);
        }
        // In the first tile there is nothing to rescale.
        let fade = select(exp(peak - highest), 0.0, first == 0u);
        peak = highest;
        total *= fade;
        for (var i = 0u; i < WIDTH4; i++) {
            sum[i] *= fade;
        }
        for (var j = 0u; j < count; j++) {
            let key = start + (first + j) * stride;
            let weight = exp(score[j] - peak);
            total += weight;
            for (var i = 0u; i < WIDTH4; i++) {
                sum[i] += weight * v[key + i];
            }
        }
    }

    for (var i = 0u; i < WIDTH4; i++) {
        z[start + t * stride + i] = sum[i] / total;
    }
}
