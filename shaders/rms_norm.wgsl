// Root-mean-square normalisation over the last axis. One workgroup a row; its lanes stride over the columns.

struct Params {
    rows: u32,
    cols: u32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;       // [rows, cols]
@group(0) @binding(2) var<storage, read> weight: array<f32>;  // [cols]
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // [rows, cols]

const LANES: u32 = 64u;
var<workgroup> partial: array<f32, LANES>;

// Sum of `value` over the workgroup, in a fixed order.
fn total(lane: u32, value: f32) -> f32 {
    partial[lane] = value;
    workgroupBarrier();
    for (var step = LANES / 2u; step > 0u; step /= 2u) {
        if lane < step {
            partial[lane] += partial[lane + step];
        }
        workgroupBarrier();
    }
    let sum = partial[0];
    workgroupBarrier();
    return sum;
}

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
        squares += x[start + c] * x[start + c];
    }
    let scale = inverseSqrt(total(lane, squares) / f32(p.cols) + p.eps);

    for (var c = lane; c < p.cols; c += LANES) {
        y[start + c] = x[start + c] * scale * weight[c];
    }
}
