// Softmax over the last axis. One workgroup a row; its lanes stride over the columns.
// Behind per_group.wgsl and reduce.wgsl.

alias Value = f32;

struct Params {
    count: u32, // rows
    cols: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;       // [rows, cols]
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // [rows, cols]

const LANES: u32 = 64u;
const LOWEST: f32 = -3.4028234e38;
fn group(row: u32, lane: u32) {
    let start = row * p.cols;

    var peak = LOWEST;
    for (var c = lane; c < p.cols; c += LANES) {
        peak = max(peak, x[start + c]);
    }
    peak = largest(lane, peak);

    var sum = 0.0;
    for (var c = lane; c < p.cols; c += LANES) {
        // −∞ is set aside by comparison: a shader may assume that exp never meets it.
        let v = x[start + c];
        let e = select(exp(v - peak), 0.0, v < LOWEST);
        y[start + c] = e;
        sum += e;
    }
    sum = total(lane, sum);
    // A row that holds anything finite has a sum of at least 1.
    let scale = select(1.0 / sum, 0.0, sum == 0.0);

    for (var c = lane; c < p.cols; c += LANES) {
        y[start + c] *= scale;
    }
}
