//! The layers of `crate/src`: which room may use which, and no circle between files.
//!
//! A room is a folder of `crate/src`; `lab` has three floors. What a file uses is read from its text: every `use`, and
//! every path that begins with a module. A name is followed through re-exports to the file that defines it; to hand a
//! name on is no use of it. What is for tests alone does not count. Macros are not expanded.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Rooms, from the top down, and the rooms that each may use. All may use the files beside the rooms (`rng.rs`,
/// `words.rs`, …), which use none of them.
const ROOMS: &[(&str, &[&str])] = &[
    ("web", &["lab", "lab/shared", "sae", "kernels", "gpu", "corpus", "checkpoint"]),
    (
        "bin",
        &[
            "lab/report",
            "lab",
            "lab/shared",
            "circuits",
            "model",
            "universality",
            "sae",
            "kernels",
            "gpu",
            "corpus",
            "checkpoint",
        ],
    ),
    ("lab/report", &["lab", "lab/shared", "circuits", "universality", "stats", "corpus"]),
    (
        "lab",
        &[
            "lab/shared",
            "circuits",
            "model",
            "universality",
            "sae",
            "kernels",
            "gpu",
            "stats",
            "corpus",
            "checkpoint",
        ],
    ),
    ("lab/shared", &["circuits", "model", "universality", "sae", "kernels", "gpu", "corpus", "checkpoint"]),
    ("circuits", &["model", "kernels", "gpu", "stats"]),
    ("model", &["kernels", "gpu", "checkpoint"]),
    ("universality", &["sae", "kernels", "gpu", "stats"]),
    ("sae", &["kernels", "gpu", "checkpoint"]),
    ("kernels", &["gpu"]),
    ("gpu", &[]),
    ("stats", &[]),
    ("corpus", &["checkpoint"]),
    ("checkpoint", &[]),
];

