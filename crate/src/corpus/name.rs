//! What the name of a corpus stands for.

use std::path::Path;

/// What the name of a data set of the hub begins with.
const HUB: &str = "hub:";

/// A corpus's name, taken apart: the only reader of such names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CorpusName<'a> {
    /// `builtin`: the generator.
    Builtin,
    /// `hub:OWNER/NAME…[:COLUMN]`: a data set of the hub.
    DataSet {
        /// What stands between `hub:` and the column.
        name: &'a str,
        /// The column that is named.
        column: Option<&'a str>,
    },
    /// `FOLDER[:COLUMN]`: a folder of Parquet files.
    Folder {
        /// The folder.
        path: &'a Path,
        /// The column that is named.
        column: Option<&'a str>,
    },
    /// `FILE.parquet[:COLUMN]`.
    Parquet {
        /// The file.
        path: &'a Path,
        /// The column that is named.
        column: Option<&'a str>,
    },
    /// Everything else: a file of text or JSON Lines, one would think.
    Text {
        /// The file.
        path: &'a Path,
    },
}

impl<'a> CorpusName<'a> {
    /// Takes a name apart. What exists under the whole name is meant as it is; else the first colon behind a folder
    /// or behind `.parquet` ends the path, and everything after it, more colons among it, names the column. (A
    /// colon may also be part of a path, as in `C:\texts`.)
    pub fn parse(spec: &'a str) -> Self {
        if spec == "builtin" {
            return Self::Builtin;
        }
        if let Some(rest) = spec.strip_prefix(HUB) {
            let (name, column) =
                rest.split_once(':').map_or((rest, None), |(name, column)| (name, Some(column)));
            return Self::DataSet { name, column };
        }
        let (path, column) = split_column(spec);
        match Path::new(path) {
            path if path.is_dir() => Self::Folder { path, column },
            path if is_parquet(path) => Self::Parquet { path, column },
            _ => Self::Text { path: Path::new(spec) },
        }
    }
}

fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"))
}

fn split_column(spec: &str) -> (&str, Option<&str>) {
    if Path::new(spec).exists() {
        return (spec, None);
    }
    let colons = spec.match_indices(':').map(|(i, _)| (&spec[..i], &spec[i + 1..]));
    let found = colons.filter(|(path, column)| !path.is_empty() && !column.is_empty());
    let mut found = found.filter(|(path, _)| is_parquet(Path::new(path)) || is_folder_of_texts(path));
    found.next().map_or((spec, None), |(path, column)| (path, Some(column)))
}

/// A folder, but not a drive of Windows.
fn is_folder_of_texts(path: &str) -> bool {
    path.len() > 1 && Path::new(path).is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_comes_after_the_path() {
        let parquet = |path: &'static str, column| CorpusName::Parquet { path: Path::new(path), column };
        let text = |path: &'static str| CorpusName::Text { path: Path::new(path) };
        assert_eq!(CorpusName::parse("a/b.parquet"), parquet("a/b.parquet", None));
        assert_eq!(CorpusName::parse("a/b.parquet:body"), parquet("a/b.parquet", Some("body")));
        assert_eq!(CorpusName::parse("b.parquet:a:b"), parquet("b.parquet", Some("a:b")));
        assert_eq!(CorpusName::parse(r"C:\texts\b.Parquet:a:b"), parquet(r"C:\texts\b.Parquet", Some("a:b")));
        assert_eq!(CorpusName::parse(r"C:\texts\b.parquet"), parquet(r"C:\texts\b.parquet", None));
        assert_eq!(CorpusName::parse("a:b.parquet:"), text("a:b.parquet:"));
        assert_eq!(CorpusName::parse("b.txt:body"), text("b.txt:body"));
        assert_eq!(CorpusName::parse("builtin"), CorpusName::Builtin);
        let data_set = |name, column| CorpusName::DataSet { name, column };
        assert_eq!(CorpusName::parse("hub:o/n@main/c"), data_set("o/n@main/c", None));
        assert_eq!(CorpusName::parse("hub:o/n:a:b"), data_set("o/n", Some("a:b")));
        let folder = tempfile::tempdir().expect("a temporary directory");
        let name = folder.path().to_str().expect("a plain path");
        let (spec, path) = (format!("{name}:page.text"), folder.path());
        assert_eq!(CorpusName::parse(&spec), CorpusName::Folder { path, column: Some("page.text") });
        // A file of such a name is that file, whatever it ends in.
        for odd in ["a.parquet:b", "a.parquet:b.parquet", "a.parquet:b.txt"] {
            let odd = folder.path().join(odd);
            std::fs::write(&odd, "x").expect("a writable directory");
            let spec = odd.to_str().expect("a plain path");
            assert!(matches!(
                CorpusName::parse(spec),
                CorpusName::Text { path } | CorpusName::Parquet { path, column: None } if path == odd
            ));
        }
    }
}
