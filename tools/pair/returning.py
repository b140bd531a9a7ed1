"""Text in which names and words come back: letters, lists, dialogues, tales, accounts and small dictionaries.

Who is called what is drawn anew in every document, so that the second half of a name can only be known from where it
was said before: "Captain Dorrow … Captain" is followed by " Dorrow" here and by another name in the next document.
The names of the lesson (lesson.json) are never used.
"""

import json
import random
import re
from pathlib import Path

SEED = 1
TITLES = """Mr|Mrs|Miss|Old Mr|Old Mrs|Young Mr|Captain|Doctor|Aunt|Uncle|Lord|Lady|Sir|Father|Sister|Cousin|Professor
Judge|Colonel|Major|King|Queen|Prince|Princess|Nurse|Madame|Count|Little|Poor|Dear|Saint|Sergeant""".replace("\n", "|").split("|")
FIRST = """Agnes Albert Alfred Amy Arthur Basil Bertha Bella Charles Clara Daniel Dora Edith Edward Ellen Ernest Esther
Fanny Felix Flora Francis Frank George Grace Harold Helen Henry Hugh Ida Isaac Jack Jacob Jane John Joseph Julia Kate
Laura Leonard Lewis Lucy Lydia Mabel Marcus Margaret Martha Martin Mary Maurice Nancy Nathan Nicholas Nora Oliver Oscar
Owen Patrick Paul Peter Philip Polly Ralph Rebecca Richard Robert Roger Rosa Ruth Samuel Sarah Silas Simon Sophia
Stephen Susan Theodore Thomas Ursula Victor Violet Walter William""".split()
SURNAMES = """Archer Barber Barrow Bell Bishop Black Brook Brown Bush Butler Carter Castle Church Clay Cook Cooper
Cross Day Dean Drew Field Fisher Fletcher Flint Ford Forest Fox Frost Gardener Glass Gold Gray Green Hand Hart Hawk
Hill Hood Hope House Hunter King Knight Lake Lamb Lane Law Little Long Lord Love March Marsh Mason May Miller Moon Moore
Mountain Needle Night North Page Park Pike Pool Porter Potter Power Price Prior Reed Rich River Rivers Rose Sharp
Shepherd Short Silver Singer Small Smith Snow South Spring Steel Stone Storm Street Strong Summer Swan Taylor Tower Turner
Walker Ward Waters Weaver Wells West Wheeler White Winter Wise Wolf Wood Woods Young""".split()
STARTS = "b bl br c ch cl cr d dr f fl fr g gl gr h j k l m n p pl pr qu r s sh sk sl sp st t th tr v w wh y z".split()
VOWELS = "a a e e i i o o u ai ea ee oo ou".split()
MIDDLES = "b d dd g l ll m mm n nd nn p r rr rl rm rn s st t tt v z lb mb".split()
ENDS = "ck d l ll m n nd ng p r rd rn rt s sk ss st t th w x ny ley ton ham by sworth man ford wick er en ow et in".split()
ADJECTIVES = """old new red blue green white black grey yellow small large broken golden silver wooden heavy narrow
round square cold warm dark bright torn empty painted polished rusty tall short quiet noisy""".split()
THINGS = """box book lamp chair letter coat ring bell clock boat cart door gate house horse dog cat bird key knife map
mirror picture purse ribbon shoe spoon stick stone sword table ticket tree umbrella wheel window basket bottle bridge
candle drum flag garden hat hammer ladder""".split()
PLACES = "town village house inn farm bridge river wood hill island street square castle church mill harbour".split()
WORK = """baker butcher tailor teacher painter printer farmer sailor soldier doctor lawyer judge clerk miller smith
gardener hunter fisher weaver cook porter driver builder singer writer""".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
HOURS = "one two three four five six seven eight nine ten eleven twelve".split()

