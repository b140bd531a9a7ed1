//! Token ids against Python's `tokenizers` (`tests/golden/README.md`), natively and in a browser, where other engines
//! of regular expressions split the text.

use mppc::checkpoint::{Bytes, Files};
use mppc::corpus::{Tokenize, Tokenizer};
use serde_json::Value;

/// The tokenizer of the built-in pair, and its golden file.
pub(crate) const BUILTIN: (&[u8], &str) =
    (include_bytes!("../models/tiny-neox/tokenizer.json"), include_str!("golden/tokenizer-builtin.json"));

/// The golden file of GPT-NeoX-20B's tokenizer, which is not in the repository.
#[allow(dead_code, reason = "a browser needs it only with the feature neox-tokenizer")]
pub(crate) const NEOX: &str = include_str!("golden/tokenizer-neox.json");

/// Holds every text's ids, and what they decode to, against a golden file.
pub(crate) fn agrees(tokenizer: Bytes, golden: &str) {
    let files = Files::loose("golden", [("tokenizer.json".to_owned(), tokenizer)]);
    let tokenizer = Tokenizer::read(&files).expect("a sound tokenizer.json");
    let golden: Value = serde_json::from_str(golden).expect("a sound golden file");
    let cases = golden["cases"].as_array().expect("the golden file has cases");
    assert!(cases.len() > 90, "{} texts", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let text = case["text"].as_str().expect("a text");
        let want: Vec<u32> = case["ids"]
            .as_array()
            .expect("ids")
            .iter()
            .map(|id| id.as_u64().expect("an id") as u32)
            .collect();
        let got = tokenizer.encode(text).expect("every text can be tokenized").ids;
        if got != want {
            wrong.push(format!("{text:?}:\n  {got:?}\n  instead of\n  {want:?}"));
        } else if tokenizer.decode(&got) != case["decoded"] {
            wrong.push(format!("{text:?} decodes to {:?}", tokenizer.decode(&got)));
        }
    }
    assert!(wrong.is_empty(), "{} of {} texts:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
