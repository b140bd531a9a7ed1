// Gradient of factor * sum over features of (activation sum * norm of decoder row), added in place.
// One invocation an element.
// Behind per_element.wgsl.

struct Params {
    count: u32, // elements of grad
    cols: u32,
    factor: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> decoder: array<f32>;    // [features, cols]
@group(0) @binding(2) var<storage, read> norms: array<f32>;      // [features]: of the decoder's rows
@group(0) @binding(3) var<storage, read> activity: array<f32>;   // [features]: sum over tokens
@group(0) @binding(4) var<storage, read_write> grad: array<f32>; // [features, cols]

fn element(i: u32) {
    let feature = i / p.cols;
    if norms[feature] > 0.0 {
        grad[i] += p.factor * activity[feature] * decoder[i] / norms[feature];
    }
}
