use serde_json::{Value, json};

use super::*;
use crate::checkpoint::embedded;

const TEXT: &str = "Once upon a time there was a small town by the river, and nobody knew who had built it.";

fn json_of(name: &str) -> Value {
    Value::Object(embedded("tiny-neox").unwrap().json(name).unwrap())
}

/// A tokenizer of these files.
fn read(files: &[(&str, &Value)]) -> Result<Tokenizer, CheckpointError> {
    let bytes =
        |(name, value): &(&str, &Value)| ((*name).to_owned(), serde_json::to_vec(value).unwrap().into());
    Tokenizer::read(&Files::loose("test", files.iter().map(bytes)))
}

#[test]
fn a_text_is_neither_cut_nor_filled() {
    let plain = json_of(FILE);
    let want = read(&[(FILE, &plain)]).unwrap().encode(TEXT).unwrap();
    assert!(want.ids.len() > 20);
    let cut = |most: usize| {
        json!({
            "direction": "Right", "max_length": most, "strategy": "LongestFirst", "stride": 0
        })
    };
    let fill = |strategy: Value, direction: &str| {
        json!({
            "strategy": strategy, "direction": direction, "pad_to_multiple_of": null, "pad_id": 7, "pad_type_id": 0,
            "pad_token": "!",
        })
    };
    for (truncation, padding) in [
        (cut(6), Value::Null),
        (Value::Null, fill(json!({ "Fixed": 64 }), "Right")),
        (Value::Null, fill(json!("BatchLongest"), "Left")),
        (cut(8), fill(json!({ "Fixed": 64 }), "Left")),
    ] {
        let mut asked = plain.clone();
        (asked["truncation"], asked["padding"]) = (truncation, padding);
        let tokenizer = read(&[(FILE, &asked)]).unwrap();
        assert_eq!(tokenizer.encode(TEXT).unwrap(), want);
    }
}

#[test]
fn a_byte_order_mark_may_stand_in_front() {
    let plain = serde_json::to_vec(&json_of(FILE)).unwrap();
    let marked = [b"\xef\xbb\xbf", &plain[..]].concat();
    let tokenizer =
        |bytes: Vec<u8>| Tokenizer::read(&Files::loose("test", [(FILE.to_owned(), bytes.into())])).unwrap();
    assert_eq!(tokenizer(marked).encode(TEXT).unwrap(), tokenizer(plain).encode(TEXT).unwrap());
}

#[test]
fn special_tokens_are_split_where_the_settings_say_so() {
    let (plain, text) = (json_of(FILE), "a <|endoftext|> b");
    let settings = |split: bool| json!({ "bos_token": "<|endoftext|>", "split_special_tokens": split });
    let ids = |files: &[(&str, &Value)]| read(files).unwrap().encode(text).unwrap().ids;
    let whole = ids(&[(FILE, &plain)]);
    assert!(whole.contains(&0));
    assert_eq!(ids(&[(FILE, &plain), (SETTINGS, &settings(false))]), whole);
    // As if there were no special token.
    let mut without = plain.clone();
    without["added_tokens"] = json!([]);
    let split = ids(&[(FILE, &without)]);
    assert!(!split.contains(&0) && split.len() > whole.len());
    assert_eq!(ids(&[(FILE, &plain), (SETTINGS, &settings(true))]), split);
}

#[test]
fn damaged_files_are_errors() {
    let bytes = serde_json::to_vec_pretty(&json_of(FILE)).unwrap();
    let failed = |bytes: Vec<u8>| {
        Tokenizer::read(&Files::loose("test", [(FILE.to_owned(), bytes.into())]))
            .map(|_| ())
            .map_err(|e| e.to_string())
    };
    assert_eq!(failed(bytes.clone()), Ok(()));
    // A raw control byte in the middle of a name.
    let place = bytes.windows(9).position(|w| w == b"endoftext").unwrap();
    for byte in [0x00, 0x01, 0x0a, 0x1f] {
        let mut damaged = bytes.clone();
        damaged[place] = byte;
        let error = failed(damaged).unwrap_err();
        assert!(error.starts_with("test/tokenizer.json: is not a tokenizer: control character"), "{error}");
    }
    for place in (0..bytes.len()).step_by(bytes.len() / 40) {
        for byte in [0x02, 0xff, b'"', b'{'] {
            let mut damaged = bytes.clone();
            damaged[place] = byte;
            let _ = failed(damaged); // whatever it says: it does not panic
        }
        let _ = failed(bytes[..place].to_vec());
    }
}

/// BOS, EOS, PAD, what is masked, and the notes, for these configs beside a tokenizer with three special tokens.
fn special(configs: &[(&str, Value)]) -> (Option<u32>, Vec<u32>, Option<u32>, Vec<String>) {
    let mut tokenizer = json_of(FILE);
    let token = |id: u32, content: &str| {
        json!({ "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false,
            "special": true })
    };
    tokenizer["added_tokens"] = json!([token(1024, "<s>"), token(1025, "</s>"), token(1026, "<pad>")]);
    let mut files: Vec<(&str, &Value)> = configs.iter().map(|(name, value)| (*name, value)).collect();
    files.push((FILE, &tokenizer));
    let read = read(&files).unwrap();
    let special = read.special().clone();
    // Whatever is named: no special token is ever drawn, and every other one may be.
    assert_eq!(read.drawable(1027), (0..1024).filter(|id| !special.contains(*id)).collect::<Vec<_>>());
    (special.bos, special.eos.clone(), special.pad, special.notes().to_vec())
}

