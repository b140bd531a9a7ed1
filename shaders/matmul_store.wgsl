// What the forms of a product share: their parameters, and what follows a sum.

struct Params {
    count: u32, // tiles
    m: u32,
    n: u32,
    k: u32,
    a_row: u32, // A[i, l] = a[i * a_row + l * a_k]
    a_k: u32,
    b_col: u32, // B[l, j] = b[j * b_col + l * b_k]
    b_k: u32,
    out_cols: u32,  // columns of a row of the result, of which this product gives
    out_first: u32, // n from here on
    activation: u32,
    has_bias: u32,
    has_residual: u32,
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

// Eight neighbours of a row.
fn store_eight(row: u32, col: u32, low: vec4<f32>, high: vec4<f32>) {
    store(row, col, low.x);
    store(row, col + 1u, low.y);
    store(row, col + 2u, low.z);
    store(row, col + 3u, low.w);
    store(row, col + 4u, high.x);
    store(row, col + 5u, high.y);
    store(row, col + 6u, high.z);
    store(row, col + 7u, high.w);
}
