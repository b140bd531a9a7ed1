// Rows of a table by their index: y[t, c] = table[ids[t], c]. One invocation an element.

struct Params {
    len: u32, // elements of y
    cols: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> table: array<f32>;   // [rows, cols]
@group(0) @binding(2) var<storage, read> ids: array<u32>;     // [len / cols], each below rows
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // [len / cols, cols]

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
    y[i] = table[ids[i / p.cols] * p.cols + i % p.cols];
}
