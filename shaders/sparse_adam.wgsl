// One step of Adam on the rows of a matrix whose gradient is not zero, in place. Row j's gradient is a sum over the
// entries of column j of a sparse matrix: Σ weight[entry]·table[row of the entry]. It is never stored.
// One workgroup a row; lanes stride over the columns. Moments that rested are decayed first by what they missed.
// Behind per_group.wgsl and reduce.wgsl.

alias Value = f32;

struct Params {
    count: u32, // lines
    cols: u32,
    width: u32, // of weight
    part: u32,  // which element of it
    along: u32, // whether along counts
    unit: u32,  // whether the row is brought to norm 1 afterwards
    rate: f32,  // learning rate / (1 - beta1^t)
    root: f32,  // 1 / sqrt(1 - beta2^t)
    beta1: f32,
    beta2: f32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> line: array<vec4<u32>>;      // [lines + 1] row, start, bits of both beta^gap
@group(0) @binding(2) var<storage, read> entry: array<vec2<u32>>;     // [entries] row of table, place in weight
@group(0) @binding(3) var<storage, read> weight: array<f32>;          // [entries, width]
@group(0) @binding(4) var<storage, read> table: array<f32>;           // [R, cols]
@group(0) @binding(5) var<storage, read> along: array<f32>;           // [F] added to the gradient per unit of the row
@group(0) @binding(6) var<storage, read_write> param: array<f32>;     // [F, cols]
@group(0) @binding(7) var<storage, read_write> first: array<f32>;     // [F, cols]
@group(0) @binding(8) var<storage, read_write> second: array<f32>;    // [F, cols]

const LANES: u32 = 64u;

fn group(l: u32, lane: u32) {
    let row = line[l].x * p.cols;
    let begin = line[l].y;
    let end = line[l + 1u].y;
    let rested1 = bitcast<f32>(line[l].z);
    let rested2 = bitcast<f32>(line[l].w);
    let more = select(0.0, along[line[l].x], p.along == 1u);

    var squares = 0.0;
    for (var c = lane; c < p.cols; c += LANES) {
        let i = row + c;
        let before = param[i];
        var g = 0.0;
        for (var e = begin; e < end; e++) {
            g += weight[entry[e].y * p.width + p.part] * table[entry[e].x * p.cols + c];
        }
        g += more * before;
        let m = p.beta1 * (rested1 * first[i]) + (1.0 - p.beta1) * g;
        let v = p.beta2 * (rested2 * second[i]) + (1.0 - p.beta2) * g * g;
        let after = before - p.rate * m / (sqrt(v) * p.root + p.eps);
        first[i] = m;
        second[i] = v;
        param[i] = after;
        squares += after * after;
    }
    if p.unit == 1u {
        share(lane, squares);
        let norm = sqrt(shared_total());
        for (var c = lane; c < p.cols; c += LANES) {
            param[row + c] = param[row + c] / select(1.0, norm, norm > 0.0);
        }
    }
}
