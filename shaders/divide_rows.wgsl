// Divides each row by its divisor, in place; rows whose divisor is 0 stay. One invocation an element.

struct Params {
    n: u32,
    cols: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> divisors: array<f32>; // [n / cols]
@group(0) @binding(2) var<storage, read_write> x: array<f32>;  // [n / cols, cols]

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
    let divisor = divisors[i / p.cols];
    if divisor != 0.0 {
        x[i] /= divisor;
    }
}
