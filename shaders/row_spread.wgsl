// Squared distance of each row from the mean row. One workgroup a row.

struct Params {
    rows: u32,
    cols: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;            // [rows, cols]
@group(0) @binding(2) var<storage, read> sums: array<f32>;         // [cols]: sums of the columns of x
@group(0) @binding(3) var<storage, read_write> spread: array<f32>; // [rows]

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
    var squares = 0.0;
    for (var c = lane; c < p.cols; c += LANES) {
        let d = x[start + c] - sums[c] / f32(p.rows);
        squares += d * d;
    }
    partial[lane] = squares;
    workgroupBarrier();
    if lane == 0u {
        var sum = 0.0;
        for (var l = 0u; l < LANES; l++) {
            sum += partial[l];
        }
        spread[row] = sum;
    }
}
