// Keeps the columns of dead features and zeroes the others. One invocation an element.
// Behind per_element.wgsl.

struct Params {
    count: u32, // elements of x
    cols: u32,
    limit: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;       // [rows, cols]
@group(0) @binding(2) var<storage, read> age: array<f32>;     // [cols]: tokens since the feature fired
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // [rows, cols]

fn element(i: u32) {
    y[i] = select(0.0, x[i], age[i % p.cols] >= p.limit);
}
