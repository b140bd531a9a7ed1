//! Where documents come from: the built-in generator, or files of the user's.

use std::borrow::Cow;
#[cfg(not(target_arch = "wasm32"))]
use std::path::PathBuf;
#[cfg(not(target_arch = "wasm32"))]
use std::sync::Arc;

use super::CorpusError;
use super::generator::Generator;
use super::json_lines::{self, Lines};
#[cfg(not(target_arch = "wasm32"))]
use super::name::CorpusName;
#[cfg(not(target_arch = "wasm32"))]
use super::shards::{Local, ShardDocuments, Shards};
use crate::checkpoint::without_bom;
use crate::words::echo;

/// A text file without separators is cut into documents of about this many characters.
const DOCUMENT_CHARACTERS: usize = 4000;

/// Bytes of a file of text or JSON Lines that are read, at most: all of them lie in memory, some twice.
#[cfg(not(target_arch = "wasm32"))]
const MOST_BYTES: u64 = 8 << 30;

/// A line that holds only this ends a document of a text file.
const END_OF_TEXT: &str = "<|endoftext|>";

/// A source of documents.
#[derive(Clone, Debug)]
pub struct Corpus {
    name: String,
    source: Source,
    /// Lone surrogates that were replaced.
    surrogates: usize,
    /// The files of this machine that it was opened from.
    #[cfg(not(target_arch = "wasm32"))]
    files: Vec<PathBuf>,
}

#[derive(Clone, Debug)]
enum Source {
    Builtin(Box<Generator>),
    Texts(Vec<String>),
    /// Parquet files, and the column to read if it is named.
    #[cfg(not(target_arch = "wasm32"))]
    Shards(Arc<dyn Shards>, Option<String>),
}

/// The documents of a corpus, or what keeps one from being read; nothing comes after an error.
pub type Documents<'a> = Box<dyn Iterator<Item = Result<Cow<'a, str>, CorpusError>> + 'a>;

impl Corpus {
    /// The built-in generator's documents of `seed`; they never end.
    pub fn builtin(seed: u64) -> Self {
        Self {
            name: format!("builtin, seed {seed}"),
            source: Source::Builtin(Box::new(Generator::new(seed))),
            surrogates: 0,
            #[cfg(not(target_arch = "wasm32"))]
            files: Vec::new(),
        }
    }

