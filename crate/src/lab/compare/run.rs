//! Runs a comparison, stage by stage.

use std::ops::Range;

use super::comparing::Comparing;
use super::comparison::{Comparison, Side};
use super::features::Features;
use super::found::{Control, Found};
use super::results::{Compared, compared};
use super::stage::{Jobs, Stage};
use super::store::Store;
use super::{encode, likeness, matching, neurons, pairs};
use crate::lab::shared::{LabError, Observer, Stages};

/// What [`Comparison::encode`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Shards that were asked for and exist.
    pub shards: Range<usize>,
    /// Shards that there are in all.
    pub of: usize,
    /// Tokens that there are in all.
    pub tokens: usize,
}

impl Comparison<'_> {
    /// Runs both models over the texts, encodes every layer, correlates everything with everything, and sets the
    /// plan's controls beside it. SAEs whose codes look unhealthy are named in the progress before anything is
    /// correlated, and in the report.
    ///
    /// # Errors
    /// The parts do not fit (different tokenizers, no SAEs), the corpus is too short to correlate over, a device
    /// or the store fails, or the observer cancels.
    pub async fn run(&self, store: &mut dyn Store, observer: &dyn Observer) -> Result<Compared, LabError> {
        let all = Stage::all(&self.plan.controls);
        let mut run = Comparing::start(self, store, Stages::new(observer, 1 + all.len())).await?;
        let mut found = Found::default();
        for stage in all {
            let jobs = stage.jobs(&run);
            perform(&mut run, stage, jobs, &mut found).await?;
            if let Stage::Codes(side) = stage {
                let features = Features::of(&run, side)?;
                features.warn(&mut run.stages);
                found.features.push(features);
            }
        }
        compared(run, &found)
    }

    /// Encodes the shards of a range, and nothing more: a machine's share of the work.
    ///
    /// # Errors
    /// As [`Comparison::run`]; also when there is no shard in the range.
    pub async fn encode(
        &self,
        shards: Range<usize>,
        store: &mut dyn Store,
        observer: &dyn Observer,
    ) -> Result<Encoded, LabError> {
        let sides = [Side::A, Side::B];
        let mut run = Comparing::start(self, store, Stages::new(observer, 1 + sides.len())).await?;
        let of = run.shards.len();
        let shards = shards.start..shards.end.min(of);
        if shards.is_empty() {
            return Err(LabError::refused(
                format!("the plan has {of} shards, 0 to {}", of - 1),
                "name some of these",
            ));
        }
        for side in sides {
            let share = Jobs::Codes(side, run.shards[shards.clone()].to_vec());
            perform(&mut run, Stage::Codes(side), share, &mut Found::default()).await?;
        }
        run.stages.finish();
        Ok(Encoded { shards, of, tokens: run.tokens })
    }
}

/// Does the jobs of a stage, as far as the store lacks what comes out of them.
async fn perform(
    run: &mut Comparing<'_>,
    stage: Stage,
    jobs: Jobs,
    found: &mut Found,
) -> Result<(), LabError> {
    run.stages.begin(&stage.name(run.what), jobs.total(run), stage.unit()).await?;
    match jobs {
        Jobs::Codes(side, shards) => encode::encode(run, side, &shards).await?,
        Jobs::AllPairs(runs) => {
            for (nth, all) in runs.iter().enumerate() {
                let result = pairs::correlate(run, all, nth * run.layer_pairs()).await?;
                match stage {
                    Stage::Mppc => found.real = result,
                    _ => found.controls.push(Control::of(run, stage, all, result)?),
                }
            }
        }
        Jobs::Neurons(blocks) => found.neurons = Some(neurons::correlate(run, &blocks).await?),
        Jobs::Likeness(job) => found.likeness = Some(likeness::measure(run, &job).await?),
        Jobs::Matching => found.matching = Some(matching::matching(run, found).await?),
    }
    Ok(())
}