# A and B stand for two persons as they are called here, T for a thing, P for a place, D and H for a day and an hour.
DEEDS = """A came to P with T.|A had known B for many years.|A and B went to P on D.|On D A sold T to B.
It was A who found T near P.|Nobody at P had seen A since D.|"I saw A at P," said B.|"Where is T?" asked A.
"Give T to B," said A.|B did not believe what A said about T.|At H o'clock A left P.|A wrote to B and asked for T.
"Have you met A?" said B. "Yes, I met A on D."|When A came back, T was gone.|B thought of A all the way to P.
They said that A had taken T from B.|A looked at B, and B looked at T.|The people of P were fond of A.
A laughed, but B was silent.|"I am not afraid of A," cried B, "nor of P!"|Then A opened the door, and there stood B.
For H days A and B lived at P.|B waited for A until H o'clock.|A asked where P was, and B told it.
After that, nothing was heard of A for H weeks.|B put T on the table before A.|"Good morning, A," said B.
"Good night, B," said A.|A was tired, and so was B.|In the evening A spoke to B about P.|T belonged to A and not to B.
It rained all D, and A stayed at P.|A paid B for T.|The road to P was long, and A was alone.|"T is mine," said A.
Of all the people at P only A could read.|A would not go to P without B.|On D, at H o'clock, A saw B again.""".replace("\n", "|").split("|")


def lesson_names():
    """The words of the lesson's answers, which this text never uses as names."""
    lesson = json.loads(Path(__file__).with_name("lesson.json").read_text(encoding="utf-8"))
    return {word for sentence in lesson for word in sentence["answer"].split()}


KEPT_OUT = lesson_names()


class Cast:
    """What everything is called in one document."""

    def __init__(self, dice, asides=()):
        self.dice, self.asides = dice, asides
        self.talkative = dice.choice([0.0, 0.0, 0.2, 0.4, 0.5]) if asides else 0.0
        self.people = [self.person() for _ in range(dice.choice([2, 2, 3, 3, 4, 5]))]
        self.things = [self.thing() for _ in range(dice.choice([1, 2, 2, 3]))]
        self.places = [self.place() for _ in range(dice.choice([1, 1, 2]))]

    def invented(self):
        dice = self.dice
        word = dice.choice(STARTS) + dice.choice(VOWELS)
        if dice.random() < 0.6:
            word += dice.choice(MIDDLES) + dice.choice(VOWELS)
        return word + dice.choice(ENDS)

    def name(self, kept):
        """A word of the list, or an invented one."""
        while True:
            word = self.dice.choice(kept) if self.dice.random() < 0.6 else self.invented().capitalize()
            if word not in KEPT_OUT:
                return word

    def person(self):
        """Every way in which one person is called; the same one mostly, within a document."""
        dice, surname, first = self.dice, self.name(SURNAMES), self.name(FIRST)
        ways = [f"{first} {surname}", f"{dice.choice(TITLES)} {surname}", f"{dice.choice(TITLES)} {first}", first]
        kind = dice.choices([ways[:1], ways[1:2], ways[2:3], ways[3:], ways[:2]], [5, 6, 2, 2, 2])[0]
        return kind

    def thing(self):
        article = self.dice.choice(["the", "the", "the", self.name(FIRST) + "'s"])
        if self.dice.random() < 0.25:
            return f"{article} {self.invented()}"
        return f"{article} {self.dice.choice(ADJECTIVES)} {self.dice.choice(THINGS)}"

    def place(self):
        named = self.name(SURNAMES)
        return self.dice.choice([f"{named} {self.dice.choice(PLACES).capitalize()}", f"the {self.dice.choice(PLACES)} of {named}", named])

    def called(self, person=None):
        return self.dice.choice(person or self.dice.choice(self.people))

    def sentence(self):
        dice = self.dice
        if dice.random() < self.talkative:
            return dice.choice(self.asides)
        a, b = dice.sample(self.people, 2)
        words = {
            "A": self.called(a),
            "B": self.called(b),
            "T": dice.choice(self.things),
            "P": dice.choice(self.places),
            "D": dice.choice(DAYS),
            "H": dice.choice(HOURS),
        }
        return fill(dice.choice(DEEDS), words)

    def sentences(self, fewest, most):
        return " ".join(self.sentence() for _ in range(self.dice.randint(fewest, most)))


