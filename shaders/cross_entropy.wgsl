// Cross-entropy of each row's softmax with its target, in nats. One workgroup a row; its lanes stride over
// the first `vocab` columns, the others being padding.

struct Params {
    rows: u32,
    cols: u32,
    vocab: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;     // [rows, cols]
@group(0) @binding(2) var<storage, read> targets: array<u32>;    // [rows], each below vocab
@group(0) @binding(3) var<storage, read_write> loss: array<f32>; // [rows]

const LANES: u32 = 64u;
var<workgroup> partial: array<f32, LANES>;

// By the bits: some devices' exp and log make numbers of a NaN, and compilers may take x == x for granted.
fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

// Largest `value` of the workgroup.
fn largest(lane: u32, value: f32) -> f32 {
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

// Sum of `value` over the workgroup, in a fixed order.
fn total(lane: u32, value: f32) -> f32 {
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
    if row >= p.rows {
        return;
    }
    let start = row * p.cols;

    // A NaN that `max` drops comes back in the sum.
    var most = -3.4028235e38;
    for (var c = lane; c < p.vocab; c += LANES) {
        most = max(most, logits[start + c]);
    }
    most = largest(lane, most);

    var sum = 0.0;
    for (var c = lane; c < p.vocab; c += LANES) {
        let d = logits[start + c] - most;
        sum += select(exp(d), d, is_nan(d));
    }
    sum = total(lane, sum);

    if lane == 0u {
        let log_sum = select(log(sum), sum, is_nan(sum));
        loss[row] = log_sum + (most - logits[start + targets[row]]);
    }
}
