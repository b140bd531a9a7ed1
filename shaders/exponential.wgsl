// The exponential of a selective scan, in every kernel that takes a part of it. The kernel says of what:
// alias Real = f32 and alias Whole = i32, or vectors of them.

// e^x for x in [-87, 88], to 2e-7 relative. A device's own exp may be off by 3 units in the last place, the
// same way at every step: over the thousand steps that a state remembers that would reach 4e-4.
// x = n·ln 2 + r; a polynomial gives e^r.
fn exp_exact(x: Real) -> Real {
    let u = clamp(x, Real(-87.0), Real(88.0));
    let n = round(u * 1.442695);
    let r = fma(n, Real(2.1219444e-4), fma(n, Real(-0.6933594), u));
    var value = Real(0.0013926184);
    value = fma(value, r, Real(0.008363179));
    value = fma(value, r, Real(0.041666556));
    value = fma(value, r, Real(0.16666576));
    value = fma(value, r, Real(0.5));
    value = fma(value, r, Real(1.0));
    value = fma(value, r, Real(1.0));
    return ldexp(value, Whole(n));
}
