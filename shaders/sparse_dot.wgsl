// For each entry of a sparse matrix the product of its row's vector with its column's: q = ⟨g[row], w[column]⟩.
// One workgroup a row; eight lanes share an entry.
// Behind per_group.wgsl.

struct Params {
    count: u32, // rows
    cols: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> indptr: array<u32>;  // [rows + 1]
@group(0) @binding(2) var<storage, read> indices: array<u32>; // [entries] rows of w
@group(0) @binding(3) var<storage, read> g: array<f32>;       // [rows, cols]
@group(0) @binding(4) var<storage, read> w: array<f32>;       // [F, cols]
@group(0) @binding(5) var<storage, read_write> q: array<f32>; // [entries]

const LANES: u32 = 64u;
const TEAM: u32 = 8u;
const TEAMS: u32 = 8u;
var<workgroup> parts: array<f32, 64>;

fn group(row: u32, lane: u32) {
    let first = indptr[row];
    let end = indptr[row + 1u];
    for (var base = first; base < end; base += TEAMS) {
        let e = base + lane / TEAM;
        var sum = 0.0;
        if e < end {
            let line = indices[e] * p.cols;
            for (var c = lane % TEAM; c < p.cols; c += TEAM) {
                sum += g[row * p.cols + c] * w[line + c];
            }
        }
        parts[lane] = sum;
        workgroupBarrier();
        if lane % TEAM == 0u && e < end {
            var all = 0.0;
            for (var i = 0u; i < TEAM; i++) {
                all += parts[lane + i];
            }
            q[e] = all;
        }
        workgroupBarrier();
    }
}
