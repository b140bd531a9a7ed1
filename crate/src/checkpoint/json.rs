//! JSON as others write it: Python's `NaN`, `Infinity` and `-Infinity` may stand where a number does, and an editor's
//! byte order mark in front.

use serde_json::{Map, Value};

use super::without_bom;

/// The JSON object in some bytes. A number that is not finite becomes a string, say `"Infinity"`: whoever reads no such
/// key goes on, and whoever wants a number there refuses it by name.
pub(crate) fn object(bytes: &[u8]) -> serde_json::Result<Map<String, Value>> {
    let bytes = without_bom(bytes);
    serde_json::from_slice(bytes).or_else(|strict| match quoted(bytes) {
        Some(lenient) => serde_json::from_slice(&lenient),
        None => Err(strict),
    })
}

/// The bytes with every bare literal that only Python knows in quotation marks; none where there is no such.
fn quoted(bytes: &[u8]) -> Option<Vec<u8>> {
    const LITERALS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];
    let mut out = Vec::with_capacity(bytes.len() + 16);
    let (mut found, mut in_string, mut at) = (false, false, 0);
    while let Some(&byte) = bytes.get(at) {
        let literal = LITERALS.iter().find(|literal| !in_string && bytes[at..].starts_with(literal));
        if let Some(literal) = literal {
            out.push(b'"');
            out.extend_from_slice(literal);
            out.push(b'"');
            (found, at) = (true, at + literal.len());
            continue;
        }
        out.push(byte);
        at += 1;
        match byte {
            b'"' => in_string = !in_string,
            // What is escaped ends no string.
            b'\\' if in_string => {
                out.extend(bytes.get(at));
                at += 1;
            }
            _ => {}
        }
    }
    found.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_s_numbers_become_words() {
        let read = |text: &str| object(text.as_bytes()).map(Value::Object).map_err(|e| e.to_string());
        let text = r#"{"a": Infinity, "b": [-Infinity,NaN], "c": "Infinity, \"NaN\" \\", "d": {"NaN": 1.5}}"#;
        let want = serde_json::json!({
            "a": "Infinity", "b": ["-Infinity", "NaN"], "c": "Infinity, \"NaN\" \\", "d": { "NaN": 1.5 },
        });
        assert_eq!(read(text), Ok(want.clone()));
        assert_eq!(read(&format!("\u{feff}{text}")), Ok(want));
        assert!(read("\u{feff}\u{feff}{}").is_err());
        for broken in ["{\"a\": Infinit}", "{\"a\": NaN", "[NaN]", "{\"a\": \"\\", "", "{\"a\": 1 NaN}"] {
            assert!(read(broken).is_err(), "{broken}");
        }
        // What is no Python either is told as it is, at its own place.
        assert!(read("{\"a\": tru}").unwrap_err().contains("line 1 column"));
    }
}
