//! The kinds of document made of lines: recipes, tables, programs, directories, sums, drills.

use std::collections::HashSet;

use super::documents::length;
use super::facts::TOWNS;
use super::lexicon::{self, FIRST_NAMES};
use super::tags::{Span, Tag};
use super::writer::{PEOPLE, Writer};

const KEYWORDS: &[&str] =
    &["def", "return", "for", "in", "if", "else", "while", "print", "and", "not", "range", "len"];

/// Ingredients and numbered steps.
pub(super) fn recipe(w: &mut Writer) {
    let goal = length(w).min(200);
    for (variable, class) in [('f', "food"), ('g', "stuff"), ('h', "stuff")] {
        w.keep(variable, class);
    }
    w.say("[head ^ <{taste} {f} with {g}|{f.s} in {g}|the {job} 's {f} and {g}> ]");
    w.newline(2);
    w.say("<for {numword} people :|you need :|from {T} , for {numword} {person.s} :>");
    w.newline(1);
    for extra in ["{num} grams/unit of {g}", "{numword} {f.s}", "a spoon of {h}"] {
        item(w, "-", extra);
    }
    for _ in 0..1 + w.rng.below(4) {
        item(
            w,
            "-",
            "<{num} grams/unit of {stuff}|{numword} {taste} {food.s}|a {vessel} of {stuff}|\
             {num} {food.s} ( or {num} {food.s} )>",
        );
    }
    w.newline(1);
    let mut step = 1;
    while w.words() < goal && step < 12 {
        item(w, &format!("{step}."), "^ {step}");
        step += 1;
    }
}

/// A line of a list: its dash or number, then a template.
fn item(w: &mut Writer, bullet: &str, template: &str) {
    w.open(Tag::ListItem);
    w.sign(bullet, Tag::Bullet);
    w.say(template);
    w.close();
    w.newline(1);
}

/// Notes with dashed items: what to pack, to buy, to do.
pub(super) fn list(w: &mut Writer) {
    let goal = length(w).min(140);
    let kinds = [
        ("things to bring to {T} :", "<{numword} {thing.s}|a {adj} {thing}|{num} {thing.s} for {A}|the {o}>"),
        (
            "to do {when} :",
            "<{handle.b} {obj}|{meet.b} {A} {where}|{make.b} a {thing}|{vp.b} before {clock}>",
        ),
        (
            "for sale in {T} , {date} :",
            "<{num} {thing.s} , {money} each|a {adj} {thing} , {money}|a {adj} {wear} , {money}>",
        ),
        (
            "the week of {A} :",
            "<{weekday} : {vp.b}|{weekday} at {clock} : {meet.b} {B}|{weekday} : {make.b} a {thing}>",
        ),
    ];
    while w.words() < goal {
        let &(heading, entry) = w.rng.pick(&kinds);
        w.say("[head ^");
        w.say(heading);
        w.close();
        w.newline(1);
        let bullet = *w.rng.pick(&["-", "*", "+"]);
        for _ in 0..4 + w.rng.below(6) {
            item(w, bullet, entry);
        }
        w.newline(1);
    }
    w.say("{sentence}");
}

/// Rows of things and figures with a total.
pub(super) fn table(w: &mut Writer) {
    let goal = length(w).min(120);
    while w.words() < goal {
        let class = *w.rng.pick(&["thing", "food", "animal", "vehicle", "wear"]);
        w.say(
            "[head ^ <figures for {T} , {year}|the {job} 's list , {date}|\
             what the {spot} sold/vd in {month} {year}> ]",
        );
        w.newline(1);
        let columns = 2 + w.rng.below(2) as usize;
        let bar = *w.rng.pick(&["|", ",", ";"]);
        row(w, bar, &[class.to_owned(), "number".to_owned(), "price".to_owned()][..columns], true);
        let rows = 3 + w.rng.below(5) as usize;
        let mut totals = vec![0; columns - 1];
        let words = distinct(w, &lexicon::classes()[class].words, rows);
        for word in words {
            let mut cells = vec![format!("{word}/n")];
            for total in &mut totals {
                let figure = 1 + w.rng.below(80);
                *total += figure;
                cells.push(figure.to_string());
            }
            row(w, bar, &cells, false);
        }
        let mut cells = vec!["total/n".to_owned()];
        cells.extend(totals.iter().map(u64::to_string));
        row(w, bar, &cells, true);
        w.newline(1);
        w.say(
            "<the figures are from {A} , {A.job} in {T} .|{A} counted/vd them on {date} .|\
             in {T.country} the price is in {T.currency} + s .>",
        );
        w.newline(2);
    }
}

