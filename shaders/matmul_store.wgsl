// What the forms of a product share: their parameters, and what follows a sum. Appended to matmul.wgsl,
// matmul_fours.wgsl and matmul_tiled.wgsl; followed by activation.wgsl and weight.wgsl.

struct Params {
    m: u32,
    n: u32,
    k: u32,
    a_row: u32, // A[i, l] = a[i * a_row + l * a_k]
    a_k: u32,
    b_col: u32, // B[l, j] = b[j * b_col + l * b_k]
    b_k: u32,
    activation: u32,
    has_bias: u32,
    has_residual: u32,
    out_cols: u32,  // columns of a row of the result, of which this product gives
    out_first: u32, // n from here on
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(3) var<storage, read> bias: array<f32>;      // [out_cols], or anything without has_bias
@group(0) @binding(4) var<storage, read> residual: array<f32>;  // [m, out_cols], or anything without has_residual
@group(0) @binding(5) var<storage, read_write> out: array<f32>; // [m, out_cols]

// act(sum + bias) + residual, where the result has such an element.
fn store(row: u32, col: u32, sum: f32) {
    if row >= p.m || col >= p.n {
        return;
    }
    var value = sum;
    if p.has_bias != 0u {
        value += bias[p.out_first + col];
    }
    value = activate(p.activation, value);
    let at = row * p.out_cols + p.out_first + col;
    if p.has_residual != 0u {
        value += residual[at];
    }
    out[at] = value;
}
