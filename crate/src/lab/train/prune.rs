//! Pruning as the paper's library does it: features that hardly ever fire, or only faintly, are silenced.

use crate::corpus::TokenBatch;
use crate::lab::{LabError, LabModel};
use crate::sae::Sae;

/// A feature is kept when it fires on more than this share of the tokens …
const DENSITY: f64 = 1e-6;
/// … and its largest activation is more than this, in units of the normalised token. (The library's third condition,
/// a decoder norm of at least 0.99, always holds here: norms were folded to 1.)
const LARGEST: f32 = 1.0;

/// How often each feature fires, and how strongly at most.
pub(super) struct Activity {
    tokens: u64,
    fired: Vec<u64>,
    largest: Vec<f32>,
}

impl Activity {
    pub(super) fn new(sae: &Sae) -> Self {
        let features = sae.config.d_sae;
        Self { tokens: 0, fired: vec![0; features], largest: vec![0.0; features] }
    }

    pub(super) async fn add(
        &mut self,
        sae: &Sae,
        (subject, batch, hook): (&LabModel, &TokenBatch, &str),
    ) -> Result<(), LabError> {
        for x in subject.activations(batch, &[hook.to_owned()]).await? {
            let codes = sae.encode(&x).await?;
            self.tokens += codes.tokens() as u64;
            for (&j, &value) in codes.indices.iter().zip(&codes.values) {
                self.fired[j as usize] += 1;
                self.largest[j as usize] = self.largest[j as usize].max(value);
            }
        }
        Ok(())
    }

    /// Which features stay.
    pub(super) fn kept(&self) -> Vec<bool> {
        let often = |&fired: &u64| fired as f64 > DENSITY * self.tokens as f64;
        self.fired
            .iter()
            .zip(&self.largest)
            .map(|(fired, &largest)| often(fired) && largest > LARGEST)
            .collect()
    }
}
