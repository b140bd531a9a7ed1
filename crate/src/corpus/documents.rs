//! The kinds of document made of sentences: stories, letters, reports, dialogues, poems, articles.

use super::facts::{ANIMALS, COUNTRIES, TOWNS, TRADES};
use super::grammar;
use super::tags::Tag;
use super::writer::{PEOPLE, Writer};

/// How many words a document aims at: 60 to 270, now and then up to 400.
pub(super) fn length(w: &mut Writer) -> usize {
    let words = 50 + w.rng.below(80) + w.rng.below(100);
    let long = w.rng.chance(0.06);
    (if long { words + 120 } else { words }) as usize
}

/// Sentences of `rule` until the document has `goal` words, in paragraphs of two to six.
///
/// Productions are dealt like cards, so that none comes twice before each has come once.
fn paragraphs(w: &mut Writer, rule: &str, goal: usize) {
    let mut deck = Vec::new();
    while w.words() < goal {
        for _ in 0..2 + w.rng.below(5) {
            if deck.is_empty() {
                deck = grammar::rules()[rule].to_vec();
                w.rng.shuffle(&mut deck);
            }
            w.say(deck.pop().unwrap_or_default());
        }
        w.newline(2);
    }
}

/// A story about A and B and a thing.
pub(super) fn story(w: &mut Writer) {
    let goal = length(w);
    if w.rng.chance(0.4) {
        w.say("[head ^ the {adj} {o} <|of {T}|and the {animal}> ]");
        w.newline(2);
    }
    w.say("{opening} {sentence}");
    w.newline(2);
    paragraphs(w, "sentence", goal.saturating_sub(20));
    w.say("{ending}");
}

/// A letter from B to A.
pub(super) fn letter(w: &mut Writer) {
    let goal = length(w);
    if w.rng.chance(0.6) {
        w.open(Tag::Address);
        w.say("{num} {street} ,");
        w.newline(1);
        w.say("{T} , {T.country}");
        w.close();
        w.newline(1);
        w.say("{date}");
        w.newline(2);
    }
    let first = w.rng.chance(0.6);
    w.say(if first { "[salut ^ dear/adj {A.first} ] ," } else { "[salut ^ dear/adj {A.title} ] ," });
    w.newline(2);
    paragraphs(w, "letter", goal.saturating_sub(8));
    w.say("[salut <yours {manner}|with love/n from {T}|your {trait} friend|best/adj wishes/ns> ] ,");
    w.newline(1);
    w.say(if first { "[salut {B.first} ]" } else { "[salut {B.full} ]" });
    if w.rng.chance(0.3) {
        w.newline(2);
        w.say("P.S. ^ {letter}");
    }
}

/// A news report with places, dates and figures.
pub(super) fn report(w: &mut Writer) {
    let goal = length(w);
    w.say("[head <{grade} {event} in {T}|{T} : {event} at the {spot}|{public} of {T} to {civic}> ]");
    w.newline(2);
    w.say("{lead}");
    paragraphs(w, "report", goal);
    w.say("{T} , {weekday} .");
}

/// Two people talking: quoted lines, or a script with names and colons.
pub(super) fn dialogue(w: &mut Writer) {
    let goal = length(w);
    w.say("{A} and {B} <met|were|sat/vd|waited/vd> {where} <in {T}|{when}|> .");
    w.newline(2);
    let script = w.rng.chance(0.4);
    let mut turn = 0;
    while w.words() < goal {
        if script {
            w.say(if turn % 2 == 0 { "{A.first} :" } else { "{B.first} :" });
            w.say("^ <{utter} .|{query} ?|{utter} . ^ {query} ?|{utter} , and {utter} .|{utter} !>");
            w.newline(1);
        } else {
            let line = match (turn % 2, w.rng.below(4)) {
                (0, 0) => "“ {utter} , ” {say.d} {A.first} .",
                (0, 1) => "“ {utter} , ” {A.first} {say.d} {manner} . “ {query} ? ”",
                (0, 2) => "“ {utter} ! ”",
                (0, _) => "“ {query} ? ” _ {ask.d} {A.first} . {B.first} {react.d} .",
                (_, 0) => "“ {query} ? ” _ {ask.d} {B.first} .",
                (_, 1) => "“ {utter} , and {utter} , ” {say.d} {B.first} .",
                (_, 2) => "{B.first} {react.d} . “ {utter} , ” {B.he} {say.d} .",
                (_, _) => "“ {utter} , ” {say.d} {B.first} {manner} . “ {utter} . ”",
            };
            w.say(line);
            w.newline(1);
        }
        turn += 1;
    }
    w.say("<{A} {react.d} and {B} {react.d} .|then {A} {vp.d} .|that was the end of it .>");
}

/// Stanzas with a refrain.
pub(super) fn poem(w: &mut Writer) {
    let goal = length(w).min(150);
    w.say("[head ^ <song of the {o}|the {animal} and the {plant}|{A.first} 's song|{T} in {month}> ]");
    w.newline(2);
    let refrain = w.record(|w| w.say("[verse {refrain} ]"));
    w.newline(2);
    while w.words() < goal {
        for _ in 0..2 + w.rng.below(3) {
            w.say("[verse ^ {verse} ] <,|;|.|>");
            w.newline(1);
        }
        w.replay(&refrain);
        w.newline(2);
    }
    w.replay(&refrain);
}

