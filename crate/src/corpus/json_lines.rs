//! JSON Lines: a document a line.

use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::CorpusError;
use crate::checkpoint::without_bom;

/// What a file gave.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lines {
    /// The texts.
    pub(super) texts: Vec<String>,
    /// Halves of surrogate pairs that stood by themselves, which no text can hold.
    pub(super) surrogates: usize,
}

/// Reads the `"text"` of each line. Lines where it is null are left out, as rows of Parquet without a text are.
pub(super) fn parse(name: &str, text: &str) -> Result<Lines, CorpusError> {
    let mut lines = Lines { texts: Vec::new(), surrogates: 0 };
    for (i, line) in text.lines().enumerate() {
        // Files that were joined have a mark in the middle, too.
        let line = without_bom(line.as_bytes());
        if line.trim_ascii().is_empty() {
            continue;
        }
        let (name, number) = (|| name.to_owned(), i + 1);
        let Line(found) = serde_json::from_slice(line).map_err(|error| {
            if error.is_data() {
                return CorpusError::NoText { name: name(), line: number };
            }
            // Its own line number is always 1 here and would mislead.
            let message = error.to_string().replace(" at line 1 column ", " at column ");
            CorpusError::BadJson { name: name(), line: number, message }
        })?;
        match found {
            Some(Some(bytes)) => lines.texts.push(text_of(&bytes, &mut lines.surrogates)),
            Some(None) => {}
            None => return Err(CorpusError::NoText { name: name(), line: number }),
        }
    }
    Ok(lines)
}

/// The text that bytes of serde_json are: UTF-8, in which lone surrogates are three bytes each (WTF-8).
fn text_of(mut bytes: &[u8], surrogates: &mut usize) -> String {
    let mut text = String::with_capacity(bytes.len());
    loop {
        match std::str::from_utf8(bytes) {
            Ok(rest) => {
                text.push_str(rest);
                return text;
            }
            Err(e) => {
                let (sound, rest) = bytes.split_at(e.valid_up_to());
                text.push_str(&String::from_utf8_lossy(sound));
                text.push(char::REPLACEMENT_CHARACTER);
                *surrogates += 1;
                bytes = &rest[3.min(rest.len())..];
            }
        }
    }
}

/// The text of an object, which may be missing or null; all else in it is passed over. (A String would refuse the
/// whole line for a lone surrogate in it, a Value for one anywhere.)
struct Line(Option<Option<Vec<u8>>>);

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Object).map(Self)
    }
}

struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Option<Option<Vec<u8>>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a text")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut found = None;
        while let Some(Raw(key)) = map.next_key_seed(Seed)? {
            match &key[..] {
                b"text" => found = Some(map.next_value::<Option<Raw>>()?.map(|Raw(text)| text)),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }
}

/// A string's bytes, lone surrogates among them.
struct Raw(Vec<u8>);

struct Seed;

impl<'de> DeserializeSeed<'de> for Seed {
    type Value = Raw;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = Raw;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Raw, E> {
                Ok(Raw(bytes.to_vec()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
                Ok(Raw(text.as_bytes().to_vec()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> (Vec<String>, usize) {
        let Lines { texts, surrogates } = parse("a.jsonl", text).expect("good lines");
        (texts, surrogates)
    }

    #[test]
    fn marks_and_lines_without_a_text_are_passed_over() {
        let joined = "\u{feff}{\"text\": \"one\"}\r\n{\"text\": null, \"id\": 1}\n\n\
                      \u{feff}{\"id\": [{}], \"text\": \"two\"}";
        assert_eq!(texts(joined), (vec!["one".to_owned(), "two".to_owned()], 0));
        // A mark within a text is part of it.
        assert_eq!(texts("{\"text\": \"\u{feff}x\"}").0, ["\u{feff}x"]);
        assert_eq!(texts(r#"{"n": 1e999, "text": "one", "text": "the last one"}"#).0, ["the last one"]);
    }

    /// Held against Python: `json.loads(line)["text"].encode("utf-16", "surrogatepass").decode("utf-16", "replace")`.
    #[test]
    fn lone_surrogates_are_replaced_and_counted() {
        let of = |escaped: &str| {
            let (texts, count) = texts(&format!(r#"{{"text": "{escaped}"}}"#));
            (texts.concat(), count)
        };
        assert_eq!(of(r"a\ud83d\ude00b"), ("a😀b".to_owned(), 0));
        assert_eq!(of(r"\ud800"), ("\u{fffd}".to_owned(), 1));
        assert_eq!(of(r"a\udc00b\ud800"), ("a\u{fffd}b\u{fffd}".to_owned(), 2));
        assert_eq!(of(r"\ud800\ud83d\ude00é"), ("\u{fffd}😀é".to_owned(), 1));
        assert_eq!(of(r"\ud800\n\ud800\u00e9"), ("\u{fffd}\n\u{fffd}é".to_owned(), 2));
        // In what is not the text they are nobody's business.
        assert_eq!(
            texts(r#"{"\udc00": "\ud800", "text": "x", "z": {"\ud800": 1}}"#),
            (vec!["x".to_owned()], 0)
        );
    }

    #[test]
    fn what_is_no_text_is_named_with_its_line() {
        for line in
            [r#"{"text": 3}"#, r#"{"text": ["a"]}"#, r#"{"text": {}}"#, "{}", "[]", "7", "null", "\"text\""]
        {
            let told = parse("a.jsonl", &format!("{{\"text\": \"x\"}}\n{line}")).expect_err(line).to_string();
            assert!(told.contains("no string \"text\" on line 2"), "{line}: {told}");
        }
        for line in ["{", r#"{"text": "x"#, r#"{"text": "x"} x"#, r#"{"text": "\ud8"}"#, "NaN", "nul"] {
            let told = parse("a.jsonl", &format!("\n{line}")).expect_err(line).to_string();
            assert!(told.contains("bad JSON on line 2"), "{line}: {told}");
        }
        let deep = format!(r#"{{"id": {}{}, "text": "x"}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(texts(&deep).0, ["x"]);
    }
}
