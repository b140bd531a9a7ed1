//! A plan to begin with, and a JSON Schema by which editors complete plans.

use std::ops::RangeInclusive;

use serde_json::{Value, json};

use super::keys::{Key, Kind, SECTIONS};
use super::plan::{ComparePlan, Controls};
use crate::lab::shared::limits::Whole;

/// A whole plan as people write it: every key with its meaning, its range and its default. It compares the built-in
/// pair.
pub fn example() -> String {
    let plan = json!(example_plan());
    let mut text = "# A plan for `mppc compare`. Every key is here with its default; all but the two models \
                    may be left out.\n\
                    # Editors complete it with a schema: `mppc compare --schema > plan.schema.json`, and as the \
                    first line\n\
                    #   #:schema ./plan.schema.json\n"
        .to_owned();
    for (section, about, keys) in SECTIONS {
        text += &format!("\n# {about}\n[{section}]\n");
        for Key { name, about, kind } in *keys {
            let value = &plan[section][name];
            let (comment, value) = match kind {
                Kind::MaybeText(example) => ("# ", json!(example)),
                Kind::Layers(_) => ("# ", json!([0, 1])),
                _ => ("", value.clone()),
            };
            text += &format!("# {about}{}\n{comment}{name} = {}\n", allowed(kind), literal(&value));
        }
    }
    text
}

/// The plan that [`example`] writes.
fn example_plan() -> ComparePlan {
    let controls = Controls::default();
    ComparePlan { controls, ..ComparePlan::reproduce("tiny-neox", "tiny-mamba") }
}

fn allowed(kind: &Kind) -> String {
    match kind {
        Kind::Number(range) | Kind::Layers(range) => format!(" ({range})"),
        Kind::Share => " (0 to 1)".to_owned(),
        Kind::Flag => " (true or false)".to_owned(),
        Kind::Word(words) => format!(" ({})", words.join(", ")),
        Kind::Text | Kind::MaybeText(_) => String::new(),
    }
}

/// A value in TOML, large numbers with `_` between their thousands.
fn literal(value: &Value) -> String {
    let Some(number) = value.as_u64() else { return value.to_string() };
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

/// A JSON Schema (draft 7, which editors of TOML know) of plans.
pub fn schema() -> Value {
    let plan = json!(example_plan());
    let mut sections = serde_json::Map::new();
    for (section, about, keys) in SECTIONS {
        let mut properties = serde_json::Map::new();
        for Key { name, about, kind } in *keys {
            let mut one = of_kind(kind);
            one["description"] = json!(about);
            let required = matches!(kind, Kind::Text) && *name == "model";
            if !required && !plan[section][name].is_null() {
                one["default"] = plan[section][name].clone();
            }
            properties.insert((*name).to_owned(), one);
        }
        let mut one = json!({
            "type": "object", "description": about, "additionalProperties": false, "properties": properties,
        });
        if matches!(*section, "a" | "b") {
            one["required"] = json!(["model"]);
        }
        sections.insert((*section).to_owned(), one);
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Plan of mppc compare",
        "type": "object",
        "additionalProperties": false,
        "required": ["a", "b"],
        "properties": sections,
    })
}

fn of_kind(kind: &Kind) -> Value {
    let whole = |range: &Whole| {
        let (least, most): (u64, u64) = RangeInclusive::from(*range).into_inner();
        json!({ "type": "integer", "minimum": least, "maximum": most })
    };
    match kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::MaybeText(example) => json!({ "type": "string", "examples": [example] }),
        Kind::Layers(range) => json!({ "type": "array", "minItems": 1, "items": whole(range) }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Number(range) => whole(range),
        Kind::Share => json!({ "type": "number", "minimum": 0, "maximum": 1 }),
        Kind::Word(words) => json!({ "type": "string", "enum": words }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::compare::SidePlan;

    fn read(text: &str) -> Result<ComparePlan, String> {
        ComparePlan::from_toml("p.toml", text).map_err(|e| e.to_string())
    }

    /// Keys of a JSON object, with those of the objects in it.
    fn paths(value: &Value) -> Vec<String> {
        let mut all = Vec::new();
        for (section, keys) in value.as_object().expect("sections") {
            all.extend(keys.as_object().expect("keys").keys().map(|key| format!("{section}.{key}")));
        }
        all.sort();
        all
    }

    #[test]
    fn the_table_has_the_keys_of_a_plan() {
        let side = SidePlan { saes: Some("s".to_owned()), layers: Some(vec![1]), ..example_plan().a };
        let plan = ComparePlan { a: side.clone(), b: side, ..example_plan() };
        let table: Value = SECTIONS
            .iter()
            .map(|(section, _, keys)| {
                let keys: serde_json::Map<_, _> =
                    keys.iter().map(|key| (key.name.to_owned(), Value::Null)).collect();
                ((*section).to_owned(), Value::Object(keys))
            })
            .collect::<serde_json::Map<_, _>>()
            .into();
        assert_eq!(paths(&table), paths(&json!(plan)));
        let schema = schema();
        let of_schema: serde_json::Map<String, Value> = schema["properties"]
            .as_object()
            .expect("sections")
            .iter()
            .map(|(section, one)| (section.clone(), one["properties"].clone()))
            .collect();
        assert_eq!(paths(&of_schema.into()), paths(&table));
    }

    #[test]
    fn the_example_is_the_defaults() {
        let text = example();
        assert_eq!(read(&text).expect("a plan"), example_plan());
        // What may be left out is shown, and means what it says.
        let with_all: String = text
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(key) if key.starts_with("saes = ") || key.starts_with("layers = ") => format!("{key}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let plan = read(&with_all).expect("a plan");
        assert_eq!((plan.a.saes.as_deref(), plan.b.layers), (Some("saes/mine"), Some(vec![0, 1])));
        assert!(text.lines().all(|line| line.chars().count() <= 140), "{text}");
    }

    /// The schema says of a value what reading it says.
    #[test]
    fn schema_and_reader_agree() {
        let schema = schema();
        for (section, _, keys) in SECTIONS {
            for Key { name, kind, .. } in *keys {
                let one = &schema["properties"][section]["properties"][name];
                if let Some(default) = one.get("default") {
                    assert_eq!(*default, json!(example_plan())[section][name], "{section}.{name}");
                }
                let (Kind::Number(range) | Kind::Layers(range)) = kind else { continue };
                let one = one.get("items").unwrap_or(one);
                let (least, most) = (one["minimum"].as_u64().unwrap(), one["maximum"].as_u64().unwrap());
                for (value, sound) in [
                    (least, true),
                    (most, true),
                    (most.saturating_add(1), false),
                    (least.saturating_sub(1), least == 0),
                ] {
                    let list = matches!(kind, Kind::Layers(_));
                    let written = if list { format!("[{value}]") } else { value.to_string() };
                    let mut plan: toml::Table = toml::from_str(&example()).expect("TOML");
                    let Ok(value) = format!("x = {written}").parse::<toml::Table>() else {
                        assert!(!sound);
                        continue;
                    };
                    let place = plan[*section].as_table_mut().expect("a section");
                    place.insert((*name).to_owned(), value["x"].clone());
                    let read = read(&plan.to_string());
                    match sound {
                        true => drop(read.expect(name)),
                        false => {
                            let told = read.expect_err(name);
                            assert!(told.contains(name) && told.contains(&range.to_string()), "{told}");
                        }
                    }
                }
            }
        }
    }
}
