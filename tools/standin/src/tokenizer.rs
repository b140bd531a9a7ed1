//! The smallest tokenizer that can spell every text.

use serde_json::{Map, Value, json};

/// Byte-level BPE without merges: `<|endoftext|>` 0, `<|padding|>` 1, then the 256 bytes in order.
pub(crate) fn tokenizer() -> Value {
    let mut vocab = Map::new();
    let special = ["<|endoftext|>", "<|padding|>"];
    for (id, token) in special.into_iter().enumerate() {
        vocab.insert(token.to_owned(), id.into());
    }
    for byte in 0..=255u8 {
        vocab.insert(letter(byte).to_string(), (usize::from(byte) + special.len()).into());
    }
    let added: Vec<Value> = special
        .into_iter()
        .enumerate()
        .map(|(id, content)| {
            json!({
                "id": id, "content": content, "special": true, "normalized": false,
                "lstrip": false, "rstrip": false, "single_word": false,
            })
        })
        .collect();
    let byte_level =
        json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": byte_level,
        "post_processor": null,
        "decoder": byte_level,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocab, "merges": [],
        },
    })
}

/// The visible character that byte-level BPE writes for a byte: itself where it is printable Latin-1, otherwise
/// the next unused one from U+0100 on.
fn letter(byte: u8) -> char {
    let printable = |b: u8| matches!(b, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
    if printable(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|&b| !printable(b)).count() as u32;
    char::from_u32(0x100 + before).expect("68 characters from U+0100 on")
}
