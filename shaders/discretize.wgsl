// Discretisation of a selective scan: exp(Δ·A) and Δ·B. One lane an element.

struct Params {
    rows: u32,     // batch · steps
    channels: u32,
    states: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> delta: array<f32>;       // [rows, channels]
@group(0) @binding(2) var<storage, read> a: array<f32>;           // [channels, states]
@group(0) @binding(3) var<storage, read> b: array<f32>;           // [rows, states]
@group(0) @binding(4) var<storage, read_write> a_bar: array<f32>; // [rows, channels, states]
@group(0) @binding(5) var<storage, read_write> b_bar: array<f32>; // [rows, channels, states]

// The exponential of the selective scan, so that both ways through a block agree: see selective_scan.wgsl.
fn exp_exact(x: f32) -> f32 {
    let u = clamp(x, -87.0, 88.0);
    let n = round(u * 1.442695);
    let r = fma(n, 2.1219444e-4, fma(n, -0.6933594, u));
    var value = 0.0013926184;
    value = fma(value, r, 0.008363179);
    value = fma(value, r, 0.041666556);
    value = fma(value, r, 0.16666576);
    value = fma(value, r, 0.5);
    value = fma(value, r, 1.0);
    value = fma(value, r, 1.0);
    return ldexp(value, i32(n));
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) num: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (wid.x + wid.y * num.x) * 64u + lane;
    let of_row = p.channels * p.states;
    if i >= p.rows * of_row {
        return;
    }
    let d = delta[i / p.states];
    a_bar[i] = exp_exact(d * a[i % of_row]);
    b_bar[i] = d * b[i / of_row * p.states + i % p.states];
}
