//! SAEs at hooks with heads and at others: a function that is written differently gives the same numbers.

use crate::checkpoint::{Files, embedded};
use crate::corpus::{Corpus, TokenBatch};
use crate::gpu::{Engine, Tensor};
use crate::kernels::testing::{normal, uniform};
use crate::lab::{
    ComparePlan, Comparison, HealthSettings, Inputs, LabModel, MemoryStore, Observer, Progress, Recipe,
    Silent, TrainPlan, health, train,
};
use crate::model::{Plan, Prompts};
use crate::sae::kinds::TopK;
use crate::sae::{Heads, Sae, SaeConfig, SaeKind, SaeWeights, Storage};

/// Heads of tiny-neox, and their width.
const HEADS: usize = 4;
const HEAD: usize = 32;
const Z: &str = "blocks.1.attn.hook_z";
const FEATURES: usize = 24;

fn subject(name: &str) -> LabModel {
    let files = embedded(name).expect("a built-in model");
    LabModel::load(&Engine::cpu(), name, &files, None).expect("a built-in model")
}

fn config(d_in: usize, hook: &str, heads: Heads) -> SaeConfig {
    SaeConfig {
        model_name: Some("tiny-neox".to_owned()),
        hook_name: Some(hook.to_owned()),
        heads,
        ..SaeConfig::new(d_in, FEATURES)
    }
}

/// Random weights of that width; about a sixth of the features fire.
fn weights(seed: u64, d: usize) -> SaeWeights {
    SaeWeights {
        w_enc: normal(seed, d * FEATURES),
        b_enc: vec![-0.5; FEATURES],
        w_dec: normal(seed + 1, FEATURES * d).iter().map(|w| w / 8.0).collect(),
        b_dec: uniform(seed + 2, d).iter().map(|b| b - 0.5).collect(),
        ..SaeWeights::default()
    }
}

/// The same function of a head on all heads side by side: elsewhere the encoder reads nothing.
fn spread(of: &SaeWeights, head: usize) -> SaeWeights {
    let mut all = SaeWeights {
        w_enc: vec![0.0; HEADS * of.w_enc.len()],
        w_dec: vec![0.0; HEADS * of.w_dec.len()],
        b_dec: vec![0.0; HEADS * HEAD],
        ..of.clone()
    };
    all.w_enc[head * of.w_enc.len()..][..of.w_enc.len()].copy_from_slice(&of.w_enc);
    all.b_dec[head * HEAD..][..HEAD].copy_from_slice(&of.b_dec);
    for (row, of) in all.w_dec.chunks_mut(HEADS * HEAD).zip(of.w_dec.chunks(HEAD)) {
        row[head * HEAD..][..HEAD].copy_from_slice(of);
    }
    all
}

/// A place with these SAEs, as files.
fn place(saes: Vec<(SaeConfig, SaeWeights)>) -> Files {
    let mut files = Vec::new();
    for (i, (config, weights)) in saes.into_iter().enumerate() {
        let sae = Sae::new(&Engine::cpu(), config, weights);
        let (config, weights) = pollster::block_on(sae.to_files(Storage::F32)).expect("files");
        files.push((format!("{i}/cfg.json"), config.into()));
        files.push((format!("{i}/sae_weights.safetensors"), weights.into()));
    }
    Files::loose("place", files)
}

/// Two prompts of which BOS is dropped.
fn batch() -> TokenBatch {
    let (batch, len) = (2, 12);
    TokenBatch {
        batch,
        len,
        ids: (0..batch * len).map(|i| if i % len == 0 { 0 } else { 1 + (i * 37 % 900) as u32 }).collect(),
        keep: (0..batch * len).map(|i| i % len > 0).collect(),
        offsets: vec![(0, 0); batch * len],
        documents: vec![0; batch],
    }
}

