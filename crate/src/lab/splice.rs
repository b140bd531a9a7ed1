//! What a model predicts when an SAE's reconstruction, or zeros, stand in for its activations.

use std::rc::Rc;

use super::shared::{HookedSae, LabError, LabModel, kept_rows, prompts};
use crate::corpus::TokenBatch;
use crate::gpu::Tensor;
use crate::kernels::{columns, cross_entropy, embed, kl_divergence, paste};
use crate::model::{Edit, Logits, Output, Plan};
use crate::sae::Spliced;

/// Predictions of a batch with one hook changed: by the reconstruction, and by zeros.
pub(super) struct Changed {
    spliced: Logits,
    zero: Logits,
}

/// A batch, run through the model as it is, to be run with a hook changed.
pub(super) struct Splice<'a> {
    subject: &'a LabModel,
    saes: &'a [HookedSae],
    batch: &'a TokenBatch,
    /// Where the text begins in a row: behind BOS, if there is one.
    start: usize,
    clean: Output,
}

impl<'a> Splice<'a> {
    pub(super) async fn new(
        subject: &'a LabModel,
        saes: &'a [HookedSae],
        batch: &'a TokenBatch,
    ) -> Result<Self, LabError> {
        let keep = saes.iter().map(|s| s.hook.clone()).collect();
        let plan = Plan { keep, logits: true, ..Plan::default() };
        let start = usize::from(subject.tokenizer.special().bos.is_some());
        let clean = subject.model.run(&prompts(batch), plan)?;
        subject.check(batch, &saes[0].hook, clean.hooks.values()).await?;
        Ok(Self { subject, saes, batch, start, clean })
    }

    fn activations(&self, i: usize) -> &Tensor {
        &self.clean.hooks[&self.saes[i].hook] // [B, T, ..]
    }

    /// What each SAE reads on the kept tokens: [n, D].
    pub(super) fn kept(&self) -> Vec<Tensor> {
        let rows = kept_rows(self.batch);
        let rows = Tensor::from_u32(self.subject.model.engine(), &[rows.len()], rows);
        let take = |i: usize| {
            let x = self.activations(i);
            let tokens = self.batch.batch * self.batch.len;
            let kept = embed(&[x.reshape(&[tokens, x.len() / tokens.max(1)])], &rows); // [n, W]
            self.saes[i].reads(&kept)
        };
        (0..self.saes.len()).map(take).collect()
    }

    /// Runs the model with the reconstruction of SAE `i`, and with zeros, in place of the activations after BOS,
    /// which SAEs never see. Heads that it does not read stay as they are.
    pub(super) fn changed(&self, i: usize) -> Result<Changed, LabError> {
        let (&TokenBatch { batch, len, .. }, start) = (self.batch, self.start);
        let (x, hooked) = (self.activations(i), &self.saes[i]);
        let (width, rest) = (x.len() / (batch * len).max(1), len - start);
        let after = columns(&x.reshape(&[batch, len * width]), start * width, rest * width);
        let after = after.reshape(&[batch * rest, width]); // [n, W]
        let read = hooked.reads(&after); // [n, D]
        let run = |values: &Tensor| {
            self.run(&hooked.hook, hooked.put(&after, values).reshape(&[batch, rest * width]))
        };
        Ok(Changed {
            spliced: run(&hooked.sae.decode_dense(&read)?)?,
            zero: run(&Tensor::zeros(x.engine(), read.shape()))?,
        })
    }

    /// Predictions with other values [B, positions × W] of the hook behind BOS.
    fn run(&self, hook: &str, values: Tensor) -> Result<Logits, LabError> {
        let start = self.start;
        let put = move |x: &Tensor| {
            let (batch, len) = (x.shape()[0], x.shape()[1]);
            let row = x.len() / batch.max(1);
            paste(&x.reshape(&[batch, row]), start * (row / len), &values).reshape(x.shape())
        };
        let edits = vec![Edit { hook: hook.to_owned(), change: Rc::new(put) }];
        let plan = Plan { edits, logits: true, ..Plan::default() };
        Ok(self.subject.model.run(&prompts(self.batch), plan)?.logits.expect("logits were asked for"))
    }

