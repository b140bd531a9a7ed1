// Layer normalisation over the last axis. One workgroup a row; its lanes stride over the columns.
// Behind per_group.wgsl and reduce.wgsl.

alias Value = f32;

struct Params {
    count: u32, // rows
    cols: u32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;       // [rows, cols]
@group(0) @binding(2) var<storage, read> weight: array<f32>;  // [cols]
@group(0) @binding(3) var<storage, read> bias: array<f32>;    // [cols]
@group(0) @binding(4) var<storage, read_write> y: array<f32>; // [rows, cols]

const LANES: u32 = 64u;

fn group(row: u32, lane: u32) {
    let start = row * p.cols;

    var sum = 0.0;
    for (var c = lane; c < p.cols; c += LANES) {
        sum += x[start + c];
    }
    let mean = total(lane, sum) / f32(p.cols);

    var squares = 0.0;
    for (var c = lane; c < p.cols; c += LANES) {
        let d = x[start + c] - mean;
        squares += d * d;
    }
    let scale = inverseSqrt(total(lane, squares) / f32(p.cols) + p.eps);

    for (var c = lane; c < p.cols; c += LANES) {
        y[start + c] = (x[start + c] - mean) * scale * weight[c] + bias[c];
    }
}
