//! What an intervention changes, on every engine, and what it refuses.

use super::*;
use crate::kernels::testing::{each_engine, uniform};

fn hook(name: &str, shape: &[usize], axes: &'static [Axis]) -> HookPoint {
    HookPoint { name: name.to_owned(), shape: shape.to_vec(), axes }
}

fn hooks() -> Vec<HookPoint> {
    use Axis::{Channel, Head, Position, Prompt, Source, State};
    vec![
        hook("blocks.0.attn.hook_z", &[2, 3, 2, 2], &[Prompt, Position, Head, Channel]),
        hook("blocks.0.attn.hook_pattern", &[2, 2, 3, 3], &[Prompt, Head, Position, Source]),
        hook("blocks.0.hook_h.1", &[2, 4, 3], &[Prompt, Channel, State]),
        hook("blocks.0.hook_B", &[2, 3, 3], &[Prompt, Position, State]),
        hook("blocks.0.hook_resid_post", &[2, 3, 4], &[Prompt, Position, Channel]),
    ]
}

/// What becomes of 0, 1, 2, … at a hook: only the places that changed, with what is there.
fn changed(engine: &crate::gpu::Engine, one: Intervention) -> Vec<(usize, f32)> {
    let shape = hooks().iter().find(|h| h.name == one.hook).expect("a hook").shape.clone();
    let len: usize = shape.iter().product();
    let before: Vec<f32> = (0..len).map(|i| i as f32).collect();
    let edits = compile(&[one], &hooks()).expect("good");
    let after = (edits[0].change)(&Tensor::from_f32(engine, &shape, before.clone()));
    let after = pollster::block_on(after.read_f32()).expect("a device");
    (0..len).filter(|&i| after[i] != before[i]).map(|i| (i, after[i])).collect()
}

#[test]
fn changes_what_is_chosen_and_nothing_else() {
    each_engine(|engine| {
        let one =
            |hook: &str, at: Location, change: Change| Intervention { hook: hook.to_owned(), at, change };
        let value = |shape: &[usize], from: f32| {
            let len: usize = shape.iter().product();
            Tensor::from_f32(engine, shape, (0..len).map(|i| from + i as f32).collect())
        };
        // Head 1 at position 2 of prompt 1: [1, 2, 1, :] is 22, 23.
        let at = Location {
            prompts: Some(vec![1]),
            positions: Positions::These(vec![2]),
            units: Units::Heads(vec![1]),
        };
        let z = "blocks.0.attn.hook_z";
        assert_eq!(changed(engine, one(z, at.clone(), Change::Zero)), [(22, 0.0), (23, 0.0)]);
        assert_eq!(changed(engine, one(z, at.clone(), Change::Scale(2.0))), [(22, 44.0), (23, 46.0)]);
        // A value [2, 1, 2, 2]: prompt 1, head 1 are its last two.
        let put = Change::Replace(value(&[2, 1, 2, 2], 100.0));
        assert_eq!(changed(engine, one(z, at.clone(), put)), [(22, 106.0), (23, 107.0)]);
        let add = Change::Add(value(&[2, 1, 2, 2], 100.0));
        assert_eq!(changed(engine, one(z, at.clone(), add)), [(22, 128.0), (23, 130.0)]);
        let with = Change::With(Rc::new(|x: &Tensor| zip(x, x, Binary::Add)));
        assert_eq!(changed(engine, one(z, at, with)), [(22, 44.0), (23, 46.0)]);
        // Another position in each prompt: 0 and 2 of [2, 3, 4] hold 0 to 3 and 20 to 23.
        let at = Location { positions: Positions::Each(vec![0, 2]), ..Location::default() };
        let put = Change::Replace(value(&[2, 1, 4], 50.0));
        let got = changed(engine, one("blocks.0.hook_resid_post", at, put));
        assert_eq!(got.iter().map(|g| g.0).collect::<Vec<_>>(), [0, 1, 2, 3, 20, 21, 22, 23]);
        assert_eq!(
            got.iter().map(|g| g.1).collect::<Vec<_>>(),
            [50.0, 51.0, 52.0, 53.0, 54.0, 55.0, 56.0, 57.0]
        );
        // State 1 of channel-wise states; queries at position 1 of head 0; channel 3.
        let states = Location { units: Units::States(vec![1]), ..Location::default() };
        let got = changed(engine, one("blocks.0.hook_h.1", states, Change::Zero));
        assert_eq!(got.iter().map(|g| g.0).collect::<Vec<_>>(), [1, 4, 7, 10, 13, 16, 19, 22]);
        let queries = Location {
            positions: Positions::These(vec![1]),
            units: Units::Heads(vec![0]),
            ..Location::default()
        };
        let got = changed(engine, one("blocks.0.attn.hook_pattern", queries, Change::Zero));
        assert_eq!(got.iter().map(|g| g.0).collect::<Vec<_>>(), [3, 4, 5, 21, 22, 23]);
        let channel = Location { units: Units::Channels(vec![3]), ..Location::default() };
        let got = changed(engine, one("blocks.0.hook_resid_post", channel, Change::Zero));
        assert_eq!(got.iter().map(|g| g.0).collect::<Vec<_>>(), [3, 7, 11, 15, 19, 23]);
        let whole = one(
            "blocks.0.hook_B",
            Location::default(),
            Change::Replace(Tensor::from_f32(engine, &[2, 3, 3], uniform(1, 18))),
        );
        assert_eq!(changed(engine, whole).len(), 18);
    });
}

