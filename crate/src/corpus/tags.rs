//! Ground truth: what the generator knows about every stretch of its text.

/// How much context is needed to tell that a tag holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify))]
#[serde(rename_all = "snake_case")]
pub enum Context {
    /// The word itself is enough.
    Token,
    /// The word and the one or two before it.
    Ngram,
    /// The phrase or line around it.
    Phrase,
    /// Something many tokens earlier in the document.
    LongRange,
}

macro_rules! tags {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $context:ident;)*) => {
        /// A property of a stretch of generated text.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub enum Tag { $($(#[$doc])* #[serde(rename = $name)] $variant,)* }

        impl Tag {
            /// Every tag, in the order of its bit in a [`TagSet`].
            pub const ALL: &'static [Tag] = &[$(Tag::$variant,)*];

            /// The tag's name in reports and tables.
            pub fn name(self) -> &'static str {
                match self { $(Tag::$variant => $name,)* }
            }

            /// How much context it takes to know that the tag holds.
            pub fn context(self) -> Context {
                match self { $(Tag::$variant => Context::$context,)* }
            }
        }
    };
}

tags! {
    /// A person's name (each word of it).
    Name = "name", Token;
    /// The name of a town or city.
    Place = "place", Token;
    /// The name of a country.
    Country = "country", Token;
    /// A run of digits.
    Number = "number", Token;
    /// A number written as a word.
    NumberWord = "number_word", Token;
    /// The name of a month.
    Month = "month", Token;
    /// The name of a day of the week.
    Weekday = "weekday", Token;
    /// Mr, Mrs, Dr and the like.
    Title = "title", Token;
    /// The, a, this, some and the like.
    Determiner = "determiner", Token;
    /// In, on, under and the like.
    Preposition = "preposition", Token;
    /// And, but, because and the like.
    Conjunction = "conjunction", Token;
    /// He, her, it and the like.
    Pronoun = "pronoun", Token;
    /// Was, had, will and the like.
    Auxiliary = "auxiliary", Token;
    /// A common noun in the singular.
    NounSingular = "noun_singular", Token;
    /// A common noun in the plural.
    NounPlural = "noun_plural", Token;
    /// A verb in the past tense.
    VerbPast = "verb_past", Token;
    /// A verb in the third person of the present.
    VerbPresent = "verb_present", Token;
    /// A verb's -ing form.
    VerbIng = "verb_ing", Token;
    /// A verb in its base form.
    VerbBase = "verb_base", Token;
    /// An adjective.
    Adjective = "adjective", Token;
    /// An adverb.
    Adverb = "adverb", Token;
    /// One mark of punctuation, quotes excepted.
    Punctuation = "punctuation", Token;
    /// A quotation mark.
    Quote = "quote", Token;
    /// One or more line ends.
    Newline = "newline", Token;
    /// The spaces that begin an indented line.
    Indent = "indent", Token;
    /// The dash or number that begins an item of a list.
    Bullet = "bullet", Token;
    /// A sign or word for a currency.
    Currency = "currency", Token;
    /// A unit of measure.
    Unit = "unit", Token;
    /// An operator of arithmetic or code.
    Operator = "operator", Token;
    /// A keyword of the code language.
    Keyword = "keyword", Token;
    /// A variable or function of the code language.
    Identifier = "identifier", Token;
    /// A made-up word without meaning.
    Nonsense = "nonsense", Token;

    /// A name right after a title.
    NameAfterTitle = "name_after_title", Ngram;
    /// The second word of a two-word name.
    Surname = "second_word_of_name", Ngram;
    /// A day or year right after a month.
    NumberAfterMonth = "number_after_month", Ngram;
    /// An amount right after a currency sign.
    NumberAfterCurrency = "number_after_currency", Ngram;
    /// A unit right after a number.
    UnitAfterNumber = "unit_after_number", Ngram;
    /// A noun right after an adjective.
    NounAfterAdjective = "noun_after_adjective", Ngram;
    /// A noun right after a determiner.
    NounAfterDeterminer = "noun_after_determiner", Ngram;
    /// A verb right after a pronoun.
    VerbAfterPronoun = "verb_after_pronoun", Ngram;
    /// The first word of a sentence.
    SentenceStart = "sentence_start", Ngram;
    /// A verb of speech right after a quotation.
    SpeechAfterQuote = "speech_verb_after_quote", Ngram;
    /// A number right after an operator.
    NumberAfterOperator = "number_after_operator", Ngram;

    /// Between quotation marks (marks included).
    Quotation = "in_quotation", Phrase;
    /// An item of a list.
    ListItem = "in_list_item", Phrase;
    /// A date.
    Date = "in_date", Phrase;
    /// A line of code.
    CodeLine = "in_code_line", Phrase;
    /// The indented body of a function or loop.
    CodeBody = "in_code_body", Phrase;
    /// Between parentheses (both included).
    Parentheses = "in_parentheses", Phrase;
    /// A subordinate clause.
    Subordinate = "in_subordinate_clause", Phrase;
    /// A relative clause.
    Relative = "in_relative_clause", Phrase;
    /// A title or heading line.
    Heading = "in_heading", Phrase;
    /// A postal address.
    Address = "in_address", Phrase;
    /// A row of a table.
    TableRow = "in_table_row", Phrase;
    /// An equation with its result.
    Sum = "in_sum", Phrase;
    /// The greeting or the closing of a letter.
    Salutation = "in_salutation", Phrase;
    /// A line of verse.
    Verse = "in_verse", Phrase;
    /// A series of names or things joined by commas.
    Series = "in_series", Phrase;

    /// A character's name that the document has written before.
    SecondMention = "second_mention", LongRange;
    /// A line that already stood earlier in the document (its indent left out).
    RepeatedLine = "repeated_line", LongRange;
    /// The quotation mark that closes an open one.
    ClosingQuote = "closing_quote", LongRange;
    /// The parenthesis that closes an open one.
    ClosingBracket = "closing_bracket", LongRange;
    /// A fact that the document stated before.
    RepeatedFact = "repeated_fact", LongRange;
    /// An element of a series that repeats an earlier series in its order.
    Induction = "induction", LongRange;
    /// A variable or function that a line above has defined, used or defined again.
    DefinedIdentifier = "defined_identifier", LongRange;
    /// A verb whose subject stands several words before it.
    DistantAgreement = "distant_agreement", LongRange;
    /// A number worked out from numbers written before it.
    Result = "computed_number", LongRange;
    /// Part of a story.
    KindStory = "kind_story", LongRange;
    /// Part of a letter.
    KindLetter = "kind_letter", LongRange;
    /// Part of a news report.
    KindReport = "kind_report", LongRange;
    /// Part of a dialogue.
    KindDialogue = "kind_dialogue", LongRange;
    /// Part of a recipe or a set of instructions.
    KindRecipe = "kind_recipe", LongRange;
    /// Part of a table of figures.
    KindTable = "kind_table", LongRange;
    /// Part of a program.
    KindCode = "kind_code", LongRange;
    /// Part of a directory of addresses.
    KindDirectory = "kind_directory", LongRange;
    /// Part of a page of arithmetic.
    KindSums = "kind_sums", LongRange;
    /// Part of a poem.
    KindPoem = "kind_poem", LongRange;
    /// Part of an encyclopaedia-like article.
    KindArticle = "kind_article", LongRange;
    /// Part of a drill that repeats series of words.
    KindDrill = "kind_drill", LongRange;
}

