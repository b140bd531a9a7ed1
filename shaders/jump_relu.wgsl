// JumpReLU: y = x where x lies above its column's threshold and above zero, elsewhere 0.
// Behind per_element.wgsl.

struct Params {
    count: u32, // elements of x
    cols: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;         // [rows, cols]
@group(0) @binding(2) var<storage, read> threshold: array<f32>; // [cols]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;   // [rows, cols]

fn element(i: u32) {
    y[i] = select(0.0, x[i], x[i] > max(threshold[i % p.cols], 0.0));
}
