// Largest element of each row but the one that compares the row with itself. One workgroup a row.
// Behind per_group.wgsl and reduce.wgsl.

alias Value = f32;

struct Params {
    count: u32, // rows
    cols: u32,
    start: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;             // [rows, cols]
@group(0) @binding(2) var<storage, read_write> nearest: array<f32>; // [rows]

const LANES: u32 = 64u;
const LEAST: f32 = -3.4028235e38;

fn group(row: u32, lane: u32) {
    let own = p.start + row;
    var most = LEAST;
    for (var c = lane; c < p.cols; c += LANES) {
        most = max(most, select(x[row * p.cols + c], LEAST, c == own));
    }
    most = largest(lane, most);
    if lane == 0u {
        nearest[row] = most;
    }
}
