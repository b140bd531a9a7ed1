// Selective scan: h = exp(Δ·A)·h + Δ·B·x, y = C·h, step after step.
//
// A lane holds four states of one channel; TEAM lanes hold a channel, so a workgroup works on 64 / TEAM
// neighbouring channels of one sequence. Inputs are staged a tile of steps at a time; within the tile lanes
// run freely and leave their share of y behind, which is summed over a channel's lanes afterwards: two
// barriers a tile instead of several a step. More than 4·TEAM states are taken in blocks, one after the
// other, each adding to y.
// Behind per_group.wgsl and exponential.wgsl.

alias Real = vec4f;
alias Whole = vec4i;

struct Params {
    count: u32,  // blocks of channels, of each sequence
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

const LANES: u32 = 64u;
override TEAM: u32 = 4u; // of one channel: 1, 2, 4, 8 or 16
const TILE: u32 = 8u; // steps staged at a time

var<workgroup> step_size: array<f32, 512>; // [TILE, channels of the group]
var<workgroup> drive: array<f32, 512>;     // Δ·x, likewise
var<workgroup> b_tile: array<vec4f, 128>;  // [TILE, TEAM], four states each
var<workgroup> c_tile: array<vec4f, 128>;
var<workgroup> share: array<f32, 512>;     // [TILE, LANES]

fn group(index: u32, lane: u32) {
    let width = LANES / TEAM;
    let blocks = (p.channels + width - 1u) / width;
    let sequence = index / blocks;
    let first = index % blocks * width;
    let slot = lane / TEAM;
    let part = lane % TEAM;
    let channel = first + slot;

    for (var block = 0u; block == 0u || block < p.states; block += 4u * TEAM) {
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
            for (var i = lane; i < TILE * width; i += LANES) {
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
            for (var i = lane; i < TILE * TEAM; i += LANES) {
                let t = start + i / TEAM;
                let n = block + 4u * (i % TEAM);
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
                state = exp_exact(d * decay) * state + dx * b_tile[s * TEAM + part];
                share[s * LANES + lane] = dot(state, c_tile[s * TEAM + part]);
            }
            workgroupBarrier();

            for (var i = lane; i < TILE * width; i += LANES) {
                let t = start + i / width;
                let e = first + i % width;
                if t < p.steps && e < p.channels {
                    var sum = 0.0;
                    for (var j = 0u; j < TEAM; j++) {
                        sum += share[i / width * LANES + i % width * TEAM + j];
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
