// Selective scan: h = exp(Δ·A)·h + Δ·B·x, y = C·h, step after step.
//
// A lane holds four states of one channel; LANES lanes hold a channel, so a workgroup works on 64 / LANES
// neighbouring channels of one sequence. Inputs are staged a tile of steps at a time; within the tile lanes
// run freely and leave their share of y behind, which is summed over a channel's lanes afterwards: two
// barriers a tile instead of several a step. More than 4·LANES states are taken in blocks, one after the
// other, each adding to y.

struct Params {
    batch: u32,
    steps: u32,
    channels: u32,
    states: u32,
    has_h0: u32, // 0: `h0` is a stand-in
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;       // [batch, steps, channels]
@group(0) @binding(2) var<storage, read> delta: array<f32>;   // [batch, steps, channels]
@group(0) @binding(3) var<storage, read> a: array<f32>;       // [channels, states]
@group(0) @binding(4) var<storage, read> b: array<f32>;       // [batch, steps, states]
@group(0) @binding(5) var<storage, read> c: array<f32>;       // [batch, steps, states]
@group(0) @binding(6) var<storage, read> h0: array<f32>;      // [batch, channels, states]
@group(0) @binding(7) var<storage, read_write> y: array<f32>; // [batch, steps, channels]
@group(0) @binding(8) var<storage, read_write> h: array<f32>; // [batch, channels, states]

override LANES: u32 = 4u; // of one channel: 1, 2, 4, 8 or 16
const GROUP: u32 = 64u;
const TILE: u32 = 8u; // steps staged at a time

var<workgroup> step_size: array<f32, 512>; // [TILE, channels of the group]
var<workgroup> drive: array<f32, 512>;     // Δ·x, likewise
var<workgroup> b_tile: array<vec4f, 128>;  // [TILE, LANES], four states each
var<workgroup> c_tile: array<vec4f, 128>;
var<workgroup> share: array<f32, 512>;     // [TILE, GROUP]

// e^x for x in [-87, 88], to 2e-7 relative. A device's own exp may be off by 3 units in the last place, the
// same way at every step: over the thousand steps that a state remembers that would reach 4e-4.
// x = n·ln 2 + r; a polynomial gives e^r.
fn exp_exact(x: vec4f) -> vec4f {
    let u = clamp(x, vec4f(-87.0), vec4f(88.0));
    let n = round(u * 1.442695);
    let r = fma(n, vec4f(2.1219444e-4), fma(n, vec4f(-0.6933594), u));
    var value = vec4f(0.0013926184);
    value = fma(value, r, vec4f(0.008363179));
    value = fma(value, r, vec4f(0.041666556));
    value = fma(value, r, vec4f(0.16666576));
    value = fma(value, r, vec4f(0.5));
    value = fma(value, r, vec4f(1.0));
    value = fma(value, r, vec4f(1.0));
    return ldexp(value, vec4i(n));
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) num: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let width = GROUP / LANES;
    let blocks = (p.channels + width - 1u) / width;
    let group = wid.x + wid.y * num.x;
    if group >= p.batch * blocks {
        return;
    }
    let sequence = group / blocks;
    let first = group % blocks * width;
    let slot = lane / LANES;
    let part = lane % LANES;
    let channel = first + slot;

    for (var block = 0u; block == 0u || block < p.states; block += 4u * LANES) {
        let n0 = block + 4u * part;
        var decay = vec4f();
        var state = vec4f();
        for (var i = 0u; i < 4u; i++) {
            if channel < p.channels && n0 + i < p.states {
                decay[i] = a[channel * p.states + n0 + i];
                if p.has_h0 != 0u {
                    state[i] = h0[(sequence * p.channels + channel) * p.states + n0 + i];
                }
            }
        }

        for (var start = 0u; start < p.steps; start += TILE) {
            for (var i = lane; i < TILE * width; i += GROUP) {
                let t = start + i / width;
                let e = first + i % width;
                var d = 0.0; // a step of size 0 leaves the state alone
                var dx = 0.0;
                if t < p.steps && e < p.channels {
                    let at = (sequence * p.steps + t) * p.channels + e;
                    d = delta[at];
                    dx = d * x[at];
                }
                step_size[i] = d;
                drive[i] = dx;
            }
            for (var i = lane; i < TILE * LANES; i += GROUP) {
                let t = start + i / LANES;
                let n = block + 4u * (i % LANES);
                var b4 = vec4f();
                var c4 = vec4f();
                for (var j = 0u; j < 4u; j++) {
                    if t < p.steps && n + j < p.states {
                        let at = (sequence * p.steps + t) * p.states + n + j;
                        b4[j] = b[at];
                        c4[j] = c[at];
                    }
                }
                b_tile[i] = b4;
                c_tile[i] = c4;
            }
            workgroupBarrier();

            for (var s = 0u; s < TILE; s++) {
                let d = step_size[s * width + slot];
                let dx = drive[s * width + slot];
                state = exp_exact(d * decay) * state + dx * b_tile[s * LANES + part];
                share[s * GROUP + lane] = dot(state, c_tile[s * LANES + part]);
            }
            workgroupBarrier();

            for (var i = lane; i < TILE * width; i += GROUP) {
                let t = start + i / width;
                let e = first + i % width;
                if t < p.steps && e < p.channels {
                    var sum = 0.0;
                    for (var j = 0u; j < LANES; j++) {
                        sum += share[i / width * GROUP + i % width * LANES + j];
                    }
                    let at = (sequence * p.steps + t) * p.channels + e;
                    if block > 0u {
                        // The same lane wrote it in the block before.
                        sum += y[at];
                    }
                    y[at] = sum;
                }
            }
        }

        for (var i = 0u; i < 4u; i++) {
            if channel < p.channels && n0 + i < p.states {
                h[(sequence * p.channels + channel) * p.states + n0 + i] = state[i];
            }
        }
    }
}
