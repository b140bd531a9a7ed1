// Values summed with the weights of an attention pattern. One lane a value of the result.
// Behind per_element.wgsl.

struct Params {
    count: u32, // values of z
    steps: u32,
    heads: u32,
    width: u32, // of a head
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> pattern: array<f32>; // [sequences, heads, queries, keys]
@group(0) @binding(2) var<storage, read> v: array<f32>;       // [sequences, steps, heads, width]
@group(0) @binding(3) var<storage, read_write> z: array<f32>; // as v

fn element(i: u32) {
    let token = p.heads * p.width; // values of one token
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
