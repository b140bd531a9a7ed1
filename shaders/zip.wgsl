// y = a ∘ b, element by element; b is repeated over the leading axes of a. Followed by activation.wgsl.

struct Params {
    len: u32,   // elements of a and y
    b_len: u32, // elements of b
    code: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) num: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (wid.x + wid.y * num.x) * 64u + lane;
    if i >= p.len {
        return;
    }
    let u = a[i];
    let v = b[i % p.b_len];
    switch p.code {
        case 0u: { y[i] = u + v; }
        case 1u: { y[i] = u - v; }
        case 2u: { y[i] = u * v; }
        default: { y[i] = u * silu(v); }
    }
}
