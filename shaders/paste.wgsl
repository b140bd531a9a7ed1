// A matrix with some of its columns replaced: y[r, start + c] = part[r, c], elsewhere y = base.

struct Params {
    len: u32, // elements of y
    cols: u32,
    start: u32,
    width: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> base: array<f32>;    // [rows, cols]
@group(0) @binding(2) var<storage, read> part: array<f32>;    // [rows, width]
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // [rows, cols]

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
    let col = i % p.cols;
    if col >= p.start && col < p.start + p.width {
        y[i] = part[i / p.cols * p.width + col - p.start];
    } else {
        y[i] = base[i];
    }
}
