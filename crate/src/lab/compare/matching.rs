//! Features matched one to one: by correlation over all layers, and by decoder direction.

use super::comparing::Comparing;
use super::features::Features;
use super::found::Found;
use super::report::{DecoderMatch, Matches, Matching};
use crate::lab::shared::LabError;
use crate::universality::{
    Candidates, LayerResult, assignment, decoder_cosines, layer_mean, mutual_best_layers,
};

/// Candidates of a feature by decoder cosine.
const CANDIDATES: usize = 16;
/// Above this cosine two features count as the same (Paulo and Belrose 2025).
const SAME: f32 = 0.7;

/// Matches the features of both models.
pub(super) async fn matching(run: &mut Comparing<'_>, found: &Found) -> Result<Matching, LabError> {
    let real = &found.real;
    let varying = |features: &Features| features.moments.iter().flatten().filter(|m| m.varies).count();
    let (of_a, of_b) = (varying(&found.features[0]), varying(&found.features[1]));
    let mutual = mutual_best_layers(&real.a_to_b.best, &real.b_to_a.best);
    let mutual: Vec<f32> = mutual.pairs.iter().map(|pair| pair.mppc).collect();
    let one_to_one = assignment(&candidates(real)?);
    let pairs = one_to_one.partner.iter().zip(&one_to_one.weight).filter(|(partner, _)| partner.is_some());
    let one_to_one: Vec<f32> = pairs.map(|(_, weight)| *weight).collect();
    run.stages.step(1).await?;
    let decoders = decoders(run, &found.features[0], real).await?;
    Ok(Matching {
        mutual: matches(&mutual, of_a, of_b),
        one_to_one: matches(&one_to_one, of_a, of_b),
        decoders,
    })
}

fn matches(values: &[f32], of_a: usize, of_b: usize) -> Matches {
    let count = values.len();
    let share = |of: usize| (of > 0).then(|| count as f64 / of as f64);
    let mean = |sum: f64| (count > 0).then(|| sum / count as f64);
    Matches {
        count,
        share_of_a: share(of_a),
        share_of_b: share(of_b),
        mean: mean(values.iter().map(|&v| f64::from(v)).sum()),
        above_half: mean(values.iter().filter(|v| **v > 0.5).count() as f64),
    }
}

/// All pairs of features, numbered through the layers, of which one is the other's best within its layer.
fn candidates(real: &LayerResult) -> Result<Candidates, LabError> {
    let starts = |layers: &[Vec<crate::universality::Best>]| {
        let mut starts = vec![0u32];
        starts.extend(layers.iter().scan(0, |sum, row| {
            *sum += row.first().map_or(0, |best| best.mppc.len() as u32);
            Some(*sum)
        }));
        starts
    };
    let (a, b) = (starts(&real.a_to_b.pairs), starts(&real.b_to_a.pairs));
    let mut rows: Vec<Vec<(u32, f32)>> = vec![Vec::new(); *a.last().expect("a start") as usize];
    for (i, row) in real.a_to_b.pairs.iter().enumerate() {
        for (j, there) in row.iter().enumerate() {
            let back = &real.b_to_a.pairs[j][i];
            for (f, (&mppc, &g)) in there.mppc.iter().zip(&there.argmax).enumerate() {
                if g >= 0 {
                    rows[a[i] as usize + f].push((b[j] + g as u32, mppc));
                }
            }
            for (g, (&mppc, &f)) in (0u32..).zip(back.mppc.iter().zip(&back.argmax)) {
                if f >= 0 {
                    rows[a[i] as usize + f as usize].push((b[j] + g, mppc));
                }
            }
        }
    }
    let mut all = Candidates::new(*b.last().expect("a start") as usize);
    for mut row in rows {
        // The best of either side may be the same pair; its two values may differ in their last digit.
        row.sort_by(|x, y| x.0.cmp(&y.0).then(y.1.total_cmp(&x.1)));
        row.dedup_by_key(|(g, _)| *g);
        all.push(&row).map_err(|e| LabError::Refused(e.into()))?;
    }
    Ok(all)
}

/// Each SAE of A with the one of B that it is most alike, where both write into streams of one width.
async fn decoders(
    run: &mut Comparing<'_>,
    features: &Features,
    real: &LayerResult,
) -> Result<Vec<DecoderMatch>, LabError> {
    let mut found = Vec::new();
    for (i, row) in layer_mean(&real.a_to_b, &features.kept).iter().enumerate() {
        let means = row.iter().enumerate().filter_map(|(j, mean)| Some((j, (*mean)?)));
        let Some((j, _)) = means.max_by(|x, y| x.1.total_cmp(&y.1)) else { continue };
        let (x, y) = (&run.what.a.saes[i], &run.what.b.saes[j]);
        if x.sae.config.d_in != y.sae.config.d_in {
            continue;
        }
        let cosines = decoder_cosines(&x.sae.w_dec, &y.sae.w_dec, CANDIDATES).await?;
        let matched = assignment(&cosines.candidates);
        let alike = &real.a_to_b.pairs[i][j].argmax;
        let pairs =
            || matched.partner.iter().zip(&matched.weight).zip(alike).filter(|((p, _), _)| p.is_some());
        let count = pairs().count();
        let same = pairs().filter(|((p, _), best)| p.is_some_and(|p| p as i32 == **best)).count();
        let best = || cosines.a_to_b.mppc.iter().filter(|v| !v.is_nan());
        let share = |sum: f64, of: usize| (of > 0).then(|| sum / of as f64);
        found.push(DecoderMatch {
            a: x.layer,
            b: y.layer,
            best: share(best().map(|&v| f64::from(v)).sum(), best().count()),
            matched: share(pairs().map(|((_, &w), _)| f64::from(w)).sum(), count),
            above_07: pairs().filter(|((_, w), _)| **w > SAME).count() as f64
                / matched.partner.len().max(1) as f64,
            same_as_mppc: share(same as f64, count),
        });
        run.stages.step(i + 2).await?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::universality::{Best, Correlation};

    #[test]
    fn candidates_are_the_best_of_either_side() {
        let best = |mppc: &[f32], argmax: &[i32]| Best { mppc: mppc.to_vec(), argmax: argmax.to_vec() };
        // A has one layer of two features, B two layers of two and one.
        let real = LayerResult::new(vec![vec![
            Correlation { a_to_b: best(&[0.9, 0.8], &[0, 0]), b_to_a: best(&[0.9, 0.5], &[0, 0]) },
            Correlation { a_to_b: best(&[0.7, f32::NAN], &[0, -1]), b_to_a: best(&[0.7], &[0]) },
        ]]);
        let all = candidates(&real).expect("good");
        let row = |i| all.row(i).map(|(j, w)| (j, w as f32)).collect::<Vec<_>>();
        assert_eq!((row(0), row(1)), (vec![(0, 0.9), (1, 0.5), (2, 0.7)], vec![(0, 0.8)]));
        // The largest sum gives B's first feature to A's second, and A's first the one of B's other layer.
        let found = assignment(&all);
        assert_eq!(found.partner, [Some(2), Some(0)]);
        let told = matches(&found.weight, 2, 3);
        assert_eq!((told.count, told.share_of_a, told.above_half), (2, Some(1.0), Some(1.0)));
        assert!((told.mean.expect("pairs") - 0.75).abs() < 1e-6 && told.share_of_b == Some(2.0 / 3.0));
    }
}
