use std::ops::Range;

use thiserror::Error;

use super::bands;
use crate::failure::{Fails, Failure, printed};
use crate::gpu::GpuError;
use crate::par;
use crate::sae::Codes;

/// Why two sets of features cannot be correlated.
#[derive(Debug, Clone, Error)]
pub enum CorrelationError {
    /// The two sides are not over the same tokens.
    Tokens {
        /// Tokens of A.
        a: usize,
        /// Tokens of B.
        b: usize,
    },
    /// Decoders that write into spaces of different sizes.
    Widths {
        /// Of A.
        a: usize,
        /// Of B.
        b: usize,
    },
    /// NaN or infinity among the activations.
    NotFinite {
        /// The feature.
        feature: usize,
        /// The token.
        token: usize,
        /// NaN or an infinity.
        value: f32,
    },
    /// A dense feature whose sums are not finite.
    Overflow {
        /// The feature.
        feature: usize,
    },
    /// Codes that are not what [`Codes`] says.
    Malformed(String),
    /// More tokens or features than an index holds.
    TooMany {
        /// Tokens or features.
        what: &'static str,
        /// How many.
        count: usize,
    },
    /// The device failed.
    Gpu(#[from] GpuError),
    /// The caller asked to stop.
    Cancelled,
}

impl Fails for CorrelationError {
    fn failure(&self) -> Failure {
        match self {
            Self::Tokens { a, b } => Failure::new(
                format!("A has {a} tokens and B has {b}"),
                "both must be activations on the same tokens",
            ),
            Self::Widths { a, b } => Failure::new(
                format!("rows of A's decoder have {a} values and those of B's {b}"),
                "compare decoders of one width",
            ),
            Self::NotFinite { feature, token, value } => Failure::new(
                format!("feature {feature} is {value} at token {token}"),
                "activations must be finite",
            ),
            Self::Overflow { feature } => Failure::new(
                format!("feature {feature} holds NaN or values too large to square"),
                "activations must be finite",
            ),
            Self::Malformed(what) => {
                Failure::new(format!("the codes are damaged: {what}"), "encode the activations again")
            }
            Self::TooMany { what, count } => Failure::new(
                format!("{what}: {count} are more than the 2³¹ that can be numbered"),
                "use fewer",
            ),
            Self::Gpu(error) => error.failure(),
            Self::Cancelled => Failure::cancelled(),
        }
    }
}

printed!(CorrelationError);

/// Refuses sides of different tokens.
pub(super) fn same_tokens(a: usize, b: usize) -> Result<(), CorrelationError> {
    if a == b { Ok(()) } else { Err(CorrelationError::Tokens { a, b }) }
}

/// Refuses what is not sparse codes over finite numbers.
pub(super) fn check(codes: &Codes) -> Result<(), CorrelationError> {
    let malformed = |what: String| Err(CorrelationError::Malformed(what));
    for (what, count) in [("tokens", codes.tokens()), ("features", codes.n_features)] {
        if count > i32::MAX as usize {
            return Err(CorrelationError::TooMany { what, count });
        }
    }
    let entries = codes.indices.len() as u64;
    if codes.indptr.first() != Some(&0) || codes.indptr.last() != Some(&entries) {
        return malformed(format!("indptr does not run from 0 to the number of entries, {entries}"));
    }
    if codes.values.len() as u64 != entries {
        return malformed(format!("{entries} indices but {} values", codes.values.len()));
    }
    if let Some(t) = codes.indptr.windows(2).position(|w| w[0] > w[1]) {
        return malformed(format!("indptr falls at token {t}"));
    }
    let bands = bands::of_tokens(codes.tokens());
    par::map(bands.len(), |b| check_rows(codes, bands[b].clone())).into_iter().collect()
}

fn check_rows(codes: &Codes, tokens: Range<usize>) -> Result<(), CorrelationError> {
    let malformed = |what: String| Err(CorrelationError::Malformed(what));
    for t in tokens {
        let (features, values) = codes.row(t);
        if features.windows(2).any(|w| w[0] >= w[1]) {
            return malformed(format!("the indices of token {t} do not ascend"));
        }
        if let Some(&last) = features.last()
            && last as usize >= codes.n_features
        {
            return malformed(format!("feature {last} at token {t} of {} features", codes.n_features));
        }
        if let Some(k) = values.iter().position(|v| !v.is_finite()) {
            let (feature, value) = (features[k] as usize, values[k]);
            return Err(CorrelationError::NotFinite { feature, token: t, value });
        }
    }
    Ok(())
}
