//! A comparison that is under way: its tokens, and where the codes of them are kept.

use super::comparison::{Comparison, Side};
use super::sources::{Basis, Source, Variant, corpus_identity};
use super::store::{Shard, Store};
use crate::corpus::{TokenBatch, Tokenize as _};
use crate::lab::shared::{LabError, LabModel, Stages, notes, token_batches};

/// Batches in a shard.
pub(super) const SHARD: usize = 8;

/// A comparison that is under way.
pub(super) struct Comparing<'a> {
    pub(super) what: &'a Comparison<'a>,
    pub(super) store: &'a mut dyn Store,
    pub(super) stages: Stages<'a>,
    pub(super) batches: Vec<TokenBatch>,
    pub(super) shards: Vec<Shard>,
    pub(super) tokens: usize,
    /// See [`corpus_identity`].
    corpus: String,
    pub(super) a: Vec<Source>,
    b: Vec<Source>,
    /// Codes of B's control SAEs, by what they are.
    rotated: Vec<Source>,
    random: Vec<Source>,
}

impl<'a> Comparing<'a> {
    /// Makes the batches, after making sure that both models read the same tokens.
    pub(super) async fn start(
        what: &'a Comparison<'a>,
        store: &'a mut dyn Store,
        stages: Stages<'a>,
    ) -> Result<Self, LabError> {
        let plan = &what.plan;
        plan.check()?;
        let mut stages = stages.about(&[what.a, what.b]);
        fit(what, &mut stages)?;
        stages.begin("tokens", plan.corpus.tokens, "tokens").await?;
        let batches = tokenize(what, &mut stages).await?;
        let shard = |(number, batches): (usize, &[TokenBatch])| Shard {
            number,
            tokens: batches.iter().map(TokenBatch::kept).sum(),
        };
        let shards: Vec<Shard> = batches.chunks(SHARD).enumerate().map(shard).collect();
        let tokens = shards.iter().map(|shard| shard.tokens).sum();
        notes(what.corpus, tokens, plan.corpus.tokens).for_each(|note| stages.warn(note));
        let hashes: Vec<&str> = what.inputs.corpus.iter().map(|input| input.sha256.as_str()).collect();
        let corpus = corpus_identity(what.corpus, &hashes, &plan.corpus, what.a.tokenizer.special());
        let sources = |side, variant| basis(what, side, &corpus).sources(variant, plan.controls.seed);
        let control = |wanted, variant| if wanted { sources(Side::B, variant) } else { Vec::new() };
        Ok(Self {
            a: sources(Side::A, Variant::Trained),
            b: sources(Side::B, Variant::Trained),
            rotated: control(plan.controls.rotated, Variant::Rotated),
            random: control(plan.controls.random, Variant::Random),
            tokens,
            what,
            store,
            stages,
            batches,
            shards,
            corpus,
        })
    }

    /// Names what of the store was found damaged; it is computed again.
    pub(super) fn tell_damage(&mut self) {
        self.store.damaged().into_iter().for_each(|line| self.stages.warn(line));
    }

    /// What one side's codes depend on, beside the SAE.
    pub(super) fn basis(&self, side: Side) -> Basis<'_> {
        basis(self.what, side, &self.corpus)
    }

    /// What the texts are, in the names of what is kept.
    pub(super) fn corpus(&self) -> &str {
        &self.corpus
    }

    /// Codes of B's SAEs, or of what stands in for them.
    pub(super) fn sources(&self, variant: Variant) -> &[Source] {
        match variant {
            Variant::Trained => &self.b,
            Variant::Rotated => &self.rotated,
            Variant::Random => &self.random,
        }
    }

    /// Codes of a model's own SAEs.
    pub(super) fn trained(&self, side: Side) -> &[Source] {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }

    /// All codes that are made of a model's activations, its own SAEs' first.
    pub(super) fn encoded(&self, side: Side) -> Vec<Source> {
        match side {
            Side::A => self.a.clone(),
            Side::B => [&self.b[..], &self.rotated, &self.random].concat(),
        }
    }

    /// Pairs of an SAE of A and one of B.
    pub(super) fn layer_pairs(&self) -> usize {
        self.a.len() * self.b.len()
    }
}

fn basis<'s>(what: &'s Comparison<'_>, side: Side, corpus: &'s str) -> Basis<'s> {
    let (plan, inputs) = match side {
        Side::A => (&what.plan.a, &what.inputs.a),
        Side::B => (&what.plan.b, &what.inputs.b),
    };
    Basis { model: what.model(side), side: plan, inputs, corpus }
}

/// Makes sure that both models have SAEs, and tells what should be known before their features are believed.
fn fit(what: &Comparison<'_>, stages: &mut Stages<'_>) -> Result<(), LabError> {
    let models: [&LabModel; 2] = [what.a, what.b];
    let [of_a, of_b] = models.map(|model| model.tokenizer.special());
    if (of_a.bos, of_a.ends()) != (of_b.bos, of_b.ends()) {
        let (a, b) = (what.a.name(), what.b.name());
        stages
            .warn(format!("{a} and {b} name other tokens BOS, EOS or PAD; those of {a} are taken for both"));
    }
    for model in models {
        if model.saes.is_empty() {
            let name = model.name();
            return Err(LabError::refused(
                format!("{name} has no SAEs"),
                format!("train them with `mppc sae train {name} --hook 'blocks.*.hook_resid_post' …`"),
            ));
        }
    }
    for model in models {
        model.sae_notes(&model.saes).into_iter().for_each(|note| stages.warn(note));
    }
    Ok(())
}

/// The corpus as batches, after making sure that both models read the same tokens.
async fn tokenize(what: &Comparison<'_>, stages: &mut Stages<'_>) -> Result<Vec<TokenBatch>, LabError> {
    let (a, b) = (what.a, what.b);
    let (mut all, mut kept): (Vec<TokenBatch>, usize) = (Vec::new(), 0);
    for batch in token_batches(what.corpus, &a.tokenizer, &what.plan.corpus)? {
        all.push(batch?);
        kept += all.last().map_or(0, TokenBatch::kept);
        stages.step(kept).await?;
    }
    let sample = all.first().map(|batch| a.tokenizer.decode(&batch.ids)).unwrap_or_default();
    let ids =
        |m: &LabModel| m.tokenizer.encode(&sample).map(|e| e.ids).map_err(|e| LabError::Refused(e.into()));
    if ids(a)? != ids(b)? {
        return Err(LabError::refused(
            format!("{} and {} have different tokenizers", a.name(), b.name()),
            "features can only be correlated over the same tokens",
        ));
    }
    if kept < 2 {
        return Err(LabError::refused(
            format!("the corpus gives {kept} tokens"),
            "a correlation needs at least 2, and means something from about 10,000",
        ));
    }
    Ok(all)
}

/// The batches of the first tokens that are kept; of the last one, no more are.
pub(super) fn beginning(batches: &[TokenBatch], tokens: usize) -> impl Iterator<Item = TokenBatch> + '_ {
    let mut left = tokens;
    batches.iter().map_while(move |batch| {
        let mut batch = (left > 0).then(|| batch.clone())?;
        batch.keep.iter_mut().filter(|keep| **keep).skip(left).for_each(|keep| *keep = false);
        left -= batch.kept();
        Some(batch)
    })
}