/// A set of tags; bit i is `Tag::ALL[i]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TagSet(pub u128);

const _: () = assert!(Tag::ALL.len() <= 128, "a TagSet has 128 bits");

impl TagSet {
    /// Adds a tag.
    pub fn insert(&mut self, tag: Tag) {
        self.0 |= 1 << tag as u32;
    }

    /// Whether the set holds `tag`.
    pub fn contains(self, tag: Tag) -> bool {
        self.0 >> (tag as u32) & 1 == 1
    }

    /// The tags of the set, in the order of [`Tag::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Tag> {
        Tag::ALL.iter().copied().filter(move |&tag| self.contains(tag))
    }
}

/// Bytes `start..end` of a document's text carry `tag`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// What holds there.
    pub tag: Tag,
}

/// The tags of each token, given the tokens' byte ranges in the text.
///
/// A token carries a tag when its range and the tag's span share at least one byte. Spans do not contain the
/// space before their first word, so a byte-level token such as `" Paris"` carries the tags of `Paris` and those
/// of a phrase that goes on across the space. A token with an empty range (BOS) carries none.
pub fn token_tags(spans: &[Span], offsets: &[(usize, usize)]) -> Vec<TagSet> {
    let end_of_text = spans.iter().map(|s| s.end).chain(offsets.iter().map(|o| o.1)).max().unwrap_or(0);
    let mut bytes = vec![TagSet::default(); end_of_text];
    for span in spans {
        for set in &mut bytes[span.start..span.end] {
            set.insert(span.tag);
        }
    }
    let union = |&(start, end): &(usize, usize)| {
        let covered = bytes.get(start..end).unwrap_or_default();
        TagSet(covered.iter().fold(0, |all, set| all | set.0))
    };
    offsets.iter().map(union).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct() {
        let mut names: Vec<_> = Tag::ALL.iter().map(|t| t.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Tag::ALL.len());
    }

    #[test]
    fn a_token_takes_the_tags_of_the_spans_it_overlaps() {
        let spans =
            [Span { start: 3, end: 8, tag: Tag::Place }, Span { start: 0, end: 8, tag: Tag::Quotation }];
        let sets = token_tags(&spans, &[(0, 0), (0, 2), (2, 5), (5, 8), (8, 9)]);
        assert_eq!(sets[0], TagSet::default());
        assert_eq!(sets[1].iter().collect::<Vec<_>>(), [Tag::Quotation]);
        assert_eq!(sets[2].iter().collect::<Vec<_>>(), [Tag::Place, Tag::Quotation]);
        assert_eq!(sets[3], sets[2]);
        assert_eq!(sets[4], TagSet::default());
    }
}