#[test]
fn a_head_is_its_rows_and_all_heads_are_theirs_side_by_side() {
    let subject = subject("tiny-neox");
    let batch = batch();
    let prompts = Prompts { batch: batch.batch, len: batch.len, ids: batch.ids.clone() };
    let run = subject.model.run(&prompts, Plan { keep: vec![Z.to_owned()], ..Plan::default() });
    let z = pollster::block_on(run.expect("a run").hooks[Z].read_f32()).expect("values"); // [B, T, H, d]
    let all = HEADS * HEAD;
    for (heads, d, start) in [
        (Heads::One(0), HEAD, 0),
        (Heads::One(3), HEAD, 3 * HEAD),
        (Heads::Flat, all, 0),
        (Heads::Reshaped, all, 0),
    ] {
        // By hand: the columns of the kept tokens, and an SAE that knows of no heads.
        let kept = z.chunks(all).zip(&batch.keep).filter(|(_, keep)| **keep);
        let rows: Vec<f32> = kept.flat_map(|(row, _)| row[start..start + d].to_vec()).collect();
        let x = Tensor::from_f32(&Engine::cpu(), &[rows.len() / d, d], rows);
        let plain = Sae::new(&Engine::cpu(), config(d, "x", Heads::Flat), weights(7, d));
        let want = pollster::block_on(plain.encode(&x)).expect("codes");
        assert!(want.indices.len() > want.tokens(), "some features fire");

        let place = place(vec![(config(d, Z, heads), weights(7, d))]);
        let saes = subject.find_saes(&place).expect("an SAE of this model");
        let shown = pollster::block_on(subject.activations(&batch, &[Z.to_owned()])).expect("activations");
        let codes = pollster::block_on(saes[0].sae.encode(&saes[0].reads(&shown[0]))).expect("codes");
        assert_eq!(codes, want, "{heads:?}");
    }
}

#[test]
fn a_comparison_of_heads_is_that_of_the_same_function_on_all_heads() {
    let (mut a, b) = (subject("tiny-neox"), subject("tiny-neox"));
    let mut plan = ComparePlan::reproduce("tiny-neox", "tiny-neox");
    plan.corpus.tokens = 700;
    (plan.corpus.context, plan.corpus.batch) = (64, 4);
    plan.controls.neuron_tokens = 0;
    plan.controls.likeness_tokens = 200;
    let corpus = Corpus::builtin(3);
    let mut report = |place: &Files| {
        a.saes = a.find_saes(place).expect("SAEs of this model");
        let (engine, inputs) = (b.model.engine(), Inputs::default());
        let what = Comparison { engine, a: &a, b: &b, corpus: &corpus, plan: plan.clone(), inputs };
        pollster::block_on(what.run(&mut MemoryStore::default(), &Silent)).expect("a report").report
    };
    // Two heads of one hook, not in order.
    let ones = [(2, weights(11, HEAD)), (0, weights(21, HEAD))];
    let apart =
        report(&place(ones.iter().map(|(h, w)| (config(HEAD, Z, Heads::One(*h)), w.clone())).collect()));
    let names: Vec<&str> = apart.a.saes.iter().map(|sae| sae.hook.as_str()).collect();
    assert_eq!(names, ["blocks.1.attn.hook_z.head0", "blocks.1.attn.hook_z.head2"]);
    let likeness = apart.likeness.as_ref().expect("it was asked for");
    assert_eq!((likeness.cka.len(), likeness.cka[0].len()), (2, 4));
    for (i, (head, weights)) in [&ones[1], &ones[0]].into_iter().enumerate() {
        let flat = report(&place(vec![(config(HEADS * HEAD, Z, Heads::Flat), spread(weights, *head))]));
        let (sae, same) = (&apart.a.saes[i], &flat.a.saes[0]);
        assert_eq!((sae.features, sae.dead), (same.features, same.dead));
        assert!((sae.l0 - same.l0).abs() < 1e-3, "{} {}", sae.l0, same.l0);
        // The same products with zeros between them, summed in another order.
        let means = apart.a_to_b.layer_mean[i].iter().zip(&flat.a_to_b.layer_mean[0]);
        for (one, other) in means.map(|(one, other)| (one.expect("a mean"), other.expect("a mean"))) {
            assert!((one - other).abs() < 1e-4 && one > 0.1, "{one} {other}");
        }
    }
}

/// Health of a place's SAEs on a few tokens, and what was said meanwhile.
fn measured(subject: &LabModel, place: &Files) -> (Vec<crate::lab::SaeHealth>, Vec<String>) {
    #[derive(Default)]
    struct Listener(std::cell::RefCell<Vec<String>>);
    impl Observer for Listener {
        fn progress(&self, progress: &Progress) {
            self.0.borrow_mut().clone_from(&progress.warnings);
        }
    }
    let saes = subject.find_saes(place).expect("SAEs of this model");
    let settings = HealthSettings { tokens: 300, context: 64, batch: 4, ..HealthSettings::default() };
    let listener = Listener::default();
    let report = pollster::block_on(health(subject, &saes, &Corpus::builtin(2), settings, &listener));
    (report.expect("a report").saes, listener.0.into_inner())
}

