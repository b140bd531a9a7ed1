use crate::rng::Rng;
use crate::sae::Codes;

/// The tokens in an order that only `seed` and their number decide: all layers of a model stay together, while
/// nothing corresponds to the other model any longer. MPPC of shuffled codes is the null: what the maximum over
/// many features reaches by chance.
///
/// # Panics
/// When the codes break the promises of [`Codes`].
pub fn shuffle_tokens(codes: &Codes, seed: u64) -> Codes {
    let mut order: Vec<usize> = (0..codes.tokens()).collect();
    Rng::new(seed).shuffle(&mut order);
    let mut shuffled = Codes::new(codes.n_features);
    shuffled.indices.reserve(codes.indices.len());
    shuffled.values.reserve(codes.values.len());
    for t in order {
        let (indices, values) = codes.row(t);
        shuffled.indices.extend_from_slice(indices);
        shuffled.values.extend_from_slice(values);
        shuffled.indptr.push(shuffled.indices.len() as u64);
    }
    shuffled
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::universality::{from_dense, moments};

    #[test]
    fn layers_are_shuffled_alike() {
        let dense: Vec<f32> = (0..300).map(|t| t as f32).collect();
        let twice: Vec<f32> = dense.iter().map(|x| 2.0 * x).collect();
        let one = shuffle_tokens(&from_dense(1, &dense), 5);
        let two = shuffle_tokens(&from_dense(1, &twice), 5);
        // The token of value 0 has an empty row: at the same place in both.
        assert_eq!(one.indptr, two.indptr);
        assert!(one.values.iter().zip(&two.values).all(|(x, y)| 2.0 * x == *y));
        assert_ne!(one.values, from_dense(1, &dense).values);
        assert_ne!(one.values, shuffle_tokens(&from_dense(1, &dense), 6).values);
        // Sums of whole numbers are exact in any order.
        assert_eq!(moments(&one)[0].mean, moments(&from_dense(1, &dense))[0].mean);
    }
}
