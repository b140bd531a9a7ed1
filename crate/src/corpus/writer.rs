//! Writes text together with its tags, keeping track of spaces, capitals, articles and open phrases.

use std::collections::{HashMap, HashSet};

use super::facts::{TOWNS, TRADES};
use super::inflect;
use super::lexicon::{FIRST_NAMES, Inflection, SURNAMES};
use super::tags::{Span, Tag};
use crate::rng::Rng;

/// Lines shorter than this (closing brackets, single words) are not looked at as repetitions.
const SHORTEST_REPEATED_LINE: usize = 12;

/// The letters of a document's characters in templates.
pub(super) const PEOPLE: [char; 12] = ['A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L'];

/// Somebody in a document.
pub(super) struct Character {
    pub(super) first: &'static str,
    pub(super) surname: &'static str,
    pub(super) masculine: bool,
    pub(super) title: &'static str,
    pub(super) trade: usize,
    pub(super) age: u64,
    pub(super) first_written: bool,
    pub(super) surname_written: bool,
}

/// Text to be written again, with its spans counted from its start.
pub(super) struct Recording {
    text: String,
    spans: Vec<Span>,
    words: usize,
}

/// A document being written.
pub(super) struct Writer {
    pub(super) rng: Rng,
    pub(super) text: String,
    pub(super) spans: Vec<Span>,
    pub(super) cast: Vec<Character>,
    pub(super) towns: [usize; 2],
    /// Words that a template bound; `o`, the object that the document turns on, always is.
    pub(super) kept: HashMap<char, (Inflection, &'static str)>,
    pub(super) open: Vec<(Tag, Option<usize>)>,
    stated: HashSet<String>,
    lines: HashSet<String>,
    line_start: usize,
    previous: Option<Tag>,
    pub(super) space: bool,
    pub(super) capital: bool,
    words: usize,
}

impl Writer {
    pub(super) fn new(mut rng: Rng) -> Self {
        let cast = cast(&mut rng);
        let first = rng.below(TOWNS.len() as u64) as usize;
        let second = (first + 1 + rng.below(TOWNS.len() as u64 - 1) as usize) % TOWNS.len();
        let mut writer = Self {
            rng,
            text: String::new(),
            spans: Vec::new(),
            cast,
            towns: [first, second],
            kept: HashMap::new(),
            open: Vec::new(),
            stated: HashSet::new(),
            lines: HashSet::new(),
            line_start: 0,
            previous: None,
            space: false,
            capital: true,
            words: 0,
        };
        writer.keep('o', "thing");
        writer
    }

    /// Words written so far.
    pub(super) fn words(&self) -> usize {
        self.words
    }

    /// A sign and an amount without a space between them.
    pub(super) fn money(&mut self, sign: &str, amount: &str) {
        self.word(sign, Some(Tag::Currency));
        self.space = false;
        self.number(amount);
    }

    /// Writes one word with its tag and the tags that follow from the word before it.
    pub(super) fn word(&mut self, word: &str, tag: Option<Tag>) {
        if self.article_waits() && inflect::takes_an(word) {
            self.lengthen_article();
        }
        let start = self.begin();
        if self.capital {
            let mut letters = word.chars();
            self.text.extend(letters.next().into_iter().flat_map(char::to_uppercase));
            self.text.push_str(letters.as_str());
            self.capital = false;
            self.span(start, Tag::SentenceStart);
        } else {
            self.text.push_str(word);
        }
        if let Some(tag) = tag {
            self.span(start, tag);
            if let Some(pair) = self.previous.and_then(|previous| pair_tag(previous, tag)) {
                self.span(start, pair);
            }
        }
        self.previous = tag;
        self.words += 1;
    }

    /// Writes figures: each run of digits is a number, other signs between them are punctuation.
    pub(super) fn number(&mut self, figures: &str) {
        self.begin();
        self.digits(figures);
        self.capital = false;
    }

    /// The same without a space before it.
    pub(super) fn digits(&mut self, figures: &str) {
        let start = self.text.len();
        self.text.push_str(figures);
        let pair = self.previous.and_then(|previous| pair_tag(previous, Tag::Number));
        let mut from = start;
        while from < self.text.len() {
            let digit = self.text.as_bytes()[from].is_ascii_digit();
            let run = self.text[from..].bytes().take_while(|b| b.is_ascii_digit() == digit).count();
            let tag = if digit { Tag::Number } else { Tag::Punctuation };
            self.spans.push(Span { start: from, end: from + run, tag });
            from += run;
        }
        self.spans.extend(pair.map(|tag| Span { start, end: self.text.len(), tag }));
        self.previous = Some(Tag::Number);
        self.words += 1;
    }

