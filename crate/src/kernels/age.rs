//! Tokens since each feature last fired.

use super::par;
use crate::gpu::{Launch, Shader, Tensor, Word, shader};

static SHADER: Shader = shader!("age", "per_element");

/// Brings `age` [F] up to date after a batch of `tokens`: 0 for a feature whose `activity` [F], its sum over the
/// batch, is positive; `tokens` more for the others. Exact up to 2²⁴ tokens.
///
/// # Panics
/// When the shapes do not fit.
pub fn age(age: &mut Tensor, activity: &Tensor, tokens: usize) {
    assert_eq!(age.len(), activity.len(), "age activity");
    let tokens = tokens as f32;
    Launch::per_element(&SHADER, age.len(), &[tokens.word()], &[activity]).in_place([age], |[age]| {
        let activity = activity.f32s();
        par::rows(age, 1, |j, age| age[0] = if activity[j] > 0.0 { 0.0 } else { age[0] + tokens });
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{close, each_engine};

    #[test]
    fn resets_and_counts() {
        for n in [0, 1, 65, 4_200_000] {
            each_engine(|engine| {
                let activity = (0..n).map(|j| (j % 3) as f32).collect();
                let mut got = Tensor::from_f32(engine, &[n], (0..n).map(|j| (j % 5) as f32).collect());
                age(&mut got, &Tensor::from_f32(engine, &[n], activity), 1_000);
                let want: Vec<f64> =
                    (0..n).map(|j| if j % 3 == 0 { (j % 5 + 1_000) as f64 } else { 0.0 }).collect();
                // Small integers are exact.
                close(engine, &got, &want, 0.0);
            });
        }
    }
}
