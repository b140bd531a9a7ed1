// Reconstructions from sparse features: y = v·W + bias. One workgroup a row; lanes stride over the columns.
// Behind per_group.wgsl.

struct Params {
    count: u32, // rows
    cols: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> indptr: array<u32>;   // [rows + 1] into indices and values
@group(0) @binding(2) var<storage, read> indices: array<u32>;  // [entries] rows of w
@group(0) @binding(3) var<storage, read> values: array<f32>;   // [entries]
@group(0) @binding(4) var<storage, read> w: array<f32>;        // [F, cols]
@group(0) @binding(5) var<storage, read> bias: array<f32>;     // [cols]
@group(0) @binding(6) var<storage, read_write> y: array<f32>;  // [rows, cols]

const LANES: u32 = 64u;


fn group(row: u32, lane: u32) {
    let first = indptr[row];
    let end = indptr[row + 1u];
    for (var c = lane; c < p.cols; c += LANES) {
        var sum = 0.0;
        for (var e = first; e < end; e++) {
            sum += values[e] * w[indices[e] * p.cols + c];
        }
        y[row * p.cols + c] = sum + bias[c];
    }
}
