// Gradient through the sparsity penalty and the ReLU or TopK, in place: where a feature is active,
// grad + factor * norm of its decoder row; elsewhere 0. One invocation an element.
// Behind per_element.wgsl.

struct Params {
    count: u32, // elements of grad
    cols: u32,
    factor: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> features: array<f32>;   // [rows, cols]
@group(0) @binding(2) var<storage, read> norms: array<f32>;      // [cols]
@group(0) @binding(3) var<storage, read_write> grad: array<f32>; // [rows, cols]

fn element(i: u32) {
    grad[i] = select(0.0, grad[i] + p.factor * norms[i % p.cols], features[i] > 0.0);
}
