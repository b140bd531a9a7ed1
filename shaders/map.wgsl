// y = f(x), element by element.
// Behind per_element.wgsl and activation.wgsl.

struct Params {
    count: u32, // elements
    code: u32,  // the function, as `activate` numbers them
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

fn element(i: u32) {
    y[i] = activate(p.code, x[i]);
}
