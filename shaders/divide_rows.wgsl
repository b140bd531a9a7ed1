// Divides each row by its divisor, in place; rows whose divisor is 0 stay. One invocation an element.
// Behind per_element.wgsl.

struct Params {
    count: u32, // elements of x
    cols: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> divisors: array<f32>; // [n / cols]
@group(0) @binding(2) var<storage, read_write> x: array<f32>;  // [n / cols, cols]

fn element(i: u32) {
    let divisor = divisors[i / p.cols];
    if divisor != 0.0 {
        x[i] /= divisor;
    }
}
