// Some of the columns of a matrix: y[r, c] = x[r, start + c]. One invocation an element.
// Behind per_element.wgsl.

struct Params {
    count: u32, // elements of y
    x_cols: u32,
    start: u32,
    width: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;       // [rows, x_cols]
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // [rows, width]

fn element(i: u32) {
    y[i] = x[i / p.width * p.x_cols + p.start + i % p.width];
}
