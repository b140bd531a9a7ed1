use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Corpus, CorpusError};

#[derive(Deserialize)]
struct Held {
    column: Option<String>,
    texts: Option<Vec<String>>,
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/corpora")
}

fn spec(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

fn read(spec: &str) -> Result<Vec<String>, CorpusError> {
    Corpus::open(spec, 0)?.documents().map(|text| text.map(|text| text.into_owned())).collect()
}

fn message(spec: &str) -> String {
    let line = read(spec).expect_err("a bad corpus").to_string();
    assert!(!line.contains('\n') && line.contains("; "), "{line}");
    line
}

#[test]
fn files_of_another_library_hold_what_it_says() {
    let json = fs::read(golden().join("texts.json")).expect("a golden file");
    let held: BTreeMap<String, Held> = serde_json::from_slice(&json).expect("JSON");
    let mut compared = 0;
    for (file, one) in held {
        let path = spec(&golden().join(&file));
        let (Some(column), Some(texts)) = (one.column, one.texts) else { continue };
        if file == "brotli.parquet" {
            assert!(message(&path).contains("is compressed with brotli"), "{}", message(&path));
            continue;
        }
        let named = format!("{path}:{column}");
        if texts.is_empty() {
            assert!(message(&path).contains("is empty"), "{file}");
            continue;
        }
        assert_eq!(read(&named).expect(&file), texts, "{named}");
        if file != "two-columns.parquet" {
            assert_eq!(read(&path).expect(&file), texts, "{path}");
        }
        compared += 1;
    }
    assert_eq!(compared, 9);
}

#[test]
fn the_column_must_be_clear() {
    let two = spec(&golden().join("two-columns.parquet"));
    let line = message(&two);
    assert!(
        line.contains("several") && line.contains("title (string), body (string), raw (byte_array)"),
        "{line}"
    );
    assert!(line.ends_with("name one of strings after the corpus, as in …:title"), "{line}");
    let line = message(&format!("{two}:nothing"));
    assert!(line.contains("no column nothing") && line.contains("body (string)"), "{line}");
    let line = message(&format!("{two}:raw"));
    assert!(line.contains("row 1") && line.contains("not UTF-8 at byte 0"), "{line}");
    let line = message(&spec(&golden().join("no-strings.parquet")));
    assert!(line.contains("no column of strings") && line.contains("id (int64)"), "{line}");
    let line = message(&format!("{}:id", spec(&golden().join("no-strings.parquet"))));
    assert!(line.contains("a column id, but it is int64"), "{line}");
}

#[test]
fn bad_bytes_are_found_at_their_row() {
    let path = spec(&golden().join("not-utf8.parquet"));
    let corpus = Corpus::open(&path, 0).expect("its first row is good");
    let mut documents = corpus.documents();
    assert_eq!(documents.next().expect("a").expect("good"), "a");
    assert_eq!(documents.next().expect("b").expect("good"), "b");
    let line = documents.next().expect("an error").expect_err("a bad row").to_string();
    assert!(
        line.contains("not-utf8.parquet cannot be read from row 3 on: it is not UTF-8 at byte 1"),
        "{line}"
    );
    assert!(documents.next().is_none());
}

#[test]
fn folders_are_read_in_the_order_of_names() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let put = |from: &str, to: &str| fs::copy(golden().join(from), folder.path().join(to)).expect("a copy");
    put("snappy-dictionary-groups.parquet", "0002.parquet");
    put("plain.parquet", "0001.parquet");
    put("gzip-large.parquet", "0010.PARQUET");
    put("no-rows.parquet", "0003.parquet");
    put("two-columns.parquet", "_metadata.parquet");
    fs::write(folder.path().join("readme.txt"), "not read").expect("a file");
    let of = |file: &str| read(&spec(&golden().join(file))).expect("a good file");
    let want =
        [of("plain.parquet"), of("snappy-dictionary-groups.parquet"), of("gzip-large.parquet")].concat();
    let whole = spec(folder.path());
    assert_eq!(read(&whole).expect("a good folder"), want);
    assert_eq!(read(&format!("{whole}:text")).expect("a good folder"), want);
    let corpus = Corpus::open(&whole, 0).expect("a good folder");
    assert_eq!((corpus.name(), corpus.spec(), corpus.document_count()), (&*whole, &*whole, None));

    // The first file decides which column; one that lacks it is named.
    put("other-name.parquet", "0020.parquet");
    let line = message(&whole);
    assert!(line.contains("0020.parquet has no column text") && line.contains("content (string)"), "{line}");

    let empty = tempfile::tempdir().expect("temporary folder");
    assert!(message(&spec(empty.path())).contains("has no .parquet file"));
    let missing = message(&spec(&empty.path().join("no.parquet:text")));
    assert!(missing.contains("no.parquet: ") && missing.contains("cannot read the corpus"), "{missing}");
}

/// Whatever is damaged, the answer is texts or one line. Where pages have checksums, no other text comes.
#[test]
fn damaged_files_never_end_in_a_panic() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("damaged.parquet");
    let files = ["plain", "snappy-dictionary-groups", "zstd-pages-v2", "lz4-delta-checksums", "gzip-large"];
    let (mut refused, mut tried) = (0, 0);
    for file in files {
        let whole = fs::read(golden().join(format!("{file}.parquet"))).expect("a golden file");
        let want = read(&spec(&golden().join(format!("{file}.parquet")))).expect("a good file");
        let damaged = |i: usize| {
            let mut bytes = whole.clone();
            match i % 3 {
                0 => bytes[i] ^= 0xff,
                1 => bytes[i] ^= 1 << (i / 3 % 8),
                _ => bytes.truncate(i),
            }
            bytes
        };
        for i in (0..whole.len()).step_by(2) {
            fs::write(&path, damaged(i)).expect("a file");
            tried += 1;
            match read(&spec(&path)) {
                Err(e) => {
                    refused += 1;
                    assert!(!e.to_string().contains('\n'), "{e}");
                }
                Ok(texts) if file == "lz4-delta-checksums" => {
                    assert!(texts == want, "byte {i} of {file} went unnoticed");
                }
                Ok(_) => {}
            }
        }
    }
    assert!(refused * 2 > tried, "{refused} of {tried} were noticed");
}
