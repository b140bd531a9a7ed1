// Squared distance of each row from the mean row. One workgroup a row.
// Behind per_group.wgsl and reduce.wgsl.

alias Value = f32;

struct Params {
    count: u32, // rows
    cols: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;            // [rows, cols]
@group(0) @binding(2) var<storage, read> sums: array<f32>;         // [cols]: sums of the columns of x
@group(0) @binding(3) var<storage, read_write> spread: array<f32>; // [rows]

const LANES: u32 = 64u;

fn group(row: u32, lane: u32) {
    let start = row * p.cols;
    var squares = 0.0;
    for (var c = lane; c < p.cols; c += LANES) {
        let d = x[start + c] - sums[c] / f32(p.count);
        squares += d * d;
    }
    share(lane, squares);
    if lane == 0u {
        spread[row] = shared_total();
    }
}
