// Linear recurrence h = Ā·h + B̄·x, y = C·h with given coefficients. A lane runs one channel of one sequence,
// sixteen states at a time; further blocks of states add to y.
// Behind per_element.wgsl.

struct Params {
    count: u32,  // batch · channels
    steps: u32,
    channels: u32,
    states: u32,
    has_h0: u32, // 0: `h0` is a stand-in
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a_bar: array<f32>;   // [batch, steps, channels, states]
@group(0) @binding(2) var<storage, read> b_bar: array<f32>;   // [batch, steps, channels, states]
@group(0) @binding(3) var<storage, read> x: array<f32>;       // [batch, steps, channels]
@group(0) @binding(4) var<storage, read> c: array<f32>;       // [batch, steps, states]
@group(0) @binding(5) var<storage, read> h0: array<f32>;      // [batch, channels, states]
@group(0) @binding(6) var<storage, read_write> y: array<f32>; // [batch, steps, channels]
@group(0) @binding(7) var<storage, read_write> h: array<f32>; // [batch, channels, states]

const BLOCK: u32 = 16u;

// i = sequence · channels + channel.
fn element(i: u32) {
    let sequence = i / p.channels;

    for (var first = 0u; first == 0u || first < p.states; first += BLOCK) {
        let count = min(BLOCK, p.states - first);
        var state: array<f32, BLOCK>;
        for (var n = 0u; n < count; n++) {
            state[n] = 0.0;
            if p.has_h0 != 0u {
                state[n] = h0[i * p.states + first + n];
            }
        }
        for (var t = 0u; t < p.steps; t++) {
            let row = sequence * p.steps + t;
            let at = row * p.channels + i % p.channels;
            let input = x[at];
            var sum = 0.0;
            if first > 0u {
                sum = y[at];
            }
            for (var n = 0u; n < count; n++) {
                let coefficient = at * p.states + first + n;
                state[n] = a_bar[coefficient] * state[n] + b_bar[coefficient] * input;
                sum += c[row * p.states + first + n] * state[n];
            }
            y[at] = sum;
        }
        for (var n = 0u; n < count; n++) {
            h[i * p.states + first + n] = state[n];
        }
    }
}
