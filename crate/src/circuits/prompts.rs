//! Prompts that ask for induction: A B … A, what comes next? (paper, section 4).

use super::error::CircuitError;
use crate::failure::Failure;
use crate::model::Prompts;
use crate::rng::Rng;

/// Which prompts to draw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draw {
    /// Number of prompts N.
    pub count: usize,
    /// Tokens of each, T; at least 4.
    pub len: usize,
    /// Tokens to draw from ([`Tokenizer::drawable`](crate::corpus::Tokenizer::drawable)), each once: no padding rows
    /// of the embedding, no BOS, EOS or PAD.
    pub from: Vec<u32>,
    /// Where A stands in every prompt; else somewhere in the first half of each.
    pub place: Option<usize>,
    /// Seed.
    pub seed: u64,
}

impl Draw {
    /// # Errors
    /// No prompt, prompts too short to hold A, B and A, a place behind the end, or a vocabulary smaller than a prompt.
    pub fn check(&self) -> Result<(), CircuitError> {
        let &Self { count, len, ref from, place, .. } = self;
        if count == 0 {
            return Err(CircuitError::Request(Failure::new(
                "0 prompts were asked for",
                "1 or more are needed",
            )));
        }
        enough_room(count, len)?;
        if len < 4 {
            return Err(CircuitError::Request(Failure::new(
                format!("prompts of {len} tokens cannot say A B … A"),
                "4 or more are needed",
            )));
        }
        if let Some(place) = place.filter(|place| place + 2 >= len) {
            return Err(CircuitError::Request(Failure::new(
                format!("A at position {place} leaves no room for B and the second A in {len} tokens"),
                format!("the last place is {}", len - 3),
            )));
        }
        // A, B and the other one are each kept out of the rest.
        if from.len() < 8 {
            return Err(CircuitError::Request(
                format!("a vocabulary of {} tokens is too small to draw from", from.len()).into(),
            ));
        }
        Ok(())
    }
}

/// Prompts of random tokens in which A stands at one place with B behind it, and at the end again.
///
/// Neither A nor B occurs anywhere else. (In a vocabulary of 50,000 they hardly would; in one of 1,000 they would in
/// one prompt of eight.)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Induction {
    /// The prompts.
    pub clean: Prompts,
    /// Where A stands first, by prompt.
    pub a: Vec<usize>,
    /// The token B, which stands at `a + 1`, by prompt.
    pub b: Vec<u32>,
    /// A token that corruptions put in B's place, by prompt: not in the prompt.
    pub other: Vec<u32>,
    draw: Draw,
}

/// How a prompt is made to say something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Corruption {
    /// Other tokens throughout.
    Unrelated,
    /// Another token in B's place.
    B,
    /// Other tokens in the places of A and B, the first time.
    AAndB,
    /// Another token at the end.
    Last,
}

impl Induction {
    /// Draws prompts; the same draw gives the same ones.
    ///
    /// # Errors
    /// As [`Draw::check`].
    pub fn draw(draw: Draw) -> Result<Self, CircuitError> {
        draw.check()?;
        let Draw { count, len, ref from, place, seed } = draw;
        let random = Rng::new(seed);
        let mut all = Self {
            clean: Prompts { batch: count, len, ids: Vec::with_capacity(count * len) },
            a: Vec::new(),
            b: Vec::new(),
            other: Vec::new(),
            draw: draw.clone(),
        };
        for n in 0..count {
            let mut random = random.fork(n as u64);
            let a_place = place.unwrap_or_else(|| random.below((len / 2).min(len - 2) as u64) as usize);
            let token_a = token(&mut random, from, &[]);
            let token_b = token(&mut random, from, &[token_a]);
            let other = token(&mut random, from, &[token_a, token_b]);
            for t in 0..len {
                all.clean.ids.push(match t {
                    t if t == a_place || t == len - 1 => token_a,
                    t if t == a_place + 1 => token_b,
                    _ => token(&mut random, from, &[token_a, token_b, other]),
                });
            }
            all.a.push(a_place);
            all.b.push(token_b);
            all.other.push(other);
        }
        Ok(all)
    }

    /// Number of prompts.
    pub fn count(&self) -> usize {
        self.clean.batch
    }

    /// Tokens of each.
    #[expect(clippy::len_without_is_empty, reason = "there is always a prompt")]
    pub fn len(&self) -> usize {
        self.clean.len
    }

    /// The token A of a prompt.
    pub fn token_a(&self, prompt: usize) -> u32 {
        self.clean.ids[prompt * self.len() + self.a[prompt]]
    }

    /// The prompts, corrupted.
    pub fn corrupt(&self, how: Corruption) -> Prompts {
        let len = self.len();
        let random = Rng::new(self.draw.seed ^ 0x5EED_C0DE);
        let mut corrupted = self.clean.clone();
        for n in 0..self.count() {
            let mut random = random.fork(n as u64);
            let keep_out = [self.token_a(n), self.b[n], self.other[n]];
            let ids = &mut corrupted.ids[n * len..(n + 1) * len];
            match how {
                Corruption::Unrelated => ids.fill_with(|| token(&mut random, &self.draw.from, &[])),
                Corruption::B => ids[self.a[n] + 1] = self.other[n],
                Corruption::AAndB => {
                    ids[self.a[n]] = token(&mut random, &self.draw.from, &keep_out);
                    ids[self.a[n] + 1] = self.other[n];
                }
                Corruption::Last => ids[len - 1] = token(&mut random, &self.draw.from, &keep_out),
            }
        }
        corrupted
    }
}

