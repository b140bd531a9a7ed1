//! Activations in random order, for training.

use crate::rng::Rng;

/// Holds activations of many documents and hands them out in random order, so that a batch is not one document.
///
/// Fill it while [`needs`](ShuffleBuffer::needs) is not 0, then [`take`](ShuffleBuffer::take) batches; when half
/// of it is used it needs more, and what is left is shuffled together with what is new.
#[derive(Debug, Clone)]
pub struct ShuffleBuffer {
    width: usize,
    capacity: usize,
    rows: Vec<f32>,
    shuffled: bool,
    random: Rng,
}

impl ShuffleBuffer {
    /// An empty buffer for `capacity` tokens of this width. The order depends on `seed` and on what is added when.
    ///
    /// # Panics
    /// When `width` is 0.
    pub fn new(width: usize, capacity: usize, seed: u64) -> Self {
        assert!(width > 0, "activations have a width");
        Self { width, capacity, rows: Vec::new(), shuffled: true, random: Rng::new(seed) }
    }

    /// Number of tokens held.
    pub fn len(&self) -> usize {
        self.rows.len() / self.width
    }

    /// Whether no token is held.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many tokens are missing until it is full: 0 as long as more than half of it is unused.
    pub fn needs(&self) -> usize {
        let held = self.len();
        // Between the first `add` and the first `take` after it, it is being filled.
        if self.shuffled && held > self.capacity / 2 { 0 } else { self.capacity.saturating_sub(held) }
    }

    /// Adds activations [n, width], row-major; more than it needs is kept, too.
    ///
    /// # Panics
    /// When the values are not whole rows.
    pub fn add(&mut self, activations: &[f32]) {
        assert_eq!(activations.len() % self.width, 0, "whole tokens only");
        if !activations.is_empty() {
            self.rows.extend_from_slice(activations);
            self.shuffled = false;
        }
    }

    /// Takes `tokens` activations [tokens, width] out of it; none when it holds fewer.
    pub fn take(&mut self, tokens: usize) -> Option<Vec<f32>> {
        let left = self.len().checked_sub(tokens)?;
        if !self.shuffled {
            self.shuffle();
        }
        Some(self.rows.split_off(left * self.width))
    }

    /// Everything it holds: the rows [n, width], whether they are in random order yet, and how much randomness they
    /// have taken.
    pub fn parts(&self) -> (&[f32], bool, u128) {
        (&self.rows, self.shuffled, self.random.position())
    }

    /// Becomes what another buffer of the same settings was when it had these [`parts`](ShuffleBuffer::parts).
    ///
    /// # Panics
    /// When the values are not whole rows.
    pub fn restore(&mut self, rows: Vec<f32>, shuffled: bool, position: u128) {
        assert_eq!(rows.len() % self.width, 0, "whole tokens only");
        (self.rows, self.shuffled) = (rows, shuffled);
        self.random.seek(position);
    }

    /// Fisher and Yates, a row at a time.
    fn shuffle(&mut self) {
        let width = self.width;
        for i in (1..self.len()).rev() {
            let j = self.random.below(i as u64 + 1) as usize;
            if i != j {
                let (head, tail) = self.rows.split_at_mut(i * width);
                head[j * width..][..width].swap_with_slice(&mut tail[..width]);
            }
        }
        self.shuffled = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(range: std::ops::Range<usize>) -> Vec<f32> {
        range.flat_map(|i| [i as f32, -(i as f32)]).collect()
    }

    #[test]
    fn every_token_comes_out_once_in_another_order() {
        let run = |seed| {
            let mut buffer = ShuffleBuffer::new(2, 100, seed);
            let (mut added, mut out) = (0, Vec::new());
            loop {
                while buffer.needs() > 0 && added < 1_000 {
                    buffer.add(&numbers(added..added + 20));
                    added += 20;
                }
                let Some(batch) = buffer.take(25) else { break };
                assert!(batch.chunks(2).all(|row| row[0] == -row[1]), "rows stay together");
                out.extend(batch.chunks(2).map(|row| row[0] as usize));
            }
            assert!(buffer.is_empty());
            out
        };
        let order = run(1);
        assert_eq!(order, run(1));
        assert_ne!(order, run(2));
        assert_ne!(order[..25], (0..25).collect::<Vec<_>>()[..]);
        // Held until half is used, a token can be late, but not early.
        assert!(order[..50].iter().all(|&i| i < 100));
        let mut sorted = order;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1_000).collect::<Vec<_>>());
    }

    #[test]
    fn a_restored_buffer_goes_on() {
        let (mut one, mut other) = (ShuffleBuffer::new(2, 100, 5), ShuffleBuffer::new(2, 100, 5));
        one.add(&numbers(0..100));
        one.take(30).expect("enough");
        one.add(&numbers(100..130));
        let (rows, shuffled, position) = one.parts();
        other.restore(rows.to_vec(), shuffled, position);
        assert_eq!(one.take(60), other.take(60));
        one.add(&numbers(130..190));
        other.add(&numbers(130..190));
        assert_eq!(one.take(100), other.take(100));
    }

    #[test]
    fn needs_more_when_half_is_used() {
        let mut buffer = ShuffleBuffer::new(2, 10, 0);
        assert_eq!(buffer.needs(), 10);
        buffer.add(&numbers(0..8));
        assert_eq!(buffer.needs(), 2);
        buffer.add(&numbers(8..10));
        assert_eq!(buffer.needs(), 0);
        assert!(buffer.take(11).is_none());
        assert_eq!(buffer.take(4).map(|b| b.len()), Some(8));
        assert_eq!((buffer.len(), buffer.needs()), (6, 0));
        assert_eq!(buffer.take(1).map(|b| b.len()), Some(2));
        assert_eq!((buffer.len(), buffer.needs()), (5, 5));
    }
}
