// The k largest positive values of each row; everything else becomes 0. Ties go to the lower column.
// One workgroup a row. The k-th largest value is found digit by digit: positive floats are ordered like
// their bits, so four counts of 8 bits each, from the top, give its bits.
// Behind per_group.wgsl and stretch.wgsl.

struct Params {
    count: u32, // rows
    cols: u32,
    k: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;       // [rows, cols]
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // [rows, cols]

const LANES: u32 = 64u;
const BINS: u32 = 256u;
var<workgroup> bins: array<atomic<u32>, BINS>;
var<workgroup> threshold: u32; // bits of the k-th largest value, as far as they are known
var<workgroup> wanted: u32;    // how many of the values that share these bits are kept

// Orders values: larger positive values have larger keys; zero, negative values and NaN have 0.
fn key(value: f32) -> u32 {
    return select(0u, bitcast<u32>(value), value > 0.0);
}

fn group(row: u32, lane: u32) {
    let start = row * p.cols;

    if lane == 0u {
        threshold = 0u;
        wanted = p.k;
    }
    var known = 0u; // mask of the bits already found
    for (var digit = 0u; digit < 4u; digit++) {
        let shift = 24u - 8u * digit;
        for (var b = lane; b < BINS; b += LANES) {
            atomicStore(&bins[b], 0u);
        }
        workgroupBarrier();
        let prefix = threshold;
        for (var c = lane; c < p.cols; c += LANES) {
            let bits = key(x[start + c]);
            if (bits & known) == prefix {
                atomicAdd(&bins[(bits >> shift) & 255u], 1u);
            }
        }
        workgroupBarrier();
        if lane == 0u {
            var above = 0u;
            var b = 255u;
            while b > 0u && above + atomicLoad(&bins[b]) < wanted {
                above += atomicLoad(&bins[b]);
                b -= 1u;
            }
            wanted -= above;
            threshold = prefix | (b << shift);
        }
        known |= 255u << shift;
        workgroupBarrier();
    }

    // Which of the values equal to the threshold come first: each lane counts its own stretch of columns.
    let least = threshold;
    let own = stretch(lane, p.cols);
    var count = 0u;
    for (var c = own.x; c < own.y; c++) {
        count += u32(key(x[start + c]) == least);
    }
    var ties = before(lane, count);

    for (var c = own.x; c < own.y; c++) {
        let value = x[start + c];
        let bits = key(value);
        var keep = bits > least;
        if bits == least && bits > 0u {
            keep = ties < wanted;
            ties += 1u;
        }
        y[start + c] = select(0.0, value, keep);
    }
}
