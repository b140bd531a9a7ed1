// Features of a gated autoencoder from the product p = input * encoder, which its gate and its magnitude
// share: y = ReLU(p * exp(r_mag) + b_mag) where p + b_gate > 0, elsewhere 0.
// Behind per_element.wgsl.

struct Params {
    count: u32, // elements of x
    cols: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;       // [rows, cols]
@group(0) @binding(2) var<storage, read> b_gate: array<f32>;  // [cols]
@group(0) @binding(3) var<storage, read> r_mag: array<f32>;   // [cols]
@group(0) @binding(4) var<storage, read> b_mag: array<f32>;   // [cols]
@group(0) @binding(5) var<storage, read_write> y: array<f32>; // [rows, cols]

fn element(i: u32) {
    let c = i % p.cols;
    let magnitude = max(x[i] * exp(r_mag[c]) + b_mag[c], 0.0);
    y[i] = select(0.0, magnitude, x[i] + b_gate[c] > 0.0);
}