    /// Writes a mark of punctuation right after the word before it.
    pub(super) fn mark(&mut self, mark: &str) {
        let start = self.text.len();
        self.text.push_str(mark);
        self.span(start, Tag::Punctuation);
        self.previous = None;
        self.space = true;
        self.capital |= matches!(mark, "." | "!" | "?");
    }

    /// Writes something between spaces that is not a word: an operator, a bar of a table.
    pub(super) fn sign(&mut self, sign: &str, tag: Tag) {
        let start = self.begin();
        self.text.push_str(sign);
        self.span(start, tag);
        self.previous = Some(tag);
        self.capital = false;
    }

    pub(super) fn open_mark(&mut self, mark: char, tag: Tag, phrase: Tag) {
        let start = self.begin();
        self.text.push(mark);
        self.span(start, tag);
        self.open.push((phrase, Some(start)));
        self.space = false;
        self.previous = None;
        self.capital |= mark == '"';
    }

    pub(super) fn close_mark(&mut self, mark: char, tag: Tag, closing: Tag) {
        let start = self.text.len();
        self.text.push(mark);
        self.span(start, tag);
        self.span(start, closing);
        self.close();
        self.space = true;
        self.previous = Some(tag);
    }

    /// Begins a tagged phrase at the next word.
    pub(super) fn open(&mut self, tag: Tag) {
        self.open.push((tag, None));
    }

    /// Ends the phrase opened last.
    pub(super) fn close(&mut self) {
        let (tag, start) = self.open.pop().expect("a phrase is open");
        if let Some(start) = start {
            self.span(start, tag);
        }
    }

    /// Ends the line (`count` 1) or the paragraph (2), and notes whether the line stood before.
    pub(super) fn newline(&mut self, count: usize) {
        self.end_line();
        let start = self.text.len();
        self.text.push_str(&"\n".repeat(count));
        self.span(start, Tag::Newline);
        self.line_start = self.text.len();
        self.space = false;
        self.capital = true;
        self.previous = None;
    }

    fn end_line(&mut self) {
        let line = self.text[self.line_start..].trim_start_matches(' ').to_owned();
        let start = self.text.len() - line.len();
        if line.len() >= SHORTEST_REPEATED_LINE && !self.lines.insert(line) {
            self.span(start, Tag::RepeatedLine);
        }
    }

    /// Begins a line with `depth` steps of four spaces.
    pub(super) fn indent(&mut self, depth: usize) {
        if depth > 0 {
            let start = self.text.len();
            self.text.push_str(&"    ".repeat(depth));
            self.span(start, Tag::Indent);
        }
        self.space = false;
        self.capital = false;
    }

    /// Lets the next word keep its case.
    pub(super) fn lower(&mut self) {
        self.capital = false;
    }

    /// Runs `write`, tagging what it writes as a repeated fact when `key` was stated before.
    pub(super) fn fact(&mut self, key: String, write: impl FnOnce(&mut Self)) {
        let repeated = !self.stated.insert(key);
        if repeated {
            self.open(Tag::RepeatedFact);
        }
        write(self);
        if repeated {
            self.close();
        }
    }

    /// Runs `write` and returns what it wrote, to be written again by [`Writer::replay`].
    pub(super) fn record(&mut self, write: impl FnOnce(&mut Self)) -> Recording {
        let (start, first_span, words) = (self.text.len(), self.spans.len(), self.words);
        write(self);
        let shifted = |span: &Span| Span { start: span.start - start, end: span.end - start, tag: span.tag };
        Recording {
            text: self.text[start..].to_owned(),
            spans: self.spans[first_span..].iter().map(shifted).collect(),
            words: self.words - words,
        }
    }

    /// Writes a recording again, tags included; its names are now second mentions.
    pub(super) fn replay(&mut self, recording: &Recording) {
        let offset = self.text.len();
        self.text.push_str(&recording.text);
        for &Span { start, end, tag } in recording.spans.iter().filter(|span| span.tag != Tag::SecondMention)
        {
            let moved = Span { start: start + offset, end: end + offset, tag };
            self.spans.push(moved);
            if tag == Tag::Name {
                self.spans.push(Span { tag: Tag::SecondMention, ..moved });
            }
        }
        self.words += recording.words;
        self.space = true;
    }

