//! Hooks whose value has more than one vector a token: [B, T, H, d], as attention heads have it.

use super::SaeError;
use super::config::{Heads, SaeConfig};
use crate::gpu::Tensor;
use crate::kernels::columns;

impl SaeConfig {
    /// The activations [n, D] of this SAE among those of its hook. A row is a token: of [.., D] the rows as they
    /// are; of heads that are apart, [.., H, d], all of a token side by side; of [B, T, H, D] or [.., H·D] the
    /// SAE's own head.
    ///
    /// # Errors
    /// [`SaeError::Width`] when they are of another width, [`SaeError::Head`] when the SAE does not say which head it
    /// reads, or there is no such head.
    pub fn activations(&self, x: &Tensor) -> Result<Tensor, SaeError> {
        let (shape, d) = (x.shape(), self.d_in);
        let last = shape.last().copied().unwrap_or(0);
        let other = |found: String| SaeError::Head { name: self.name(), found };
        let apart = shape.len() > 3 && last == d;
        let (width, start) = match self.heads {
            Heads::One(head) if apart || (last > d && last.is_multiple_of(d)) => {
                let heads = if apart { shape[shape.len() - 2] } else { last / d };
                if head >= heads {
                    return Err(other(format!(
                        "reads head {head}, but these have heads 0 to {}",
                        heads.max(1) - 1
                    )));
                }
                (heads * d, head * d)
            }
            Heads::Flat | Heads::Reshaped if apart && self.hook_name.as_deref().is_some_and(has_heads) => {
                let heads = shape[shape.len() - 2];
                return Err(other(format!(
                    "does not say which of these {heads} heads it reads (`hook_head_index`)"
                )));
            }
            _ if last == d => (d, 0),
            // Heads apart, or whatever else the token's axes are, as long as they make up the width.
            Heads::Flat | Heads::Reshaped
                if (1..shape.len()).any(|axis| product(&shape[axis..]) == Some(d)) =>
            {
                (d, 0)
            }
            _ => return Err(SaeError::Width { name: self.name(), d_in: d, width: last }),
        };
        let rows = x.reshape(&[x.len() / width, width]);
        Ok(if width == d { rows } else { columns(&rows, start, d) })
    }
}

fn product(axes: &[usize]) -> Option<usize> {
    axes.iter().try_fold(1usize, |product, axis| product.checked_mul(*axis))
}

/// Whether a hook of this name has heads.
fn has_heads(hook: &str) -> bool {
    hook.contains(".attn.hook_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::Engine;

    fn config(d_in: usize, heads: Heads) -> SaeConfig {
        SaeConfig { hook_name: Some("blocks.0.attn.hook_z".to_owned()), heads, ..SaeConfig::new(d_in, 8) }
    }

    /// Values that say where they stand: 0, 1, 2, … in [2, 3, 4, 5] = [B, T, H, d].
    fn counted(shape: &[usize]) -> Tensor {
        let len: usize = shape.iter().product();
        Tensor::from_f32(&Engine::cpu(), shape, (0..len).map(|i| i as f32).collect())
    }

    #[test]
    fn heads_are_taken_apart_or_together() {
        let z = counted(&[2, 3, 4, 5]);
        for (heads, shape) in
            [(Heads::Flat, &[2, 3, 4, 5][..]), (Heads::Reshaped, &[6, 4, 5]), (Heads::Flat, &[6, 20])]
        {
            let all = config(20, heads).activations(&z.reshape(shape)).expect("all heads");
            assert_eq!((all.shape(), all.f32s()), (&[6, 20][..], z.f32s()));
        }
        let wanted: Vec<f32> = (0..6).flat_map(|t| (0..5).map(move |c| (t * 20 + 10 + c) as f32)).collect();
        for shape in [&[2, 3, 4, 5][..], &[2, 3, 20], &[6, 20]] {
            let one = config(5, Heads::One(2)).activations(&z.reshape(shape)).expect("one head");
            assert_eq!((one.shape(), one.f32s()), (&[6, 5][..], &wanted[..]), "{shape:?}");
        }
        // A head that somebody has taken out already.
        let alone = Tensor::from_f32(&Engine::cpu(), &[2, 3, 5], wanted.clone());
        assert_eq!(config(5, Heads::One(2)).activations(&alone).expect("that head").f32s(), wanted);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let refused = |d_in, heads, shape: &[usize]| {
            config(d_in, heads).activations(&counted(shape)).expect_err("it does not fit").to_string()
        };
        for (error, told) in [
            (refused(5, Heads::Flat, &[2, 3, 4, 5]), "does not say which of these 4 heads it reads"),
            (refused(5, Heads::One(4), &[2, 3, 4, 5]), "reads head 4, but these have heads 0 to 3"),
            (refused(5, Heads::One(4), &[6, 20]), "reads head 4, but these have heads 0 to 3"),
            (refused(10, Heads::One(0), &[2, 3, 4, 5]), "width 10, but these have width 5"),
            (refused(7, Heads::Flat, &[2, 3, 4, 5]), "width 7, but these have width 5"),
            (refused(7, Heads::Flat, &[]), "width 7, but these have width 0"),
        ] {
            assert!(error.contains(told), "{error}\n  lacks {told}");
        }
    }
}
