// What a sparse autoencoder's encoder reads: (x - shift) / spread - bias, a row at a time.
// MODE 0: shift 0, spread 1. MODE 1: shift 0, spread |x| / sqrt(cols). MODE 2: shift = mean, spread = the
// unbiased standard deviation + eps; the deviation itself is what the output is multiplied with.
// MODE 3: (x - bias) / (|x - bias| / sqrt(cols)), reported with the spread of MODE 1.
// One workgroup a row.
// Behind per_group.wgsl and reduce.wgsl.

override MODE: u32 = 0u;

alias Value = f32;

struct Params {
    count: u32, // rows
    cols: u32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;           // [rows, cols]
@group(0) @binding(2) var<storage, read> bias: array<f32>;        // [cols]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;     // [rows, cols]
@group(0) @binding(4) var<storage, read_write> scale: array<f32>; // [rows, 2]: shift, spread

const LANES: u32 = 64u;

fn group(row: u32, lane: u32) {
    let start = row * p.cols;

    var shift = 0.0;
    if MODE == 2u {
        var sum = 0.0;
        for (var c = lane; c < p.cols; c += LANES) {
            sum += x[start + c];
        }
        shift = total(lane, sum) / f32(p.cols);
    }
    var spread = 1.0;
    if MODE != 0u {
        var squares = 0.0;
        for (var c = lane; c < p.cols; c += LANES) {
            let d = x[start + c] - shift;
            squares += d * d;
        }
        let degrees = select(p.cols, max(p.cols, 2u) - 1u, MODE == 2u);
        spread = sqrt(total(lane, squares) / f32(degrees));
    }
    var divisor = spread;
    if MODE == 2u {
        divisor += p.eps;
    } else if spread == 0.0 {
        divisor = 1.0; // a row of zeros has no direction to scale
    }

    if MODE == 3u {
        var squares = 0.0;
        for (var c = lane; c < p.cols; c += LANES) {
            let d = x[start + c] - bias[c];
            squares += d * d;
        }
        let left = sqrt(total(lane, squares) / f32(p.cols));
        divisor = select(left, 1.0, left == 0.0);
    }

    for (var c = lane; c < p.cols; c += LANES) {
        if MODE == 3u {
            y[start + c] = (x[start + c] - bias[c]) / divisor;
        } else {
            y[start + c] = (x[start + c] - shift) / divisor - bias[c];
        }
    }
    if lane == 0u {
        scale[2u * row] = shift;
        scale[2u * row + 1u] = spread;
    }
}
