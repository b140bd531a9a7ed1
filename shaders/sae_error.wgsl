// Weighted squared error of each row of a reconstruction, and its gradient. One workgroup a row.
// The weight of a row is factor / spread, or factor / sqrt(spread) when ROOT is 1.
// Behind per_group.wgsl and reduce.wgsl.

override ROOT: u32 = 0u;

alias Value = f32;

struct Params {
    count: u32, // rows
    cols: u32,
    factor: f32,
    floor: f32, // spreads are taken to be at least this
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> recon: array<f32>;       // [rows, cols]
@group(0) @binding(2) var<storage, read> wanted: array<f32>;      // [rows, cols]
@group(0) @binding(3) var<storage, read> spread: array<f32>;      // [rows]
@group(0) @binding(4) var<storage, read_write> grad: array<f32>;  // [rows, cols]
@group(0) @binding(5) var<storage, read_write> error: array<f32>; // [rows]

const LANES: u32 = 64u;

fn group(row: u32, lane: u32) {
    let start = row * p.cols;
    var width = max(spread[row], p.floor);
    if ROOT == 1u {
        width = sqrt(width);
    }
    let weight = p.factor / width;
    var squares = 0.0;
    for (var c = lane; c < p.cols; c += LANES) {
        let d = recon[start + c] - wanted[start + c];
        squares += d * d;
        grad[start + c] = 2.0 * weight * d;
    }
    share(lane, squares);
    if lane == 0u {
        error[row] = weight * shared_total();
    }
}
