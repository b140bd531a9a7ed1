// Sums and maxima over the lanes of a workgroup (per_group.wgsl), in a fixed order. The kernel says what is added up:
// alias Value = f32 or another number or vector.

var<workgroup> partial: array<Value, LANES>;

// Sum of `value` over the workgroup, by halves.
fn total(lane: u32, value: Value) -> Value {
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

// Largest `value` of the workgroup, component by component.
fn largest(lane: u32, value: Value) -> Value {
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

// Puts each lane's `value` where the others see it …
fn share(lane: u32, value: Value) {
    partial[lane] = value;
    workgroupBarrier();
}

// … for a sum lane after lane, by whichever lane wants it: one barrier instead of eight.
fn shared_total() -> Value {
    var sum = Value();
    for (var l = 0u; l < LANES; l++) {
        sum += partial[l];
    }
    return sum;
}
