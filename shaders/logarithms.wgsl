// Exponentials and logarithms that hand a NaN on.

// By the bits: some devices' exp and log make numbers of a NaN, and compilers may take x == x for granted.
fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

fn exp_of(x: f32) -> f32 {
    return select(exp(x), x, is_nan(x));
}

fn log_of(x: f32) -> f32 {
    return select(log(x), x, is_nan(x));
}