#[test]
fn a_head_is_spliced_and_the_others_stay() {
    let subject = subject("tiny-neox");
    let one = weights(31, HEAD);
    let (apart, _) = measured(&subject, &place(vec![(config(HEAD, Z, Heads::One(1)), one.clone())]));
    // On all heads, with two features a channel of the others that give back what they read: x = ReLU(x) − ReLU(−x).
    let (all, f) = (HEADS * HEAD, FEATURES + 2 * (HEADS - 1) * HEAD);
    let spread = spread(&one, 1);
    let mut whole = SaeWeights {
        w_enc: vec![0.0; all * f],
        b_enc: vec![0.0; f],
        w_dec: vec![0.0; f * all],
        b_dec: spread.b_dec.clone(),
        ..SaeWeights::default()
    };
    whole.b_enc[..FEATURES].copy_from_slice(&spread.b_enc);
    whole.w_dec[..FEATURES * all].copy_from_slice(&spread.w_dec);
    for c in 0..all {
        whole.w_enc[c * f..][..FEATURES].copy_from_slice(&spread.w_enc[c * FEATURES..][..FEATURES]);
    }
    let others = (0..all).filter(|c| c / HEAD != 1);
    for (j, c) in others.enumerate() {
        for (j, sign) in [(FEATURES + 2 * j, 1.0), (FEATURES + 2 * j + 1, -1.0)] {
            whole.w_enc[c * f + j] = sign;
            whole.w_dec[j * all + c] = sign;
        }
    }
    let together = SaeConfig { d_sae: f, ..config(all, Z, Heads::Reshaped) };
    let (together, _) = measured(&subject, &place(vec![(together, whole)]));
    let of = |saes: &[crate::lab::SaeHealth]| saes[0].health.spliced.expect("predictions");
    let (one, whole) = (of(&apart), of(&together));
    // f32 through the rest of the model.
    for (got, want) in [(one.ce_clean, whole.ce_clean), (one.ce_spliced, whole.ce_spliced)] {
        assert!((got - want).abs() < 1e-4, "{got} {want}");
    }
    assert!((one.kl_spliced - whole.kl_spliced).abs() < 1e-4 && one.kl_spliced > 1e-3);
    // An SAE that reconstructs zeros is zeros, of this head alone.
    let nothing =
        SaeWeights { w_dec: vec![0.0; FEATURES * HEAD], b_dec: vec![0.0; HEAD], ..weights(31, HEAD) };
    let (zero, _) = measured(&subject, &place(vec![(config(HEAD, Z, Heads::One(1)), nothing)]));
    let zero = of(&zero);
    assert!((zero.ce_spliced - zero.ce_zero).abs() < 1e-9 && (zero.ce_zero - one.ce_zero).abs() < 1e-9);
    assert!(one.kl_zero < whole.kl_zero, "one head matters less than all");
    assert_eq!((apart[0].hook.as_str(), apart[0].width), ("blocks.1.attn.hook_z.head1", HEAD));
}

#[test]
fn what_cannot_be_read_is_refused_in_one_line() {
    let (neox, mamba) = (subject("tiny-neox"), subject("tiny-mamba"));
    let refused = |subject: &LabModel, d: usize, hook: &str, heads| {
        let place = place(vec![(config(d, hook, heads), weights(1, d))]);
        let error =
            subject.find_saes(&place).err().unwrap_or_else(|| panic!("{hook} {d} {heads:?}")).to_string();
        assert!(!error.contains('\n'), "{error}");
        error
    };
    let hook = |name: &str| format!("blocks.0.{name}");
    let none = "which has no vector for each token; leave it out";
    for (error, told) in [
        (
            refused(&neox, HEAD, Z, Heads::Flat),
            "which of the 4 heads the SAE reads (`hook_head_index`) is not said",
        ),
        (
            refused(&neox, HEAD, Z, Heads::One(4)),
            "`hook_head_index` is 4, but blocks.1.attn.hook_z of tiny-neox has heads 0 to 3",
        ),
        (
            refused(&neox, 64, Z, Heads::One(0)),
            "`d_in` is 64, but a head of blocks.1.attn.hook_z of tiny-neox is 32 wide",
        ),
        (
            refused(&neox, 64, Z, Heads::Reshaped),
            "`d_in` is 64, but blocks.1.attn.hook_z of tiny-neox is 128 wide",
        ),
        (refused(&neox, 128, &hook("hook_resid_post"), Heads::One(0)), "has no heads"),
        (refused(&neox, 128, &hook("hook_resid_post"), Heads::Reshaped), "has no heads"),
        (refused(&neox, 1, &hook("attn.hook_pattern"), Heads::Flat), none),
        (refused(&neox, 4, &hook("attn.hook_attn_scores"), Heads::Flat), none),
        (refused(&mamba, 16, &hook("hook_h.0"), Heads::Flat), none),
        (refused(&mamba, 16, &hook("hook_A_bar"), Heads::Flat), "is not said"),
    ] {
        assert!(error.contains(told), "{error}\n  lacks {told}");
    }
    let not_shown = |model: &LabModel, hook: String| {
        let shown = pollster::block_on(model.activations(&batch(), &[hook]));
        shown.expect_err("no vectors").to_string()
    };
    let error = not_shown(&neox, hook("attn.hook_pattern"));
    assert!(error.contains("has no vector for each token"), "{error}");
    for t in [0, 5] {
        let error = not_shown(&mamba, hook(&format!("hook_h.{t}")));
        assert!(error.contains("has no vector for each token"), "{error}");
    }
}

