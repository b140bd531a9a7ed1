// Values summed with the weights of an attention pattern. One lane a value of the result.

struct Params {
    sequences: u32,
    steps: u32,
    heads: u32,
    width: u32, // of a head
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> pattern: array<f32>; // [sequences, heads, queries, keys]
@group(0) @binding(2) var<storage, read> v: array<f32>;       // [sequences, steps, heads, width]
@group(0) @binding(3) var<storage, read_write> z: array<f32>; // as v

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) num: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (wid.x + wid.y * num.x) * 64u + lane;
    let token = p.heads * p.width; // values of one token
    if i >= p.sequences * p.steps * token {
        return;
    }
    let head = i / p.width % p.heads;
    let t = i / token % p.steps;
    let sequence = i / token / p.steps;
    let weights = ((sequence * p.heads + head) * p.steps + t) * p.steps;
    let values = sequence * p.steps * token + i % token;
    var sum = 0.0;
    for (var s = 0u; s < p.steps; s++) {
        sum += pattern[weights + s] * v[values + s * token];
    }
    z[i] = sum;
}