/// One row; figures of a summing row are computed numbers.
fn row(w: &mut Writer, bar: &str, cells: &[String], sums: bool) {
    w.open(Tag::TableRow);
    for (i, cell) in cells.iter().enumerate() {
        if i > 0 {
            if bar == "|" { w.sign(bar, Tag::Punctuation) } else { w.mark(bar) }
        }
        if cell.bytes().all(|b| b.is_ascii_digit()) {
            figure(w, cell, sums);
        } else {
            w.lower();
            w.say(cell);
        }
    }
    w.close();
    w.newline(1);
}

fn figure(w: &mut Writer, figures: &str, computed: bool) {
    w.number(figures);
    if computed {
        let start = w.text.len() - figures.len();
        w.span(start, Tag::Result);
    }
}

/// `count` different words of a list, in random order.
fn distinct(w: &mut Writer, words: &[&'static str], count: usize) -> Vec<&'static str> {
    let mut words = words.to_vec();
    w.rng.shuffle(&mut words);
    words.truncate(count);
    words
}

/// Names with addresses and telephone numbers.
pub(super) fn directory(w: &mut Writer) {
    let goal = length(w).min(130);
    w.say(
        "[head ^ <addresses/ns|members/ns of the {grade} {public}|visitors , {month} {year}|\
         guest list of the {event}> ]",
    );
    w.newline(2);
    let mut who = 0;
    while w.words() < goal && who < PEOPLE.len() {
        w.towns[who % 2] = w.rng.below(TOWNS.len() as u64) as usize;
        let (person, town) = (PEOPLE[who], if who.is_multiple_of(2) { 'T' } else { 'U' });
        w.open(Tag::Address);
        w.say(&format!("{{{person}.full}}"));
        w.newline(1);
        w.say("{num} {street}");
        w.newline(1);
        w.say(&format!("{{{town}}} , {{{town}.country}}"));
        w.close();
        w.newline(1);
        match w.rng.below(3) {
            0 => {
                w.say("telephone/n :");
                let figures = format!("{:03} {:04}", w.rng.below(1000), w.rng.below(10_000));
                figures.split(' ').for_each(|part| w.number(part));
                w.newline(2);
            }
            1 => {
                w.say(&format!("{{{person}.job}} , born/adj {{date}}"));
                w.newline(2);
            }
            _ => w.newline(1),
        }
        who += 1;
    }
    w.say("please/adv write/vb to {A.title} in {T} before {date} .");
}

/// Equations and word problems, all of them right.
pub(super) fn sums(w: &mut Writer) {
    let goal = length(w).min(150);
    while w.words() < goal {
        if w.rng.chance(0.4) {
            word_problem(w);
        } else {
            let limit = *w.rng.pick(&[10, 20, 50]);
            for _ in 0..3 + w.rng.below(6) {
                equation(w, limit);
                w.newline(1);
            }
        }
        w.newline(1);
    }
    w.say("{A} checked/vd every line .");
}

fn equation(w: &mut Writer, limit: u64) {
    let (a, b) = (1 + w.rng.below(limit), 1 + w.rng.below(limit));
    let (left, sign, right, result) = match w.rng.below(4) {
        0 | 1 => (a, "+", b, a + b),
        2 => (a.max(b), "-", a.min(b), a.max(b) - a.min(b)),
        _ => (a.min(12), "*", b.min(12), a.min(12) * b.min(12)),
    };
    w.open(Tag::Sum);
    w.number(&left.to_string());
    w.sign(sign, Tag::Operator);
    w.number(&right.to_string());
    w.sign("=", Tag::Operator);
    figure(w, &result.to_string(), true);
    w.close();
}

fn word_problem(w: &mut Writer) {
    let (have, change) = (10 + w.rng.below(40), 1 + w.rng.below(9));
    let (person, gains) = (*w.rng.pick(&['A', 'B']), w.rng.chance(0.5));
    w.say(&format!("{{{person}}} had"));
    w.number(&have.to_string());
    w.say(&format!("{{o.s}} . {{{person}.he}}"));
    w.say(if gains { "bought" } else { "sold" });
    w.number(&change.to_string());
    w.say(if gains { "more/adv" } else { "of them" });
    w.say(&format!(". now {{{person}}} has"));
    figure(w, &(if gains { have + change } else { have - change }).to_string(), true);
    w.say("{o.s} .");
    w.newline(1);
}

/// Series of words that come again in their order.
pub(super) fn drill(w: &mut Writer) {
    let goal = length(w).min(180);
    while w.words() < goal {
        match w.rng.below(3) {
            0 => w.say("{A} had to learn/vb these words by heart/n :"),
            1 => w.say("<say it again|once more/adv|all together> :"),
            _ => w.say("the <list/n|song|row/n> of {B} goes/vz :"),
        }
        w.newline(1);
        let source = w.rng.below(4);
        let count = 4 + w.rng.below(6) as usize;
        let words = match source {
            0 | 1 => distinct(w, &lexicon::classes()["nonsense"].words, count),
            2 => distinct(w, &lexicon::classes()["thing"].words, count),
            _ => {
                let names: Vec<_> = FIRST_NAMES.iter().flat_map(|names| names.split_whitespace()).collect();
                distinct(w, &names, count)
            }
        };
        let tag = [Tag::Nonsense, Tag::Nonsense, Tag::NounSingular, Tag::Name][source as usize];
        let comma = w.rng.chance(0.5);
        for round in 0..2 + w.rng.below(3) {
            series(w, &words, tag, (comma, round > 0));
            w.newline(1);
        }
        w.newline(1);
    }
    w.say("{A} {react.d} .");
}

/// One round of a series, with or without commas; in a later round all but the first word are foreseeable.
fn series(w: &mut Writer, words: &[&str], tag: Tag, (comma, again): (bool, bool)) {
    w.open(Tag::Series);
    for (i, word) in words.iter().enumerate() {
        if i > 0 && comma {
            w.mark(",");
        }
        w.lower();
        w.word(word, Some(tag));
        if again && i > 0 {
            let start = w.text.len() - word.len();
            w.span(start, Tag::Induction);
        }
    }
    w.close();
}

/// A little program in an indented language.
pub(super) fn code(w: &mut Writer) {
    let goal = length(w).min(160);
    let mut program = Program { defined: HashSet::new(), functions: Vec::new() };
    if w.rng.chance(0.5) {
        w.open(Tag::CodeLine);
        w.raw("#", Some(Tag::Operator));
        w.raw(" ", None);
        w.say("_ {make.b} the {thing.s} of {T}");
        w.close();
        w.newline(1);
    }
    while w.words() < goal {
        match w.rng.below(3) {
            0 => program.function(w),
            1 => program.arithmetic(w),
            _ => program.call(w),
        }
        w.newline(1);
    }
    program.line(w, 0, "print(\"done\")");
}

/// What a program has defined so far.
struct Program {
    defined: HashSet<String>,
    functions: Vec<&'static str>,
}

impl Program {
    fn function(&mut self, w: &mut Writer) {
        let name = *w.rng.pick(&lexicon::classes()["func"].words);
        let vars = distinct(w, &lexicon::classes()["ident"].words, 4);
        let [a, b, c, d] = [vars[0], vars[1], vars[2], vars[3]];
        let (n, m) = (2 + w.rng.below(30), 1 + w.rng.below(9));
        self.line(w, 0, &format!("def {name}({a}, {b}):"));
        self.defined.extend([a, b, name].map(str::to_owned));
        match w.rng.below(4) {
            0 => {
                self.line(w, 1, &format!("{c} = {a} + {b} * {m}"));
                self.line(w, 1, &format!("return {c}"));
            }
            1 => {
                self.line(w, 1, &format!("{c} = 0"));
                self.line(w, 1, &format!("for {d} in range({a}):"));
                self.line(w, 2, &format!("{c} = {c} + {d}"));
                self.line(w, 1, &format!("return {c} - {b}"));
            }
            2 => {
                self.line(w, 1, &format!("if {a} > {n}:"));
                self.line(w, 2, &format!("return {b}"));
                self.line(w, 1, &format!("return {a} * {m}"));
            }
            _ => {
                self.line(w, 1, &format!("while {a} < {n}:"));
                self.line(w, 2, &format!("{a} = {a} + {b}"));
                self.line(w, 2, &format!("print(\"{a}\", {a})"));
                self.line(w, 1, &format!("return {a}"));
            }
        }
        self.functions.push(name);
    }

    fn arithmetic(&mut self, w: &mut Writer) {
        let vars = distinct(w, &lexicon::classes()["ident"].words, 2);
        let (n, m) = (1 + w.rng.below(40) as i64, 1 + w.rng.below(12) as i64);
        self.line(w, 0, &format!("{} = {n}", vars[0]));
        let (sign, value) = *w.rng.pick(&[("+", n + m), ("-", n - m), ("*", n * m)]);
        self.line(w, 0, &format!("{} = {} {sign} {m}", vars[1], vars[0]));
        self.line(w, 0, &format!("print({})", vars[1]));
        self.line(w, 0, &format!("# {value}"));
        let end = w.text.trim_end().len();
        let digits = value.unsigned_abs().to_string().len();
        w.spans.push(Span { start: end - digits, end, tag: Tag::Result });
    }

    fn call(&mut self, w: &mut Writer) {
        if self.functions.is_empty() {
            return self.function(w);
        }
        let name = *w.rng.pick(&self.functions);
        let vars = distinct(w, &lexicon::classes()["ident"].words, 3);
        let words = distinct(w, &lexicon::classes()["thing"].words, 3);
        let (n, m) = (1 + w.rng.below(60), 1 + w.rng.below(20));
        match w.rng.below(3) {
            0 => self.line(w, 0, &format!("{} = {name}({n}, {m})", vars[0])),
            1 => {
                self.line(
                    w,
                    0,
                    &format!("{} = [\"{}\", \"{}\", \"{}\"]", vars[0], words[0], words[1], words[2]),
                );
                self.line(w, 0, &format!("for {} in {}:", vars[1], vars[0]));
                self.line(w, 1, &format!("print({})", vars[1]));
            }
            _ => {
                self.line(w, 0, &format!("{} = {name}({n}, {m})", vars[0]));
                self.line(w, 0, &format!("if {} > {m}:", vars[0]));
                self.line(w, 1, &format!("print(\"{}\")", words[0]));
                self.line(w, 0, "else:");
                self.line(w, 1, &format!("print({name}({}, {n}))", vars[0]));
            }
        }
    }

    /// Writes a line of code as it stands and tags its parts.
    fn line(&mut self, w: &mut Writer, depth: usize, code: &str) {
        w.indent(depth);
        w.open(Tag::CodeLine);
        if depth > 0 {
            w.open(Tag::CodeBody);
        }
        let mut rest = code;
        while let Some(first) = rest.chars().next() {
            let length = match first {
                '"' => rest[1..].find('"').map_or(rest.len(), |i| i + 2),
                _ if first.is_alphabetic() => {
                    rest.find(|c: char| !c.is_alphabetic() && c != '_').unwrap_or(rest.len())
                }
                _ if first.is_ascii_digit() => rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()),
                _ => 1,
            };
            let (part, tail) = rest.split_at(length);
            self.part(w, part, first);
            rest = tail;
        }
        if depth > 0 {
            w.close();
        }
        w.close();
        let loop_variable = code.strip_prefix("for ").and_then(|rest| rest.split_once(" in "));
        if let Some((variable, _)) = loop_variable.or_else(|| code.split_once(" = ")) {
            self.defined.insert(variable.to_owned());
        }
        w.newline(1);
    }

    fn part(&mut self, w: &mut Writer, part: &str, first: char) {
        match first {
            ' ' => w.raw(" ", None),
            '"' => {
                w.open(Tag::Quotation);
                w.raw("\"", Some(Tag::Quote));
                let word = &part[1..part.len() - 1];
                w.raw(word, lexicon::tag_of(word).or(Some(Tag::NounSingular)));
                w.raw("\"", Some(Tag::Quote));
                w.span(w.text.len() - 1, Tag::ClosingQuote);
                w.close();
            }
            '(' | '[' => {
                w.open(Tag::Parentheses);
                w.raw(part, Some(Tag::Punctuation));
            }
            ')' | ']' => {
                w.raw(part, Some(Tag::Punctuation));
                w.span(w.text.len() - 1, Tag::ClosingBracket);
                w.close();
            }
            ',' | ':' => w.raw(part, Some(Tag::Punctuation)),
            _ if first.is_ascii_digit() => w.digits(part),
            _ if KEYWORDS.contains(&part) => w.raw(part, Some(Tag::Keyword)),
            _ if first.is_alphabetic() => {
                w.raw(part, Some(Tag::Identifier));
                if self.defined.contains(part) {
                    w.span(w.text.len() - part.len(), Tag::DefinedIdentifier);
                }
            }
            _ => w.raw(part, Some(Tag::Operator)),
        }
    }
}
