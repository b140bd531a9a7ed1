//! How healthy the SAEs of a model are.

use super::stages::Stages;
use super::subject::LabModel;
use super::tokens::token_batches;
use super::{LabError, Observer, Settings};
use crate::corpus::{Corpus, TokenBatch};
use crate::gpu::Tensor;
use crate::kernels::{columns, cross_entropy};
use crate::model::{Plan, Prompts, Replacement};
use crate::sae::{Health, HealthAccumulator, Sae};

/// Health of every SAE of a model on `tokens` tokens of a corpus, in contexts of `context`: reconstruction, and
/// what is left of the model's prediction when the reconstruction stands in for the activations.
///
/// # Errors
/// As [`super::reproduce`].
pub async fn health(
    subject: &LabModel,
    corpus: &Corpus,
    (tokens, context): (usize, usize),
    observer: &dyn Observer,
) -> Result<Vec<(String, Health)>, LabError> {
    if subject.saes.is_empty() {
        return Err(LabError::Mismatch(format!(
            "{} has no SAEs; give a directory with --saes",
            subject.name()
        )));
    }
    let settings = Settings { tokens, context, ..Settings::default() };
    let mut stages = Stages::new(observer, 1);
    stages.begin("SAE health", tokens, "tokens").await?;
    let hooks: Vec<String> = subject.saes.iter().map(|s| s.hook.clone()).collect();
    let mut sums: Vec<HealthAccumulator> =
        subject.saes.iter().map(|s| HealthAccumulator::new(&s.sae)).collect();
    // Σ loss: clean, then spliced and zero-ablated for each SAE; over this many predictions.
    let (mut clean, mut changed, mut predictions) = (0.0, vec![(0.0, 0.0); hooks.len()], 0);
    let mut done = 0;
    for batch in token_batches(corpus, &subject.tokenizer, &settings)? {
        let batch = batch?;
        for ((sum, hooked), x) in sums.iter_mut().zip(&subject.saes).zip(subject.activations(&batch, &hooks)?)
        {
            sum.add(&hooked.sae, &x).await?;
        }
        let losses = Losses::new(subject, &batch);
        if batch.len > 1 {
            clean += losses.sum(None).await?;
            predictions += losses.predictions();
            for (hooked, (spliced, zero)) in subject.saes.iter().zip(&mut changed) {
                let (with_sae, with_zeros) = losses.stand_ins(&hooked.hook, &hooked.sae)?;
                *spliced += losses.sum(Some(with_sae)).await?;
                *zero += losses.sum(Some(with_zeros)).await?;
            }
        }
        done += batch.kept();
        stages.step(done).await?;
    }
    let mean = |sum: f64| sum / predictions as f64;
    let report = |((sum, hook), (spliced, zero)): ((HealthAccumulator, String), (f64, f64))| {
        let health = sum.health();
        let with = health.with_losses(mean(clean), mean(spliced), mean(zero));
        (hook, if predictions > 0 { with } else { sum.health() })
    };
    Ok(sums.into_iter().zip(hooks).zip(changed).map(report).collect())
}

/// Next-token losses of a batch, as it is or with a hook replaced. A prediction counts when the token it
/// predicts is kept, whatever it is made from: the first token after BOS is predicted, padding is not.
struct Losses<'a> {
    subject: &'a LabModel,
    batch: &'a TokenBatch,
}

impl<'a> Losses<'a> {
    fn new(subject: &'a LabModel, batch: &'a TokenBatch) -> Self {
        Self { subject, batch }
    }

    /// Position of each counted prediction in [B, T].
    fn counted(&self) -> impl Iterator<Item = usize> {
        let len = self.batch.len;
        (0..self.batch.ids.len()).filter(move |i| i % len + 1 < len && self.batch.keep[i + 1])
    }

    fn predictions(&self) -> usize {
        self.counted().count()
    }

    async fn sum(&self, replacement: Option<Replacement>) -> Result<f64, LabError> {
        let TokenBatch { batch, len, ids, .. } = self.batch;
        let model = &self.subject.model;
        let prompts = Prompts { batch: *batch, len: *len, ids: ids.clone() };
        let plan = Plan { replace: replacement.into_iter().collect(), logits: true, ..Plan::default() };
        let logits = model.run(&prompts, plan)?.logits.expect("logits were asked for"); // [B, T, V]
        // The last position of a row predicts nothing; any target does there.
        let targets: Vec<u32> = ids.iter().skip(1).chain([&0]).copied().collect();
        let vocab = self.subject.tokenizer.real_vocabulary(model.vocab());
        let mut losses = Vec::with_capacity(ids.len()); // [B, T]
        for positions in logits.stretches() {
            let next = targets[positions.clone()].to_vec();
            let next = Tensor::from_u32(model.engine(), &[next.len()], next);
            losses.extend(cross_entropy(&logits.at(positions), &next, vocab).read_f32().await?);
        }
        Ok(self.counted().map(|i| f64::from(losses[i])).sum())
    }

    /// The SAE's reconstruction, and zeros, in place of the activations after BOS, which SAEs never see.
    fn stand_ins(&self, hook: &str, sae: &Sae) -> Result<(Replacement, Replacement), LabError> {
        let TokenBatch { batch, len, ids, .. } = self.batch;
        let prompts = Prompts { batch: *batch, len: *len, ids: ids.clone() };
        let plan = Plan { keep: vec![hook.to_owned()], ..Plan::default() };
        let mut output = self.subject.model.run(&prompts, plan)?;
        let x = output.hooks.remove(hook).expect("the hook was asked for"); // [B, T, D]
        let width = x.shape()[2];
        let after = columns(&x.reshape(&[*batch, len * width]), width, (len - 1) * width);
        let shape = [*batch, len - 1, width];
        let decoded = sae.decode_dense(&after.reshape(&[batch * (len - 1), width]))?.reshape(&shape);
        let put = |value: Tensor| Replacement {
            hook: hook.to_owned(),
            positions: Some((1..*len).collect()),
            value,
        };
        Ok((put(decoded), put(Tensor::zeros(x.engine(), &shape))))
    }
}
