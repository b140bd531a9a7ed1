//! Both engines against the float64 reference of `tools/golden_circuits.py` (`tests/golden/README.md`).

use std::path::PathBuf;

use super::*;
use crate::checkpoint::{Files, SafeFile};
use crate::gpu::{Engine, Tensor};
use crate::kernels::testing::{close, each_engine};
use crate::model::{Model, Plan, Prompts, linear};

/// Of the larger of 1 and the largest value: as for whole models (`model/tests.rs`), whose products these are.
const TOLERANCE: f64 = 1e-4;

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(name)
}

fn prompts_of(file: &SafeFile, name: &str) -> Prompts {
    let [batch, len] = *file.shape(name).unwrap() else { panic!("prompts are [N, T]") };
    let ids = file.integers(name).unwrap().into_iter().map(|t| t as u32).collect();
    Prompts { batch, len, ids }
}

/// A reference with the model that it is about.
struct Golden {
    file: SafeFile,
    model: Model,
    a: Vec<usize>,
    target: AnswerTokens,
}

impl Golden {
    fn open(engine: &Engine, case: &str, checkpoint: &str) -> Self {
        let file = SafeFile::open(&golden(&format!("circuits-{case}.safetensors"))).unwrap();
        let model = Model::load(engine, checkpoint, &Files::dir(golden(checkpoint))).unwrap();
        let ids = |name: &str| file.integers(name).unwrap();
        let tokens = |name: &str| ids(name).into_iter().map(|t| t as u32).collect::<Vec<_>>();
        let target =
            AnswerTokens { b: tokens("b_token"), other: tokens("other_token"), vocab: model.vocab() };
        let a = ids("a").into_iter().map(|a| a as usize).collect();
        Self { file, model, a, target }
    }

    fn neox(engine: &Engine) -> Self {
        Self::open(engine, "neox", "neox-parallel")
    }

    fn mamba(engine: &Engine) -> Self {
        Self::open(engine, "mamba", "mamba-hf")
    }

    fn prompts(&self, name: &str) -> Prompts {
        prompts_of(&self.file, name)
    }

    fn values(&self, name: &str) -> Vec<f64> {
        self.file.f32s(name).unwrap().into_iter().map(f64::from).collect()
    }

    /// Holds values against a tensor of the reference.
    fn agrees(&self, name: &str, got: impl IntoIterator<Item = f64>) {
        self.agrees_to(name, got, TOLERANCE);
    }

    fn agrees_to(&self, name: &str, got: impl IntoIterator<Item = f64>, tolerance: f64) {
        let (got, want): (Vec<f64>, _) = (got.into_iter().collect(), self.values(name));
        assert_eq!(got.len(), want.len(), "{name}: how many");
        let scale = want.iter().fold(1.0f64, |scale, v| scale.max(v.abs()));
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            assert!((got - want).abs() <= tolerance * scale, "{name} [{i}]: {got} instead of {want}");
        }
    }
}

fn logits(all: &[Answers]) -> Vec<f64> {
    all.iter().flat_map(|answers| &answers.logits).map(|&v| f64::from(v)).collect()
}

fn wait<T>(run: impl Future<Output = Result<T, CircuitError>>) -> T {
    pollster::block_on(run).unwrap()
}

/// An experiment whose logits are kept.
fn experiment<'a>(g: &'a Golden, clean: &'a Prompts, corrupted: &'a Prompts) -> Experiment<'a> {
    let (model, a, target) = (&g.model, &g.a, &g.target);
    Experiment { model, clean, corrupted, a, target, logits: true, watch: &Unwatched }
}