#[test]
fn what_cannot_be_is_named() {
    let engine = crate::gpu::Engine::cpu();
    let refused = |all: &[(&str, Location)]| {
        let all: Vec<Intervention> = all
            .iter()
            .map(|(hook, at)| Intervention { hook: (*hook).to_owned(), at: at.clone(), change: Change::Zero })
            .collect();
        compile(&all, &hooks()).expect_err("bad").to_string()
    };
    let (z, state, resid) = ("blocks.0.attn.hook_z", "blocks.0.hook_h.1", "blocks.0.hook_resid_post");
    let heads = |h| Location { units: Units::Heads(vec![h]), ..Location::default() };
    let at = |p| Location { positions: Positions::These(vec![p]), ..Location::default() };
    for (error, wanted) in [
        (refused(&[(z, heads(2))]), "head 2 does not exist: blocks.0.attn.hook_z has 2 (0 to 1)"),
        (
            refused(&[(z, at(3))]),
            "position 3 does not exist: blocks.0.attn.hook_z on these prompts has 3 (0 to 2)",
        ),
        (refused(&[(resid, heads(0))]), "blocks.0.hook_resid_post has no heads"),
        (refused(&[(state, at(0))]), "blocks.0.hook_h.1 has no positions"),
        (refused(&[("blocks.9.hook_z", Location::default())]), "no hook is called \"blocks.9.hook_z\""),
        (
            refused(&[(z, Location { prompts: Some(vec![5]), ..Location::default() })]),
            "prompt 5 does not exist: the batch has 2 (0 to 1)",
        ),
        (
            refused(&[(z, Location { positions: Positions::Each(vec![1]), ..Location::default() })]),
            "blocks.0.attn.hook_z: 1 positions for 2 prompts",
        ),
        (
            refused(&[(z, heads(1)), (z, at(2))]),
            "two interventions contradict: both change blocks.0.attn.hook_z at prompt 0, position 2",
        ),
        (
            refused(&[(z, at(2)), (z, heads(1))]),
            "two interventions contradict: both change blocks.0.attn.hook_z at prompt 0, head 1",
        ),
    ] {
        assert!(error.starts_with(wanted), "{error}\n  lacks {wanted}");
    }
    // Side by side they do not.
    let both = [heads(0), heads(1)].map(|at| Intervention { hook: z.to_owned(), at, change: Change::Zero });
    assert_eq!(compile(&both, &hooks()).expect("good").len(), 2);
    let value = Tensor::zeros(&engine, &[2, 3, 4]);
    let error = compile(&[Intervention::replace(z, value)], &hooks()).expect_err("bad").to_string();
    assert_eq!(error, "the value for blocks.0.attn.hook_z has the shape [2, 3, 4]; [2, 3, 2, 2] is needed");
}
