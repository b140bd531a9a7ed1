// The nonlinearities. The codes are those of crate/src/kernels/activation.rs.

// Φ(x), the normal distribution function, absolute error below 2e-7.
fn normal_cdf(x: f32) -> f32 {
    let z = abs(x);
    let t = 1.0 / (1.0 + 0.3 * z);
    var p = 0.036584698;
    p = p * t - 0.16083232;
    p = p * t + 0.21230717;
    p = p * t - 0.05886863;
    p = p * t + 0.13113944;
    p = p * t + 0.099184714;
    p = p * t + 0.1208621;
    p = p * t + 0.119622804;
    let tail = exp(-0.5 * z * z) * t * p;
    return select(1.0 - tail, tail, x < 0.0);
}

// The tanh approximation of the GELU, x·σ(2u) with u what the tanh is of; the exponent is never positive.
fn gelu_tanh(x: f32) -> f32 {
    let u = 1.5957692 * (x + 0.044715 * x * x * x);
    let e = exp(-abs(u));
    return x * (select(1.0, e, u < 0.0) / (1.0 + e));
}

// x·σ(x); the exponent is never positive, so nothing overflows.
fn silu(x: f32) -> f32 {
    let e = exp(-abs(x));
    return x * (select(1.0, e, x < 0.0) / (1.0 + e));
}

// ln(1 + eˣ) = max(x, 0) + ln(1 + e^−|x|), the logarithm by the series of 2·atanh(s), s ≤ 1/3.
fn softplus(x: f32) -> f32 {
    let e = exp(-abs(x));
    let s = e / (2.0 + e);
    let q = s * s;
    var p = 1.0 / 15.0;
    p = p * q + 1.0 / 13.0;
    p = p * q + 1.0 / 11.0;
    p = p * q + 1.0 / 9.0;
    p = p * q + 1.0 / 7.0;
    p = p * q + 1.0 / 5.0;
    p = p * q + 1.0 / 3.0;
    p = p * q + 1.0;
    return select(x, 0.0, x < 0.0) + 2.0 * s * p;
}

// −eˣ. NaN by its bits: some devices have exp(NaN) = ∞, and compilers may take x == x for granted.
fn neg_exp(x: f32) -> f32 {
    return select(-exp(x), x, (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u);
}

fn activate(code: u32, x: f32) -> f32 {
    switch code {
        case 1u: { return x * normal_cdf(x); }
        case 2u: { return silu(x); }
        case 3u: { return softplus(x); }
        // Not max(x, 0), which may drop a NaN.
        case 4u: { return select(x, 0.0, x < 0.0); }
        case 5u: { return neg_exp(x); }
        case 6u: { return gelu_tanh(x); }
        default: { return x; }
    }
}