/// Hugging Face transformers with a value put in at a hook, in float64, as in `model/tests.rs`.
#[test]
fn replaced_hooks_change_what_follows() {
    for (case, patch) in [
        ("neox-parallel", "patched-z"),
        ("neox-parallel", "patched-pattern"),
        ("neox-parallel", "patched-mlp-post"),
        ("mamba-hf", "patched-h"),
        ("mamba-hf", "patched-conv"),
        ("mamba-hf", "patched-A-bar"),
        ("mamba-hf", "patched-skip"),
    ] {
        let open = |file: &str| SafeFile::open(&golden(case).join(file)).unwrap();
        let prompts = prompts_of(&open("reference.safetensors"), "tokens");
        let patched = open(&format!("{patch}.safetensors"));
        // Scores hold −inf, which is refused in weights.
        let values =
            |name: &str| patched.raw_f32s(name).unwrap().into_iter().map(f64::from).collect::<Vec<_>>();
        let names = patched.names();
        let hook = names.iter().find_map(|n| n.strip_prefix("value.")).unwrap();
        let keep: Vec<String> = names
            .iter()
            .filter(|n| n.contains(".hook_") || n.starts_with("hook_"))
            .filter(|n| !n.starts_with("value."))
            .cloned()
            .collect();
        each_engine(|engine| {
            let model = Model::load(engine, case, &Files::dir(golden(case))).unwrap();
            let value = format!("value.{hook}");
            let positions = patched.shape("positions").map_or(Positions::All, |_| {
                Positions::These(
                    patched.integers("positions").unwrap().into_iter().map(|p| p as usize).collect(),
                )
            });
            let shape = patched.shape(&value).unwrap();
            let put = Intervention {
                hook: hook.to_owned(),
                at: Location { positions, ..Location::default() },
                change: Change::Replace(Tensor::from_f32(engine, shape, patched.f32s(&value).unwrap())),
            };
            let edits = compile(&[put], &model.hooks(prompts.batch, prompts.len)).unwrap();
            let plan = Plan { keep: keep.clone(), edits, logits: true };
            let output = model.run(&prompts, plan).unwrap();
            let logits = output.logits.unwrap().at(0..prompts.batch * prompts.len);
            close(engine, &logits, &values("logits"), TOLERANCE);
            for name in &keep {
                close(engine, &output.hooks[name], &values(name), TOLERANCE);
            }
        });
    }
}

#[test]
fn heads_agree() {
    each_engine(|engine| {
        let g = Golden::neox(engine);
        let (clean, unrelated, b_changed) =
            (g.prompts("clean"), g.prompts("unrelated"), g.prompts("b_changed"));
        let one = experiment(&g, &clean, &unrelated);
        g.agrees("clean_logits", logits(&[wait(one.unchanged())]));
        g.agrees("head_to_logit", logits(&wait(one.head_to_logit())));
        let through = experiment(&g, &clean, &b_changed);
        let through = wait(through.head_to_head_to_logit(Head { layer: 2, head: 1 }));
        g.agrees("head_to_head_to_logit", logits(&through));
    });
}

#[test]
fn states_agree() {
    each_engine(|engine| {
        let g = Golden::mamba(engine);
        let (clean, b_changed, last_changed) =
            (g.prompts("clean"), g.prompts("b_changed"), g.prompts("last_changed"));
        let one = experiment(&g, &clean, &b_changed);
        g.agrees("clean_logits", logits(&[wait(one.unchanged())]));
        g.agrees("state_to_logit", logits(&wait(one.state_to_logit())));
        g.agrees("y_to_logit", logits(&wait(experiment(&g, &clean, &last_changed).y_to_logit())));
        let layers = g.model.layers();
        let parts: Vec<_> = (0..layers).flat_map(|l| SsmPart::ALL.map(|part| (l, part))).collect();
        g.agrees("ssm_parts", logits(&wait(one.ssm_parts(&parts))));
        let (early, changed) = (g.prompts("early"), g.prompts("early_changed"));
        let a = vec![0; early.batch];
        let writing = Experiment { a: &a, ..experiment(&g, &early, &changed) };
        // The two variants differ by 2e-4 and more: a tenth of that tells them apart at every position.
        let places = [0, 1, 2, 3, 4];
        g.agrees_to("write_position", logits(&wait(writing.write_position(1, &places, false))), 2e-5);
        g.agrees_to(
            "write_position_published",
            logits(&wait(writing.write_position(1, &places, true))),
            2e-5,
        );
    });
}

