// Correlations from the sums of sparse_sums.wgsl: ρ = S − oa·ob, S being the sum over a feature's slices.
// One workgroup a feature of A; its lanes stride over the features of B.
// Behind per_group.wgsl.

struct Params {
    count: u32, // rows: features of A
    width: u32, // features of B
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> first: array<u32>;      // [rows + 1] first slice of each feature
@group(0) @binding(2) var<storage, read> sums: array<vec2<u32>>; // [slices, width] (2⁻⁴⁴, 2⁻¹² as i32)
@group(0) @binding(3) var<storage, read> a_offset: array<f32>;   // [rows] Σz/√n, 4 without variance
@group(0) @binding(4) var<storage, read> b_offset: array<f32>;   // [width]
@group(0) @binding(5) var<storage, read_write> rho: array<f32>;  // [rows, width], −2 without variance

const LANES: u32 = 64u;


fn group(row: u32, lane: u32) {
    let oa = a_offset[row];
    for (var j = lane; j < p.width; j += LANES) {
        var low = 0u;
        var high = 0;
        for (var s = first[row]; s < first[row + 1u]; s++) {
            let part = sums[s * p.width + j];
            low += part.x;
            high += bitcast<i32>(part.y) + select(0, 1, low < part.x);
        }
        let sum = f32(high) * 0x1p-12 + f32(low) * 0x1p-44;
        let ob = b_offset[j];
        rho[row * p.width + j] = select(sum - oa * ob, -2.0, oa > 2.0 || ob > 2.0);
    }
}
