// Sums of the entries of each column that has any, the entries being short vectors. One invocation a sum.

struct Params {
    columns: u32,
    width: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> column: array<u32>;       // [columns]
@group(0) @binding(2) var<storage, read> start: array<u32>;        // [columns + 1]
@group(0) @binding(3) var<storage, read> entry: array<vec2<u32>>;  // [entries] row, place
@group(0) @binding(4) var<storage, read> value: array<f32>;        // [entries, width]
@group(0) @binding(5) var<storage, read_write> sums: array<f32>;   // [F, width], zeros before

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) num: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (wid.x + wid.y * num.x) * 64u + lane;
    if i >= p.columns * p.width {
        return;
    }
    let line = i / p.width;
    let part = i % p.width;
    var sum = 0.0;
    for (var e = start[line]; e < start[line + 1u]; e++) {
        sum += value[entry[e].y * p.width + part];
    }
    sums[column[line] * p.width + part] = sum;
}