#[test]
fn hooks_with_heads_are_trained_on_side_by_side() {
    let subject = subject("tiny-neox");
    let plan = |hook: &str| TrainPlan {
        batch: 64,
        context: 64,
        ..TrainPlan::new(hook, SaeKind::TopK(TopK { k: 4 }), FEATURES, 256)
    };
    let trained =
        |hook: &str| pollster::block_on(train(&subject, &Corpus::builtin(1), &plan(hook), &Silent, None));
    let all = trained("blocks.*.attn.hook_z").expect("SAEs");
    let hooks: Vec<_> = all.iter().map(|one| one.sae.config.hook_name.clone().unwrap_or_default()).collect();
    assert_eq!(
        hooks,
        ["blocks.0.attn.hook_z", "blocks.1.attn.hook_z", "blocks.2.attn.hook_z", "blocks.3.attn.hook_z"]
    );
    assert!(all.iter().all(|one| (one.sae.config.d_in, one.sae.config.heads) == (128, Heads::Reshaped)));
    let weights = pollster::block_on(all[1].sae.weights()).expect("weights");
    let (saes, _) = measured(&subject, &place(vec![(all[1].sae.config.clone(), weights)]));
    assert_eq!((saes[0].width, saes[0].health.l0), (128, 4.0));
    // A pattern of everything in a block does not mean heads; scores and patterns are never meant.
    let hooks: Vec<_> = trained("blocks.0.*").expect("SAEs").into_iter().map(|one| one.sae.config).collect();
    assert!(
        !hooks.is_empty()
            && hooks.iter().all(|c| !c.hook_name.as_deref().unwrap_or_default().contains(".attn."))
    );
    let error = trained("blocks.0.attn.hook_pattern").err().expect("no vectors").to_string();
    assert!(error.contains("no hook of tiny-neox with one vector a token matches"), "{error}");
}

#[test]
fn training_that_no_memory_holds_is_refused_first() {
    let subject = subject("tiny-neox");
    let plan = TrainPlan::new("blocks.0.hook_resid_post", SaeKind::TopK(TopK { k: 4 }), FEATURES, 4096);
    let refused = |plan: &TrainPlan| {
        let trained = pollster::block_on(train(&subject, &Corpus::builtin(1), plan, &Silent, None));
        trained.err().expect("too much").to_string()
    };
    // 5 TB: sizes within their ranges, of which no machine holds so many.
    let recipes = vec![Recipe { kind: SaeKind::TopK(TopK { k: 4 }), seed: 1 }; 100];
    let error = refused(&TrainPlan { features: 1 << 24, recipes, ..plan.clone() });
    assert!(error.contains(" GB of memory, and ") && error.contains("are the most here"), "{error}");
    for plan in [
        TrainPlan { features: 1_000_000_000, ..plan.clone() },
        TrainPlan { features: usize::MAX, ..plan.clone() },
        TrainPlan { batch: 1 << 62, tokens: usize::MAX, prune: 1, ..plan.clone() },
    ] {
        let error = refused(&plan);
        assert!(error.contains(", but must be "), "{error}");
    }
}

#[test]
fn an_sae_of_another_model_is_said_once() {
    let subject = subject("tiny-neox");
    let saes = |model: &str| {
        let one = |hook: &str, seed| {
            let config = SaeConfig { model_name: Some(model.to_owned()), ..config(128, hook, Heads::Flat) };
            (config, weights(seed, 128))
        };
        place(vec![one("blocks.0.hook_resid_post", 1), one("blocks.1.hook_resid_post", 2)])
    };
    for same in ["tiny-neox", "Tiny-NeoX", "owner/tiny_neox", "tiny-neox@main"] {
        assert_eq!(measured(&subject, &saes(same)).1, Vec::<String>::new(), "{same}");
    }
    let (_, told) = measured(&subject, &saes("tiny-mamba"));
    assert_eq!(
        told,
        [
            "the SAEs of tiny-neox, blocks.0.hook_resid_post and 1 more: it says that it was trained on tiny-mamba; if \
             tiny-neox is another model, its features mean nothing here"
        ]
    );
}
