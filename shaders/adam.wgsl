// One step of Adam, in place. One invocation an element.
// Behind per_element.wgsl.

struct Params {
    count: u32, // elements
    rate: f32,  // learning rate / (1 - beta1^t)
    root: f32,  // 1 / sqrt(1 - beta2^t)
    beta1: f32,
    beta2: f32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> grad: array<f32>;        // [n]
@group(0) @binding(2) var<storage, read_write> param: array<f32>; // [n]
@group(0) @binding(3) var<storage, read_write> m: array<f32>;     // [n]
@group(0) @binding(4) var<storage, read_write> v: array<f32>;     // [n]

fn element(i: u32) {
    let g = grad[i];
    let first = p.beta1 * m[i] + (1.0 - p.beta1) * g;
    let second = p.beta2 * v[i] + (1.0 - p.beta2) * g * g;
    m[i] = first;
    v[i] = second;
    param[i] -= p.rate * first / (sqrt(second) * p.root + p.eps);
}
