// Kullback-Leibler divergence of each row's two softmaxes, in nats. One workgroup a row; its lanes stride over
// the first `vocab` columns, the others being padding.

struct Params {
    rows: u32,
    cols: u32,
    vocab: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> p: array<f32>;         // [rows, cols]
@group(0) @binding(2) var<storage, read> q: array<f32>;         // [rows, cols]
@group(0) @binding(3) var<storage, read_write> kl: array<f32>;  // [rows]

const LANES: u32 = 64u;
const LEAST: f32 = -3.4028235e38;
var<workgroup> partial: array<vec3<f32>, LANES>;

// By the bits: some devices' exp and log make numbers of a NaN, and compilers may take x == x for granted.
fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

fn exp_of(d: f32) -> f32 {
    return select(exp(d), d, is_nan(d));
}

fn log_of(sum: f32) -> f32 {
    return select(log(sum), sum, is_nan(sum));
}

// Largest of each component over the workgroup.
fn largest(lane: u32, value: vec3<f32>) -> vec3<f32> {
    partial[lane] = value;
    workgroupBarrier();
    for (var step = LANES / 2u; step > 0u; step /= 2u) {
        if lane < step {
            partial[lane] = max(partial[lane], partial[lane + step]);
        }
        workgroupBarrier();
    }
    let most = partial[0];
    workgroupBarrier();
    return most;
}

// Sum of each component over the workgroup, in a fixed order.
fn total(lane: u32, value: vec3<f32>) -> vec3<f32> {
    partial[lane] = value;
    workgroupBarrier();
    for (var step = LANES / 2u; step > 0u; step /= 2u) {
        if lane < step {
            partial[lane] += partial[lane + step];
        }
        workgroupBarrier();
    }
    let sum = partial[0];
    workgroupBarrier();
    return sum;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) num: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = wid.x + wid.y * num.x;
    if row >= params.rows {
        return;
    }
    let start = row * params.cols;

    // A NaN that `max` drops comes back in the sums.
    var most = vec3<f32>(LEAST);
    for (var c = lane; c < params.vocab; c += LANES) {
        most = max(most, vec3<f32>(p[start + c], q[start + c], LEAST));
    }
    most = largest(lane, most);

    // Σ e^dp, Σ e^dq, Σ e^dp (dp − dq), with d the distance from the row's largest.
    var sums = vec3<f32>(0.0);
    for (var c = lane; c < params.vocab; c += LANES) {
        let dp = p[start + c] - most.x;
        let dq = q[start + c] - most.y;
        let ep = exp_of(dp);
        // What p rules out costs nothing, however far it is.
        sums += vec3<f32>(ep, exp_of(dq), select(ep * (dp - dq), 0.0, ep == 0.0));
    }
    sums = total(lane, sums);

    if lane == 0u {
        kl[row] = sums.z / sums.x - log_of(sums.x) + log_of(sums.y);
    }
}
