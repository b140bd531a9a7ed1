// JumpReLU: y = x where x lies above its column's threshold and above zero, elsewhere 0.

struct Params {
    n: u32,
    cols: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;         // [rows, cols]
@group(0) @binding(2) var<storage, read> threshold: array<f32>; // [cols]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;   // [rows, cols]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) num: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (wid.x + wid.y * num.x) * 64u + lane;
    if i >= p.n {
        return;
    }
    y[i] = select(0.0, x[i], x[i] > max(threshold[i % p.cols], 0.0));
}
