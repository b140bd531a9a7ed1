//! One model's codes by themselves: which features there are, and which of them the filtered summaries are about.

use super::comparing::Comparing;
use super::comparison::Side;
use super::report::{SaeSummary, Subject};
use super::sources::Source;
use crate::lab::shared::{LabError, Stages};
use crate::sae::{Flag, code_flags};
use crate::universality::{Moment, moments};

/// A model and what its codes say.
pub(super) struct Features {
    pub(super) subject: Subject,
    /// By SAE and feature.
    pub(super) moments: Vec<Vec<Moment>>,
    /// Features that the filter keeps.
    pub(super) kept: Vec<Vec<bool>>,
    /// ℓ/L of each SAE.
    pub(super) depths: Vec<f64>,
}

impl Features {
    /// Reads the codes of a model's own SAEs, one SAE's at a time.
    pub(super) fn of(run: &Comparing<'_>, side: Side) -> Result<Self, LabError> {
        let (model, filter) = (run.what.model(side), &run.what.plan.filter);
        let layers = model.model.layers();
        let mut features = Self {
            subject: Subject {
                name: model.name().to_owned(),
                architecture: model.model.architecture().to_owned(),
                layers,
                d_model: model.model.d_model(),
                saes: Vec::new(),
            },
            moments: Vec::new(),
            kept: Vec::new(),
            depths: model.saes.iter().map(|sae| sae.layer as f64 / layers as f64).collect(),
        };
        for source in run.trained(side) {
            let codes = run.store.codes(&source.key, &run.shards)?;
            if codes.n_features != source.features {
                return Err(LabError::refused(
                    format!(
                        "the kept codes {} have {} features, but the SAE has {}",
                        source.key, codes.n_features, source.features
                    ),
                    "delete them",
                ));
            }
            let all = moments(&codes);
            let kept: Vec<bool> = all.iter().map(|moment| filter.keeps(moment)).collect();
            let hooked = &model.saes[source.sae];
            features.subject.saes.push(SaeSummary {
                hook: hooked.name(),
                layer: hooked.layer,
                features: codes.n_features,
                l0: codes.indices.len() as f64 / codes.tokens() as f64,
                dead: all.iter().filter(|m| m.density == 0.0).count(),
                kept: kept.iter().filter(|k| **k).count(),
                flags: code_flags(&codes),
            });
            features.moments.push(all);
            features.kept.push(kept);
        }
        Ok(features)
    }

    /// Says what the codes have that a healthy SAE's don't. Before the correlation, which takes longest: who is warned
    /// may want to stop it.
    pub(super) fn warn(&self, stages: &mut Stages<'_>) {
        for sae in &self.subject.saes {
            for Flag { reason, .. } in &sae.flags {
                let (name, hook) = (&self.subject.name, &sae.hook);
                stages.warn(format!("the SAE of {name}, {hook}, is not healthy: {reason}"));
            }
        }
    }
}

/// Which features the plan's filter keeps of some codes.
pub(super) fn kept(run: &Comparing<'_>, source: &Source) -> Result<Vec<bool>, LabError> {
    let codes = run.store.codes(&source.key, &run.shards)?;
    Ok(moments(&codes).iter().map(|moment| run.what.plan.filter.keeps(moment)).collect())
}

/// Values of the features that are kept; `values[i]` and `kept[i]` are those of SAE `i`.
pub(super) fn filtered<'s>(values: &'s [Vec<f32>], kept: &'s [Vec<bool>]) -> impl Iterator<Item = f32> + 's {
    values
        .iter()
        .zip(kept)
        .flat_map(|(values, kept)| values.iter().zip(kept).filter(|(_, kept)| **kept).map(|(v, _)| *v))
}
