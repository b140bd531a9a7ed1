//! What a comparison consists of, said once: its stages, and the jobs of each. The runner does the jobs, the bill
//! prices those of which the store lacks what comes out, and the number of stages is how many there are.

use super::comparing::Comparing;
use super::comparison::{Comparison, Side};
use super::likeness::LikenessJob;
use super::neurons::{self, NeuronBlock};
use super::pairs::{AllPairs, Cut, Null};
use super::plan::Controls;
use super::report::BaselineKind;
use super::sources::Variant;
use super::store::Shard;

/// A stage of a comparison, once the texts are tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// A model's codes.
    Codes(Side),
    /// The scores themselves.
    Mppc,
    /// The scores where they should be low.
    Baseline(BaselineKind),
    /// The scores over fewer tokens.
    Subsets,
    /// The scores of neurons.
    Neurons,
    /// How alike the activations are that the SAEs read.
    Likeness,
    /// Features matched one to one.
    Matching,
}

/// The jobs of a stage. Each can be done by itself, on any machine, once the store has what it reads.
pub(super) enum Jobs {
    /// A model's codes, shard by shard.
    Codes(Side, Vec<Shard>),
    /// Whole runs of MPPC, each of all [pairs](AllPairs::pairs) of layers.
    AllPairs(Vec<AllPairs>),
    /// Blocks of A's neurons.
    Neurons(Vec<NeuronBlock>),
    /// One.
    Likeness(LikenessJob),
    /// Made of what was found, and kept nowhere.
    Matching,
}

impl Stage {
    /// Those of a plan, in the order in which they run.
    pub(super) fn all(c: &Controls) -> Vec<Self> {
        let stages = [
            (true, Self::Codes(Side::A)),
            (true, Self::Codes(Side::B)),
            (true, Self::Mppc),
            (c.shuffled > 0, Self::Baseline(BaselineKind::Shuffled)),
            (c.shifted > 0, Self::Baseline(BaselineKind::Shifted)),
            (c.rotated, Self::Baseline(BaselineKind::Rotated)),
            (c.random, Self::Baseline(BaselineKind::Random)),
            (c.subsets, Self::Subsets),
            (c.neuron_tokens > 0, Self::Neurons),
            (c.likeness_tokens > 0, Self::Likeness),
            (c.matching, Self::Matching),
        ];
        stages.into_iter().filter(|(wanted, _)| *wanted).map(|(_, stage)| stage).collect()
    }

    /// What progress, the report's times and the bill call it.
    pub(super) fn name(self, what: &Comparison<'_>) -> String {
        let name = match self {
            Self::Codes(side) => return format!("{} features", what.model(side).name()),
            Self::Mppc => "MPPC",
            Self::Baseline(BaselineKind::Shuffled) => "shuffled-token nulls",
            Self::Baseline(BaselineKind::Shifted) => "shifted-token nulls",
            Self::Baseline(BaselineKind::Rotated) => "rotated SAEs",
            Self::Baseline(BaselineKind::Random) => "random SAEs",
            Self::Subsets => "fewer tokens",
            Self::Neurons => "neuron baseline",
            Self::Likeness => "activations",
            Self::Matching => "one-to-one matches",
        };
        name.to_owned()
    }

    /// In what it is counted.
    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Codes(_) | Self::Neurons | Self::Likeness => "tokens",
            Self::Mppc | Self::Baseline(_) | Self::Subsets => "layer pairs",
            Self::Matching => "SAEs",
        }
    }

    /// What there is to be done of it, whatever the store has.
    pub(super) fn jobs(self, run: &Comparing<'_>) -> Jobs {
        let (c, n) = (&run.what.plan.controls, run.tokens);
        let over = |variant, tokens, null| AllPairs { variant, cut: Cut { tokens, null } };
        let whole = |variant, null| over(variant, 0..n, null);
        let nulls = |runs: usize, null: fn(u64) -> Null| {
            (0..runs as u64).map(|r| whole(Variant::Trained, Some(null(c.seed + r)))).collect()
        };
        match self {
            Self::Codes(side) => Jobs::Codes(side, run.shards.clone()),
            Self::Mppc => Jobs::AllPairs(vec![whole(Variant::Trained, None)]),
            Self::Baseline(BaselineKind::Shuffled) => Jobs::AllPairs(nulls(c.shuffled, Null::Shuffled)),
            Self::Baseline(BaselineKind::Shifted) => Jobs::AllPairs(nulls(c.shifted, Null::Shifted)),
            Self::Baseline(BaselineKind::Rotated) => Jobs::AllPairs(vec![whole(Variant::Rotated, None)]),
            Self::Baseline(BaselineKind::Random) => Jobs::AllPairs(vec![whole(Variant::Random, None)]),
            Self::Subsets => {
                // A correlation needs two tokens.
                let parts = [0..n / 16, 0..n / 8, 0..n / 4, 0..n / 2, n / 2..n]
                    .into_iter()
                    .filter(|part| part.len() > 1);
                Jobs::AllPairs(parts.map(|part| over(Variant::Trained, part, None)).collect())
            }
            Self::Neurons => Jobs::Neurons(neurons::blocks(run)),
            Self::Likeness => Jobs::Likeness(LikenessJob::new(run, c.likeness_tokens.min(n))),
            Self::Matching => Jobs::Matching,
        }
    }
}

impl Jobs {
    /// How much they are together, in the stage's [units](Stage::unit).
    pub(super) fn total(&self, run: &Comparing<'_>) -> usize {
        match self {
            Self::Codes(_, shards) => shards.iter().map(|shard| shard.tokens).sum(),
            Self::AllPairs(runs) => runs.len() * run.layer_pairs(),
            Self::Neurons(blocks) => blocks.iter().map(|block| block.tokens).sum(),
            Self::Likeness(job) => job.tokens,
            // Those of A by decoder, after all features by MPPC.
            Self::Matching => run.a.len() + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_has_the_stages_that_it_asks_for() {
        let few = Stage::all(&Controls::few());
        let always = [Stage::Codes(Side::A), Stage::Codes(Side::B), Stage::Mppc];
        assert_eq!(few[..3], always);
        assert_eq!(few[3..], [Stage::Baseline(BaselineKind::Shuffled), Stage::Neurons]);
        let all = Stage::all(&Controls::default());
        assert_eq!(all.len(), 11);
        assert!(few.iter().all(|stage| all.contains(stage)));
    }
}
