//! Plans of comparisons.

use mppc::lab::ComparePlan;

use crate::Folder;

const FILE: &str = "plan.toml";

pub(crate) fn good() -> Vec<Folder> {
    let least = "[a]\nmodel = \"tiny-neox\"\n\n[b]\nmodel = \"tiny-mamba\" # the other one\n";
    let whole = ComparePlan::from_toml(FILE, least).expect("a plan").to_toml();
    let folder = |text: &str| Folder::from([(FILE.to_owned(), text.as_bytes().to_vec())]);
    vec![
        folder(least),
        folder(&whole),
        folder(&format!("{least}layers = [0, 3]\n[corpus]\nbos = \"keep\"\n")),
    ]
}

/// Reads a plan; one that is taken is written and read again.
pub(crate) fn read(input: &Folder) -> bool {
    let Some(text) = input.get(FILE).and_then(|bytes| std::str::from_utf8(bytes).ok()) else { return false };
    match ComparePlan::from_toml(FILE, text) {
        Ok(plan) => {
            let again = ComparePlan::from_toml(FILE, &plan.to_toml()).expect("what was written can be read");
            assert_eq!(again, plan);
            true
        }
        Err(e) => {
            let line = e.to_string();
            assert!(!line.contains('\n') && line.len() < 2_000, "an error of more than a line: {line}");
            false
        }
    }
}
