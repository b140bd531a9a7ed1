//! The one source of randomness: a generator whose values never change.
//!
//! What a seed produces is part of the file contract: the built-in corpus, the prompts of the circuit
//! experiments and the shuffles of the nulls are all named by a seed, and a report written today must be
//! reproducible from its seed on any machine, natively or in a page. So the bits come from ChaCha8 (defined
//! by its specification), and everything on top of them is written here with integer arithmetic or with the
//! floating-point operations that IEEE 754 rounds exactly (`+ − × ÷ √`), never with a platform's `ln` or `cos`.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

/// Keeps the keys of this crate apart from other users of ChaCha8 with small seeds.
const KEY_TAIL: [u8; 24] = *b"mppc lab: random streams";

/// Flipped into the key that children are drawn from, so that no child repeats its parent's output.
const FORK_TAG: u8 = 0xA5;

/// A value-stable random generator: the same seed gives the same values for ever.
#[derive(Clone, Debug)]
pub struct Rng {
    key: [u8; 32],
    chacha: ChaCha8Rng,
}

impl Rng {
    /// The generator of `seed`.
    pub fn new(seed: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..].copy_from_slice(&KEY_TAIL);
        Self::from_key(key)
    }

    fn from_key(key: [u8; 32]) -> Self {
        Self { key, chacha: ChaCha8Rng::from_seed(key) }
    }

    /// How much has been drawn from it, in words of 32 bits.
    pub fn position(&self) -> u128 {
        self.chacha.get_word_pos()
    }

    /// Goes to where a generator of the same seed had this [`position`](Rng::position).
    pub fn seek(&mut self, position: u128) {
        self.chacha.set_word_pos(position);
    }

    /// An independent generator named by `stream`.
    ///
    /// It depends on this generator's seed (and its own forks), not on how much has been drawn from it, so item
    /// number i of a seed can be made without making the items before it.
    pub fn fork(&self, stream: u64) -> Self {
        let mut key = self.key;
        key[31] ^= FORK_TAG;
        let mut source = ChaCha8Rng::from_seed(key);
        source.set_stream(stream);
        let mut child = [0; 32];
        for chunk in child.chunks_exact_mut(8) {
            chunk.copy_from_slice(&source.next_u64().to_le_bytes());
        }
        Self::from_key(child)
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.chacha.next_u64()
    }

    /// A uniform integer in `0..n`, without bias (Lemire's multiply-and-reject).
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "below(0) has no answer");
        let reject_under = n.wrapping_neg() % n;
        loop {
            let wide = u128::from(self.next_u64()) * u128::from(n);
            if wide as u64 >= reject_under {
                return (wide >> 64) as u64;
            }
        }
    }

    /// A uniform number in `[0, 1)`, a multiple of 2⁻⁵³.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// A standard normal number (Marsaglia's polar method; the pair's second number is thrown away).
    pub fn normal(&mut self) -> f64 {
        loop {
            let u = 2.0 * self.uniform() - 1.0;
            let v = 2.0 * self.uniform() - 1.0;
            let s = u * u + v * v;
            if s > 0.0 && s < 1.0 {
                return u * (-2.0 * ln(s) / s).sqrt();
            }
        }
    }

    /// Puts `items` in a uniformly random order (Fisher–Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }

    /// One of `items`, each as likely as any other.
    ///
    /// # Panics
    /// If `items` is empty.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    /// An index into `weights`, drawn in proportion to them.
    ///
    /// # Panics
    /// If the weights sum to 0.
    pub fn weighted(&mut self, weights: &[u32]) -> usize {
        let total = weights.iter().map(|&w| u64::from(w)).sum();
        let mut left = self.below(total);
        for (i, &weight) in weights.iter().enumerate() {
            if left < u64::from(weight) {
                return i;
            }
            left -= u64::from(weight);
        }
        unreachable!("below(total) is under the sum of the weights")
    }
}

