// Kullback-Leibler divergence of each row's two softmaxes, in nats. One workgroup a row; its lanes stride over
// the first `vocab` columns, the others being padding.
// Behind per_group.wgsl, reduce.wgsl and logarithms.wgsl.

alias Value = vec3<f32>;

struct Params {
    count: u32, // rows
    cols: u32,
    vocab: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;         // [rows, cols]
@group(0) @binding(2) var<storage, read> b: array<f32>;         // [rows, cols]
@group(0) @binding(3) var<storage, read_write> kl: array<f32>;  // [rows]

const LANES: u32 = 64u;
const LEAST: f32 = -3.4028235e38;

fn group(row: u32, lane: u32) {
    let start = row * p.cols;

    // A NaN that `max` drops comes back in the sums.
    var most = vec3<f32>(LEAST);
    for (var c = lane; c < p.vocab; c += LANES) {
        most = max(most, vec3<f32>(a[start + c], b[start + c], LEAST));
    }
    most = largest(lane, most);

    // Σ e^dp, Σ e^dq, Σ e^dp (dp − dq), with d the distance from the row's largest.
    var sums = vec3<f32>(0.0);
    for (var c = lane; c < p.vocab; c += LANES) {
        let dp = a[start + c] - most.x;
        let dq = b[start + c] - most.y;
        let ep = exp_of(dp);
        // What p rules out costs nothing, however far it is.
        sums += vec3<f32>(ep, exp_of(dq), select(ep * (dp - dq), 0.0, ep == 0.0));
    }
    sums = total(lane, sums);

    if lane == 0u {
        kl[row] = sums.z / sums.x - log_of(sums.x) + log_of(sums.y);
    }
}
