// How many elements of each row are not 0. One workgroup a row.
// Behind per_group.wgsl and reduce.wgsl.

alias Value = u32;

struct Params {
    count: u32, // rows
    cols: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;            // [rows, cols]
@group(0) @binding(2) var<storage, read_write> counts: array<u32>; // [rows]

const LANES: u32 = 64u;

fn group(row: u32, lane: u32) {
    let start = row * p.cols;
    var count = 0u;
    for (var c = lane; c < p.cols; c += LANES) {
        count += u32(x[start + c] != 0.0);
    }
    share(lane, count);
    if lane == 0u {
        counts[row] = shared_total();
    }
}
