// Writes the elements of each row that are not 0, in column order, to that row's place in the output.
// One workgroup a row; each lane owns a stretch of columns.
// Behind per_group.wgsl and stretch.wgsl.

struct Params {
    count: u32, // rows
    cols: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;             // [rows, cols]
@group(0) @binding(2) var<storage, read> indptr: array<u32>;        // [rows]: where a row's entries begin
@group(0) @binding(3) var<storage, read_write> indices: array<u32>; // [entries]
@group(0) @binding(4) var<storage, read_write> values: array<f32>;  // [entries]

const LANES: u32 = 64u;

fn group(row: u32, lane: u32) {
    let start = row * p.cols;
    let own = stretch(lane, p.cols);
    var count = 0u;
    for (var c = own.x; c < own.y; c++) {
        count += u32(x[start + c] != 0.0);
    }
    var at = indptr[row] + before(lane, count);

    for (var c = own.x; c < own.y; c++) {
        let value = x[start + c];
        if value != 0.0 {
            indices[at] = c;
            values[at] = value;
            at += 1u;
        }
    }
}
