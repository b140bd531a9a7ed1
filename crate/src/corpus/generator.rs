//! The built-in corpus: unlimited English-like documents from a seed.

use std::io::{self, Write};

use super::tags::{Span, Tag, TagSet, token_tags};
use super::writer::Writer;
use super::{documents, layouts};
use crate::rng::Rng;

/// A generated text with its ground truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The text, without a line end at its end.
    pub text: String,
    /// What holds where, in order of start; spans overlap and nest.
    pub spans: Vec<Span>,
}

impl Document {
    /// The tags of each token by its byte range in the text; see [`token_tags`](super::tags::token_tags).
    pub fn token_tags(&self, offsets: &[(usize, usize)]) -> Vec<TagSet> {
        token_tags(&self.spans, offsets)
    }
}

type Compose = fn(&mut Writer);

/// The kinds of document with their share.
const KINDS: &[(u32, Tag, Compose)] = &[
    (20, Tag::KindStory, documents::story),
    (9, Tag::KindLetter, documents::letter),
    (13, Tag::KindReport, documents::report),
    (11, Tag::KindDialogue, documents::dialogue),
    (5, Tag::KindRecipe, layouts::recipe),
    (4, Tag::KindRecipe, layouts::list),
    (5, Tag::KindTable, layouts::table),
    (8, Tag::KindCode, layouts::code),
    (4, Tag::KindDirectory, layouts::directory),
    (5, Tag::KindSums, layouts::sums),
    (5, Tag::KindPoem, documents::poem),
    (8, Tag::KindArticle, documents::article),
    (6, Tag::KindDrill, layouts::drill),
];

/// The documents of a seed. Document i is made without making the others, and never changes.
#[derive(Clone, Debug)]
pub struct Generator {
    rng: Rng,
}

impl Generator {
    /// The generator of `seed`.
    pub fn new(seed: u64) -> Self {
        Self { rng: Rng::new(seed) }
    }

    /// Document number `index`.
    pub fn document(&self, index: u64) -> Document {
        let mut rng = self.rng.fork(index);
        let weights: Vec<u32> = KINDS.iter().map(|kind| kind.0).collect();
        let (_, tag, compose) = KINDS[rng.weighted(&weights)];
        let mut writer = Writer::new(rng);
        compose(&mut writer);
        let (text, spans) = writer.finish(tag);
        Document { text, spans }
    }

    /// All documents from number 0 on; it never ends.
    pub fn documents(&self) -> impl Iterator<Item = Document> {
        (0..).map(|index| self.document(index))
    }
}

