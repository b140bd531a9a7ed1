//! How alike the activations themselves are that the SAEs read.

use super::comparing::{Comparing, beginning};
use super::comparison::Side;
use super::report::{LayerPairs, Likeness};
use crate::gpu::Tensor;
use crate::lab::shared::{LabError, LabModel, digest};
use crate::universality::{Chunk, CrossSums, SelfSums, linear_cka, linear_cka_debiased, pwcca, rsa, svcca};

/// Tokens that RSA is over, whose cost grows with their square.
const RSA_TOKENS: usize = 1_000;
/// Share of the variance whose directions SVCCA keeps (Raghu et al. 2017).
pub(super) const SVCCA_VARIANCE: f64 = 0.99;

/// Activations of one side over the tokens that stream by.
struct Activations<'a> {
    model: &'a LabModel,
    hooks: Vec<String>,
    center: bool,
    sums: Vec<SelfSums>,
    /// Every few tokens' activations, for RSA: rows by SAE.
    sample: Vec<Vec<f32>>,
}

impl<'a> Activations<'a> {
    fn new(model: &'a LabModel, center: bool) -> Self {
        Self {
            model,
            hooks: model.saes.iter().map(|sae| sae.hook.clone()).collect(),
            center,
            sums: model.saes.iter().map(|sae| SelfSums::new(sae.sae.config.d_in)).collect(),
            sample: vec![Vec::new(); model.saes.len()],
        }
    }

    /// Takes in a batch; `chosen` are the rows for RSA.
    async fn push(
        &mut self,
        batch: &crate::corpus::TokenBatch,
        chosen: &[usize],
    ) -> Result<Vec<Chunk>, LabError> {
        let mut chunks = Vec::new();
        let all = self.model.centered_activations(batch, &self.hooks, self.center).await?;
        let saes = all.iter().zip(&self.model.saes);
        for (((x, sae), sums), sample) in saes.zip(&mut self.sums).zip(&mut self.sample) {
            let x = sae.reads(x);
            let chunk = Chunk::new(&x).await?;
            sums.push(&chunk).await?;
            chunks.push(chunk);
            let width = x.rows_cols().1;
            let values = x.read_f32().await?;
            chosen.iter().for_each(|row| sample.extend_from_slice(&values[row * width..][..width]));
        }
        Ok(chunks)
    }

    fn samples(&self) -> Vec<Tensor> {
        let tensor = |(sums, values): (&SelfSums, &Vec<f32>)| {
            let shape = [values.len() / sums.width().max(1), sums.width()];
            Tensor::from_f32(self.model.model.engine(), &shape, values.clone())
        };
        self.sums.iter().zip(&self.sample).map(tensor).collect()
    }
}

/// The job: the activations over the first tokens.
pub(super) struct LikenessJob {
    pub(super) tokens: usize,
    /// Names everything that decides the figures.
    key: String,
}

impl LikenessJob {
    pub(super) fn new(run: &Comparing<'_>, tokens: usize) -> Self {
        let side = |side| {
            let basis = run.basis(side);
            let hooks: Vec<String> = basis.model.saes.iter().map(|sae| sae.name()).collect();
            format!("{} {} {}", basis.model_identity(), hooks.join(","), basis.side.center_resid)
        };
        let key = digest(&["likeness 2", &side(Side::A), &side(Side::B), run.corpus()]);
        Self { tokens, key: format!("likeness-{key}.0-{tokens}") }
    }

    /// Whether it is still to be done.
    pub(super) fn missing(&self, run: &Comparing<'_>) -> Result<bool, LabError> {
        Ok(run.store.note(&self.key)?.is_none())
    }

    fn read(&self, note: &str) -> Result<Likeness, LabError> {
        let wrong =
            |e| LabError::refused(format!("the note {} says something else ({e})", self.key), "delete it");
        serde_json::from_str(note).map_err(wrong)
    }
}

/// Compares the activations, unless the store has it. All pairs' sums are in memory: 8·D² bytes each.
pub(super) async fn measure(run: &mut Comparing<'_>, job: &LikenessJob) -> Result<Likeness, LabError> {
    let note = run.store.note(&job.key)?;
    run.tell_damage();
    if let Some(note) = note {
        return job.read(&note);
    }
    let plan = &run.what.plan;
    let mut a = Activations::new(run.what.a, plan.a.center_resid);
    let mut b = Activations::new(run.what.b, plan.b.center_resid);
    let cross = |x: &SelfSums| b.sums.iter().map(|y| CrossSums::new(x.width(), y.width())).collect();
    let mut between: Vec<Vec<CrossSums>> = a.sums.iter().map(cross).collect();
    let every = job.tokens.div_ceil(RSA_TOKENS);
    let mut done = 0;
    for batch in beginning(&run.batches, job.tokens) {
        let chosen: Vec<usize> = (0..batch.kept()).filter(|row| (done + row) % every == 0).collect();
        let (x, y) = (a.push(&batch, &chosen).await?, b.push(&batch, &chosen).await?);
        for (row, x) in between.iter_mut().zip(&x) {
            for (sums, y) in row.iter_mut().zip(&y) {
                sums.push(x, y).await?;
            }
        }
        done += batch.kept();
        run.stages.step(done).await?;
    }
    let likeness = finish(run, (&a, &b), &between, done).await?;
    let note = serde_json::to_string(&likeness).expect("plain data");
    run.store.put_note(&job.key, &note)?;
    // What was just computed is read as what is found, so that both say the same.
    job.read(&note)
}

async fn finish(
    run: &mut Comparing<'_>,
    (a, b): (&Activations<'_>, &Activations<'_>),
    between: &[Vec<CrossSums>],
    tokens: usize,
) -> Result<Likeness, LabError> {
    let (x, y) = (a.samples(), b.samples());
    let none: LayerPairs = vec![vec![None; b.sums.len()]; a.sums.len()];
    let mut likeness = Likeness {
        tokens,
        rsa_tokens: x.first().map_or(0, |x| x.rows_cols().0),
        cka: none.clone(),
        cka_debiased: none.clone(),
        svcca: none.clone(),
        pwcca: none.clone(),
        rsa: none,
    };
    for (i, sa) in a.sums.iter().enumerate() {
        for (j, sb) in b.sums.iter().enumerate() {
            let ab = &between[i][j];
            likeness.cka[i][j] = linear_cka(sa, sb, ab);
            likeness.cka_debiased[i][j] = linear_cka_debiased(sa, sb, ab);
            likeness.svcca[i][j] = svcca(sa, sb, ab, SVCCA_VARIANCE);
            let both = pwcca(sa, sb, ab);
            likeness.pwcca[i][j] =
                both.map(|both| if sa.width() <= sb.width() { both.by_a } else { both.by_b });
            likeness.rsa[i][j] = rsa(&x[i], &y[j]).await?.spearman;
            // Whoever wants to stop must not wait for all pairs.
            run.stages.step(tokens).await?;
        }
    }
    Ok(likeness)
}
