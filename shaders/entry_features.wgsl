// Features from pre-activations, at the places of a sparse matrix. One invocation an entry.
// Behind per_element.wgsl.

struct Params {
    count: u32, // entries
    kind: u32,
}

const JUMP_RELU: u32 = 1u;
const GATED: u32 = 2u;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> indices: array<u32>;       // [entries]
@group(0) @binding(2) var<storage, read> pre: array<f32>;           // [entries]
@group(0) @binding(3) var<storage, read> scalars: array<vec4<f32>>;   // [F] see entry_features.rs
@group(0) @binding(4) var<storage, read_write> feature: array<f32>; // [entries]

fn element(e: u32) {
    let own = scalars[indices[e]];
    var value = pre[e];
    if p.kind == JUMP_RELU {
        value = select(0.0, value, value > exp(own.y));
    } else if p.kind == GATED {
        value = max((value - own.x) * exp(own.z) + own.y, 0.0);
    }
    feature[e] = value;
}