/// Random blocks, each said again and again to the end of its prompt: `period` different tokens (Olsson et al. 2022).
///
/// # Errors
/// As [`Induction::draw`]; a block that is not said twice.
pub fn repeated_blocks(draw: Draw, period: usize) -> Result<Prompts, CircuitError> {
    let Draw { count, len, ref from, seed, .. } = draw;
    if period == 0 || 2 * period > len {
        return Err(CircuitError::Request(Failure::new(
            format!("a block of {period} tokens is not said twice in {len}"),
            format!("choose 1 to {}", len / 2),
        )));
    }
    if period > from.len() {
        return Err(CircuitError::Request(
            format!("{period} different tokens need a larger vocabulary than {}", from.len()).into(),
        ));
    }
    enough_room(count, len)?;
    let random = Rng::new(seed);
    let mut ids = Vec::with_capacity(count * len);
    for n in 0..count {
        let mut random = random.fork(n as u64);
        let mut block: Vec<u32> = Vec::new();
        while block.len() < period {
            let next = token(&mut random, from, &block);
            block.push(next);
        }
        ids.extend((0..len).map(|t| block[t % period]));
    }
    Ok(Prompts { batch: count, len, ids })
}

/// Tokens of all prompts together, which lie in memory with their corruptions and answers.
const MOST: usize = 1 << 26;

fn enough_room(count: usize, len: usize) -> Result<(), CircuitError> {
    match count.checked_mul(len) {
        Some(tokens) if tokens <= MOST => Ok(()),
        _ => Err(CircuitError::Request(Failure::new(
            format!("{count} prompts of {len} tokens are too many to keep"),
            format!("{MOST} tokens in all are the most"),
        ))),
    }
}

/// A token that is none of these.
fn token(random: &mut Rng, from: &[u32], not: &[u32]) -> u32 {
    loop {
        let id = from[random.below(from.len() as u64) as usize];
        if !not.contains(&id) {
            return id;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_sizes_are_refused() {
        for (count, len) in [(usize::MAX, 64), (1 << 32, 1 << 32), (1_000_000_000, 64), (2, usize::MAX)] {
            let told = Induction::draw(Draw { count, len, ..usual() }).expect_err("too many").to_string();
            assert!(told.contains("67108864 tokens in all are the most"), "{told}");
            let told = repeated_blocks(Draw { count, len, ..usual() }, 2).expect_err("too many").to_string();
            assert!(told.contains("67108864 tokens in all are the most"), "{told}");
        }
    }

    /// Prompts of 29 tokens, none of them 0 or 7.
    fn usual() -> Draw {
        let from = (1..31).filter(|id| *id != 7).collect();
        Draw { count: 40, len: 16, from, place: None, seed: 5 }
    }

    #[test]
    fn a_b_and_a_again() {
        let drawn = Induction::draw(usual()).expect("good");
        assert_eq!(drawn, Induction::draw(usual()).expect("good"));
        assert_ne!(drawn, Induction::draw(Draw { seed: 6, ..usual() }).expect("good"));
        for n in 0..40 {
            let ids = &drawn.clean.ids[n * 16..(n + 1) * 16];
            let (a, b) = (drawn.token_a(n), drawn.b[n]);
            assert!(drawn.a[n] < 8 && ids[15] == a && ids[drawn.a[n] + 1] == b);
            assert_eq!(ids.iter().filter(|id| **id == a).count(), 2);
            assert_eq!(ids.iter().filter(|id| **id == b).count(), 1);
            assert!(!ids.contains(&drawn.other[n]) && ids.iter().all(|id| usual().from.contains(id)));
        }
        let differ = |how| -> Vec<Vec<usize>> {
            let other = drawn.corrupt(how);
            let at =
                |n: usize| (0..16).filter(|t| other.ids[n * 16 + t] != drawn.clean.ids[n * 16 + t]).collect();
            (0..40).map(at).collect()
        };
        assert!(differ(Corruption::B).iter().zip(&drawn.a).all(|(d, a)| *d == [a + 1]));
        assert!(differ(Corruption::AAndB).iter().zip(&drawn.a).all(|(d, a)| *d == [*a, a + 1]));
        assert!(differ(Corruption::Last).iter().all(|d| *d == [15]));
        assert!(differ(Corruption::Unrelated).iter().all(|d| d.len() > 8));
        let early = Induction::draw(Draw { place: Some(0), ..usual() }).expect("good");
        assert!(early.a.iter().all(|a| *a == 0));
    }

    #[test]
    fn blocks_come_back() {
        let blocks = repeated_blocks(usual(), 6).expect("good");
        for ids in blocks.ids.chunks(16) {
            assert!((0..10).all(|t| ids[t] == ids[t + 6]));
            let mut block = ids[..6].to_vec();
            block.sort_unstable();
            block.dedup();
            assert_eq!(block.len(), 6);
        }
    }

    #[test]
    fn what_cannot_be_drawn_is_said() {
        let refused = |draw| Induction::draw(draw).expect_err("bad").to_string();
        for (error, wanted) in [
            (refused(Draw { count: 0, ..usual() }), "0 prompts"),
            (refused(Draw { len: 3, ..usual() }), "prompts of 3 tokens cannot say A B … A"),
            (
                refused(Draw { place: Some(14), ..usual() }),
                "A at position 14 leaves no room for B and the second A in 16",
            ),
            (refused(Draw { from: vec![1, 2, 3], ..usual() }), "a vocabulary of 3 tokens"),
            (
                repeated_blocks(usual(), 9).expect_err("bad").to_string(),
                "a block of 9 tokens is not said twice in 16",
            ),
        ] {
            assert!(error.starts_with(wanted), "{error}");
        }
    }
}
