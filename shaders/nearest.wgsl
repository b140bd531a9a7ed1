// Largest element of each row but the one that compares the row with itself. One workgroup a row.

struct Params {
    rows: u32,
    cols: u32,
    start: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;             // [rows, cols]
@group(0) @binding(2) var<storage, read_write> largest: array<f32>; // [rows]

const LANES: u32 = 64u;
const LEAST: f32 = -3.4028235e38;
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
    let own = p.start + row;
    var most = LEAST;
    for (var c = lane; c < p.cols; c += LANES) {
        most = max(most, select(x[row * p.cols + c], LEAST, c == own));
    }
    partial[lane] = most;
    workgroupBarrier();
    if lane == 0u {
        for (var l = 1u; l < LANES; l++) {
            most = max(most, partial[l]);
        }
        largest[row] = most;
    }
}
