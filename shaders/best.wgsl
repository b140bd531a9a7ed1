// The largest element of each line (row or column) of a matrix, and where it is; ties go to the lowest index.
// One workgroup a line. Elements below −1.5 are no candidates.
// Behind per_group.wgsl.

struct Params {
    count: u32,  // lines
    length: u32, // elements of a line
    stride: u32, // from line to line
    step: u32,   // from element to element
    out: u32,    // where the first line's answer goes
    base: u32,   // index of each line's first element
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
// (bits of the value, index), index 0xffffffff without a candidate; other lines of it stay as they are.
@group(0) @binding(2) var<storage, read_write> best: array<vec2<u32>>;

const LANES: u32 = 64u;
const NONE: u32 = 0xffffffffu;
var<workgroup> values: array<f32, LANES>;
var<workgroup> indices: array<u32, LANES>;

fn group(line: u32, lane: u32) {
    var value = -1.5;
    var index = NONE;
    for (var k = lane; k < p.length; k += LANES) {
        let v = x[line * p.stride + k * p.step];
        if v > value {
            value = v;
            index = k;
        }
    }
    values[lane] = value;
    indices[lane] = index;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half {
            let v = values[lane + half];
            let i = indices[lane + half];
            if v > values[lane] || (v == values[lane] && i < indices[lane]) {
                values[lane] = v;
                indices[lane] = i;
            }
        }
        workgroupBarrier();
    }
    if lane == 0u {
        let found = indices[0];
        best[p.out + line] = vec2(bitcast<u32>(values[0]), select(p.base + found, NONE, found == NONE));
    }
}
