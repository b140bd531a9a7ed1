//! Codes shared out among the cores, so that every answer is that of one core.

use std::ops::Range;

use crate::par;
use crate::sae::Codes;

/// Tokens that one core takes at a time.
pub(super) const TOKENS: usize = 16_384;
/// Ranges of features for each core: some, because features fire unequally; few, because each costs a search a token.
const A_CORE: usize = 4;

/// Consecutive ranges of `features` for the cores. A feature is always with one core, which takes its tokens in
/// order, so sums do not depend on how many cores there are.
pub(crate) fn of_features(features: usize) -> Vec<Range<usize>> {
    let cores = par::threads();
    ranges(features, if cores == 1 { features } else { features.div_ceil(cores * A_CORE) })
}

/// Consecutive ranges of tokens, the same on every machine.
pub(super) fn of_tokens(tokens: usize) -> Vec<Range<usize>> {
    ranges(tokens, TOKENS)
}

fn ranges(len: usize, step: usize) -> Vec<Range<usize>> {
    (0..len).step_by(step.max(1)).map(|start| start..len.min(start + step)).collect()
}

/// Calls `f(token, feature, value)` for all entries of some features, in the order of the tokens.
pub(crate) fn entries(codes: &Codes, band: &Range<usize>, mut f: impl FnMut(usize, usize, f32)) {
    let whole = *band == (0..codes.n_features);
    for t in 0..codes.tokens() {
        let (mut features, mut values) = codes.row(t);
        if !whole {
            let from = features.partition_point(|&j| (j as usize) < band.start);
            let to = from + features[from..].partition_point(|&j| (j as usize) < band.end);
            (features, values) = (&features[from..to], &values[from..to]);
        }
        for (&j, &x) in features.iter().zip(values) {
            f(t, j as usize, x);
        }
    }
}
