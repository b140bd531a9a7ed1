//! Interprets the grammar's templates.
//!
//! A template is a line of items separated by spaces:
//!
//! | item | meaning |
//! |---|---|
//! | `word` | the word, tagged by its closed class or by the lexicon |
//! | `word/n` | the word with this tag (`n ns adj adv vd vz vb vi prep`) |
//! | `, . ; : ! ? 's` | glued to the word before; a full stop makes the next word a capital |
//! | `“ … ”` `( … )` | a quotation, a parenthesis (written with straight quotes) |
//! | `<x\|y\|z>` | one of the alternatives, which are templates |
//! | `{rule}` `{rule.form}` | a production of that rule; `*` inside it stands for the form |
//! | `{class}` `{class.form}` | a word of a lexicon class, inflected |
//! | `{o:class}` … `{o}` | the same with the word kept as `o`, then that word again |
//! | `{A}` `{A.he}` … | a character by name, pronoun, title or trade |
//! | `{T}` `{T.country}` … | a town and its facts |
//! | `{date}` `{year}` `{num}` … | figures |
//! | `[tag … ]` | a tagged phrase |
//! | `^` `_` `+` | next word: capital; no capital; no space before it |

use super::facts::{COUNTRIES, Country, TOWNS, TRADES, Town};
use super::grammar;
use super::lexicon::{self, Inflection, SURNAMES};
use super::tags::Tag;
use super::writer::Writer;

impl Writer {
    /// Writes a template.
    ///
    /// # Panics
    /// If the template names something that does not exist (the tests expand every rule).
    pub(super) fn say(&mut self, template: &str) {
        self.interpret(template, "");
    }

    fn interpret(&mut self, template: &str, form: &str) {
        let mut rest = template.trim_start();
        while !rest.is_empty() {
            let end = if rest.starts_with('<') { matching_angle(rest) } else { item_end(rest) };
            let (item, tail) = rest.split_at(end);
            if let Some(inner) = item.strip_prefix('<') {
                let choices = alternatives(&inner[..inner.len() - 1]);
                let choice = *self.rng.pick(&choices);
                self.interpret(choice, form);
            } else {
                self.item(item, form);
            }
            rest = tail.trim_start();
        }
    }

    fn item(&mut self, item: &str, form: &str) {
        match item {
            "_" => self.capital = false,
            "^" => self.capital = true,
            "+" => self.space = false,
            "]" => self.close(),
            "“" => self.open_mark('"', Tag::Quote, Tag::Quotation),
            "”" => self.close_mark('"', Tag::Quote, Tag::ClosingQuote),
            "(" => self.open_mark('(', Tag::Punctuation, Tag::Parentheses),
            ")" => self.close_mark(')', Tag::Punctuation, Tag::ClosingBracket),
            "." | "," | ";" | ":" | "!" | "?" | "'s" => self.mark(item),
            _ => {
                if let Some(name) = item.strip_prefix('[') {
                    self.open(phrase_tag(name));
                } else if let Some(spec) = item.strip_prefix('{') {
                    let spec = spec.strip_suffix('}').expect("a slot ends in a brace").replace('*', form);
                    self.slot(&spec);
                } else if let Some((word, tag)) = item.split_once('/') {
                    self.word(word, Some(word_tag(tag)));
                } else {
                    self.word(item, lexicon::tag_of(item));
                }
            }
        }
    }

    fn slot(&mut self, spec: &str) {
        if let Some((variable, class)) = spec.split_once(':') {
            let (class, form) = class.split_once('.').unwrap_or((class, ""));
            let variable = variable.chars().next().expect("a variable has a letter");
            self.keep(variable, class);
            self.slot(&format!("{variable}.{form}"));
            return;
        }
        let (head, form) = spec.split_once('.').unwrap_or((spec, ""));
        let mut letters = head.chars();
        if let (Some(letter), None) = (letters.next(), letters.next()) {
            match letter {
                'A'..='L' => self.character(letter as usize - 'A' as usize, form),
                'T' | 'U' => self.town(usize::from(letter == 'U'), form),
                _ => {
                    let &(inflection, word) =
                        self.kept.get(&letter).expect("a variable is bound before its use");
                    self.inflected(inflection, word, form);
                }
            }
        } else if let Some(class) = lexicon::classes().get(head) {
            let word = *self.rng.pick(&class.words);
            self.inflected(class.inflection, word, form);
        } else if let Some(productions) = grammar::rules().get(head) {
            let production = *self.rng.pick(productions);
            self.interpret(production, form);
        } else {
            self.figure(head);
        }
    }

