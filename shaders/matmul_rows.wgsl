// out = act(A·Bᵀ + bias) + residual for rows of A [m, k] and of B [n, k], k a multiple of 4: activations by a weight
// as checkpoints store it. No workgroup memory: each invocation keeps 8 × 8 results in registers and takes four steps
// of k at once, as 4 × 4 matrices. The fastest form on software adapters, where barriers are slow and loads are dear:
// 1.5 times matmul.wgsl, twice with 16-bit weights. Followed by activation.wgsl and weight.wgsl.

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
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b: array<vec2<u32>>;   // f32, f16 or bf16
@group(0) @binding(3) var<storage, read> bias: array<f32>;      // [out_cols], or anything without has_bias
@group(0) @binding(4) var<storage, read> residual: array<f32>;  // [m, out_cols], or anything without has_residual
@group(0) @binding(5) var<storage, read_write> out: array<f32>; // [m, out_cols]

const TILE: u32 = 8u;
const LANES: u32 = 64u;

// Weights 4·i to 4·i + 3.
fn four(i: u32) -> vec4<f32> {
    if FORMAT == 0u {
        return vec4(bitcast<vec2<f32>>(b[2u * i]), bitcast<vec2<f32>>(b[2u * i + 1u]));
    }
    let words = b[i];
    return vec4(
        weight_of(words.x, 0u),
        weight_of(words.x, 1u),
        weight_of(words.y, 0u),
        weight_of(words.y, 1u),
    );
}

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

fn store_row(row: u32, col: u32, low: vec4<f32>, high: vec4<f32>) {
    store(row, col, low.x);
    store(row, col + 1u, low.y);
    store(row, col + 2u, low.z);
    store(row, col + 3u, low.w);
    store(row, col + 4u, high.x);
    store(row, col + 5u, high.y);
    store(row, col + 6u, high.z);
    store(row, col + 7u, high.w);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) num: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = (wid.x + wid.y * num.x) * LANES + lane;
    let tile_cols = (p.n + TILE - 1u) / TILE;
    let row = tile / tile_cols * TILE;
    let col = tile % tile_cols * TILE;
    if row >= p.m {
        return;
    }

    // Where rows of A and of B begin, in fours. Those past the edge repeat the last one; their results are not stored.
    let last_row = (p.m - 1u) * p.a_row;
    let a0 = min((row + 0u) * p.a_row, last_row) / 4u;
    let a1 = min((row + 1u) * p.a_row, last_row) / 4u;
    let a2 = min((row + 2u) * p.a_row, last_row) / 4u;
    let a3 = min((row + 3u) * p.a_row, last_row) / 4u;
    let a4 = min((row + 4u) * p.a_row, last_row) / 4u;
    let a5 = min((row + 5u) * p.a_row, last_row) / 4u;
    let a6 = min((row + 6u) * p.a_row, last_row) / 4u;
    let a7 = min((row + 7u) * p.a_row, last_row) / 4u;
    let last_col = (p.n - 1u) * p.b_col;
    let b0 = min((col + 0u) * p.b_col, last_col) / 4u;
    let b1 = min((col + 1u) * p.b_col, last_col) / 4u;
    let b2 = min((col + 2u) * p.b_col, last_col) / 4u;
    let b3 = min((col + 3u) * p.b_col, last_col) / 4u;
    let b4 = min((col + 4u) * p.b_col, last_col) / 4u;
    let b5 = min((col + 5u) * p.b_col, last_col) / 4u;
    let b6 = min((col + 6u) * p.b_col, last_col) / 4u;
    let b7 = min((col + 7u) * p.b_col, last_col) / 4u;

    // Row i of the tile: columns 0 to 3 in `l`, 4 to 7 in `h`.
    var l0 = vec4<f32>(); var h0 = vec4<f32>();
    var l1 = vec4<f32>(); var h1 = vec4<f32>();
    var l2 = vec4<f32>(); var h2 = vec4<f32>();
    var l3 = vec4<f32>(); var h3 = vec4<f32>();
    var l4 = vec4<f32>(); var h4 = vec4<f32>();
    var l5 = vec4<f32>(); var h5 = vec4<f32>();
    var l6 = vec4<f32>(); var h6 = vec4<f32>();
    var l7 = vec4<f32>(); var h7 = vec4<f32>();
    for (var k = 0u; k < p.k / 4u; k++) {
        // A column of these is four neighbours of a result's row, at one k.
        let low = transpose(mat4x4(four(b0 + k), four(b1 + k), four(b2 + k), four(b3 + k)));
        let high = transpose(mat4x4(four(b4 + k), four(b5 + k), four(b6 + k), four(b7 + k)));
        let v0 = a[a0 + k]; l0 += low * v0; h0 += high * v0;
        let v1 = a[a1 + k]; l1 += low * v1; h1 += high * v1;
        let v2 = a[a2 + k]; l2 += low * v2; h2 += high * v2;
        let v3 = a[a3 + k]; l3 += low * v3; h3 += high * v3;
        let v4 = a[a4 + k]; l4 += low * v4; h4 += high * v4;
        let v5 = a[a5 + k]; l5 += low * v5; h5 += high * v5;
        let v6 = a[a6 + k]; l6 += low * v6; h6 += high * v6;
        let v7 = a[a7 + k]; l7 += low * v7; h7 += high * v7;
    }
    store_row(row, col, l0, h0);
    store_row(row + 1u, col, l1, h1);
    store_row(row + 2u, col, l2, h2);
    store_row(row + 3u, col, l3, h3);
    store_row(row + 4u, col, l4, h4);
    store_row(row + 5u, col, l5, h5);
    store_row(row + 6u, col, l6, h6);
    store_row(row + 7u, col, l7, h7);
}