/// An article of an encyclopaedia: a town, an animal, a trade, a person, and links between them.
pub(super) fn article(w: &mut Writer) {
    let goal = length(w);
    let mut people = PEOPLE.iter();
    while w.words() < goal {
        match w.rng.below(5) {
            0 => town_article(w),
            1 => animal_article(w),
            2 => trade_article(w),
            3 => country_article(w),
            _ => match people.next() {
                Some(&person) => person_article(w, person),
                None => town_article(w),
            },
        }
        w.newline(2);
    }
    w.say("see/vb also {U} , {animal.s} and {job.s} .");
}

fn town_article(w: &mut Writer) {
    w.towns[0] = w.rng.below(TOWNS.len() as u64) as usize;
    w.say("[head {T} ]");
    w.newline(1);
    w.say("{T} is a {T.kind} in {T.country} . it lies/vz on the {T.water} .");
    w.say("<the people of {T} speak/vb {T.language} and pay in {T.currency} + s .|{T} has about {big} people .>");
    w.say(
        "<the {spot} of {T} was built/vb in {year} .|the {adj} {spot} and the {spot} are famous .|\
         the {job.s} of {T} are {trait} .>",
    );
    w.say(
        "<the capital of {T.country} is {T.capital} .|in {year} , a {event} {struck} {T} .|\
         every {month} there is a {event} .>",
    );
}

fn country_article(w: &mut Writer) {
    w.towns[0] = w.rng.below(TOWNS.len() as u64) as usize;
    let country = &COUNTRIES[TOWNS[w.towns[0]].country];
    w.words_of(country.name, Tag::Country);
    w.say(
        "is a country whose capital is {T.capital} . the language is {T.language} , \
         and the money is the {T.currency} .",
    );
    w.say("{T} , a {T.kind} on the {T.water} , is also in {T.country} .");
    w.say("<its {job.s} sell/vb {stuff} and {stuff} .|in {month} the {nature.s} are {land} .|it has {num} {spot.s} .>");
}

fn animal_article(w: &mut Writer) {
    let index = w.rng.below(ANIMALS.len() as u64) as usize;
    let animal = &ANIMALS[index];
    let name = animal.name;
    w.say(&format!("[head ^ {name}/n ]"));
    w.newline(1);
    w.fact(format!("group {name}"), |w| {
        w.say(&format!("a {name}/n is a {}/n with {} legs .", animal.group, animal.legs))
    });
    w.fact(format!("home {name}"), |w| w.say(&format!("it lives/vz in a {}/n .", animal.home)));
    let fact = format!("young {name}");
    w.fact(fact.clone(), |w| w.say(&format!("a young {name}/n is called/vb a {}/n .", animal.young)));
    w.fact(format!("food {name}"), |w| {
        w.say(&format!("it eats/vz {} , and its sound is a {}/n .", animal.food, animal.sound))
    });
    w.say(&format!(
        "<when a {name}/n is {{mood}} , it {{rest.z}} {{where}} .|the {{job}} keeps/vz {{numword}} of them .|\
             a {name}/n can be {{numword}} years old .>"
    ));
    if w.rng.chance(0.4) {
        w.fact(fact, |w| w.say(&format!("a young {name}/n is called/vb a {}/n .", animal.young)));
    }
}

fn trade_article(w: &mut Writer) {
    let trade = *w.rng.pick(&TRADES.iter().collect::<Vec<_>>());
    w.fact(format!("work {}", trade.name), |w| {
        w.say(&format!("a {}/n is somebody who {} .", trade.name, trade.work))
    });
    w.say(&format!("a {}/n works/vz in a {}/n and needs/vz a {}/n .", trade.name, trade.place, trade.tool));
    w.say(&format!(
        "<in {{T}} , a {}/n {{often}} {{vp.z}} .|a good/adj {}/n is {{trait}} and {{trait}} .>",
        trade.name, trade.name
    ));
}

fn person_article(w: &mut Writer, person: char) {
    let birth = 1800 + w.rng.below(150);
    let age = 20 + w.rng.below(70);
    let say = |w: &mut Writer, template: &str| w.say(&template.replace("{A", &format!("{{{person}")));
    say(w, "[head {A.full} ]");
    w.newline(1);
    say(w, "{A.full} (");
    w.number(&birth.to_string());
    w.say("to");
    w.number(&(birth + age).to_string());
    say(w, ") was a {A.job} from {T} in {T.country} .");
    match w.rng.below(3) {
        0 => say(w, "{A.he} {vp.d} , and {A.he} {make.d} a {adj} {thing} in {T} ."),
        1 => say(w, "{A.he} worked/vd in the {A.place} and {handle.d} {obj} ."),
        _ => say(w, "{A.his} {kin} was a {job} , and {A.he} {vp.d} ."),
    }
    say(w, "{A.title} died/vd at the age/n of");
    let start = w.text.len();
    w.number(&age.to_string());
    w.span(start + 1, Tag::Result);
    w.say(".");
}
