// Undoes the normalisation of sae_input: y * spread + shift, a row at a time. One invocation an element.
// Behind per_element.wgsl.

struct Params {
    count: u32, // elements of y
    cols: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> y: array<f32>;       // [rows, cols]
@group(0) @binding(2) var<storage, read> scale: array<f32>;   // [rows, 2]: shift, spread
@group(0) @binding(3) var<storage, read_write> x: array<f32>; // [rows, cols]

fn element(i: u32) {
    let row = i / p.cols;
    x[i] = y[i] * scale[2u * row + 1u] + scale[2u * row];
}
