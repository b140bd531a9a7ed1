// Tokens since each feature last fired, brought up to date after a batch. One invocation a feature.

struct Params {
    n: u32,
    tokens: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> activity: array<f32>;  // [n]: sum of activations in the batch
@group(0) @binding(2) var<storage, read_write> age: array<f32>; // [n]

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
    age[i] = select(age[i] + p.tokens, 0.0, activity[i] > 0.0);
}
