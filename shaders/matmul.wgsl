// out = act(A·B + bias) + residual, for an [m, k] by [k, n] product given by strides. No workgroup memory: each
// invocation keeps 8 × 8 results in registers, the form of software adapters, where barriers are slow, for any strides
// (matmul_fours.wgsl is faster where sizes allow).
// Behind per_element.wgsl, matmul_store.wgsl, activation.wgsl and weight.wgsl.

@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<u32>;         // f32, f16 or bf16

const TILE: u32 = 8u;

fn weight(i: u32) -> f32 {
    return weight_of(b[word_of(i)], i);
}

fn element(tile: u32) {
    let tile_cols = (p.n + TILE - 1u) / TILE;
    let row = tile / tile_cols * TILE;
    let col = tile % tile_cols * TILE;

    // Rows and columns past the edge repeat the last one; their results are not stored.
    let last_row = (p.m - 1u) * p.a_row;
    let a0 = row * p.a_row;
    let a1 = min(a0 + p.a_row, last_row);
    let a2 = min(a1 + p.a_row, last_row);
    let a3 = min(a2 + p.a_row, last_row);
    let a4 = min(a3 + p.a_row, last_row);
    let a5 = min(a4 + p.a_row, last_row);
    let a6 = min(a5 + p.a_row, last_row);
    let a7 = min(a6 + p.a_row, last_row);
    let last_col = (p.n - 1u) * p.b_col;
    let b0 = col * p.b_col;
    let b1 = min(b0 + p.b_col, last_col);
    let b2 = min(b1 + p.b_col, last_col);
    let b3 = min(b2 + p.b_col, last_col);
    let b4 = min(b3 + p.b_col, last_col);
    let b5 = min(b4 + p.b_col, last_col);
    let b6 = min(b5 + p.b_col, last_col);
    let b7 = min(b6 + p.b_col, last_col);

    // Row i of the tile: columns 0 to 3 in `l`, 4 to 7 in `h`.
    var l0 = vec4<f32>(); var h0 = vec4<f32>();
    var l1 = vec4<f32>(); var h1 = vec4<f32>();
    var l2 = vec4<f32>(); var h2 = vec4<f32>();
    var l3 = vec4<f32>(); var h3 = vec4<f32>();
    var l4 = vec4<f32>(); var h4 = vec4<f32>();
    var l5 = vec4<f32>(); var h5 = vec4<f32>();
    var l6 = vec4<f32>(); var h6 = vec4<f32>();
    var l7 = vec4<f32>(); var h7 = vec4<f32>();
    for (var k = 0u; k < p.k; k++) {
        let at = k * p.a_k;
        let bt = k * p.b_k;
        let low = vec4(weight(b0 + bt), weight(b1 + bt), weight(b2 + bt), weight(b3 + bt));
        let high = vec4(weight(b4 + bt), weight(b5 + bt), weight(b6 + bt), weight(b7 + bt));
        let v0 = a[a0 + at]; l0 += v0 * low; h0 += v0 * high;
        let v1 = a[a1 + at]; l1 += v1 * low; h1 += v1 * high;
        let v2 = a[a2 + at]; l2 += v2 * low; h2 += v2 * high;
        let v3 = a[a3 + at]; l3 += v3 * low; h3 += v3 * high;
        let v4 = a[a4 + at]; l4 += v4 * low; h4 += v4 * high;
        let v5 = a[a5 + at]; l5 += v5 * low; h5 += v5 * high;
        let v6 = a[a6 + at]; l6 += v6 * low; h6 += v6 * high;
        let v7 = a[a7 + at]; l7 += v7 * low; h7 += v7 * high;
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
