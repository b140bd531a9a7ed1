//! Texts: plain, JSON Lines, Parquet.

use mppc::corpus::Corpus;

use crate::{Folder, golden, scratch, write};

pub(crate) fn good() -> Vec<Folder> {
    let folder = |name: &str, text: &str| Folder::from([(name.to_owned(), text.as_bytes().to_vec())]);
    let mut all = vec![
        folder(
            "a.txt",
            "One document.\r\n\r\nIts end.\n<|endoftext|>\n\u{c}\nAnother, with \u{e9}\u{1f600}.\n",
        ),
        folder(
            "a.jsonl",
            "{\"text\": \"One \\u00e9 \\ud83d\\ude00\", \"meta\": [1, {\"a\": null}]}\n\n{\"text\":\"Two\"}\n",
        ),
    ];
    let parquet = [
        "plain",
        "snappy-dictionary-groups",
        "zstd-pages-v2",
        "lz4-delta-checksums",
        "required",
        "only-nulls",
    ];
    for name in &parquet[..5] {
        let file = format!("{name}.parquet");
        all.push(golden("corpora", &[&file]));
    }
    all
}

/// Opens what is in the folder and reads its first documents.
pub(crate) fn read(input: &Folder) -> bool {
    let dir = scratch();
    write(input, dir.path());
    let Some(name) = input.keys().next() else { return false };
    let path = dir.path().join(name);
    let spec = path.to_str().expect("UTF-8");
    if let Ok(corpus) = Corpus::open(&format!("{spec}:text"), 0) {
        let _ = corpus.documents().next();
    }
    match Corpus::open(spec, 0) {
        Ok(corpus) => corpus.documents().take(200).all(|text| text.is_ok()),
        Err(_) => false,
    }
}