#[test]
fn no_room_uses_one_that_it_may_not() {
    let mut wrong = Vec::new();
    for (from, to) in House::read(&sources()).arrows() {
        let (a, b) = (room(&from), room(&to));
        let may = ROOMS.iter().find(|(name, _)| *name == a).map_or(&[][..], |(_, may)| may);
        // A file beside the rooms has no folder.
        let beside = to.parent() == Some(Path::new(""));
        if a != b && !beside && !may.contains(&b.as_str()) {
            wrong.push(format!("{a} may not use {b}: {} uses {}", from.display(), to.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let tied = circles(&House::read(&sources()).arrows());
    let told = |(from, to): &(PathBuf, PathBuf)| format!("{} uses {}", from.display(), to.display());
    let tied: Vec<String> = tied.iter().map(told).collect();
    assert!(tied.is_empty(), "in a circle:\n{}", tied.join("\n"));
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crate/src")
}

/// The room of a file, named from `crate/src`.
fn room(file: &Path) -> String {
    let parts: Vec<&str> = file.iter().map(|part| part.to_str().expect("a plain name")).collect();
    match parts[..] {
        ["lab", floor @ ("shared" | "report"), ..] => format!("lab/{floor}"),
        [file] => file.trim_end_matches(".rs").to_owned(),
        [folder, ..] => folder.to_owned(),
        [] => String::new(),
    }
}

/// A module's place in its crate: `["lab", "shared"]`; the command line's begin with `bin`.
type Module = Vec<String>;

/// Everything that the text of a module says.
#[derive(Default)]
struct Text {
    file: PathBuf,
    /// Names that it takes in, each with its path as it is written.
    names: BTreeMap<String, Vec<String>>,
    /// Those of them that it hands on, which is no use of them.
    handed: BTreeSet<String>,
    /// All other paths, as they are written.
    paths: BTreeSet<Vec<String>>,
}

struct House {
    modules: BTreeMap<Module, Text>,
}

impl House {
    fn read(root: &Path) -> Self {
        let mut modules = BTreeMap::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                let name = path.file_name().and_then(|name| name.to_str()).expect("a plain name");
                if path.is_dir() {
                    folders.extend((name != "tests").then_some(path));
                } else if name.ends_with(".rs") && !for_tests(name) {
                    let file = path.strip_prefix(root).expect("below the root").to_owned();
                    let text = std::fs::read_to_string(&path).expect("text");
                    modules.insert(module_of(&file), Text::read(file, &text));
                }
            }
        }
        Self { modules }
    }

    /// Which file uses which.
    fn arrows(&self) -> BTreeSet<(PathBuf, PathBuf)> {
        let mut arrows = BTreeSet::new();
        for (module, text) in &self.modules {
            let names =
                text.names.iter().filter(|(name, _)| !text.handed.contains(*name)).map(|(_, path)| path);
            for path in names.chain(&text.paths) {
                let found = self.find(module, path, 0);
                arrows.extend(found.filter(|to| *to != text.file).map(|to| (text.file.clone(), to)));
            }
        }
        arrows
    }

    /// The file that defines what a path in a module names; none if that is outside.
    fn find(&self, from: &Module, path: &[String], depth: usize) -> Option<PathBuf> {
        let top: Module = from.iter().take(1).filter(|first| *first == "bin").cloned().collect();
        let (mut at, mut rest): (Module, &[String]) = match path[0].as_str() {
            "crate" => (top, &path[1..]),
            "mppc" if !top.is_empty() => (Module::new(), &path[1..]),
            "self" => (from.clone(), &path[1..]),
            "super" => (from[..from.len().checked_sub(1)?].to_vec(), &path[1..]),
            _ => (from.clone(), path),
        };
        let relative = rest.len() == path.len();
        let mut first = true;
        while let Some((name, more)) = rest.split_first() {
            let child = [&at[..], std::slice::from_ref(name)].concat();
            if name == "super" {
                at.pop();
            } else if name == "self" {
            } else if self.modules.contains_key(&child) {
                at = child;
            } else if let Some(alias) =
                self.modules.get(&at)?.names.get(name).filter(|alias| **alias != path || at != *from)
            {
                if depth > 9 {
                    return None;
                }
                let whole = [&alias[..], more].concat();
                // What it hands on from a module within it, or from another crate, is its own.
                let own = || self.modules.get(&at).map(|text| text.file.clone()).filter(|_| !relative);
                return self.find(&at, &whole, depth + 1).or_else(own);
            } else if relative && first {
                // Another crate, or a name of the file's own.
                return None;
            } else {
                break;
            }
            (rest, first) = (more, false);
        }
        self.modules.get(&at).map(|text| text.file.clone())
    }
}

/// Files for tests alone.
fn for_tests(name: &str) -> bool {
    name == "tests.rs" || name == "testing.rs" || name.ends_with("_tests.rs")
}

fn module_of(file: &Path) -> Module {
    let mut module: Module =
        file.with_extension("").iter().map(|part| part.to_str().expect("a plain name").to_owned()).collect();
    if module.len() > 1 && module[0] == "bin" {
        module.remove(1);
    }
    if module.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        module.pop();
    }
    module
}

impl Text {
    fn read(file: PathBuf, text: &str) -> Self {
        let code = without_tests(&code_of(text));
        let mut read = Self { file, ..Self::default() };
        let mut rest = code.as_str();
        let mut others = String::new();
        // Every `use` begins a line.
        while let Some(at) = next_use(rest) {
            others += &rest[..at];
            let end = at + rest[at..].find(';').expect("a use ends");
            let item = rest[at..end].trim_start();
            let handed = item.starts_with("pub");
            let item = item.split_once("use ").expect("a use").1;
            let item: String = item.split_whitespace().collect::<Vec<_>>().join(" ");
            for (name, path) in flat(&item, &[]) {
                if name == "*" || name == "_" {
                    read.paths.insert(path);
                } else {
                    read.handed.extend(handed.then(|| name.clone()));
                    read.names.insert(name, path);
                }
            }
            rest = &rest[end + 1..];
        }
        others += rest;
        // Who may see something is no use of it.
        read.paths.extend(written_paths(&others.replace("pub(in crate::", "pub(")));
        read
    }
}

/// Where the next `use` stands, with what makes it public.
fn next_use(text: &str) -> Option<usize> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start();
        let item = match trimmed.strip_prefix("pub") {
            Some(rest) if rest.starts_with('(') => rest.split_once(") ").map_or("", |(_, rest)| rest),
            Some(rest) => rest.trim_start(),
            None => trimmed,
        };
        if item.starts_with("use ") {
            return Some(start);
        }
        start += line.len();
    }
    None
}

/// The names that a `use` takes in, each with its path.
fn flat(item: &str, before: &[String]) -> Vec<(String, Vec<String>)> {
    let item = item.trim();
    let Some((head, group)) = item.split_once('{') else {
        let (path, name) = item.split_once(" as ").map_or((item, None), |(path, name)| (path, Some(name)));
        let mut path: Vec<String> =
            before.iter().cloned().chain(path.split("::").map(|part| part.trim().to_owned())).collect();
        if path.len() > 1 && path.last().is_some_and(|last| last == "self" || last == "*") {
            let last = path.pop();
            let name = if last.as_deref() == Some("*") {
                "*".to_owned()
            } else {
                path.last().cloned().unwrap_or_default()
            };
            return vec![(name, path)];
        }
        let name =
            name.map_or_else(|| path.last().cloned().unwrap_or_default(), |name| name.trim().to_owned());
        return vec![(name, path)];
    };
    let parts = head.split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty());
    let before: Vec<String> = before.iter().cloned().chain(parts).collect();
    let group = group.trim_end().strip_suffix('}').expect("a group ends");
    let (mut all, mut depth, mut start) = (Vec::new(), 0, 0);
    for (i, c) in group.char_indices().chain([(group.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = &group[start..i];
                if !part.trim().is_empty() {
                    all.extend(flat(part, &before));
                }
                start = i + 1;
            }
            _ => {}
        }
    }
    all
}

