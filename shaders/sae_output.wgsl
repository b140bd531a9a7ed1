// Undoes the normalisation of sae_input: y * spread + shift, a row at a time. One invocation an element.

struct Params {
    rows: u32,
    cols: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> y: array<f32>;       // [rows, cols]
@group(0) @binding(2) var<storage, read> scale: array<f32>;   // [rows, 2]: shift, spread
@group(0) @binding(3) var<storage, read_write> x: array<f32>; // [rows, cols]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) num: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (wid.x + wid.y * num.x) * 64u + lane;
    if i >= p.rows * p.cols {
        return;
    }
    let row = i / p.cols;
    x[i] = y[i] * scale[2u * row + 1u] + scale[2u * row];
}
