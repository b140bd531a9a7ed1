// What an active (or nearly active) feature of a token adds to the gradients. One invocation an entry.
// Behind per_element.wgsl.

struct Params {
    count: u32,     // entries
    kind: u32,
    penalty: f32,   // of the loss for each unit of sparsity, by token
    bandwidth: f32, // JumpReLU: width of the window around the threshold
    fired: f32,     // 1, or 0 where activity is not to be counted
}

const PLAIN: u32 = 0u;
const JUMP_RELU: u32 = 1u;

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> indices: array<u32>;           // [entries]
@group(0) @binding(2) var<storage, read> pre: array<f32>;               // [entries]
@group(0) @binding(3) var<storage, read> q: array<f32>;                 // [entries] dL/df
@group(0) @binding(4) var<storage, read> q_gate: array<f32>;            // [entries] Gated: dL/dp of the gate's own loss
@group(0) @binding(5) var<storage, read> scalars: array<vec4<f32>>;       // [F] see entry_features.rs
@group(0) @binding(6) var<storage, read> norms: array<f32>;             // [F] of the decoder's rows
@group(0) @binding(7) var<storage, read_write> parts: array<vec4<f32>>; // [entries] for scalars; activity
@group(0) @binding(8) var<storage, read_write> weights: array<vec2<f32>>; // [entries] for decoder, encoder

fn element(e: u32) {
    let own = scalars[indices[e]];
    let value = pre[e];
    if p.kind == PLAIN {
        let d = q[e] + p.penalty * norms[indices[e]];
        parts[e] = vec4(d, 0.0, 0.0, p.fired * value);
        weights[e] = vec2(value, d);
    } else if p.kind == JUMP_RELU {
        let threshold = exp(own.y);
        let on = f32(value > threshold);
        let near = f32(abs(value - threshold) < 0.5 * p.bandwidth);
        let d_threshold = -near / p.bandwidth * (threshold * q[e] + p.penalty);
        parts[e] = vec4(on * q[e], threshold * d_threshold, 0.0, on * value);
        weights[e] = vec2(on * value, on * q[e]);
    } else {
        let scale = exp(own.z);
        let scaled = (value - own.x) * scale;
        let feature = max(scaled + own.y, 0.0);
        let d_magnitude = select(0.0, q[e], feature > 0.0);
        let d_gate = q_gate[e] + p.penalty;
        parts[e] = vec4(d_gate, d_magnitude, d_magnitude * scaled, feature);
        weights[e] = vec2(feature, d_gate + d_magnitude * scale);
    }
}
