//! `mppc correlate`: MPPC of codes or activations from anywhere.

use std::path::Path;

use mppc::checkpoint::SafeFile;
use mppc::failure::Failure;
use mppc::sae::{Codes, code_flags};
use mppc::universality::{
    Best, Correlation, Published, correlate, correlate_dense, from_dense, published, summarize,
};
use serde_json::{Value, json};

use crate::args::CorrelateArgs;
use crate::output::number;
use crate::screen::say;
use crate::session::{Outcome, Session, writable};
use crate::tensors::{self, Named};

/// Correlates two files, saves every maximum with its partner, and tells their means.
pub(crate) async fn run(session: &Session, args: &CorrelateArgs) -> Outcome {
    writable(&args.save)?;
    let (a, b) = (read_side(&args.a)?, read_side(&args.b)?);
    for (side, path) in [(&a, &args.a), (&b, &args.b)] {
        side.check().map_err(|failure| failure.at(path.display()))?;
    }
    for (side, path) in [(&a, &args.a), (&b, &args.b)] {
        // Dense activations may be neurons, of which all are active.
        let Operand::Sparse(codes) = side else { continue };
        for flag in code_flags(codes) {
            say(&format!("warning: the SAE of {} is not healthy: {}", path.display(), flag.reason));
        }
    }
    let script = if args.published { Some(by_the_script(&a, &b)?) } else { None };
    let exact = match (&a, &b) {
        (Operand::Dense(x, fx), Operand::Dense(y, fy)) => {
            correlate_dense(&session.engine, (x, *fx), (y, *fy)).await
        }
        _ => correlate(&session.engine, &a.codes(), &b.codes()).await,
    }?;

    let mut named = named("", &exact);
    let (mut lines, mut told) = (Vec::new(), json!({ "saved": args.save }));
    for (name, key, best) in [("a → b", "a_to_b", &exact.a_to_b), ("b → a", "b_to_a", &exact.b_to_a)] {
        let s = summarize(best.mppc.iter().copied());
        let (count, all) = (s.count, best.mppc.len());
        lines.push(format!("{name}: {count} features with variance of {all}, mean MPPC {}", number(s.mean)));
        told[key] = json!(s);
    }
    if let Some(script) = &script {
        named.extend(self::named("published.", &script.both));
        let (line, value) = difference(&exact, script);
        lines.push(line);
        told["published"] = value;
    }
    tensors::save(&args.save, &named, &[])?;
    lines.push(format!("saved to {}", args.save.display()));
    session.out.say(&lines.join("\n"), &told)
}

fn named(prefix: &str, both: &Correlation) -> Vec<Named> {
    let mut named = Vec::new();
    for (name, best) in [("a_to_b", &both.a_to_b), ("b_to_a", &both.b_to_a)] {
        named.push(Named::f32(&format!("{prefix}{name}.mppc"), &[best.mppc.len()], &best.mppc));
        named.push(Named::i32(&format!("{prefix}{name}.argmax"), &[best.argmax.len()], &best.argmax));
    }
    named
}

fn by_the_script(a: &Operand, b: &Operand) -> Outcome<Published> {
    match (a, b) {
        (Operand::Sparse(a), Operand::Sparse(b)) => Ok(published(a, b)?),
        _ => Err(Failure::new(
            "--published is the paper's way with SAE codes",
            "give codes on both sides, as `mppc sae encode` saves them",
        )),
    }
}

/// What the script's arithmetic changes.
fn difference(exact: &Correlation, script: &Published) -> (String, Value) {
    let features = |both: &Correlation| {
        let all = |best: &Best| best.mppc.iter().copied().zip(best.argmax.clone()).collect::<Vec<_>>();
        [all(&both.a_to_b), all(&both.b_to_a)].concat()
    };
    let (truth, theirs) = (features(exact), features(&script.both));
    let pairs = || truth.iter().zip(&theirs).filter(|(t, _)| t.1 >= 0);
    let largest = pairs().map(|(t, s)| (t.0 - s.0).abs()).fold(0.0f32, f32::max);
    let moved = pairs().filter(|(t, s)| t.1 != s.1).count();
    let without = truth.iter().zip(&theirs).filter(|(t, s)| t.1 < 0 && s.1 >= 0).count();
    let mean = |best: &Best| summarize(best.mppc.iter().copied()).mean;
    let (ab, ba) = (mean(&script.both.a_to_b), mean(&script.both.b_to_a));
    let line = format!(
        "by the paper's script: mean MPPC {} and {}; {moved} other partners, largest difference {largest:.1e}; \
         {without} features without variance counted, {} pairs undefined",
        number(ab),
        number(ba),
        script.undefined
    );
    let value = json!({
        "a_to_b_mean": ab, "b_to_a_mean": ba, "largest_difference": largest, "other_partners": moved,
        "without_variance": without, "undefined_pairs": script.undefined,
    });
    (line, value)
}

/// One side of `mppc correlate`.
enum Operand {
    Dense(Vec<f32>, usize),
    Sparse(Codes),
}

impl Operand {
    /// Refuses what nothing can be correlated of.
    fn check(&self) -> Outcome {
        let (tokens, features) = match self {
            Operand::Dense(values, features) => (values.len() / features, *features),
            Operand::Sparse(codes) => (codes.tokens(), codes.n_features),
        };
        match (tokens, features) {
            (0 | 1, _) => Err(Failure::new(
                format!("there are activations of {tokens} tokens"),
                "a correlation needs at least 2, and means something from about 10,000",
            )),
            (_, 0) => Err(Failure::new("there are no features", "give codes or activations of at least one")),
            _ => Ok(()),
        }
    }

    fn codes(&self) -> std::borrow::Cow<'_, Codes> {
        match self {
            Operand::Dense(values, features) => std::borrow::Cow::Owned(from_dense(*features, values)),
            Operand::Sparse(codes) => std::borrow::Cow::Borrowed(codes),
        }
    }
}

fn read_side(path: &Path) -> Outcome<Operand> {
    let file = SafeFile::open(path)?;
    let label = file.label();
    match file.shape("acts") {
        Some(&[_, features]) if features > 0 => Ok(Operand::Dense(file.numbers("acts")?, features)),
        Some(shape) => Err(Failure::new(
            format!("{}: acts has shape {shape:?}", path.display()),
            "[tokens, features] is needed",
        )),
        None if ["indptr", "crow_indices"].iter().all(|name| file.shape(name).is_none()) => {
            Err(Failure::new(
                format!("{label} has neither acts nor indptr"),
                "give dense activations `acts` [T, F], or codes as `mppc sae encode` saves them",
            ))
        }
        None => {
            let bytes = std::fs::read(path).map_err(|e| format!("{label} cannot be read: {e}"))?;
            Ok(Operand::Sparse(Codes::from_safetensors(label, &bytes)?))
        }
    }
}
