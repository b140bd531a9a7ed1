// out = (y + d ⊙ x) ⊙ silu(gate): skip connection and gate of a Mamba block. One invocation an element. Followed
// by activation.wgsl.

struct Params {
    len: u32,
    channels: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> y: array<f32>;         // [len / channels, channels]
@group(0) @binding(2) var<storage, read> d: array<f32>;         // [channels]
@group(0) @binding(3) var<storage, read> x: array<f32>;         // as y
@group(0) @binding(4) var<storage, read> gate: array<f32>;      // as y
@group(0) @binding(5) var<storage, read_write> out: array<f32>; // as y

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) num: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = (wid.x + wid.y * num.x) * 64u + lane;
    if i >= p.len {
        return;
    }
    out[i] = (y[i] + d[i % p.channels] * x[i]) * silu(gate[i]);
}
