// Reconstructions from sparse features: y = v·W + bias. One workgroup a row; lanes stride over the columns.

struct Params {
    rows: u32,
    cols: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> start: array<u32>;    // [rows + 1] into column and value
@group(0) @binding(2) var<storage, read> column: array<u32>;   // [entries] rows of w
@group(0) @binding(3) var<storage, read> value: array<f32>;    // [entries]
@group(0) @binding(4) var<storage, read> w: array<f32>;        // [F, cols]
@group(0) @binding(5) var<storage, read> bias: array<f32>;     // [cols]
@group(0) @binding(6) var<storage, read_write> y: array<f32>;  // [rows, cols]

const LANES: u32 = 64u;

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
    let first = start[row];
    let end = start[row + 1u];
    for (var c = lane; c < p.cols; c += LANES) {
        var sum = 0.0;
        for (var e = first; e < end; e++) {
            sum += value[e] * w[column[e] * p.cols + c];
        }
        y[row * p.cols + c] = sum + bias[c];
    }
}