def fill(pattern, words):
    """The pattern with its capital letters replaced; a sentence begins with a capital."""
    text = "".join(
        words[letter]
        if letter in words and not pattern[i - 1 : i].isalpha() and not pattern[i + 1 : i + 2].isalpha()
        else letter
        for i, letter in enumerate(pattern)
    )
    start = next(i for i, letter in enumerate(text) if letter.isalpha())
    return text[:start] + text[start].upper() + text[start + 1 :]


# ---- kinds of document -------------------------------------------------------------------------


def tale(cast):
    return "\n\n".join(cast.sentences(3, 7) for _ in range(cast.dice.randint(2, 4)))


def letter(cast):
    writer, reader = (cast.called(person) for person in cast.dice.sample(cast.people, 2))
    place = cast.dice.choice(cast.places)
    body = "\n\n".join(cast.sentences(3, 6) for _ in range(cast.dice.randint(1, 3)))
    return f"{place}, {cast.dice.choice(DAYS)}\n\nDear {reader},\n\n{body}\n\nYours truly,\n{writer}\n\nTo {reader}, {place}"


def dialogue(cast):
    lines = []
    for _ in range(cast.dice.randint(8, 18)):
        said = [line for line in (cast.sentence() for _ in range(cast.dice.randint(1, 2))) if '"' not in line]
        lines.append(f"{cast.called()}: {' '.join(said) or 'Yes.'}")
    return "\n".join(lines)


def roll(cast):
    """A list of people with what each is and has, and then the same again in sentences, in another order."""
    dice = cast.dice
    rows = [(cast.called(cast.person()), dice.choice(WORK), cast.thing()) for _ in range(dice.randint(3, 7))]
    lines = [f"{name}, {work}: {thing}" for name, work, thing in rows]
    again = []
    for name, work, thing in dice.sample(rows, len(rows)):
        patterns = ["{name}, {work}: {thing}", "{name} is the {work} and has {thing}.", "{name} has {thing}."]
        again.append(dice.choice(patterns).format(name=name, work=work, thing=thing))
    return "\n".join(lines) + "\n\n" + "\n".join(again)


def words(cast):
    """A small dictionary of invented words, and sentences that use them."""
    dice = cast.dice
    meant = [(cast.invented(), f"{dice.choice(ADJECTIVES)} {dice.choice(THINGS)}") for _ in range(dice.randint(3, 6))]
    lines = [f"{word}: the {thing}" for word, thing in meant]
    for _ in range(dice.randint(5, 12)):
        word, thing = dice.choice(meant)
        name = cast.called()
        patterns = ["The {word} is the {thing}.", "{name} has the {word}, that is, the {thing}.", "{word}: the {thing}"]
        lines.append(dice.choice(patterns).format(word=word, thing=thing, name=name))
    return "\n".join(lines)


def account(cast):
    """Who owes what to whom, line by line, with few names."""
    dice = cast.dice
    lines = []
    for _ in range(dice.randint(8, 16)):
        a, b = (cast.called(person) for person in dice.sample(cast.people, 2))
        lines.append(f"{a} owes {b} {dice.choice(HOURS[1:])} pounds for {dice.choice(cast.things)}.")
    return "\n".join(lines)


KINDS = {tale: 7, letter: 4, dialogue: 3, roll: 3, words: 2, account: 1}


def plain_sentences(documents):
    """Sentences of English without names: nothing in them is written large but their beginning and "I"."""
    found = []
    for document in documents:
        for sentence in re.split(r"(?<=[.!?]) ", " ".join(document.split())):
            if 20 <= len(sentence) <= 120 and re.fullmatch(r"[A-Z](?:[a-z ,;']|(?<= )I(?=[ ,']))+[.!?]", sentence):
                found.append(sentence)
    return found


def documents(count, english, seed=SEED):
    """The first `count` documents of a seed; asides between the sentences are taken from English documents."""
    dice = random.Random(seed)
    asides = plain_sentences(english)
    kinds = dice.choices(list(KINDS), list(KINDS.values()), k=count)
    return [kind(Cast(dice, asides)) + "\n" for kind in kinds]