#[test]
fn convolutions_agree() {
    each_engine(|engine| {
        let g = Golden::mamba(engine);
        let (clean, changed) = (g.prompts("clean"), g.prompts("ab_changed"));
        let one = experiment(&g, &clean, &changed);
        let (layers, taps) = (g.model.layers(), g.model.convolution().unwrap().taps());
        let mut cells = Vec::new();
        for behind in [1, 2] {
            cells.extend((0..taps).map(|j| Taps { behind, back: (0..=j).collect() }));
            cells.extend((0..taps).map(|j| Taps { behind, back: vec![j] }));
        }
        let all: Vec<f64> =
            (0..layers).flat_map(|layer| logits(&wait(one.conv_taps(layer, &cells)))).collect();
        g.agrees("conv_taps", all);
        let scan = |offset: &dyn Fn(usize) -> Vec<Offset>| {
            let cells: Vec<_> =
                (0..layers).flat_map(|l| offset(l).into_iter().map(move |o| (l, o))).collect();
            logits(&wait(one.off_by_one(&cells)))
        };
        g.agrees("delete_tap", scan(&|_| (0..taps).map(Offset::Without).collect()));
        g.agrees("shift_taps", scan(&|_| vec![Offset::TapsLater]));
        g.agrees("shift_input", scan(&|_| vec![Offset::InputSooner]));
    });
}

/// One prompt of several.
fn one(prompts: &Prompts, n: usize) -> Prompts {
    let ids = prompts.ids[n * prompts.len..(n + 1) * prompts.len].to_vec();
    Prompts { batch: 1, len: prompts.len, ids }
}

