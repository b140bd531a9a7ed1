// Causal depthwise convolution over time, then an activation. One lane an output element.
// Behind per_element.wgsl and activation.wgsl.

struct Params {
    count: u32,    // elements of y
    steps: u32,
    channels: u32,
    taps: u32,
    has_bias: u32, // 0: `bias` is a stand-in
    activation: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;       // [rows, channels]
@group(0) @binding(2) var<storage, read> weight: array<f32>;  // [channels, taps]; the last tap meets the current token
@group(0) @binding(3) var<storage, read> bias: array<f32>;    // [channels]
@group(0) @binding(4) var<storage, read_write> y: array<f32>; // [rows, channels]

fn element(i: u32) {
    let e = i % p.channels;
    let t = i / p.channels % p.steps;

    var sum = 0.0;
    if p.has_bias != 0u {
        sum = bias[e];
    }
    // `back` steps before the current token.
    for (var back = 0u; back < min(p.taps, t + 1u); back++) {
        sum += x[i - back * p.channels] * weight[e * p.taps + p.taps - 1u - back];
    }
    y[i] = activate(p.activation, sum);
}
