//! Words from outside in messages and tables: what a terminal would obey is made visible, long values are cut, near
//! misses are named.

use std::borrow::Cow;

/// Characters of a value that a message repeats, at most.
pub const LONGEST: usize = 200;

/// Characters of a message, at most: what a list or another library's words may make of it.
const LONGEST_LINE: usize = 2_000;

/// How alike a word must be to be suggested, from 0 to 1 (as in clap).
const ALIKE: f64 = 0.7;

/// Whether a terminal may obey a character instead of showing it: controls (escape sequences begin with one), and
/// what turns the direction of writing or breaks a line.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn shown(text: &str, obeyed: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&obeyed) {
        return Cow::Borrowed(text);
    }
    let mut all = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' if obeyed(c) => all.extend(c.escape_default()),
            c if obeyed(c) => all.extend(c.escape_unicode()),
            c => all.push(c),
        }
    }
    Cow::Owned(all)
}

/// Text of several lines in which every other control character is written as `\u{1b}`.
pub fn visible(text: &str) -> Cow<'_, str> {
    shown(text, |c| is_obeyed(c) && c != '\n' && c != '\t')
}

/// The same of JSON, where such characters stand in strings only, as `\u001b`.
pub fn visible_json(text: &str) -> Cow<'_, str> {
    let obeyed = |c| is_obeyed(c) && c != '\n';
    if !text.contains(obeyed) {
        return Cow::Borrowed(text);
    }
    let written = |c: char| if obeyed(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    Cow::Owned(text.chars().map(written).collect())
}

/// A value from outside as a message repeats it: one line, visible, at most [`LONGEST`] characters of it.
pub fn echo(value: &str) -> String {
    cut(&shown(value, is_obeyed), LONGEST)
}

/// Keeps the beginning and the end, which is what names of files differ in.
fn cut(text: &str, longest: usize) -> String {
    let count = text.chars().count();
    if count <= longest {
        return text.to_owned();
    }
    let (head, tail) = (longest - longest / 3 - 1, longest / 3);
    let head: String = text.chars().take(head).collect();
    let tail: String = text.chars().skip(count - tail).collect();
    format!("{head}…{tail}")
}

/// A message as one visible line in which nothing is endless, whoever worded it.
pub fn line(message: &str) -> String {
    let words = message.split_whitespace().map(|word| cut(&shown(word, is_obeyed), LONGEST));
    cut(&words.collect::<Vec<_>>().join(" "), LONGEST_LINE)
}

/// A line of another program's words, its spaces as they are, in which no word is endless and everything is visible.
pub fn shortened(line: &str) -> String {
    let words = line.split(' ').map(|word| cut(&shown(word, is_obeyed), LONGEST));
    cut(&words.collect::<Vec<_>>().join(" "), LONGEST_LINE)
}

/// `did you mean WORD?` where one of the words is much like the one that was given, else nothing.
pub fn meant<'a>(given: &str, words: impl IntoIterator<Item = &'a str>) -> String {
    nearest(given, words).map_or_else(String::new, |word| format!("did you mean {}?", echo(word)))
}

/// The word that is most like the one given, if it is much like it.
fn nearest<'a>(given: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if given.len() > LONGEST {
        return None;
    }
    let given = given.to_lowercase();
    let likeness = |word: &&str| strsim::jaro(&given, &word.to_lowercase());
    let scored = words.into_iter().filter(|word| word.len() <= LONGEST).map(|word| (likeness(&word), word));
    let best = scored.max_by(|x, y| x.0.total_cmp(&y.0))?;
    (best.0 > ALIKE).then_some(best.1)
}

/// Which one was probably meant where serde speaks of an unknown field or variant, else nothing.
pub fn suggestion(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = message.starts_with("unknown field `") || message.starts_with("unknown variant `");
    match quoted.next().filter(|_| unknown) {
        Some(given) => meant(given, quoted),
        None => String::new(),
    }
}

/// A text as a cell of a CSV table: spreadsheets compute what begins with `=`, `+`, `-`, `@`, a tab or a carriage
/// return, so an apostrophe goes before it. Not for numbers.
pub fn cell(text: &str) -> Cow<'_, str> {
    match text.starts_with(['=', '+', '-', '−', '@', '\t', '\r']) {
        true => Cow::Owned(format!("'{text}")),
        false => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_nothing() {
        let title = "a\u{1b}]0;mine\u{7}b\u{9b}2J\u{202e}c\u{7f}\r\nd";
        for text in [visible(title).into_owned(), echo(title), line(title), visible_json(title).into_owned()]
        {
            assert!(!text.chars().any(|c| is_obeyed(c) && c != '\n'), "{text:?}");
        }
        assert_eq!(echo("a\u{1b}[31m\n"), r"a\u{1b}[31m\n");
        assert_eq!(visible("a\n\tb"), "a\n\tb");
        let json = serde_json::json!({ "name\u{9b}": "x\u{7f}\u{2028}" });
        let read: serde_json::Value =
            serde_json::from_str(&visible_json(&json.to_string())).expect("still JSON");
        assert_eq!(read, json);
        let plain = "Größe, 数, 🦀 – as it is";
        assert_eq!((visible(plain), echo(plain)), (Cow::Borrowed(plain), plain.to_owned()));
    }

    #[test]
    fn values_and_lines_have_an_end() {
        let long = "é".repeat(5_000);
        assert_eq!(echo(&long).chars().count(), LONGEST);
        assert_eq!(echo(&long[..2 * LONGEST]), long[..2 * LONGEST]);
        assert!(echo(&format!("begin{long}end")).starts_with("begin"));
        assert!(echo(&format!("begin{long}end")).ends_with("end"));
        assert!(echo(&"\u{1b}".repeat(300)).chars().count() <= LONGEST);
        assert_eq!(line(&format!("bad  {long} \n worse")).chars().count(), "bad  worse".len() + LONGEST);
        assert_eq!(line(&"a ".repeat(5_000)).chars().count(), LONGEST_LINE);
    }

    #[test]
    fn near_misses_are_named() {
        assert_eq!(meant("tokenz", ["seed", "tokens"]), "did you mean tokens?");
        assert_eq!(meant("Pythia160m", ["pythia-160m", "mamba-130m"]), "did you mean pythia-160m?");
        assert_eq!(meant("xyz", ["seed", "tokens"]), "");
        assert_eq!(meant(&"tokens".repeat(100), ["tokens"]), "");
        let serde = "unknown field `shufled`, expected one of `seed`, `shuffled`, `shifted`";
        assert_eq!(suggestion(serde), "did you mean shuffled?");
        assert_eq!(suggestion("invalid type: `x`"), "");
    }

    #[test]
    fn no_cell_is_a_formula() {
        for text in ["=1+1", "+1", "-1", "−1", "@SUM(A1)", "\t=1", "\r=1"] {
            assert_eq!(cell(text), format!("'{text}"));
        }
        for text in ["", "a=b", "blocks.0.hook_resid_post", "'=1", " x"] {
            assert_eq!(cell(text), text);
        }
    }
}
