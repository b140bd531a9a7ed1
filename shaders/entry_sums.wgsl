// Sums of the entries of each column that has any, the entries being short vectors. One invocation a sum.
// Behind per_element.wgsl.

struct Params {
    count: u32, // sums
    width: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> columns: array<u32>;      // [columns]
@group(0) @binding(2) var<storage, read> indptr: array<u32>;       // [columns + 1]
@group(0) @binding(3) var<storage, read> entry: array<vec2<u32>>;  // [entries] row, place
@group(0) @binding(4) var<storage, read> value: array<f32>;        // [entries, width]
@group(0) @binding(5) var<storage, read_write> sums: array<f32>;   // [F, width], zeros before

fn element(i: u32) {
    let line = i / p.width;
    let part = i % p.width;
    var sum = 0.0;
    for (var e = indptr[line]; e < indptr[line + 1u]; e++) {
        sum += value[entry[e].y * p.width + part];
    }
    sums[columns[line] * p.width + part] = sum;
}
