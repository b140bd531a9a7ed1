// Sums of products of sparse features, S = Σ za·zb over the tokens on which both fire.
//
// One workgroup a slice: some consecutive tokens of one feature of A. Its accumulators hold one sum for each of
// up to 1,024 features of B. Teams of eight lanes take the tokens in turn and add the products of that token
// with every entry of B's row.
//
// Sums are 64-bit fixed point: `high` counts 2⁻¹², `low` counts 2⁻⁴⁴ and carries into `high`. Integer addition
// is associative, so atomics in any order give the same bits, and nothing is lost to cancellation: each product
// is off by 2⁻²⁴ of itself and by less than 2⁻⁴⁴.
// Behind per_group.wgsl.

struct Params {
    count: u32, // slices
    width: u32, // features of B, at most TILE
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> slice: array<u32>;            // [slices + 1] into a_entry
@group(0) @binding(2) var<storage, read> a_entry: array<vec2<u32>>;    // (token, bits of za), by feature
@group(0) @binding(3) var<storage, read> b_indptr: array<u32>;          // [tokens + 1] into b_entry
@group(0) @binding(4) var<storage, read> b_entry: array<vec2<u32>>;    // (feature, bits of zb), by token
@group(0) @binding(5) var<storage, read_write> sums: array<vec2<u32>>; // [slices, width] (low, bits of high)

const LANES: u32 = 128u;
const TEAM: u32 = 8u;
const TILE: u32 = 1024u;
// The largest float below 1.
const ALMOST_ONE: f32 = 0.99999994;

var<workgroup> low: array<atomic<u32>, TILE>;
var<workgroup> high: array<atomic<i32>, TILE>;

// Adds `product`, whose magnitude is at most 2 (Σz² is).
fn add(j: u32, product: f32) {
    let scaled = abs(product) * 4096.0;
    let whole = floor(scaled);
    var hi = i32(whole);
    // The clamp holds even where a driver fuses the multiplication into the subtraction.
    var lo = u32(clamp(scaled - whole, 0.0, ALMOST_ONE) * 4294967296.0);
    if product < 0.0 {
        hi = -hi - select(0, 1, lo != 0u);
        lo = 0u - lo;
    }
    if lo != 0u {
        let before = atomicAdd(&low[j], lo);
        hi += select(0, 1, before + lo < lo);
    }
    if hi != 0 {
        atomicAdd(&high[j], hi);
    }
}

fn group(s: u32, lane: u32) {
    for (var j = lane; j < p.width; j += LANES) {
        atomicStore(&low[j], 0u);
        atomicStore(&high[j], 0);
    }
    workgroupBarrier();

    let end = slice[s + 1u];
    for (var k = slice[s] + lane / TEAM; k < end; k += LANES / TEAM) {
        let a = a_entry[k];
        let za = bitcast<f32>(a.y);
        let row_end = b_indptr[a.x + 1u];
        for (var e = b_indptr[a.x] + lane % TEAM; e < row_end; e += TEAM) {
            let b = b_entry[e];
            add(b.x, za * bitcast<f32>(b.y));
        }
    }
    workgroupBarrier();

    for (var j = lane; j < p.width; j += LANES) {
        sums[s * p.width + j] = vec2(atomicLoad(&low[j]), bitcast<u32>(atomicLoad(&high[j])));
    }
}
