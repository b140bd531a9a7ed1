// y = a ∘ b, element by element; b is repeated over the leading axes of a.
// Behind per_element.wgsl and activation.wgsl.

struct Params {
    count: u32, // elements of a and y
    b_len: u32, // elements of b
    code: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

fn element(i: u32) {
    let u = a[i];
    let v = b[i % p.b_len];
    switch p.code {
        case 0u: { y[i] = u + v; }
        case 1u: { y[i] = u - v; }
        case 2u: { y[i] = u * v; }
        default: { y[i] = u * silu(v); }
    }
}
