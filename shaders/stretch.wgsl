// Rows whose elements are counted in order by the lanes of a workgroup (per_group.wgsl), each on its own stretch of
// columns.

var<workgroup> counts: array<u32, LANES>;

// The stretch of a lane: its first column, and the one behind its last.
fn stretch(lane: u32, cols: u32) -> vec2<u32> {
    let width = (cols + LANES - 1u) / LANES;
    let first = min(lane * width, cols);
    return vec2(first, min(first + width, cols));
}

// What the lanes before this one counted.
fn before(lane: u32, count: u32) -> u32 {
    counts[lane] = count;
    workgroupBarrier();
    var sum = 0u;
    for (var l = 0u; l < lane; l++) {
        sum += counts[l];
    }
    return sum;
}
