//! Where documents come from: the built-in generator, or files of the user's.

use std::borrow::Cow;
#[cfg(not(target_arch = "wasm32"))]
use std::path::{Path, PathBuf};
#[cfg(not(target_arch = "wasm32"))]
use std::sync::Arc;

use super::CorpusError;
use super::generator::Generator;
#[cfg(not(target_arch = "wasm32"))]
use super::shards::{Local, ShardDocuments, Shards};

/// A text file without separators is cut into documents of about this many characters.
const DOCUMENT_CHARACTERS: usize = 4000;

/// A line that holds only this ends a document of a text file.
const END_OF_TEXT: &str = "<|endoftext|>";

/// A source of documents.
#[derive(Clone, Debug)]
pub struct Corpus {
    name: String,
    source: Source,
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
            #[cfg(not(target_arch = "wasm32"))]
            files: Vec::new(),
        }
    }

    /// `builtin` (with `seed`), the path of a .txt, .jsonl or .parquet file, or a folder whose .parquet files are read
    /// in the order of their names.
    ///
    /// Of a Parquet file one column is read: `text`, or else the only one of strings, or the one that is named after
    /// a colon, as in `dir/file.parquet:body`. Rows without a text are left out. The files are read while documents
    /// are asked for, so they may be larger than memory.
    ///
    /// # Errors
    /// See [`Corpus::from_bytes`] and [`Corpus::sharded`]; and a file that cannot be read.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(spec: &str, seed: u64) -> Result<Self, CorpusError> {
        if spec == "builtin" {
            return Ok(Self::builtin(seed));
        }
        let (path, column) = split_column(spec);
        let column = column.map(str::to_owned);
        let local = |local: Local| -> Result<Self, CorpusError> {
            let files = local.files().to_vec();
            Ok(Self { files, ..Self::sharded(spec, Arc::new(local), column)? })
        };
        if Path::new(path).is_dir() {
            return local(Local::folder(Path::new(path))?);
        }
        if is_parquet(path) {
            return local(Local::file(Path::new(path)));
        }
        // The extension first: no need to read gigabytes of something else.
        Format::of(spec)?;
        let bytes =
            std::fs::read(spec).map_err(|source| CorpusError::Read { name: spec.to_owned(), source })?;
        Ok(Self { files: vec![spec.into()], ..Self::from_bytes(spec, &bytes)? })
    }

    /// The documents of Parquet files, from `column`, or else from `text` or the only column of strings. `name` is what
    /// reports call it. The first document is read at once, so that what is wrong from the start is found here.
    ///
    /// # Errors
    /// No file, no column that is meant, a damaged file, nothing but white space.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn sharded(name: &str, shards: Arc<dyn Shards>, column: Option<String>) -> Result<Self, CorpusError> {
        let source = Source::Shards(shards, column);
        let corpus = Self { name: name.to_owned(), source, files: Vec::new() };
        corpus.documents().next().transpose()?;
        Ok(corpus)
    }

    /// The documents of a file's content; `name` (with its extension) says how to read it.
    ///
    /// - `.jsonl`: one JSON object a line, whose `"text"` is a document. Blank lines are skipped.
    /// - `.txt`: UTF-8; lines that hold only `<|endoftext|>` or only form feeds separate the documents. Without any
    ///   such line, the text is cut at the first end of a paragraph after 4,000 characters; where none comes
    ///   within another 4,000, at the end of a line, else at a space, else at 8,000 characters.
    ///
    /// In a text file a byte order mark is dropped and `\r\n` is read as `\n`. Documents of white space only are
    /// left out.
    ///
    /// # Errors
    /// An unknown extension, bytes that are not UTF-8, a bad line of JSON Lines, or nothing but white space.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self, CorpusError> {
        let format = Format::of(name)?;
        let text = std::str::from_utf8(bytes)
            .map_err(|error| CorpusError::NotUtf8 { name: name.to_owned(), offset: error.valid_up_to() })?;
        let mut texts = match format {
            Format::Text => split_text(text),
            Format::JsonLines => parse_json_lines(name, text)?,
        };
        texts.retain(|text| !text.trim().is_empty());
        if texts.is_empty() {
            return Err(CorpusError::Empty { name: name.to_owned() });
        }
        Ok(Self {
            name: name.to_owned(),
            source: Source::Texts(texts),
            #[cfg(not(target_arch = "wasm32"))]
            files: Vec::new(),
        })
    }

    /// The files of this machine that are read, in their order. None for the built-in corpus, and for data sets, whose
    /// [name](Corpus::name) has their commit.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn files(&self) -> &[PathBuf] {
        &self.files
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

