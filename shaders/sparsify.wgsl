// Writes the elements of each row that are not 0, in column order, to that row's place in the output.
// One workgroup a row; each lane owns a stretch of columns.

struct Params {
    rows: u32,
    cols: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;             // [rows, cols]
@group(0) @binding(2) var<storage, read> starts: array<u32>;        // [rows]: where a row's entries begin
@group(0) @binding(3) var<storage, read_write> indices: array<u32>; // [entries]
@group(0) @binding(4) var<storage, read_write> values: array<f32>;  // [entries]

const LANES: u32 = 64u;
var<workgroup> counts: array<u32, LANES>;

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
    let stretch = (p.cols + LANES - 1u) / LANES;
    let first = min(lane * stretch, p.cols);
    let end = min(first + stretch, p.cols);

    var count = 0u;
    for (var c = first; c < end; c++) {
        count += u32(x[start + c] != 0.0);
    }
    counts[lane] = count;
    workgroupBarrier();
    var at = starts[row];
    for (var l = 0u; l < lane; l++) {
        at += counts[l];
    }

    for (var c = first; c < end; c++) {
        let value = x[start + c];
        if value != 0.0 {
            indices[at] = c;
            values[at] = value;
            at += 1u;
        }
    }
}
