// Cross-entropy of each row's softmax with its target, in nats. One workgroup a row; its lanes stride over
// the first `vocab` columns, the others being padding.
// Behind per_group.wgsl, reduce.wgsl and logarithms.wgsl.

alias Value = f32;

struct Params {
    count: u32, // rows
    cols: u32,
    vocab: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;     // [rows, cols]
@group(0) @binding(2) var<storage, read> targets: array<u32>;    // [rows], each below vocab
@group(0) @binding(3) var<storage, read_write> loss: array<f32>; // [rows]

const LANES: u32 = 64u;

fn group(row: u32, lane: u32) {
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
        sum += exp_of(d);
    }
    sum = total(lane, sum);

    if lane == 0u {
        loss[row] = log_of(sum) + (most - logits[start + targets[row]]);
    }
}