    /// Keeps a random word of `class` under `variable`.
    pub(super) fn keep(&mut self, variable: char, class: &str) {
        let class = lexicon::classes().get(class).expect("a class of the lexicon");
        let word = *self.rng.pick(&class.words);
        self.kept.insert(variable, (class.inflection, word));
    }

    fn inflected(&mut self, inflection: Inflection, word: &str, form: &str) {
        let (text, tag) = lexicon::inflected(inflection, word, form).expect("a form of the class");
        self.word(&text, Some(tag));
    }

    fn figure(&mut self, name: &str) {
        match name {
            "date" => self.date(),
            "day" => {
                let day = 1 + self.rng.below(28);
                self.number(&day.to_string());
            }
            "heat" => {
                let degrees = 10 * (12 + self.rng.below(13));
                self.number(&degrees.to_string());
            }
            "year" => {
                let year = 1800 + self.rng.below(221);
                self.number(&year.to_string());
            }
            "num" => {
                let n = 2 + self.rng.below(98);
                self.number(&n.to_string());
            }
            "big" => {
                let n = (1 + self.rng.below(99)) * 100;
                self.number(&n.to_string());
            }
            "clock" => {
                let (hour, minute) = (1 + self.rng.below(12), 5 * self.rng.below(12));
                self.number(&format!("{hour}:{minute:02}"));
            }
            "money" => {
                let sign = *self.rng.pick(&["$", "£", "€"]);
                let amount = 1 + self.rng.below(900);
                self.money(sign, &amount.to_string());
            }
            "street" => {
                self.say("^ <{plant}|{job}|{spot}|{adj}|{surname}> ^ <street|road|lane/n|square|hill>");
                self.capital = false;
            }
            "surname" => {
                let names: Vec<&str> = SURNAMES.split_whitespace().collect();
                let name = *self.rng.pick(&names);
                self.word(name, Some(Tag::Name));
            }
            _ => panic!("no slot is called {name}"),
        }
    }

    fn date(&mut self) {
        self.open(Tag::Date);
        match self.rng.below(3) {
            0 => self.say("{day} {month} {year}"),
            1 => self.say("{month} {day} , {year}"),
            _ => self.say("{weekday} , {day} {month}"),
        }
        self.close();
    }