/// Natural logarithm of a normal number `x > 0`, with exactly rounded operations only: the same bits everywhere.
///
/// x = m·2ᵉ with m in [√½, √2); ln m = 2·artanh((m−1)/(m+1)) by its series, whose argument is at most 0.172,
/// so 11 terms leave less than 1e-17.
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 0x7ff) as i64 - 1023;
    let mut mantissa = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | (1023 << 52));
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    let z = (mantissa - 1.0) / (mantissa + 1.0);
    let square = z * z;
    let mut sum = 0.0;
    for k in (0..11).rev() {
        sum = sum * square + 1.0 / (2 * k + 1) as f64;
    }
    exponent as f64 * std::f64::consts::LN_2 + 2.0 * z * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Part of the file contract: these values never change.
    #[test]
    fn values_are_pinned() {
        let mut rng = Rng::new(1);
        let bits = [rng.next_u64(), rng.fork(2).next_u64(), rng.uniform().to_bits(), rng.normal().to_bits()];
        let small = [rng.below(1000), rng.below(1000), rng.below(1000), rng.weighted(&[3, 1, 4]) as u64];
        let mut items = [0, 1, 2, 3, 4, 5, 6, 7];
        rng.shuffle(&mut items);
        assert_eq!(bits, [0xc686e3857f823d48, 0xa0712fe6b2e88ff7, 0x3fee1c63c7047238, 0xbfe076ef583d06e1]);
        assert_eq!(small, [426, 749, 618, 0]);
        assert_eq!(items, [0, 2, 1, 7, 4, 6, 3, 5]);
    }

    #[test]
    fn ln_agrees_with_the_platform() {
        let mut rng = Rng::new(3);
        for _ in 0..2000 {
            let x = rng.uniform() + 1e-12;
            // Two different roundings of the same value: a few units in the last place of a number up to 28.
            assert!((ln(x) - x.ln()).abs() <= 1e-14, "ln {x}");
        }
    }

    #[test]
    fn below_is_in_range_and_even() {
        let mut rng = Rng::new(7);
        let mut counts = [0u32; 7];
        for _ in 0..70_000 {
            counts[rng.below(7) as usize] += 1;
        }
        // 10,000 expected each, standard deviation 93: five of them.
        assert!(counts.iter().all(|&c| c.abs_diff(10_000) < 465), "{counts:?}");
        assert_eq!(rng.below(1), 0);
    }

    #[test]
    fn normal_has_unit_variance() {
        let mut rng = Rng::new(11);
        let draws: Vec<f64> = (0..50_000).map(|_| rng.normal()).collect();
        let mean = draws.iter().sum::<f64>() / 50_000.0;
        let variance = draws.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / 50_000.0;
        // Standard errors 0.0045 and 0.0063: five of them.
        assert!(mean.abs() < 0.0225, "{mean}");
        assert!((variance - 1.0).abs() < 0.0316, "{variance}");
    }

    #[test]
    fn weighted_follows_its_weights() {
        let mut rng = Rng::new(13);
        let mut counts = [0u32; 3];
        for _ in 0..40_000 {
            counts[rng.weighted(&[1, 0, 3])] += 1;
        }
        assert_eq!(counts[1], 0);
        // 10,000 expected, standard deviation 87: five of them.
        assert!(counts[0].abs_diff(10_000) < 435, "{counts:?}");
    }

    #[test]
    fn shuffle_keeps_every_item() {
        let mut items: Vec<u32> = (0..50).collect();
        Rng::new(1).shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn forks_do_not_depend_on_what_was_drawn() {
        let fresh = Rng::new(5);
        let mut used = Rng::new(5);
        used.next_u64();
        assert_eq!(fresh.fork(9).next_u64(), used.fork(9).next_u64());
        assert_ne!(fresh.fork(9).next_u64(), fresh.fork(10).next_u64());
        assert_ne!(fresh.fork(0).next_u64(), fresh.clone().next_u64());
    }
}
