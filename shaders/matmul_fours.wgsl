// out = act(A·B + bias) + residual, for an [m, k] by [k, n] product given by strides, each operand with neighbours
// either along k or along its own rows (columns), in multiples of 4. No workgroup memory: each invocation keeps 8 × 8
// results in registers and takes four steps of k at once, as 4 × 4 matrices. The fastest form on software adapters,
// where barriers are slow and loads are dear: 1.5 times matmul.wgsl, twice with 16-bit weights.
// Behind per_element.wgsl, matmul_store.wgsl, activation.wgsl and weight.wgsl.

@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b: array<vec2<u32>>;   // f32, f16 or bf16

override A_ALONG_K: u32 = 1u; // whether neighbours of A lie along k; if not, along m
override B_ALONG_K: u32 = 1u; // likewise; if not, along n
const TILE: u32 = 8u;

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

fn element(tile: u32) {
    let tile_cols = (p.n + TILE - 1u) / TILE;
    let row = tile / tile_cols * TILE;
    let col = tile % tile_cols * TILE;

    // Where the tile's rows of A and columns of B begin, in fours. Those past the edge repeat the last ones; their
    // results are not stored.
    let last_row = p.m - 1u;
    let a0 = min(row + 0u, last_row) * p.a_row / 4u;
    let a1 = min(row + 1u, last_row) * p.a_row / 4u;
    let a2 = min(row + 2u, last_row) * p.a_row / 4u;
    let a3 = min(row + 3u, last_row) * p.a_row / 4u;
    let a4 = min(row + 4u, last_row) * p.a_row / 4u;
    let a5 = min(row + 5u, last_row) * p.a_row / 4u;
    let a6 = min(row + 6u, last_row) * p.a_row / 4u;
    let a7 = min(row + 7u, last_row) * p.a_row / 4u;
    let last_col = p.n - 1u;
    let b0 = min(col + 0u, last_col) * p.b_col / 4u;
    let b1 = min(col + 1u, last_col) * p.b_col / 4u;
    let b2 = min(col + 2u, last_col) * p.b_col / 4u;
    let b3 = min(col + 3u, last_col) * p.b_col / 4u;
    let b4 = min(col + 4u, last_col) * p.b_col / 4u;
    let b5 = min(col + 5u, last_col) * p.b_col / 4u;
    let b6 = min(col + 6u, last_col) * p.b_col / 4u;
    let b7 = min(col + 7u, last_col) * p.b_col / 4u;
    let a_step = p.a_k / 4u;
    let b_step = p.b_k / 4u;

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
        // Four steps of k: a column of these is a row of A …
        var upper: mat4x4<f32>;
        var lower: mat4x4<f32>;
        if A_ALONG_K == 1u {
            upper = mat4x4(a[a0 + k], a[a1 + k], a[a2 + k], a[a3 + k]);
            lower = mat4x4(a[a4 + k], a[a5 + k], a[a6 + k], a[a7 + k]);
        } else {
            let s0 = 4u * k * a_step;
            let s1 = s0 + a_step;
            let s2 = s1 + a_step;
            let s3 = s2 + a_step;
            upper = transpose(mat4x4(a[a0 + s0], a[a0 + s1], a[a0 + s2], a[a0 + s3]));
            lower = transpose(mat4x4(a[a4 + s0], a[a4 + s1], a[a4 + s2], a[a4 + s3]));
        }
        // … and of these, four neighbours of a row of B.
        var low: mat4x4<f32>;
        var high: mat4x4<f32>;
        if B_ALONG_K == 1u {
            low = transpose(mat4x4(four(b0 + k), four(b1 + k), four(b2 + k), four(b3 + k)));
            high = transpose(mat4x4(four(b4 + k), four(b5 + k), four(b6 + k), four(b7 + k)));
        } else {
            let s0 = 4u * k * b_step;
            let s1 = s0 + b_step;
            let s2 = s1 + b_step;
            let s3 = s2 + b_step;
            low = mat4x4(four(b0 + s0), four(b0 + s1), four(b0 + s2), four(b0 + s3));
            high = mat4x4(four(b4 + s0), four(b4 + s1), four(b4 + s2), four(b4 + s3));
        }
        l0 += low * upper[0]; h0 += high * upper[0];
        l1 += low * upper[1]; h1 += high * upper[1];
        l2 += low * upper[2]; h2 += high * upper[2];
        l3 += low * upper[3]; h3 += high * upper[3];
        l4 += low * lower[0]; h4 += high * lower[0];
        l5 += low * lower[1]; h5 += high * lower[1];
        l6 += low * lower[2]; h6 += high * lower[2];
        l7 += low * lower[3]; h7 += high * lower[3];
    }
    store_eight(row, col, l0, h0);
    store_eight(row + 1u, col, l1, h1);
    store_eight(row + 2u, col, l2, h2);
    store_eight(row + 3u, col, l3, h3);
    store_eight(row + 4u, col, l4, h4);
    store_eight(row + 5u, col, l5, h5);
    store_eight(row + 6u, col, l6, h6);
    store_eight(row + 7u, col, l7, h7);
}
