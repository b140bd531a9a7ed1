// Discretisation of a selective scan: exp(Δ·A) and Δ·B. One lane an element.
// Behind per_element.wgsl and exponential.wgsl.

alias Real = f32;
alias Whole = i32;

struct Params {
    count: u32,    // elements of a_bar
    channels: u32,
    states: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> delta: array<f32>;       // [rows, channels]
@group(0) @binding(2) var<storage, read> a: array<f32>;           // [channels, states]
@group(0) @binding(3) var<storage, read> b: array<f32>;           // [rows, states]
@group(0) @binding(4) var<storage, read_write> a_bar: array<f32>; // [rows, channels, states]
@group(0) @binding(5) var<storage, read_write> b_bar: array<f32>; // [rows, channels, states]

fn element(i: u32) {
    let of_row = p.channels * p.states;
    let d = delta[i / p.states];
    a_bar[i] = exp_exact(d * a[i % of_row]);
    b_bar[i] = d * b[i / of_row * p.states + i % p.states];
}
