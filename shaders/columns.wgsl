// Some of the columns of a matrix: y[r, c] = x[r, start + c]. One invocation an element.

struct Params {
    len: u32, // elements of y
    x_cols: u32,
    start: u32,
    width: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;       // [rows, x_cols]
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // [rows, width]

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) num: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (wid.x + wid.y * num.x) * 64u + lane;
    if i >= p.len {
        return;
    }
    y[i] = x[i / p.width * p.x_cols + p.start + i % p.width];
}
