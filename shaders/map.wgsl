// y = f(x), element by element. Followed by activation.wgsl.

struct Params {
    len: u32,
    code: u32, // the function, as `activate` numbers them
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

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
    y[i] = activate(p.code, x[i]);
}