#[test]
fn special_tokens_come_from_the_configs() {
    let texts = || {
        json!({
            "bos_token": "<s>", "eos_token": { "content": "</s>", "lstrip": false }, "pad_token": "<pad>"
        })
    };
    let ids = |bos: u32, eos: Value, pad: Value| {
        json!({
            "bos_token_id": bos, "eos_token_id": eos, "pad_token_id": pad
        })
    };
    let all = (Some(1024), vec![1025], Some(1026), vec![]);
    assert_eq!(special(&[("tokenizer_config.json", texts())]), all);
    assert_eq!(special(&[("special_tokens_map.json", texts())]), all);
    assert_eq!(special(&[("config.json", ids(1024, json!(1025), json!(1026)))]), all);
    assert_eq!(special(&[("generation_config.json", ids(1024, json!([1025]), json!(1026)))]), all);
    // They agree: nothing is to be said.
    let agree = [("tokenizer_config.json", texts()), ("config.json", ids(1024, json!(1025), json!(1026)))];
    assert_eq!(special(&agree), all);
    // They do not.
    let (bos, eos, pad, notes) = special(&[
        ("tokenizer_config.json", texts()),
        ("config.json", ids(1024, json!([1025, 5]), json!(3))),
    ]);
    assert_eq!((bos, eos, pad), (Some(1024), vec![1025], Some(1026)));
    assert_eq!(
        notes,
        [
            "EOS: tokenizer_config.json says 1025 and config.json says 5, 1025; 1025 is taken",
            "PAD: tokenizer_config.json says 1026 and config.json says 3; 1026 is taken",
        ]
    );
    let (_, eos, pad, notes) = special(&[("config.json", ids(1024, json!([1025, 5]), Value::Null))]);
    assert_eq!((eos, pad, notes), (vec![5, 1025], Some(5), vec!["no file names PAD; 5 is taken".to_owned()]));
    // What the tokenizer does not have cannot be taken.
    let unknown = json!({ "bos_token": "<bos>", "eos_token": "</s>", "pad_token": null });
    let (bos, _, _, notes) = special(&[("tokenizer_config.json", unknown)]);
    assert_eq!(bos, Some(1025));
    assert_eq!(
        notes,
        [
            "BOS: tokenizer_config.json names \"<bos>\", which tokenizer.json does not have",
            "no file names BOS or PAD; 1025 is taken",
        ]
    );
    for id in [json!(-1), json!(4096), json!("x"), json!(1.5)] {
        let (bos, .., notes) =
            special(&[("config.json", json!({ "bos_token_id": id, "eos_token_id": 1025 }))]);
        assert_eq!(bos, Some(1025), "{notes:?}");
        assert!(notes[0].starts_with("BOS: config.json names "), "{notes:?}");
    }
    // Nothing is known: nothing stands in front of texts, and no ordinary token is taken for a special one.
    let nothing = "no file names BOS or EOS or PAD; nothing is put in front of texts".to_owned();
    assert_eq!(special(&[]), (None, vec![], None, vec![nothing]));
}

#[test]
fn a_lone_tokenizer_names_its_only_special_token() {
    let lone = read(&[(FILE, &json_of(FILE))]).unwrap();
    let special = lone.special();
    assert_eq!((special.bos, special.ends()), (Some(0), vec![0]));
    assert_eq!(special.notes(), ["no file names BOS or EOS or PAD; 0 is taken"]);
    assert_eq!(lone.drawable(2000), (1..1024).collect::<Vec<_>>());
    assert_eq!(lone.drawable(10), (1..10).collect::<Vec<_>>());
    let whole = Tokenizer::read(&embedded("tiny-mamba").unwrap()).unwrap();
    assert!(whole.special().notes().is_empty(), "{:?}", whole.special());
}

#[test]
fn a_vocabulary_has_rows_for_what_texts_are_made_of() {
    let mut tokenizer = json_of(FILE);
    assert!(matches!(read(&[(FILE, &tokenizer)]).unwrap().check(1024), Ok(None)));
    let error = read(&[(FILE, &tokenizer)]).unwrap().check(1023).unwrap_err().to_string();
    assert!(
        error.starts_with("test/tokenizer.json: has tokens up to id 1023, but the model has only 1023"),
        "{error}"
    );
    tokenizer["added_tokens"].as_array_mut().unwrap().push(json!({
        "id": 1024, "content": "<extra>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        "special": true,
    }));
    let read = read(&[(FILE, &tokenizer)]).unwrap();
    assert!(read.check(1024).unwrap().unwrap().starts_with("1 added tokens are beyond the 1024 rows"));
    assert!(matches!(read.check(1025), Ok(None)));
}
