// Tokens since each feature last fired, brought up to date after a batch. One invocation a feature.
// Behind per_element.wgsl.

struct Params {
    count: u32, // features
    tokens: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> activity: array<f32>;  // [n]: sum of activations in the batch
@group(0) @binding(2) var<storage, read_write> age: array<f32>; // [n]

fn element(i: u32) {
    age[i] = select(age[i] + p.tokens, 0.0, activity[i] > 0.0);
}
