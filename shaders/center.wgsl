// Takes its mean from each column of a matrix, and says what the column was like. One invocation a column.
//
// Sums run over blocks of 32 rows, then over blocks, which keeps f32 rounding near √32 units in the last place.
// The mean taken off is itself rounded; the sum of what is left tells by how much.
// Behind per_element.wgsl.

struct Params {
    count: u32, // columns
    rows: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;           // [rows, cols]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;     // [rows, cols] x − mean
@group(0) @binding(3) var<storage, read_write> stats: array<f32>; // [5, cols] mean, Σy, Σy², min x, max x

const BLOCK: u32 = 32u;

fn element(c: u32) {
    var smallest = x[c];
    var largest = smallest;
    var sum = 0.0;
    for (var start = 0u; start < p.rows; start += BLOCK) {
        var part = 0.0;
        for (var r = start; r < min(start + BLOCK, p.rows); r++) {
            let v = x[r * p.count + c];
            part += v;
            smallest = min(smallest, v);
            largest = max(largest, v);
        }
        sum += part;
    }
    let mean = sum / f32(p.rows);

    var left = 0.0;
    var squares = 0.0;
    for (var start = 0u; start < p.rows; start += BLOCK) {
        var part = vec2(0.0, 0.0);
        for (var r = start; r < min(start + BLOCK, p.rows); r++) {
            let d = x[r * p.count + c] - mean;
            y[r * p.count + c] = d;
            part += vec2(d, d * d);
        }
        left += part.x;
        squares += part.y;
    }

    stats[c] = mean;
    stats[p.count + c] = left;
    stats[2u * p.count + c] = squares;
    stats[3u * p.count + c] = smallest;
    stats[4u * p.count + c] = largest;
}
