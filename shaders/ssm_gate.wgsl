// out = (y + d ⊙ x) ⊙ silu(gate): skip connection and gate of a Mamba block. One invocation an element.
// Behind per_element.wgsl and activation.wgsl.

struct Params {
    count: u32, // elements of y
    channels: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> y: array<f32>;         // [len / channels, channels]
@group(0) @binding(2) var<storage, read> d: array<f32>;         // [channels]
@group(0) @binding(3) var<storage, read> x: array<f32>;         // as y
@group(0) @binding(4) var<storage, read> gate: array<f32>;      // as y
@group(0) @binding(5) var<storage, read_write> out: array<f32>; // as y

fn element(i: u32) {
    out[i] = (y[i] + d[i % p.channels] * x[i]) * silu(gate[i]);
}