/// Paths in code that may begin with a module.
fn written_paths(code: &str) -> BTreeSet<Vec<String>> {
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let whole = code.split(|c: char| !word(c)).filter(|path| path.contains("::"));
    let parts = whole.map(|path| path.split("::").take_while(|part| !part.is_empty()).map(str::to_owned));
    parts
        .map(Vec::from_iter)
        .filter(|path: &Vec<String>| path.first().is_some_and(|first| first.starts_with(char::is_lowercase)))
        .collect()
}

/// The code without comments, and without what stands in strings.
fn code_of(text: &str) -> String {
    let mut code = String::new();
    let mut chars = text.chars().peekable();
    let mut before = ' ';
    while let Some(c) = chars.next() {
        match c {
            '/' if chars.peek() == Some(&'/') => while chars.next_if(|c| *c != '\n').is_some() {},
            '"' if before == 'r' || before == '#' => {
                // Raw: it ends with as many marks as it begins with.
                let marks = code.chars().rev().take_while(|c| *c == '#').count();
                let end = format!("\"{}", "#".repeat(marks));
                let mut inside = String::new();
                while !inside.ends_with(&end) {
                    let Some(c) = chars.next() else { break };
                    inside.push(c);
                }
            }
            '"' => {
                while let Some(c) = chars.next() {
                    match c {
                        '\\' => drop(chars.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '\'' if chars.peek() == Some(&'"') => {
                chars.next();
            }
            _ => code.push(c),
        }
        before = c;
    }
    code
}

/// Without items for tests, which begin and end at the beginning of a line.
fn without_tests(code: &str) -> String {
    let mut kept = String::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        if !(line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test")) {
            kept += line;
            kept.push('\n');
            continue;
        }
        let item = lines.by_ref().find(|line| !line.starts_with("#[")).unwrap_or_default();
        if item.ends_with('{') {
            lines.by_ref().find(|line| *line == "}");
        }
    }
    kept
}

/// The arrows between files that reach each other.
fn circles(arrows: &BTreeSet<(PathBuf, PathBuf)>) -> BTreeSet<(PathBuf, PathBuf)> {
    let mut to: BTreeMap<&Path, Vec<&Path>> = BTreeMap::new();
    arrows.iter().for_each(|(from, next)| to.entry(from).or_default().push(next));
    let reaches = |from: &Path, wanted: &Path| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(file) = open.pop() {
            if file == wanted {
                return true;
            }
            if seen.insert(file) {
                open.extend(to.get(file).into_iter().flatten());
            }
        }
        false
    };
    arrows.iter().filter(|(from, next)| reaches(next, from)).cloned().collect()
}

#[test]
fn what_is_written_is_found() {
    let text = "//! [`crate::no`]\nuse std::fmt;\npub(crate) use super::a::{self, b::{C, D as E, f::*}};\n\
                fn g() { crate::h::i::<u8>(\"crate::no\"); }\n#[cfg(test)]\nmod tests {\n    use crate::no;\n}\n";
    let read = Text::read("x/y.rs".into(), text);
    let path = |path: &str| path.split("::").map(str::to_owned).collect::<Vec<_>>();
    let names = [("C", "super::a::b::C"), ("E", "super::a::b::D"), ("a", "super::a"), ("fmt", "std::fmt")];
    assert_eq!(
        read.names.into_iter().collect::<Vec<_>>(),
        names.map(|(name, whole)| (name.to_owned(), path(whole)))
    );
    assert_eq!(read.handed.into_iter().collect::<Vec<_>>(), ["C", "E", "a"]);
    assert_eq!(read.paths.into_iter().collect::<Vec<_>>(), [path("crate::h::i"), path("super::a::b::f")]);
}

#[test]
fn names_are_followed_to_their_files() {
    let files = [
        ("lib.rs", "pub mod a;\nmod b;\n"),
        ("a/mod.rs", "mod c;\npub use c::C;\nmod d;\n"),
        ("a/c.rs", "use super::d::D;\n"),
        ("a/d.rs", "fn d() { crate::b::B; }\n"),
        ("b.rs", "use crate::a::C;\nuse std::fmt;\n"),
    ];
    let modules = files.map(|(file, text)| (module_of(Path::new(file)), Text::read(file.into(), text)));
    let arrows = House { modules: modules.into() }.arrows();
    let told: Vec<String> = arrows.iter().map(|(a, b)| format!("{} {}", a.display(), b.display())).collect();
    assert_eq!(told, ["a/c.rs a/d.rs", "a/d.rs b.rs", "b.rs a/c.rs"]);
    assert_eq!(circles(&arrows), arrows);
}
