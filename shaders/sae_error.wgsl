// Weighted squared error of each row of a reconstruction, and its gradient. One workgroup a row.
// The weight of a row is factor / spread, or factor / sqrt(spread) when ROOT is 1.

override ROOT: u32 = 0u;

struct Params {
    rows: u32,
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
var<workgroup> partial: array<f32, LANES>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) num: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = wid.x + wid.y * num.x;
    if row >= p.rows {
        return;
    }
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
    partial[lane] = squares;
    workgroupBarrier();
    if lane == 0u {
        var sum = 0.0;
        for (var l = 0u; l < LANES; l++) {
            sum += partial[l];
        }
        error[row] = weight * sum;
    }
}