    /// Writes `text` as it stands, without a space before it or any care for capitals.
    pub(super) fn raw(&mut self, text: &str, tag: Option<Tag>) {
        let start = self.text.len();
        for (_, phrase) in &mut self.open {
            phrase.get_or_insert(start);
        }
        self.text.push_str(text);
        if let Some(tag) = tag {
            self.span(start, tag);
            self.previous = Some(tag);
            self.words += usize::from(tag != Tag::Punctuation);
        }
    }

    /// Writes several words with the same tag.
    pub(super) fn words_of(&mut self, words: &str, tag: Tag) {
        for word in words.split_whitespace() {
            self.word(word, Some(tag));
        }
    }

    /// The finished text and its spans, in order of their start.
    pub(super) fn finish(mut self, kind: Tag) -> (String, Vec<Span>) {
        debug_assert!(self.open.is_empty(), "every phrase is closed");
        self.end_line();
        let end = self.text.trim_end().len();
        self.text.truncate(end);
        self.spans.retain(|span| span.start < end);
        for span in &mut self.spans {
            span.end = span.end.min(end);
        }
        self.span(0, kind);
        self.spans.sort_by_key(|span| (span.start, std::cmp::Reverse(span.end), span.tag));
        (self.text, self.spans)
    }

    /// Tags from `start` to the end of the text.
    pub(super) fn span(&mut self, start: usize, tag: Tag) {
        self.spans.push(Span { start, end: self.text.len(), tag });
    }

    /// Writes the space that is due, starts the phrases that wait for a first word, and returns where it starts.
    fn begin(&mut self) -> usize {
        if self.space {
            self.text.push(' ');
        }
        self.space = true;
        let start = self.text.len();
        for (_, phrase) in &mut self.open {
            phrase.get_or_insert(start);
        }
        start
    }

    /// Whether the last word is the article "a", which may have to become "an".
    fn article_waits(&self) -> bool {
        let mut ending = self.text.chars().rev();
        self.previous == Some(Tag::Determiner)
            && matches!(ending.next(), Some('a' | 'A'))
            && !ending.next().is_some_and(char::is_alphanumeric)
    }

    fn lengthen_article(&mut self) {
        let end = self.text.len();
        self.text.push('n');
        for span in self.spans.iter_mut().filter(|span| span.end == end) {
            span.end += 1;
        }
    }
}

/// People with different names.
fn cast(rng: &mut Rng) -> Vec<Character> {
    let mut surnames: Vec<&'static str> = SURNAMES.split_whitespace().collect();
    rng.shuffle(&mut surnames);
    let mut cast: Vec<Character> = Vec::new();
    while cast.len() < PEOPLE.len() {
        let masculine = rng.chance(0.5);
        let names: Vec<&'static str> = FIRST_NAMES[usize::from(masculine)].split_whitespace().collect();
        let first = *rng.pick(&names);
        if cast.iter().any(|other| other.first == first) {
            continue;
        }
        let titles: &[&str] = if masculine {
            &["Mr", "Mr", "Dr", "Captain", "Professor"]
        } else {
            &["Mrs", "Miss", "Dr", "Madame"]
        };
        let title = *rng.pick(titles);
        let trade = rng.below(TRADES.len() as u64) as usize;
        cast.push(Character {
            first,
            surname: surnames[cast.len()],
            masculine,
            title,
            trade,
            age: 20 + rng.below(70),
            first_written: false,
            surname_written: false,
        });
    }
    cast
}

/// The tag that a word earns by the word before it.
fn pair_tag(previous: Tag, tag: Tag) -> Option<Tag> {
    use Tag::{
        Adjective, Auxiliary, Currency, Determiner, Month, Name, NounPlural, NounSingular, Number, Operator,
        Pronoun, Quote, Title, Unit, VerbBase, VerbPast, VerbPresent,
    };
    match (previous, tag) {
        (Title, Name) => Some(Tag::NameAfterTitle),
        (Month, Number) => Some(Tag::NumberAfterMonth),
        (Currency, Number) => Some(Tag::NumberAfterCurrency),
        (Operator, Number) => Some(Tag::NumberAfterOperator),
        (Number, Unit) => Some(Tag::UnitAfterNumber),
        (Adjective, NounSingular | NounPlural) => Some(Tag::NounAfterAdjective),
        (Determiner, NounSingular | NounPlural) => Some(Tag::NounAfterDeterminer),
        (Pronoun, VerbPast | VerbPresent | VerbBase | Auxiliary) => Some(Tag::VerbAfterPronoun),
        (Quote, VerbPast) => Some(Tag::SpeechAfterQuote),
        _ => None,
    }
}
