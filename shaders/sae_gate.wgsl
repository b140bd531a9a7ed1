// Gradient through the sparsity penalty and the ReLU or TopK, in place: where a feature is active,
// grad + factor * norm of its decoder row; elsewhere 0. One invocation an element.

struct Params {
    n: u32,
    cols: u32,
    factor: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> features: array<f32>;   // [rows, cols]
@group(0) @binding(2) var<storage, read> norms: array<f32>;      // [cols]
@group(0) @binding(3) var<storage, read_write> grad: array<f32>; // [rows, cols]

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
    grad[i] = select(0.0, grad[i] + p.factor * norms[i % p.cols], features[i] > 0.0);
}