#[test]
fn what_is_seen_inside_agrees() {
    each_engine(|engine| {
        let g = Golden::mamba(engine);
        let (clean, repeated) = (g.prompts("clean"), g.prompts("repeated"));
        let (n, layers, len) = (clean.batch, g.model.layers(), clean.len);
        let by_prompt: Vec<Vec<AttentionPattern>> =
            (0..n).map(|n| wait(attention(&g.model, &one(&clean, n), 1))).collect();
        let hidden = (0..layers).flat_map(|l| by_prompt.iter().map(move |of| &of[l].pattern));
        g.agrees("hidden_attention", hidden.flatten().map(|&v| f64::from(v)));
        let signed = (0..layers).flat_map(|l| (0..n).map(move |n| (l, n)));
        let signed = signed.flat_map(|(l, n)| wait(hidden_attention_of(&g.model, &one(&clean, n), l, 0)));
        g.agrees("hidden_attention_channel0", signed.map(f64::from));
        let writes: Vec<_> = (0..n).map(|n| wait(state_writes(&g.model, &one(&clean, n)))).collect();
        g.agrees("state_writes", (0..layers).flat_map(|l| writes.iter().flat_map(move |of| of[l].clone())));
        g.agrees("tap_shares", wait(tap_shares(&g.model, &clean)).into_iter().flatten());
        let by_name = |all: Vec<Scores>| {
            let rows: [fn(&Scores) -> f64; 3] =
                [|s| s.prefix_matching, |s| s.previous_token, |s| s.duplicate_token];
            rows.into_iter().flat_map(|row| all.iter().map(row).collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        g.agrees("mamba_scores", by_name(wait(scores(&g.model, &repeated, len / 2, (1, &Unwatched)))));
        // Groups of channels have the mean of all in them.
        let groups = wait(attention(&g.model, &one(&clean, 0), 4));
        let of_layer: f32 = groups[..4].iter().map(|group| group.pattern[3 * len + 1]).sum();
        assert!((of_layer / 4.0 - by_prompt[0][0].pattern[3 * len + 1]).abs() < 1e-6);

        let g = Golden::neox(engine);
        let repeated = g.prompts("repeated");
        g.agrees("head_scores", by_name(wait(scores(&g.model, &repeated, len / 2, (1, &Unwatched)))));
    });
}

#[test]
fn lenses_agree() {
    each_engine(|engine| {
        for g in [Golden::neox(engine), Golden::mamba(engine)] {
            let clean = g.prompts("clean");
            let lens = wait(logit_lens(&g.model, &clean));
            g.agrees("logit_lens", lens.iter().flatten().map(|&v| f64::from(v)));
            let parts = wait(attribution(&g.model, &clean, &g.target.b));
            let of = |wanted: &dyn Fn(&Part) -> bool| {
                let chosen = parts.iter().filter(|c| wanted(&c.part)).flat_map(|c| c.values.clone());
                chosen.collect::<Vec<_>>()
            };
            g.agrees("attribution_embed", of(&|p| *p == Part::Embed));
            let addends = |part: &Part, of: &str| matches!(part, Part::Addend(name, _) if *name == of);
            if g.model.attention().is_some() {
                g.agrees("attribution_heads", of(&|p| matches!(p, Part::Head(..))));
                g.agrees("attribution_attn_bias", of(&|p| matches!(p, Part::AttentionBias(_))));
                g.agrees("attribution_mlp", of(&|p| addends(p, "MLP")));
                g.agrees("attribution_rest", of(&|p| *p == Part::Rest));
            } else {
                g.agrees("attribution_blocks", of(&|p| addends(p, "block")));
            }
            let logits = g.values("clean_logits");
            let vocab = logits.len() / clean.batch;
            for (n, &b) in g.target.b.iter().enumerate() {
                let sum: f64 = parts.iter().map(|c| c.values[n]).sum();
                assert!((sum - logits[n * vocab + b as usize]).abs() < TOLERANCE, "prompt {n}: {sum}");
            }
        }
    });
}

/// Weights of 16 bits, tied heads, padded rows: the parts add up to the logit that the model itself gives.
#[test]
fn parts_add_up_whatever_the_weights() {
    each_engine(|engine| {
        for checkpoint in ["neox-sequential", "mamba-ssm"] {
            let model = Model::load(engine, checkpoint, &Files::dir(golden(checkpoint))).unwrap();
            let prompts = Prompts { batch: 2, len: 5, ids: vec![3, 9, 1, 7, 3, 2, 2, 8, 4, 40] };
            let tokens = [9, 31];
            let parts = wait(attribution(&model, &prompts, &tokens));
            let plan = Plan { logits: true, ..Default::default() };
            let logits = model.run(&prompts, plan).unwrap().logits.unwrap().last();
            let logits = pollster::block_on(logits.read()).unwrap();
            let vocab = logits.len() / 2;
            for (n, token) in tokens.iter().enumerate() {
                let logit = f64::from(logits[n * vocab + *token as usize]);
                let sum: f64 = parts.iter().map(|c| c.values[n]).sum();
                assert!(
                    (sum - logit).abs() < TOLERANCE * logit.abs().max(1.0),
                    "{checkpoint}: {sum} and {logit}"
                );
            }
            // Nothing is refused of the rest of what looks inside.
            let period = wait(scores(&model, &prompts, 2, (1, &Unwatched)));
            assert_eq!(
                period.len(),
                model.layers() * model.attention().map_or(1, |attention| attention.heads())
            );
            assert_eq!(wait(logit_lens(&model, &prompts)).len(), model.layers() + 1);
        }
    });
}

#[test]
fn what_a_model_lacks_is_named() {
    let engine = Engine::cpu();
    let (neox, mamba) = (Golden::neox(&engine), Golden::mamba(&engine));
    let clean = [neox.prompts("clean"), mamba.prompts("clean")];
    let of_neox = experiment(&neox, &clean[0], &clean[0]);
    let of_mamba = experiment(&mamba, &clean[1], &clean[1]);
    let refused = |run: Result<Vec<Answers>, CircuitError>| run.expect_err("bad").to_string();

    let through =
        |layer, head| refused(pollster::block_on(of_neox.head_to_head_to_logit(Head { layer, head })));
    let taps = |behind, back| {
        refused(pollster::block_on(of_mamba.conv_taps(0, &[Taps { behind, back: vec![back] }])))
    };
    for (error, wanted) in [
        (through(3, 0), "layer 3 does not exist: neox-parallel has 3 (0 to 2)"),
        (through(2, 7), "head 7 does not exist: layer 2 of neox-parallel has 3 (0 to 2)"),
        (through(0, 0), "a head of layer 0 reads no other head"),
        (
            refused(pollster::block_on(of_mamba.head_to_logit())),
            "mamba-hf has no attention heads; choose an experiment on its recurrence or convolution",
        ),
        (
            refused(pollster::block_on(of_neox.state_to_logit())),
            "neox-parallel has no recurrence; choose an experiment on its attention heads",
        ),
        (
            refused(pollster::block_on(of_mamba.write_position(1, &[12], false))),
            "position 12 does not exist: the prompt has 12",
        ),
        (
            refused(pollster::block_on(of_mamba.write_position(5, &[1], false))),
            "layer 5 does not exist: mamba-hf has 3",
        ),
        (taps(1, 4), "tap 4 does not exist: the convolution of mamba-hf has 4 (0 to 3)"),
        (taps(11, 0), "position 1"),
    ] {
        assert!(error.starts_with(wanted), "{error}\n  lacks {wanted}");
    }
    let few = Experiment { a: &[1], ..of_neox };
    assert!(refused(pollster::block_on(few.head_to_logit())).starts_with("prompts, corrupted prompts"));
}

/// A model of another architecture than those that there are, which has nothing of what experiments take apart.
#[test]
fn a_further_architecture_has_what_every_network_has_and_is_refused_the_rest() {
    each_engine(|engine| {
        let files = Files::loose("stand-in", linear::files(50, 12, 3));
        let model = Model::load(engine, "stand-in", &files).unwrap();
        assert_eq!((model.architecture(), model.layers(), model.notes()), ("linear", 1, &[][..]));
        let prompts = Prompts { batch: 2, len: 5, ids: vec![3, 9, 1, 7, 3, 2, 2, 8, 4, 40] };

        // Hooks: the layer's part is the difference of the stream, and without it the stream stays.
        let keep: Vec<String> = model.hooks(2, 5).into_iter().map(|hook| hook.name).collect();
        let seen = model.run(&prompts, Plan { keep, ..Plan::default() }).unwrap().hooks;
        let read = |name: &str| pollster::block_on(seen[name].read_f32()).unwrap();
        let (pre, post) = (read("blocks.0.hook_resid_pre"), read("blocks.0.hook_resid_post"));
        let sum: Vec<f64> = pre.iter().zip(read(linear::OUT)).map(|(x, y)| f64::from(x + y)).collect();
        close(engine, &seen["blocks.0.hook_resid_post"], &sum, TOLERANCE);
        assert_ne!(pre, post);
        let hooks = model.hooks(2, 5);
        let silent = Intervention {
            hook: linear::OUT.to_owned(),
            at: Location { positions: Positions::These(vec![1, 2]), ..Location::default() },
            change: Change::Zero,
        };
        let plan = Plan {
            keep: vec!["blocks.0.hook_resid_post".to_owned()],
            edits: compile(&[silent], &hooks).unwrap(),
            ..Plan::default()
        };
        let changed = model.run(&prompts, plan).unwrap().hooks.remove("blocks.0.hook_resid_post").unwrap();
        let changed = pollster::block_on(changed.read_f32()).unwrap();
        for (row, values) in changed.chunks(12).enumerate() {
            let want = if (1..=2).contains(&(row % 5)) { &pre } else { &post };
            assert_eq!(values, &want[row * 12..][..12], "row {row}");
        }

        // Its parts add up to the logit.
        let parts = wait(attribution(&model, &prompts, &[9, 31]));
        let names: Vec<&Part> = parts.iter().map(|c| &c.part).collect();
        assert_eq!(names, [&Part::Embed, &Part::Addend("linear", 0)]);
        let lens = wait(logit_lens(&model, &prompts)).pop().unwrap();
        for (n, token) in [9, 31].into_iter().enumerate() {
            let (sum, logit) = (parts[0].values[n] + parts[1].values[n], f64::from(lens[n * 50 + token]));
            assert!((sum - logit).abs() < TOLERANCE * logit.abs().max(1.0), "{sum} and {logit}");
        }

        // The rest is refused in one line each.
        let (a, target) = (vec![0, 0], AnswerTokens { b: vec![9, 2], other: vec![8, 8], vocab: 50 });
        let one = Experiment {
            model: &model,
            clean: &prompts,
            corrupted: &prompts,
            a: &a,
            target: &target,
            logits: false,
            watch: &Unwatched,
        };
        let told = |run: Result<Vec<Answers>, CircuitError>| run.expect_err("lacking").to_string();
        let lacks = |what: &str| format!("stand-in has no {what}; choose another model");
        assert_eq!(told(pollster::block_on(one.head_to_logit())), lacks("attention heads"));
        assert_eq!(told(pollster::block_on(one.state_to_logit())), lacks("recurrence"));
        assert_eq!(told(pollster::block_on(one.conv_taps(0, &[]))), lacks("convolution"));
        let patterns = pollster::block_on(scores(&model, &prompts, 2, (1, &Unwatched)));
        let patterns = patterns.expect_err("lacking").to_string();
        assert!(patterns.starts_with("stand-in has neither attention heads nor a recurrence"), "{patterns}");
    });
}
