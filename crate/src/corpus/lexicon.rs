//! The generator's words: open classes with their inflection, closed classes with their tags.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::inflect;
use super::tags::Tag;

/// How the words of a class inflect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inflection {
    Noun,
    Verb,
    /// Always written as it stands, with this tag.
    Fixed(Tag),
}

/// A class of words that a template names in braces.
pub(super) struct Class {
    pub(super) inflection: Inflection,
    pub(super) words: Vec<&'static str>,
}

const NOUNS: &[(&str, &str)] = &[
    (
        "thing",
        "lantern basket key box letter map clock book bottle coin ring rope mirror ladder umbrella blanket \
        candle drum flute kettle bucket parcel ticket photograph painting notebook pencil hammer saddle whistle \
        violin necklace compass telescope trunk suitcase envelope chain lamp broom teapot medal ball kite puppet \
        chest tray jug bell flag net needle brush wallet",
    ),
    ("wear", "coat hat scarf shirt jacket dress apron cloak boot glove shoe belt cap sweater"),
    (
        "food",
        "apple pear loaf pie cake egg onion carrot potato tomato biscuit sausage plum cherry lemon bean \
        pancake dumpling sandwich cabbage turnip pumpkin",
    ),
    (
        "stuff",
        "flour sugar butter milk salt pepper honey rice cream oil cheese water soup bread tea coffee \
        cinnamon vinegar yeast barley",
    ),
    (
        "animal",
        "dog cat horse cow goat sheep fox wolf bear hen goose duck rabbit mouse owl crow donkey pig deer \
        swan frog hedgehog",
    ),
    (
        "spot",
        "market harbour bridge station school church library garden bakery mill inn tower square park \
        theatre museum hospital farm orchard lighthouse workshop forge chapel quay stable warehouse \
        courthouse tavern",
    ),
    ("room", "kitchen hall cellar attic parlour study bedroom corridor pantry barn"),
    ("seat", "table bench chair window fire stove door staircase wall bed shelf desk"),
    (
        "nature",
        "river hill forest lake valley field meadow road path stream island mountain beach marsh cliff \
        wood moor canal",
    ),
    (
        "job",
        "baker carpenter teacher doctor farmer fisherman tailor sailor clerk miller painter gardener nurse \
        blacksmith postman lawyer cook engineer librarian shepherd driver potter weaver watchmaker judge",
    ),
    (
        "kin",
        "brother sister uncle aunt cousin mother father daughter son nephew niece grandmother grandfather",
    ),
    ("person", "man woman child boy girl stranger neighbour friend guest traveller visitor soldier student"),
    ("vehicle", "cart boat train ship bicycle wagon carriage bus lorry ferry"),
    ("sky", "rain snow wind fog sun moon storm mist cloud thunder"),
    ("time", "morning afternoon evening night day week winter summer spring autumn"),
    (
        "idea",
        "story plan secret question answer dream promise reason mistake journey lesson surprise debt quarrel \
        idea song",
    ),
    (
        "public",
        "council mayor school company committee union railway police court government bank hospital \
        museum",
    ),
    (
        "event",
        "flood fire storm strike fair election festival accident concert race meeting robbery exhibition \
        wedding harvest",
    ),
    ("part", "hand eye head arm foot face shoulder voice knee finger heart"),
    ("vessel", "bowl pan pot oven dish cup spoon plate jar"),
    ("plant", "oak rose lily pine willow tulip ivy birch fern daisy thistle poppy"),
    (
        "extra",
        "name town country people house street figure price year month number line word page list bed work moment hour \
        language capital money thousand hundred shore end front side top corner centre century size colour \
        place world home news weather time report reader crowd building roof floor lamp ship water cost visit \
        wife husband life leg sound food animal young group kind plant leaf paper half shop",
    ),
];

