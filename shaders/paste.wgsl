// A matrix with some of its columns replaced: y[r, start + c] = part[r, c], elsewhere y = base.
// Behind per_element.wgsl.

struct Params {
    count: u32, // elements of y
    cols: u32,
    start: u32,
    width: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> base: array<f32>;    // [rows, cols]
@group(0) @binding(2) var<storage, read> part: array<f32>;    // [rows, width]
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // [rows, cols]

fn element(i: u32) {
    let col = i % p.cols;
    if col >= p.start && col < p.start + p.width {
        y[i] = part[i / p.cols * p.width + col - p.start];
    } else {
        y[i] = base[i];
    }
}
