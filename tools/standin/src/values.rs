//! The rule of the values; `README.md` has it in full.

/// The golden ratio's odd number of SplitMix64.
const G: u64 = 0x9E37_79B9_7F4A_7C15;

/// SplitMix64's output for the state `x` (Steele, Lea and Flood 2014).
pub fn splitmix64(x: u64) -> u64 {
    let z = x.wrapping_add(G);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// FNV-1a, 64 bits.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3))
}

/// Where a tensor's values lie: 128 points within 2^−e of the centre.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The centre.
    pub centre: f32,
    /// The half-range is 2^−e.
    pub e: i32,
}

impl Spread {
    /// Around zero, within 2^−e.
    pub const fn around_zero(e: i32) -> Self {
        Self { centre: 0.0, e }
    }

    /// Of a matrix with `k` columns: standard deviation near 1/√k.
    pub fn fan_in(k: usize) -> Self {
        let mut e = 0;
        while 3 << (2 * (e + 1)) <= 2 * k {
            e += 1;
        }
        Self::around_zero(e)
    }
}

/// One tensor's sequence of values.
#[derive(Debug, Clone, Copy)]
pub struct Values {
    key: u64,
    spread: Spread,
}

impl Values {
    /// The values of the tensor `name` under a seed.
    pub fn new(seed: u64, name: &str, spread: Spread) -> Self {
        Self { key: fnv1a(name.as_bytes()) ^ splitmix64(seed), spread }
    }

    /// Element `i` in row-major order.
    pub fn at(&self, i: u64) -> f32 {
        let z = splitmix64(self.key.wrapping_add(i.wrapping_mul(G)));
        let k = (z >> 57) as i32 - 64;
        let Spread { centre, e } = self.spread;
        // Powers of two and these small whole numbers are exact, and so is every result.
        if centre == 0.0 {
            (2 * k + 1) as f32 * (-(e + 7) as f32).exp2()
        } else {
            centre + k as f32 * (-(e + 6) as f32).exp2()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_values() {
        // Vigna's splitmix64.c from state 0, and the FNV-1a test vectors of its authors.
        assert_eq!(splitmix64(0), 0xE220_A839_7B1D_CDAF);
        assert_eq!(splitmix64(G), 0x6E78_9E6A_A1B9_65F4);
        assert_eq!(fnv1a(b""), 0xCBF2_9CE4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_F739_67E8);
    }

    #[test]
    fn half_ranges_of_matrices() {
        for (k, e) in [(768, 4), (3072, 5), (1536, 5), (48, 2), (3, 0), (1, 0)] {
            assert_eq!(Spread::fan_in(k).e, e, "{k} columns");
        }
    }

    #[test]
    fn every_value_is_exact_in_16_bits() {
        for (centre, e) in [(0.0, 4), (0.0, 5), (0.0, 1), (1.0, 1), (1.0, 0), (-4.0, -1)] {
            let values = Values::new(3, "a.weight", Spread { centre, e });
            let all: Vec<f32> = (0..5000).map(|i| values.at(i)).collect();
            for &v in &all {
                assert_eq!(half::f16::from_f32(v).to_f32(), v, "f16");
                assert_eq!(half::bf16::from_f32(v).to_f32(), v, "bf16");
                assert!((v - centre).abs() <= (-e as f32).exp2());
            }
            let mut points: Vec<u32> = all.iter().map(|v| v.to_bits()).collect();
            points.sort_unstable();
            points.dedup();
            assert_eq!(points.len(), 128, "every point is met");
        }
    }
}
