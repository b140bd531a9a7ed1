// One workgroup a row, or whatever a kernel's pieces are: `group(g, lane)` of the kernel behind this file, for each g
// below p.count. The kernel says on how many lanes: const LANES.

@compute @workgroup_size(LANES)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) num: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let g = wid.x + wid.y * num.x;
    if g < p.count {
        group(g, lane);
    }
}