const VERBS: &[(&str, &str)] = &[
    ("move", "walk run hurry wander climb ride march creep stroll travel limp trot"),
    (
        "handle",
        "carry drop find lift hide lose keep clean mend open hold paint wrap grab steal borrow buy sell \
        throw polish pack repair need want take",
    ),
    ("see", "see notice watch spot remember admire study recognise draw"),
    ("rest", "sit wait sleep stand rest dream work sing"),
    ("say", "say whisper answer reply shout add explain murmur mutter call"),
    ("ask", "ask wonder inquire"),
    ("eat", "eat cook bake buy slice share peel finish taste"),
    ("think", "think know believe hope fear guess feel remember"),
    ("give", "give lend show bring send offer hand sell"),
    ("meet", "meet help follow visit greet thank miss find join trust call"),
    ("react", "smile nod laugh sigh cry frown grin shrug blush tremble yawn"),
    ("make", "build paint make repair clean plan design"),
    ("prepare", "chop peel slice wash boil grate mash heat"),
    ("combine", "mix stir add pour fold whisk"),
    ("try", "try hope plan"),
    ("go", "go come"),
    ("drink", "drink"),
    ("begin", "begin start stop continue"),
    ("stop", "close open stop begin"),
    ("announce", "announce report confirm admit state claim warn"),
    ("change", "rise fall grow drop"),
    (
        "other",
        "be have live come leave arrive belong turn look seem become forget promise tell speak hear try \
        return win play write read shine blow fly swim graze use serve cover put bring lead rebuild destroy damage \
        cost happen lie wear ring sell love like plant wake teach learn thank agree stay reach pay cut feed \
        grow vote divide cross save close",
    ),
];

const FIXED: &[(&str, Tag, &str)] = &[
    (
        "adj",
        Tag::Adjective,
        "old small large heavy red blue green yellow white black broken new strange beautiful \
        wooden silver golden dusty empty plain rusty tiny shiny narrow faded clean torn pretty ordinary famous \
        curious precious useful round thin crooked ancient",
    ),
    (
        "mood",
        Tag::Adjective,
        "happy sad tired angry hungry afraid proud curious lonely calm nervous cheerful cold \
        worried quiet surprised sleepy jealous grateful patient brave",
    ),
    (
        "land",
        Tag::Adjective,
        "dark wide quiet green cold steep long deep narrow lonely misty silent frozen stony \
        windy muddy bright",
    ),
    (
        "trait",
        Tag::Adjective,
        "kind clever tall short young old honest stubborn gentle rude lazy careful careless \
        wise shy talkative generous stern",
    ),
    ("taste", Tag::Adjective, "fresh warm ripe sweet sour hot salty raw cold soft"),
    ("grade", Tag::Adjective, "new old local northern public great annual royal central national"),
    (
        "manner",
        Tag::Adverb,
        "slowly quickly quietly carefully suddenly gladly softly sadly proudly gently eagerly \
        calmly silently bravely angrily politely patiently",
    ),
    ("often", Tag::Adverb, "often always never sometimes usually rarely seldom still"),
    ("degree", Tag::Adverb, "very quite rather too so really"),
    (
        "numword",
        Tag::NumberWord,
        "two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty",
    ),
    ("ordinal", Tag::NumberWord, "first second third fourth fifth sixth"),
    ("det", Tag::Determiner, "the a this that"),
    ("under", Tag::Preposition, "under behind near beside on"),
    (
        "month",
        Tag::Month,
        "January February March April May June July August September October November December",
    ),
    ("weekday", Tag::Weekday, "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"),
    (
        "ident",
        Tag::Identifier,
        "count total index price width height speed score limit value result items names \
        rows weight level depth offset buffer step queue cache size rate",
    ),
    (
        "func",
        Tag::Identifier,
        "add_up scale load_rows find_best mix shrink next_step measure sort_names check_sum \
        double join_all pack split_line read_page average clip",
    ),
    (
        "nonsense",
        Tag::Nonsense,
        "blick dorf fennet glim harrow jixel kelp lomba murn nozzle ostrel pindle quarn \
        rasp sliv tarn ubble vexa wumble yorrick zint brap clonk drell emmer frond gruffle hask inkle jolly krait \
        lurch mopple",
    ),
];

const CLOSED: &[(Tag, &str)] = &[
    // Open words that the rules cannot tell apart, by their use in the templates.
    (Tag::NounSingular, "price cost vehicle thing sale grass meat grain"),
    (Tag::NounPlural, "things hands weeds leaves berries roots"),
    (Tag::VerbBase, "plan"),
    (
        Tag::Adjective,
        "next young far english french italian spanish norwegian arabic japanese hindi polish vellish \
        ostric quillish marrish",
    ),
    (
        Tag::Determiner,
        "the a an this these those some every each no any all both another my your our their its \
        many several few",
    ),
    (
        Tag::Preposition,
        "in on at by for from with without to into of under over near behind beside between \
        through across along towards past during until since against around below above inside outside about \
        like",
    ),
    (
        Tag::Conjunction,
        "and but or because although while when if so that who which whose where before after as \
        than whether though unless nor",
    ),
    (
        Tag::Pronoun,
        "i he she it they we you him them us me himself herself nobody everybody somebody what yours \
        everyone nothing everything something mine hers",
    ),
    (
        Tag::Auxiliary,
        "was were is are had has have will would can could may might must should did does do been be \
        am shall not",
    ),
    (
        Tag::Adverb,
        "then there here soon again already now also almost together away home later once even only \
        still yet just too very never twice everywhere upstairs outside down up out back tomorrow yesterday today \
        perhaps tonight about more most well early late slowly quietly",
    ),
    (Tag::NumberWord, "one two three four five six seven eight nine ten"),
];