/// Writes the first `documents` documents of `seed` as JSON Lines, `{"text": …}` each.
///
/// # Errors
/// Whatever `out` fails with.
pub fn write_jsonl(out: &mut dyn Write, seed: u64, documents: usize) -> io::Result<()> {
    for document in Generator::new(seed).documents().take(documents) {
        let line = serde_json::json!({ "text": document.text });
        writeln!(out, "{line}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::corpus::tags::Context;

    fn documents(count: usize) -> Vec<Document> {
        Generator::new(1).documents().take(count).collect()
    }

    /// FNV-1a.
    fn hash<'a>(texts: impl IntoIterator<Item = &'a str>) -> u64 {
        let bytes = texts.into_iter().flat_map(str::bytes);
        bytes
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }

    /// The spans of `tag` with their text.
    fn spans(document: &Document, tag: Tag) -> impl Iterator<Item = (&Span, &str)> {
        let of_tag = document.spans.iter().filter(move |span| span.tag == tag);
        of_tag.map(|span| (span, &document.text[span.start..span.end]))
    }

    /// The text of seed 1 is what the embedded models were trained on: these values never change.
    #[test]
    fn the_text_never_changes() {
        let documents = documents(300);
        let first = hash([documents[0].text.as_str()]);
        let all = hash(documents.iter().map(|d| d.text.as_str()));
        assert_eq!([first, all], [0xdc2519664200944b, 0xe899bda848ce5759]);
    }

    #[test]
    fn any_document_comes_alone() {
        let generator = Generator::new(6);
        let in_order: Vec<_> = generator.documents().take(20).collect();
        for index in (0..20).rev() {
            assert_eq!(generator.document(index), in_order[index as usize]);
        }
        assert_ne!(Generator::new(7).document(0).text, in_order[0].text);
    }

    #[test]
    fn spans_are_in_bounds_and_in_order() {
        for document in documents(300) {
            for span in &document.spans {
                assert!(span.start < span.end, "{span:?} is empty");
                assert!(document.text.get(span.start..span.end).is_some(), "{span:?} cuts a character");
            }
            assert!(document.spans.is_sorted_by_key(|span| span.start));
        }
    }

    #[test]
    fn tokens_hold_what_their_tags_say() {
        let all = |text: &str, holds: fn(char) -> bool| text.chars().all(holds);
        for document in documents(300) {
            for span in &document.spans {
                let text = &document.text[span.start..span.end];
                let good = match span.tag {
                    Tag::Number | Tag::Result => all(text, |c| c.is_ascii_digit()),
                    Tag::Newline => all(text, |c| c == '\n'),
                    Tag::Indent => all(text, |c| c == ' '),
                    Tag::Quote | Tag::ClosingQuote => text == "\"",
                    Tag::ClosingBracket => text == ")" || text == "]",
                    Tag::Name | Tag::Place | Tag::Country => text.starts_with(char::is_uppercase),
                    Tag::Month => {
                        text.ends_with("ber")
                            || "January February March April May June July August".contains(text)
                    }
                    Tag::Weekday => text.ends_with("day"),
                    Tag::VerbIng => text.ends_with("ing"),
                    Tag::Currency => all(text, |c| c.is_alphabetic() || "$£€".contains(c)),
                    Tag::SentenceStart => text.starts_with(|c: char| !c.is_lowercase()),
                    Tag::Quotation => text.starts_with('"') && text.ends_with('"') && text.len() > 2,
                    Tag::Parentheses => text.starts_with(['(', '[']) && text.ends_with([')', ']']),
                    Tag::CodeLine | Tag::Sum | Tag::TableRow | Tag::Verse => !text.contains('\n'),
                    _ => !text.starts_with([' ', '\n']) && !text.ends_with(' '),
                };
                assert!(good, "{:?} holds of {text:?}", span.tag);
            }
        }
    }

    #[test]
    fn neighbours_hold_what_their_tags_say() {
        for document in documents(300) {
            let before = |span: &Span| document.text[..span.start].trim_end();
            for (span, text) in spans(&document, Tag::NameAfterTitle) {
                let titles = ["Mr", "Mrs", "Miss", "Dr", "Captain", "Professor", "Madame"];
                assert!(titles.iter().any(|title| before(span).ends_with(title)), "{text}");
            }
            for (span, text) in spans(&document, Tag::NumberAfterCurrency) {
                assert!(before(span).ends_with(['$', '£', '€']), "{text}");
            }
            for (span, text) in spans(&document, Tag::SpeechAfterQuote) {
                assert!(before(span).ends_with('"'), "{text}");
            }
        }
    }

    #[test]
    fn what_repeats_stood_before() {
        let repeats = [
            (Tag::SecondMention, Tag::Name),
            (Tag::DefinedIdentifier, Tag::Identifier),
            (Tag::Induction, Tag::Nonsense),
            (Tag::Induction, Tag::NounSingular),
            (Tag::Induction, Tag::Name),
        ];
        for document in documents(300) {
            for (tag, of) in repeats {
                let known: Vec<_> = spans(&document, of).collect();
                for (span, text) in spans(&document, tag).filter(|(span, _)| {
                    tag != Tag::Induction
                        || known.iter().any(|(word, _)| (word.start, word.end) == (span.start, span.end))
                }) {
                    let word = text.rsplit(' ').next().unwrap_or(text);
                    let earlier = known.iter().any(|&(first, known)| first.end < span.start && known == word);
                    assert!(earlier, "{tag:?} {word:?} stood before as {of:?} in {}", document.text);
                }
            }
            for (span, text) in spans(&document, Tag::RepeatedLine) {
                assert!(
                    document.text[..span.start].lines().any(|line| line.trim_start() == text),
                    "{text:?}"
                );
            }
            for (span, text) in spans(&document, Tag::RepeatedFact) {
                assert!(
                    document.text[..span.start].to_lowercase().contains(&text.to_lowercase()),
                    "{text:?}"
                );
            }
        }
    }

    #[test]
    fn the_arithmetic_is_right() {
        let number = |text: &str| text.trim().parse::<i64>().expect("a number");
        let evaluate = |left: i64, sign: &str, right: i64| match sign {
            "+" => left + right,
            "-" => left - right,
            "*" => left * right,
            _ => panic!("no operator {sign}"),
        };
        let (mut sums, mut programs, mut totals) = (0, 0, 0);
        for document in documents(500) {
            for (_, text) in spans(&document, Tag::Sum) {
                let [left, sign, right, _, result] = text.split(' ').collect::<Vec<_>>()[..] else {
                    panic!("{text}")
                };
                assert_eq!(evaluate(number(left), sign, number(right)), number(result), "{text}");
                sums += 1;
            }
            let lines: Vec<_> = document.text.lines().collect();
            for four in
                lines.windows(4).filter(|four| four[3].starts_with("# ") && four[2].starts_with("print("))
            {
                let [_, _, _, sign, right] = four[1].split(' ').collect::<Vec<_>>()[..] else {
                    panic!("{}", four[1])
                };
                let left = four[0].rsplit(' ').next().expect("a value");
                assert_eq!(evaluate(number(left), sign, number(right)), number(&four[3][2..]), "{four:?}");
                programs += 1;
            }
            let mut column = 0;
            for row in lines.iter().map(|line| line.split(['|', ',', ';']).collect::<Vec<_>>()) {
                match (row.first().map(|cell| cell.trim()), row.get(1).map(|cell| cell.trim().parse::<i64>()))
                {
                    (Some("total"), Some(Ok(total))) => {
                        assert_eq!(column, total, "{}", document.text);
                        totals += 1;
                    }
                    (_, Some(Ok(figure))) => column += figure,
                    _ => column = 0,
                }
            }
        }
        assert!(
            sums > 100 && programs > 50 && totals > 20,
            "{sums} sums, {programs} programs, {totals} totals"
        );
    }

    #[test]
    fn every_tag_occurs_within_two_hundred_documents() {
        let seen: HashSet<Tag> = documents(200).iter().flat_map(|d| d.spans.iter().map(|s| s.tag)).collect();
        let missing: Vec<_> = Tag::ALL.iter().filter(|tag| !seen.contains(tag)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        for context in [Context::Token, Context::Ngram, Context::Phrase, Context::LongRange] {
            assert!(seen.iter().filter(|tag| tag.context() == context).count() >= 10);
        }
    }

    #[test]
    fn documents_are_long_and_varied_enough() {
        let documents = documents(1000);
        let lengths: Vec<usize> = documents.iter().map(|d| d.text.split_whitespace().count()).collect();
        let mean = lengths.iter().sum::<usize>() as f64 / lengths.len() as f64;
        assert!((140.0..175.0).contains(&mean), "{mean} words");
        assert!(lengths.iter().all(|words| (40..=400).contains(words)));
        let words: HashSet<&str> =
            documents.iter().flat_map(|d| d.text.split(|c: char| !c.is_alphabetic())).collect();
        assert!(words.len() > 1800, "{} distinct words", words.len());
        let texts: HashSet<&str> = documents.iter().map(|d| d.text.as_str()).collect();
        assert_eq!(texts.len(), documents.len());
    }

    #[test]
    fn json_lines_hold_the_documents() {
        let mut out = Vec::new();
        write_jsonl(&mut out, 3, 5).expect("memory does not fail");
        let text = String::from_utf8(out).expect("JSON is UTF-8");
        let texts: Vec<String> = text
            .lines()
            .map(|line| {
                serde_json::from_str::<serde_json::Value>(line).expect("JSON")["text"]
                    .as_str()
                    .expect("text")
                    .to_owned()
            })
            .collect();
        let direct: Vec<_> = Generator::new(3).documents().take(5).map(|document| document.text).collect();
        assert_eq!(texts, direct);
    }
}
