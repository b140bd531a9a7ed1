use proptest::prelude::*;

use super::*;
use crate::kernels::testing::uniform;

fn of(others: usize, rows: &[Vec<(u32, f32)>]) -> Candidates {
    let mut candidates = Candidates::new(others);
    rows.iter().for_each(|row| candidates.push(row).expect("a good row"));
    candidates
}

/// The largest total there is: every way to match the features from `i` on.
fn brute_force(candidates: &Candidates, i: usize, taken: &mut Vec<bool>) -> f64 {
    if i == candidates.len() {
        return 0.0;
    }
    let mut most = brute_force(candidates, i + 1, taken);
    for (j, weight) in candidates.row(i).collect::<Vec<_>>() {
        if !taken[j] {
            taken[j] = true;
            most = most.max(weight + brute_force(candidates, i + 1, taken));
            taken[j] = false;
        }
    }
    most
}

/// Runs the search, and checks its own proof that no matching is worth more.
fn proven(candidates: &Candidates) -> Assignment {
    let got = assignment(candidates);
    let mut search = Search::new(candidates);
    (0..candidates.len()).for_each(|i| search.add(i));
    assert_eq!(search.partner, got.partner, "the same each time");
    // Sums of differences of f32 weights of at most 1, all of them exact (see `assignment`).
    let slack = 1e-12;
    let (profits, prices) = (&search.profit, &search.price);
    assert!(profits.iter().chain(prices).all(|v| *v >= -slack), "nobody pays to take part");
    let mut owners = vec![None; candidates.others];
    for (i, partner) in got.partner.iter().enumerate() {
        for (j, weight) in candidates.row(i) {
            assert!(weight <= profits[i] + prices[j] + slack, "{i} would rather have {j}");
        }
        let Some(j) = *partner else { continue };
        assert!(candidates.row(i).any(|(k, w)| k == j as usize && w as f32 == got.weight[i]), "{i}, {j}");
        assert_eq!(owners[j as usize].replace(i), None, "{j} is matched twice");
    }
    // Weak duality: no matching is worth more than all profits and prices together.
    let bound: f64 = profits.iter().chain(prices).sum();
    assert!((got.total - bound).abs() <= slack * bound.max(1.0), "{} of {bound}", got.total);
    got
}

#[test]
fn gives_up_the_best_for_the_whole() {
    // Greedy takes 0.9 and is left with 0.1; together 0.8 + 0.7 are worth more.
    let got = proven(&of(2, &[vec![(0, 0.9), (1, 0.8)], vec![(0, 0.7), (1, 0.1)]]));
    assert_eq!(got.partner, [Some(1), Some(0)]);
    assert_eq!(got.weight, [0.8, 0.7]);
    // Three want one: the one to whom it is worth most has it, and the others stay alone.
    let got = proven(&of(1, &[vec![(0, 0.5)], vec![(0, 0.75)], vec![(0, 0.25)]]));
    assert_eq!((got.partner, got.total), (vec![None, Some(0), None], 0.75));
}

#[test]
fn nobody_is_matched_for_nothing() {
    let got = proven(&of(3, &[vec![], vec![(1, -0.5), (2, 0.0)], vec![(1, 0.5)]]));
    assert_eq!(got.partner, [None, None, Some(1)]);
    assert_eq!(proven(&Candidates::new(0)), Assignment::default());
    assert_eq!(proven(&of(0, &[vec![], vec![]])).partner, [None, None]);
    assert!(Candidates::new(3).is_empty());
}

#[test]
fn bad_candidates_are_refused() {
    let mut candidates = Candidates::new(2);
    let refused = candidates.push(&[(0, 0.5), (2, 0.5)]).expect_err("refused").to_string();
    assert!(refused.contains("feature 2 is a candidate, but B has 2 features"), "{refused}");
    let refused = candidates.push(&[(0, f32::NAN)]).expect_err("refused").to_string();
    assert!(refused.contains("feature 0 is worth NaN"), "{refused}");
    assert_eq!(candidates, Candidates::new(2), "nothing was added");
}

/// The size of the paper's SAEs: uniform candidates, ones that crowd on few features, and many ties.
#[test]
fn is_optimal_at_full_size() {
    let (features, k) = (24_576usize, 16);
    let draws = uniform(1, 2 * features * k);
    let build = |place: &dyn Fn(f32) -> f32, worth: &dyn Fn(f32) -> f32| {
        let row = |draws: &[f32]| -> Vec<(u32, f32)> {
            let one = |d: &[f32]| ((place(d[0]) * features as f32) as u32, worth(d[1]));
            draws.chunks(2).map(one).collect()
        };
        of(features, &draws.chunks(2 * k).map(row).collect::<Vec<_>>())
    };
    let even = build(&|d| d, &|w| w);
    let crowded = build(&|d| d.powi(4), &|w| w);
    let tied = build(&|d| d, &|w| (w * 4.0).ceil() / 4.0);
    let worthy = build(&|d| d.powi(8), &|w| 0.5 + w / 100.0);
    for (what, candidates) in [("even", even), ("crowded", crowded), ("tied", tied), ("worthy", worthy)] {
        let start = std::time::Instant::now();
        let got = proven(&candidates);
        let matched = got.partner.iter().flatten().count();
        println!("{what}: {matched} matched, {:.2} in all, {:?}", got.total, start.elapsed() / 2);
    }
}

proptest! {
    #[test]
    fn equals_brute_force(
        rows in prop::collection::vec(
            prop::collection::vec((0u32..6, prop_oneof![Just(0.5f32), Just(1.0), 0.001f32..1.0, -1f32..0.0]), 0..5),
            0..8,
        )
    ) {
        let candidates = of(6, &rows);
        let most = brute_force(&candidates, 0, &mut vec![false; 6]);
        let got = proven(&candidates);
        // Another order of at most 8 additions.
        prop_assert!((got.total - most).abs() < 1e-12, "{} instead of {most}", got.total);
    }
}