#[cfg(not(target_arch = "wasm32"))]
fn is_parquet(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"))
}

/// `FILE.parquet:COLUMN` or `FOLDER:COLUMN` in two. A colon may also be part of a path, as in `C:\texts`.
#[cfg(not(target_arch = "wasm32"))]
fn split_column(spec: &str) -> (&str, Option<&str>) {
    if Path::new(spec).exists() {
        return (spec, None);
    }
    let colons = spec.match_indices(':').map(|(i, _)| (&spec[..i], &spec[i + 1..]));
    let found = colons.filter(|(path, column)| !path.is_empty() && !column.is_empty());
    let mut found = found.filter(|(path, _)| is_parquet(path) || is_folder_of_texts(path));
    found.next().map_or((spec, None), |(path, column)| (path, Some(column)))
}

/// A folder, but not a drive of Windows.
#[cfg(not(target_arch = "wasm32"))]
fn is_folder_of_texts(path: &str) -> bool {
    path.len() > 1 && Path::new(path).is_dir()
}

fn is_separator(line: &str) -> bool {
    let line = line.trim_matches([' ', '\t', '\n']);
    line == END_OF_TEXT || (!line.is_empty() && line.chars().all(|c| c == '\u{c}'))
}

fn split_text(text: &str) -> Vec<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
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

fn parse_json_lines(name: &str, text: &str) -> Result<Vec<String>, CorpusError> {
    let mut documents = Vec::new();
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let value: serde_json::Value = serde_json::from_str(line).map_err(|error| CorpusError::BadJson {
            name: name.to_owned(),
            line: i + 1,
            // Its own line number is always 1 here and would mislead.
            message: error.to_string().replace(" at line 1 column ", " at column "),
        })?;
        match value.get("text") {
            Some(serde_json::Value::String(text)) => documents.push(text.clone()),
            _ => return Err(CorpusError::NoText { name: name.to_owned(), line: i + 1 }),
        }
    }
    Ok(documents)
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
            "the corpus a.csv is neither .txt, .jsonl nor .parquet, nor a folder; rename or convert it, use `builtin`, or \
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
    fn a_column_comes_after_the_path() {
        assert_eq!(split_column("a/b.parquet"), ("a/b.parquet", None));
        assert_eq!(split_column("a/b.parquet:body"), ("a/b.parquet", Some("body")));
        assert_eq!(split_column(r"C:\texts\b.Parquet:a:b"), (r"C:\texts\b.Parquet", Some("a:b")));
        assert_eq!(split_column(r"C:\texts\b.parquet"), (r"C:\texts\b.parquet", None));
        assert_eq!(split_column("a:b.parquet:"), ("a:b.parquet:", None));
        assert_eq!(split_column("b.txt:body"), ("b.txt:body", None));
        let folder = tempfile::tempdir().expect("a temporary directory");
        let name = folder.path().to_str().expect("a plain path");
        assert_eq!(split_column(&format!("{name}:page.text")), (name, Some("page.text")));
        // A file of such a name is that file.
        std::fs::create_dir(folder.path().join("a.parquet:b")).expect("a writable directory");
        let odd = format!("{name}/a.parquet:b");
        assert_eq!(split_column(&odd), (&*odd, None));
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
