// Rows of a table by their index: y[t, c] = table[ids[t], c]. One invocation an element. The table may be a part
// of a longer one, its rows first to first + rows − 1; what belongs to another part is left alone.
// Behind per_element.wgsl and weight.wgsl.

struct Params {
    count: u32, // elements of y
    cols: u32,
    first: u32,
    rows: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> table: array<u32>;   // [rows, cols], f32, f16 or bf16
@group(0) @binding(2) var<storage, read> ids: array<u32>;     // [len / cols]
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // [len / cols, cols]

fn element(i: u32) {
    let id = ids[i / p.cols];
    if id < p.first || id - p.first >= p.rows {
        return;
    }
    let at = (id - p.first) * p.cols + i % p.cols;
    y[i] = weight_of(table[word_of(at)], at);
}