    fn character(&mut self, index: usize, form: &str) {
        let who = &self.cast[index];
        let masculine = usize::from(who.masculine);
        let pronoun = |forms: [&'static str; 2]| forms[masculine];
        match form {
            "he" => self.word(pronoun(["she", "he"]), Some(Tag::Pronoun)),
            "him" => self.word(pronoun(["her", "him"]), Some(Tag::Pronoun)),
            "his" => self.word(pronoun(["her", "his"]), Some(Tag::Determiner)),
            "self" => self.word(pronoun(["herself", "himself"]), Some(Tag::Pronoun)),
            "job" => {
                let trade = TRADES[who.trade].name;
                self.fact(format!("job {index}"), |w| w.word(trade, Some(Tag::NounSingular)));
            }
            "age" => {
                let age = who.age.to_string();
                self.fact(format!("age {index}"), |w| w.number(&age));
            }
            "work" => {
                let work = TRADES[who.trade].work;
                self.say(work);
            }
            "place" => {
                let place = TRADES[who.trade].place;
                self.word(place, Some(Tag::NounSingular));
            }
            "" if !who.first_written && !who.surname_written => self.name(index, "full"),
            "" if self.rng.chance(0.1) => self.name(index, "title"),
            "" => self.name(index, "first"),
            _ => self.name(index, form),
        }
    }

    fn name(&mut self, index: usize, form: &str) {
        let who = &mut self.cast[index];
        let (first, surname, title) = (who.first, who.surname, who.title);
        let (writes_first, writes_surname) = (form != "title", form != "first");
        let again = (who.first_written || !writes_first) && (who.surname_written || !writes_surname);
        who.first_written |= writes_first;
        who.surname_written |= writes_surname;
        if again {
            self.open(Tag::SecondMention);
        }
        match form {
            "title" => self.word(title, Some(Tag::Title)),
            "first" | "full" => self.word(first, Some(Tag::Name)),
            _ => panic!("a character has no {form}"),
        }
        if writes_surname {
            self.word(surname, Some(Tag::Name));
        }
        if form == "full" {
            self.span(self.text.len() - surname.len(), Tag::Surname);
        }
        if again {
            self.close();
        }
    }

    fn town(&mut self, index: usize, form: &str) {
        let town: &Town = &TOWNS[self.towns[index]];
        let country: &Country = &COUNTRIES[town.country];
        let key = |what: &str| format!("{what} {}", town.name);
        match form {
            "" => self.words_of(town.name, Tag::Place),
            "kind" => self.fact(key("kind"), |w| w.word(town.kind, Some(Tag::NounSingular))),
            "country" => self.fact(key("country"), |w| w.word(country.name, Some(Tag::Country))),
            "water" => self.fact(key("water"), |w| w.words_of(town.water, Tag::Place)),
            "language" => self.fact(key("language"), |w| w.word(country.language, None)),
            "people" => self.word(country.people, None),
            "currency" => self.fact(key("currency"), |w| w.word(country.currency, Some(Tag::Currency))),
            "capital" => self.fact(key("capital"), |w| w.words_of(country.capital, Tag::Place)),
            _ => panic!("a town has no {form}"),
        }
    }
}

fn word_tag(name: &str) -> Tag {
    match name {
        "n" => Tag::NounSingular,
        "ns" => Tag::NounPlural,
        "adj" => Tag::Adjective,
        "adv" => Tag::Adverb,
        "vd" => Tag::VerbPast,
        "vz" => Tag::VerbPresent,
        "vb" => Tag::VerbBase,
        "vi" => Tag::VerbIng,
        "prep" => Tag::Preposition,
        "unit" => Tag::Unit,
        "cur" => Tag::Currency,
        _ => panic!("no word tag is called {name}"),
    }
}

fn phrase_tag(name: &str) -> Tag {
    match name {
        "sub" => Tag::Subordinate,
        "rel" => Tag::Relative,
        "far" => Tag::DistantAgreement,
        "series" => Tag::Series,
        "salut" => Tag::Salutation,
        "head" => Tag::Heading,
        "verse" => Tag::Verse,
        "item" => Tag::ListItem,
        "addr" => Tag::Address,
        _ => panic!("no phrase tag is called {name}"),
    }
}

/// Where the item that begins `rest` ends.
fn item_end(rest: &str) -> usize {
    rest.find(char::is_whitespace).unwrap_or(rest.len())
}

/// Where the alternative group that begins `rest` ends.
fn matching_angle(rest: &str) -> usize {
    let mut depth = 0;
    for (i, c) in rest.char_indices() {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i + 1;
        }
    }
    panic!("an alternative is not closed: {rest}");
}

/// The top-level alternatives of a group.
fn alternatives(group: &str) -> Vec<&str> {
    let (mut depth, mut from, mut found) = (0, 0, Vec::new());
    for (i, c) in group.char_indices() {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            '|' if depth == 0 => {
                found.push(&group[from..i]);
                from = i + 1;
            }
            _ => {}
        }
    }
    found.push(&group[from..]);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::tags::Span;
    use crate::rng::Rng;

    fn written(template: &str) -> (String, Vec<Span>) {
        let mut writer = Writer::new(Rng::new(1));
        writer.say(template);
        writer.finish(Tag::KindStory)
    }

    #[test]
    fn spaces_capitals_and_articles() {
        let (text, _) = written("a old/adj dog , “ come here ! ” _ said/vd a cat ( a owl ) . she slept/vd .");
        assert_eq!(text, "An old dog, \"Come here!\" said a cat (an owl). She slept.");
    }

    #[test]
    fn tags_words_and_phrases() {
        let (text, spans) = written("he ran [sub because the dogs barked/vd ] .");
        let of = |tag| spans.iter().find(|span| span.tag == tag).map(|span| &text[span.start..span.end]);
        assert_eq!(of(Tag::Pronoun), Some("He"));
        assert_eq!(of(Tag::SentenceStart), Some("He"));
        assert_eq!(of(Tag::Subordinate), Some("because the dogs barked"));
        assert_eq!(of(Tag::NounAfterDeterminer), Some("dogs"));
        assert_eq!(of(Tag::Punctuation), Some("."));
    }

    /// Interpreting panics on an unknown name, so no production may name one.
    #[test]
    fn every_production_expands() {
        let mut writer = Writer::new(Rng::new(2));
        for (variable, class) in [('f', "food"), ('g', "stuff"), ('h', "stuff")] {
            writer.keep(variable, class);
        }
        for (rule, productions) in grammar::rules() {
            for production in *productions {
                for form in ["d", "b", "z", "ing"] {
                    // Alternatives are drawn: often enough to meet each.
                    (0..8).for_each(|_| writer.interpret(production, form));
                }
            }
            assert!(writer.open.is_empty(), "{rule} leaves a phrase open");
        }
    }
}
