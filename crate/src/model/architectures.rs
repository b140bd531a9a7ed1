//! The architectures that there are: one line each.

use super::config::Config;
#[cfg(test)]
use super::linear;
use super::network::Architecture;
use super::{mamba, neox};
use crate::checkpoint::CheckpointError;
use crate::failure::Failure;

/// All of them.
pub static ARCHITECTURES: &[Architecture] = &[neox::ARCHITECTURE, mamba::ARCHITECTURE];

/// What tests register besides.
#[cfg(test)]
static STAND_INS: &[Architecture] = &[linear::ARCHITECTURE];
#[cfg(not(test))]
static STAND_INS: &[Architecture] = &[];

/// The architecture of a model whose `config.json` has this `model_type`, or none and these keys.
pub fn architecture(model_type: Option<&str>, has: impl Fn(&str) -> bool) -> Option<&'static Architecture> {
    let of = |one: &&Architecture| match model_type {
        Some(model_type) => one.model_type == model_type,
        None => !one.keys.is_empty() && one.keys.iter().all(|key| has(key)),
    };
    ARCHITECTURES.iter().chain(STAND_INS).find(of)
}

/// The architecture that a config tells of.
pub(super) fn of_config(config: &Config) -> Result<&'static Architecture, CheckpointError> {
    let model_type = config.get("model_type").and_then(|v| v.as_str());
    let found = architecture(model_type, |key| config.get(key).is_some());
    found.ok_or_else(|| match model_type {
        Some(other) => {
            let all: Vec<&str> = ARCHITECTURES.iter().map(|one| one.model_type).collect();
            config.error(Failure::new(
                format!("model_type {other:?} is not supported"),
                format!("{} are", all.join(" and ")),
            ))
        }
        None => config.error("the key model_type is missing"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_model_is_of_one() {
        for known in crate::checkpoint::known().iter().filter(|known| known.kind != "sae") {
            assert!(architecture(Some(&known.kind), |_| false).is_some(), "{}", known.alias);
        }
    }

    /// The page reads what the lab can run before it fetches the engine.
    #[test]
    fn the_page_is_told_of_every_architecture() {
        let lines: Vec<String> =
            ARCHITECTURES.iter().map(|one| serde_json::to_string(one).unwrap()).collect();
        let wanted = format!("[\n  {}\n]\n", lines.join(",\n  "));
        let told = include_str!("../../../models/architectures.json");
        assert_eq!(told, wanted, "models/architectures.json must be\n{wanted}");
    }
}
