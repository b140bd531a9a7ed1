// out = act(A·B + bias) + residual, for an [m, k] by [k, n] product given by strides. One workgroup computes a
// 64 × 64 tile of the result from 16-deep slices of A and B in workgroup memory; each of its 256 invocations
// holds 4 × 4 results. The form for GPUs.
// Behind per_group.wgsl, matmul_store.wgsl, activation.wgsl and weight.wgsl.

@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<u32>;         // f32, f16 or bf16

const LANES: u32 = 256u;
const TILE: u32 = 64u;
const DEPTH: u32 = 16u;
// Slices are stored depth by depth. Two words of padding keep the 16 depths that a half-warp writes at once in
// different banks.
const PITCH: u32 = TILE + 2u;
var<workgroup> a_slice: array<f32, PITCH * DEPTH>;
var<workgroup> b_slice: array<f32, PITCH * DEPTH>;

// The element of a slice that a lane loads in pass 0 to 3, as (row of A or column of B, depth): neighbouring
// lanes read neighbouring addresses, whichever of the two has stride 1.
fn slice_element(lane: u32, turn: u32, depth_first: bool) -> vec2<u32> {
    if depth_first {
        return vec2(lane / DEPTH + turn * 16u, lane % DEPTH);
    }
    return vec2(lane % TILE, lane / TILE + turn * 4u);
}

fn store_row(row: u32, col: u32, sums: vec4<f32>) {
    store(row, col, sums.x);
    store(row, col + 16u, sums.y);
    store(row, col + 32u, sums.z);
    store(row, col + 48u, sums.w);
}

fn group(tile: u32, lane: u32) {
    let tile_cols = (p.n + TILE - 1u) / TILE;
    let row0 = tile / tile_cols * TILE;
    let col0 = tile % tile_cols * TILE;
    // Rows y, y + 16, ... and columns x, x + 16, ... of the tile: neighbouring lanes store neighbours.
    let x = lane % 16u;
    let y = lane / 16u;

    var c0 = vec4<f32>();
    var c1 = vec4<f32>();
    var c2 = vec4<f32>();
    var c3 = vec4<f32>();
    for (var k0 = 0u; k0 < p.k; k0 += DEPTH) {
        for (var turn = 0u; turn < 4u; turn++) {
            // Past an edge both slices hold zeros, so that nothing beside the data reaches a sum.
            let ea = slice_element(lane, turn, p.a_k == 1u);
            var va = 0.0;
            if row0 + ea.x < p.m && k0 + ea.y < p.k {
                va = a[(row0 + ea.x) * p.a_row + (k0 + ea.y) * p.a_k];
            }
            a_slice[ea.y * PITCH + ea.x] = va;
            let eb = slice_element(lane, turn, p.b_k == 1u);
            var vb = 0.0;
            if col0 + eb.x < p.n && k0 + eb.y < p.k {
                let i = (col0 + eb.x) * p.b_col + (k0 + eb.y) * p.b_k;
                vb = weight_of(b[word_of(i)], i);
            }
            b_slice[eb.y * PITCH + eb.x] = vb;
        }
        workgroupBarrier();
        for (var l = 0u; l < DEPTH; l++) {
            let at = l * PITCH + y;
            let bt = l * PITCH + x;
            let row = vec4(b_slice[bt], b_slice[bt + 16u], b_slice[bt + 32u], b_slice[bt + 48u]);
            c0 += a_slice[at] * row;
            c1 += a_slice[at + 16u] * row;
            c2 += a_slice[at + 32u] * row;
            c3 += a_slice[at + 48u] * row;
        }
        workgroupBarrier();
    }
    store_row(row0 + y, col0 + x, c0);
    store_row(row0 + y + 16u, col0 + x, c1);
    store_row(row0 + y + 32u, col0 + x, c2);
    store_row(row0 + y + 48u, col0 + x, c3);
}