/// Feminine and masculine first names.
pub(super) const FIRST_NAMES: [&str; 2] = [
    "Mira Anna Clara Elsa Ruth Nora Ida Rosa Edith Martha Lucy Emma Helen Alice Sofia Marie Olga Irene Vera Tessa \
     Yara Leila Amina Zora Kiri Hana Mei Priya Nadia Selma Orla Brynn Juno Thea Wilma Greta Ines Paula Lorna Faye",
    "Tom Peter Henry Arthur Felix Oscar Jonas Karl Emil Hugo Walter Samuel Daniel Martin Robert George Ivan Pavel \
     Omar Karim Ravi Kenji Tariq Luca Marco Anton Viktor Edgar Ralph Silas Bram Corin Dorn Evan Finn Gareth Ludo \
     Milo Rufus Otto",
];

pub(super) const SURNAMES: &str = "Holt Brandt Carver Dunmore Ellis Farrow Grange Hobbs Iverson Jarrow Keller \
    Lindqvist Marsh Novak Osborne Pruett Quill Rowan Sorrel Thorne Underhill Vance Whitlock Yates Zeller Ashby \
    Birch Calloway Drake Eastman Fenwick Gould Harker Ingram Kovac Lamb Mercer Nash Okafor Petrov Rossi Sato Tanaka \
    Ueda Varga Weston Barlow Cobb Draper Finch";

/// The classes by name.
pub(super) fn classes() -> &'static HashMap<&'static str, Class> {
    static CLASSES: OnceLock<HashMap<&'static str, Class>> = OnceLock::new();
    CLASSES.get_or_init(|| {
        let class =
            |inflection, words: &'static str| Class { inflection, words: words.split_whitespace().collect() };
        let nouns = NOUNS.iter().map(|&(name, words)| (name, class(Inflection::Noun, words)));
        let verbs = VERBS.iter().map(|&(name, words)| (name, class(Inflection::Verb, words)));
        let fixed = FIXED.iter().map(|&(name, tag, words)| (name, class(Inflection::Fixed(tag), words)));
        nouns.chain(verbs).chain(fixed).collect()
    })
}

/// A word in a form, with its tag. Noun forms: `` or `n` singular, `s` plural. Verb forms: `b` base (also ``),
/// `z` third person, `d` past, `ing`.
pub(super) fn inflected(inflection: Inflection, word: &str, form: &str) -> Option<(String, Tag)> {
    Some(match (inflection, form) {
        (Inflection::Fixed(tag), _) => (word.to_owned(), tag),
        (Inflection::Noun, "" | "n") => (word.to_owned(), Tag::NounSingular),
        (Inflection::Noun, "s") => (inflect::plural(word), Tag::NounPlural),
        (Inflection::Verb, "" | "b") => (word.to_owned(), Tag::VerbBase),
        (Inflection::Verb, "z") => (inflect::third_person(word), Tag::VerbPresent),
        (Inflection::Verb, "d") => (inflect::past(word), Tag::VerbPast),
        (Inflection::Verb, "ing") => (inflect::gerund(word), Tag::VerbIng),
        _ => return None,
    })
}

/// The tag of a word written out in a template: its tag in the closed list, or its open class where only one fits.
pub(super) fn tag_of(word: &str) -> Option<Tag> {
    static TAGS: OnceLock<HashMap<String, Option<Tag>>> = OnceLock::new();
    let tags = TAGS.get_or_init(|| {
        let mut tags: HashMap<String, Option<Tag>> = HashMap::new();
        for class in classes().values() {
            let forms: &[&str] = match class.inflection {
                Inflection::Noun => &["n", "s"],
                Inflection::Verb => &["b", "z", "d", "ing"],
                Inflection::Fixed(_) => &[""],
            };
            for word in &class.words {
                for (text, tag) in forms.iter().filter_map(|form| inflected(class.inflection, word, form)) {
                    let entry = tags.entry(text).or_insert(Some(tag));
                    if *entry != Some(tag) {
                        *entry = None;
                    }
                }
            }
        }
        for &(tag, words) in CLOSED {
            tags.extend(words.split_whitespace().map(|word| (word.to_owned(), Some(tag))));
        }
        tags
    });
    tags.get(word).or_else(|| tags.get(&word.to_lowercase())).copied().flatten()
}
