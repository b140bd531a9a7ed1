// Sum of each column. A workgroup takes 16 columns; its 16 lanes per column stride over the rows.
// Behind per_group.wgsl.

struct Params {
    count: u32, // groups of columns
    rows: u32,
    cols: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;          // [rows, cols]
@group(0) @binding(2) var<storage, read_write> sums: array<f32>; // [cols]

const LANES: u32 = 256u;
const WIDTH: u32 = 16u;
const DEPTH: u32 = 16u;
var<workgroup> partial: array<f32, LANES>;

fn group(index: u32, lane: u32) {
    let col = index * WIDTH + lane % WIDTH;
    var sum = 0.0;
    if col < p.cols {
        for (var r = lane / WIDTH; r < p.rows; r += DEPTH) {
            sum += x[r * p.cols + col];
        }
    }
    partial[lane] = sum;
    workgroupBarrier();
    if lane < WIDTH && col < p.cols {
        var total = 0.0;
        for (var d = 0u; d < DEPTH; d++) {
            total += partial[d * WIDTH + lane];
        }
        sums[col] = total;
    }
}