    /// Positions of [B, T] whose prediction counts: those before a kept token, whatever they are themselves, so the
    /// first token after BOS is predicted, and padding is not.
    fn counted(&self) -> Vec<bool> {
        let len = self.batch.len;
        (0..self.batch.ids.len()).map(|i| i % len + 1 < len && self.batch.keep[i + 1]).collect()
    }
}

/// Sums over predictions, in f64: of losses, and of divergences from the clean prediction.
pub(super) struct SpliceSums {
    predictions: u64,
    clean: f64,
    /// One entry an SAE: CE spliced, CE with zeros, KL spliced, KL with zeros.
    changed: Vec<[f64; 4]>,
}

impl SpliceSums {
    pub(super) fn new(saes: usize) -> Self {
        Self { predictions: 0, clean: 0.0, changed: vec![[0.0; 4]; saes] }
    }

    /// Adds a batch; `changed` has one entry an SAE.
    pub(super) async fn add(&mut self, splice: &Splice<'_>, changed: &[Changed]) -> Result<(), LabError> {
        let model = &splice.subject.model;
        let clean = splice.clean.logits.as_ref().expect("logits were asked for");
        let vocab = splice.subject.tokenizer.real_vocabulary(model.vocab());
        let counted = splice.counted();
        // The last position of a row predicts nothing; any target does there.
        let targets: Vec<u32> = splice.batch.ids.iter().skip(1).chain([&0]).copied().collect();
        self.predictions += counted.iter().filter(|c| **c).count() as u64;
        for positions in clean.stretches() {
            let counted = &counted[positions.clone()];
            let next = targets[positions.clone()].to_vec();
            let next = Tensor::from_u32(model.engine(), &[next.len()], next);
            let as_it_is = clean.at(positions.clone()); // [n, V]
            self.clean += sum(&cross_entropy(&as_it_is, &next, vocab), counted).await?;
            for (sums, changed) in self.changed.iter_mut().zip(changed) {
                for (i, logits) in [&changed.spliced, &changed.zero].into_iter().enumerate() {
                    let logits = logits.at(positions.clone());
                    sums[i] += sum(&cross_entropy(&logits, &next, vocab), counted).await?;
                    sums[2 + i] += sum(&kl_divergence(&as_it_is, &logits, vocab), counted).await?;
                }
            }
        }
        if !self.clean.is_finite() {
            return Err(model.not_finite(&prompts(splice.batch), ("logits", f32::NAN)).await.into());
        }
        let bad = self.changed.iter().position(|sums| sums.iter().any(|sum| !sum.is_finite()));
        match bad {
            Some(i) => Err(LabError::refused(
                format!(
                    "the predictions are not finite with the reconstruction or zeros in place of {}",
                    splice.saes[i].hook
                ),
                format!("the SAE that reads it, or the config of {}, cannot be right", splice.subject.name()),
            )),
            None => Ok(()),
        }
    }

    /// The means, one entry an SAE; nothing when there was no prediction.
    pub(super) fn means(&self) -> Vec<Option<Spliced>> {
        let mean = |sum: f64| sum / self.predictions as f64;
        let spliced = |[ce, ce_zero, kl, kl_zero]: [f64; 4]| {
            Spliced::new([self.clean, ce, ce_zero].map(mean), [kl, kl_zero].map(mean))
        };
        self.changed.iter().map(|sums| (self.predictions > 0).then(|| spliced(*sums))).collect()
    }
}

/// Sum of the values of the positions that count.
async fn sum(values: &Tensor, counted: &[bool]) -> Result<f64, LabError> {
    let values = values.read_f32().await?;
    Ok(values.iter().zip(counted).filter(|(_, counted)| **counted).map(|(v, _)| f64::from(*v)).sum())
}