    /// `builtin` (with `seed`), the path of a .txt, .jsonl or .parquet file, or a folder whose .parquet files are read
    /// in the order of their names.
    ///
    /// Of a Parquet file one column is read: `text`, or else the only one of strings, or the one that is named after
    /// a colon ([`CorpusName`]), as in `dir/file.parquet:body`. Rows without a text are left out. The files are read
    /// while documents are asked for, so they may be larger than memory.
    ///
    /// # Errors
    /// See [`Corpus::from_bytes`] and [`Corpus::sharded`]; and a file that cannot be read, is no regular file, or is
    /// too long.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(spec: &str, seed: u64) -> Result<Self, CorpusError> {
        match CorpusName::parse(spec) {
            CorpusName::Builtin => Ok(Self::builtin(seed)),
            CorpusName::DataSet { .. } => Err(CorpusError::UnknownExtension { name: spec.to_owned() }),
            CorpusName::Folder { path, column } => Self::local(spec, Local::folder(path)?, column),
            CorpusName::Parquet { path, column } => Self::local(spec, Local::file(path), column),
            CorpusName::Text { path } => {
                // The extension first: no need to read gigabytes of something else.
                Format::of(spec)?;
                let corpus = Self::from_bytes(spec, &read(spec, path)?)?;
                Ok(Self { files: vec![path.to_owned()], ..corpus })
            }
        }
    }

    /// Parquet files of this machine.
    #[cfg(not(target_arch = "wasm32"))]
    fn local(spec: &str, local: Local, column: Option<&str>) -> Result<Self, CorpusError> {
        let files = local.files().to_vec();
        Ok(Self { files, ..Self::sharded(spec, Arc::new(local), column.map(str::to_owned))? })
    }

    /// The files of this machine that are read, in their order. None for the built-in corpus, and for data sets, whose
    /// [name](Corpus::name) has their commit.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The documents of Parquet files, from `column`, or else from `text` or the only column of strings. `name` is what
    /// reports call it. The first document is read at once, so that what is wrong from the start is found here.
    ///
    /// # Errors
    /// No file, no column that is meant, a damaged file, nothing but white space.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn sharded(name: &str, shards: Arc<dyn Shards>, column: Option<String>) -> Result<Self, CorpusError> {
        let source = Source::Shards(shards, column);
        let corpus = Self { name: name.to_owned(), source, surrogates: 0, files: Vec::new() };
        corpus.documents().next().transpose()?;
        Ok(corpus)
    }

    /// The documents of a file's content; `name` (with its extension) says how to read it.
    ///
    /// - `.jsonl`: one JSON object a line, whose `"text"` is a document. Blank lines and lines where it is null are
    ///   skipped. Lone surrogates in it (`"\ud800"`), which no text can hold, become U+FFFD ([`Corpus::note`]).
    /// - `.txt`: UTF-8; lines that hold only `<|endoftext|>` or only form feeds separate the documents. Without any
    ///   such line, the text is cut at the first end of a paragraph after 4,000 characters; where none comes
    ///   within another 4,000, at the end of a line, else at a space, else at 8,000 characters.
    ///
    /// A byte order mark is dropped; in a text file `\r\n` is read as `\n`. Documents of white space only are
    /// left out.
    ///
    /// # Errors
    /// An unknown extension, bytes that are not UTF-8, a bad line of JSON Lines, or nothing but white space.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self, CorpusError> {
        let format = Format::of(name)?;
        let marked = bytes.len() - without_bom(bytes).len();
        let text = std::str::from_utf8(&bytes[marked..]).map_err(|error| CorpusError::NotUtf8 {
            name: name.to_owned(),
            offset: marked + error.valid_up_to(),
        })?;
        let Lines { mut texts, surrogates } = match format {
            Format::Text => Lines { texts: split_text(text), surrogates: 0 },
            Format::JsonLines => json_lines::parse(name, text)?,
        };
        texts.retain(|text| !text.trim().is_empty());
        if texts.is_empty() {
            return Err(CorpusError::Empty { name: name.to_owned() });
        }
        Ok(Self {
            name: name.to_owned(),
            source: Source::Texts(texts),
            surrogates,
            #[cfg(not(target_arch = "wasm32"))]
            files: Vec::new(),
        })
    }

    /// What was changed in the texts to read them, if anything was: a line for whoever uses them.
    pub fn note(&self) -> Option<String> {
        let (name, count) = (echo(&self.name), self.surrogates);
        (count > 0).then(|| {
            format!(
                "{count} lone surrogates (halves of characters) in the corpus {name} were replaced by U+FFFD"
            )
        })
    }

    /// How files are read: what beside their bytes decides the documents.
    pub fn reading(&self) -> String {
        let extension = self.name.rsplit_once('.').map_or("", |(_, extension)| extension).to_lowercase();
        match &self.source {
            Source::Builtin(_) => String::new(),
            Source::Texts(_) => extension,
            #[cfg(not(target_arch = "wasm32"))]
            Source::Shards(_, column) => format!("parquet, column {column:?}"),
        }
    }

    /// What the corpus is called, with everything that decides its documents.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What `--corpus` says to get it again, beside the seed.
    pub fn spec(&self) -> &str {
        match self.source {
            Source::Builtin(_) => "builtin",
            _ => &self.name,
        }
    }

    /// The number of documents; none for the generator, which has no last one, and for Parquet files, which are read
    /// as they are needed.
    pub fn document_count(&self) -> Option<usize> {
        match &self.source {
            Source::Texts(texts) => Some(texts.len()),
            _ => None,
        }
    }

    /// The generator, where this is the built-in corpus: it knows the ground-truth tags of document i.
    pub fn generator(&self) -> Option<&Generator> {
        match &self.source {
            Source::Builtin(generator) => Some(generator),
            _ => None,
        }
    }

    /// The documents in their order, from the first.
    pub fn documents(&self) -> Documents<'_> {
        match &self.source {
            Source::Builtin(generator) => {
                Box::new(generator.documents().map(|document| Ok(Cow::Owned(document.text))))
            }
            Source::Texts(texts) => Box::new(texts.iter().map(|text| Ok(Cow::Borrowed(text.as_str())))),
            #[cfg(not(target_arch = "wasm32"))]
            Source::Shards(shards, column) => {
                Box::new(ShardDocuments::new(&self.name, &**shards, column.clone()))
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Format {
    Text,
    JsonLines,
}

impl Format {
    fn of(name: &str) -> Result<Self, CorpusError> {
        let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_lowercase());
        match extension.as_deref() {
            Some("txt") => Ok(Self::Text),
            Some("jsonl") => Ok(Self::JsonLines),
            Some("parquet") => Err(CorpusError::NotHere { name: name.to_owned() }),
            _ => Err(CorpusError::UnknownExtension { name: name.to_owned() }),
        }
    }
}

/// The content of a file of text.
#[cfg(not(target_arch = "wasm32"))]
fn read(name: &str, path: &std::path::Path) -> Result<Vec<u8>, CorpusError> {
    let failed = |source| CorpusError::Read { name: name.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > MOST_BYTES {
        return Err(CorpusError::TooLong { name: name.to_owned(), bytes, most: MOST_BYTES });
    }
    crate::regular::read_within(path, MOST_BYTES).map_err(failed)
}

fn is_separator(line: &str) -> bool {
    let line = line.trim_matches([' ', '\t', '\n']);
    line == END_OF_TEXT || (!line.is_empty() && line.chars().all(|c| c == '\u{c}'))
}

fn split_text(text: &str) -> Vec<String> {
    let text = text.replace("\r\n", "\n");
    if !text.split_inclusive('\n').any(is_separator) {
        return cut_long_text(&text);
    }
    let mut documents = vec![String::new()];
    for line in text.split_inclusive('\n') {
        if is_separator(line) {
            documents.push(String::new());
        } else if let Some(document) = documents.last_mut() {
            document.push_str(line);
        }
    }
    documents.iter().map(|document| document.trim_matches('\n').to_owned()).collect()
}

fn cut_long_text(mut rest: &str) -> Vec<String> {
    let mut documents = Vec::new();
    while !rest.is_empty() {
        let (document, tail) = rest.split_at(document_end(rest));
        documents.push(document.trim_matches('\n').to_owned());
        rest = tail;
    }
    documents
}

/// Where the first document of `text` ends, in bytes.
fn document_end(text: &str) -> usize {
    let byte_of = |character: usize| text.char_indices().nth(character).map(|(byte, _)| byte);
    let Some(from) = byte_of(DOCUMENT_CHARACTERS) else {
        return text.len();
    };
    let to = byte_of(2 * DOCUMENT_CHARACTERS).unwrap_or(text.len());
    let window = &text[from..to];
    let found = ["\n\n", "\n", " "].iter().find_map(|end| window.find(end).map(|at| from + at + end.len()));
    found.unwrap_or(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(name: &str, content: &str) -> Vec<String> {
        let corpus = Corpus::from_bytes(name, content.as_bytes()).expect("a good corpus");
        corpus.documents().map(|text| text.expect("it is in memory").into_owned()).collect()
    }

    fn message(name: &str, bytes: &[u8]) -> String {
        Corpus::from_bytes(name, bytes).expect_err("a bad corpus").to_string()
    }

    #[test]
    fn reads_separated_text() {
        let marked =
            "\u{feff}one\r\ntwo\r\n<|endoftext|>\r\n\r\n<|endoftext|>\nthree <|endoftext|> four\n\u{c}\nfive";
        assert_eq!(texts("a.txt", marked), ["one\ntwo", "three <|endoftext|> four", "five"]);
        assert_eq!(texts("a.TXT", "one paragraph\n\nand another\n"), ["one paragraph\n\nand another"]);
    }

    #[test]
    fn cuts_long_text_at_paragraphs() {
        let paragraph = format!("{}é end.", "word ".repeat(500));
        let long = [paragraph.as_str(); 5].join("\n\n");
        let documents = texts("long.txt", &long);
        assert_eq!(documents.iter().map(|d| d.matches("end.").count()).collect::<Vec<_>>(), [2, 2, 1]);
        assert_eq!(documents.join("\n\n"), long);
    }

    #[test]
    fn cuts_text_without_paragraphs() {
        let lines = texts("lines.txt", &"word word\n".repeat(1000));
        assert!(lines.len() == 3 && lines.iter().all(|d| d.ends_with("word word")));
        let spaces = texts("spaces.txt", &"word ".repeat(2000));
        assert_eq!(spaces.concat(), "word ".repeat(2000));
        let solid = texts("solid.txt", &"é".repeat(9000));
        assert_eq!(solid.iter().map(|d| d.chars().count()).collect::<Vec<_>>(), [8000, 1000]);
    }

    #[test]
    fn reads_json_lines() {
        let lines = "{\"text\": \"one\\ntwo\", \"id\": 3}\n\n{\"text\": \" \"}\n{\"text\": \"three\"}";
        assert_eq!(texts("dir.v2/a.jsonl", lines), ["one\ntwo", "three"]);
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(
            message("a.csv", b"x"),
            "the corpus a.csv is neither .txt, .jsonl nor .parquet, nor a folder; rename or convert it, \
             use `builtin`, or \
             write hub:OWNER/NAME for a data set of the hub"
        );
        assert_eq!(
            message("a.txt", b"ab\xffc"),
            "the corpus a.txt is not UTF-8 at byte 2; convert it to UTF-8"
        );
        assert!(message("a.parquet", b"PAR1").contains("which the page does not read"));
        assert_eq!(message("a.txt", b" \n\n"), "the corpus a.txt is empty; give a file with text in it");
        assert_eq!(message("a.jsonl", b""), "the corpus a.jsonl is empty; give a file with text in it");
        let bad = message("a.jsonl", b"{\"text\": \"x\"}\n{\"text\": \"y\"\n");
        assert!(
            bad.starts_with("the corpus a.jsonl has bad JSON on line 2 (") && !bad.contains('\n'),
            "{bad}"
        );
        for line in ["{\"txt\": \"x\"}", "{\"text\": 3}", "[1]", "7"] {
            let no_text = message("a.jsonl", line.as_bytes());
            assert!(
                no_text
                    .starts_with("the corpus a.jsonl has no string \"text\" on line 1; write one {\"text\""),
                "{no_text}"
            );
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    #[test]
    fn opens_by_name() {
        assert!(Corpus::open("builtin", 4).expect("always there").document_count().is_none());
        let missing = Corpus::open("no/such/file.txt", 0).expect_err("no such file").to_string();
        assert!(missing.starts_with("cannot read the corpus no/such/file.txt: "), "{missing}");
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("three.txt");
        std::fs::write(&path, "a\n<|endoftext|>\nb\n<|endoftext|>\nc\n").expect("a writable directory");
        let corpus = Corpus::open(path.to_str().expect("a plain path"), 0).expect("a good file");
        assert_eq!(corpus.document_count(), Some(3));
    }
}
