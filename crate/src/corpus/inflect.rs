//! English inflection by rule, with the irregular words of the lexicon in tables.

const IRREGULAR_PLURALS: &[(&str, &str)] = &[
    ("man", "men"),
    ("woman", "women"),
    ("child", "children"),
    ("foot", "feet"),
    ("tooth", "teeth"),
    ("goose", "geese"),
    ("mouse", "mice"),
    ("sheep", "sheep"),
    ("deer", "deer"),
    ("fish", "fish"),
    ("knife", "knives"),
    ("wife", "wives"),
    ("life", "lives"),
    ("leaf", "leaves"),
    ("loaf", "loaves"),
    ("shelf", "shelves"),
    ("wolf", "wolves"),
    ("calf", "calves"),
    ("half", "halves"),
    ("scarf", "scarves"),
    ("fisherman", "fishermen"),
    ("postman", "postmen"),
    ("potato", "potatoes"),
    ("tomato", "tomatoes"),
];

/// Past tenses that no rule gives.
const IRREGULAR_PASTS: &[(&str, &str)] = &[
    ("be", "was"),
    ("begin", "began"),
    ("break", "broke"),
    ("bring", "brought"),
    ("build", "built"),
    ("buy", "bought"),
    ("catch", "caught"),
    ("come", "came"),
    ("creep", "crept"),
    ("cut", "cut"),
    ("draw", "drew"),
    ("dream", "dreamt"),
    ("drink", "drank"),
    ("drive", "drove"),
    ("eat", "ate"),
    ("fall", "fell"),
    ("feed", "fed"),
    ("feel", "felt"),
    ("find", "found"),
    ("fly", "flew"),
    ("forget", "forgot"),
    ("give", "gave"),
    ("go", "went"),
    ("grow", "grew"),
    ("hear", "heard"),
    ("hide", "hid"),
    ("hold", "held"),
    ("keep", "kept"),
    ("know", "knew"),
    ("leave", "left"),
    ("lend", "lent"),
    ("lose", "lost"),
    ("make", "made"),
    ("meet", "met"),
    ("ride", "rode"),
    ("ring", "rang"),
    ("rise", "rose"),
    ("run", "ran"),
    ("say", "said"),
    ("see", "saw"),
    ("sell", "sold"),
    ("send", "sent"),
    ("shine", "shone"),
    ("sing", "sang"),
    ("sit", "sat"),
    ("sleep", "slept"),
    ("speak", "spoke"),
    ("stand", "stood"),
    ("steal", "stole"),
    ("sweep", "swept"),
    ("swim", "swam"),
    ("take", "took"),
    ("teach", "taught"),
    ("tell", "told"),
    ("think", "thought"),
    ("throw", "threw"),
    ("wake", "woke"),
    ("wear", "wore"),
    ("win", "won"),
    ("write", "wrote"),
];

/// Verbs that double their last consonant before -ed and -ing.
const DOUBLING: &[&str] = &[
    "stop", "drop", "beg", "grab", "hug", "nod", "plan", "slip", "tap", "trot", "wrap", "chop", "stir",
    "run", "sit", "swim", "begin", "cut", "win", "forget", "pat", "travel", "hum", "skip", "step", "grin",
    "admit", "knit", "spot", "scrub", "shrug",
];

fn irregular(table: &[(&'static str, &'static str)], word: &str) -> Option<&'static str> {
    table.iter().find(|(base, _)| *base == word).map(|(_, form)| *form)
}

fn is_vowel(c: u8) -> bool {
    matches!(c, b'a' | b'e' | b'i' | b'o' | b'u')
}

/// Whether `word` ends in a consonant and y, as in "carry".
fn ends_in_consonant_y(word: &str) -> bool {
    let bytes = word.as_bytes();
    bytes.len() > 1 && bytes[bytes.len() - 1] == b'y' && !is_vowel(bytes[bytes.len() - 2])
}

/// The form with -s: plural of a noun, third person of a verb.
fn with_s(word: &str) -> String {
    if ends_in_consonant_y(word) {
        return format!("{}ies", &word[..word.len() - 1]);
    }
    let hissing = ["s", "x", "z", "ch", "sh"].iter().any(|end| word.ends_with(end));
    if hissing || word == "go" || word == "do" { format!("{word}es") } else { format!("{word}s") }
}

/// The plural of a noun.
pub(super) fn plural(noun: &str) -> String {
    irregular(IRREGULAR_PLURALS, noun).map_or_else(|| with_s(noun), str::to_owned)
}

/// The third person singular of a verb in the present.
pub(super) fn third_person(verb: &str) -> String {
    if verb == "have" { "has".to_owned() } else { with_s(verb) }
}

/// The past tense of a verb.
pub(super) fn past(verb: &str) -> String {
    if let Some(form) = irregular(IRREGULAR_PASTS, verb) {
        return form.to_owned();
    }
    if verb.ends_with('e') {
        return format!("{verb}d");
    }
    if ends_in_consonant_y(verb) {
        return format!("{}ied", &verb[..verb.len() - 1]);
    }
    format!("{}ed", doubled(verb))
}

/// The -ing form of a verb.
pub(super) fn gerund(verb: &str) -> String {
    if let Some(stem) = verb.strip_suffix("ie") {
        return format!("{stem}ying");
    }
    if verb.ends_with('e') && !verb.ends_with("ee") && verb != "be" {
        return format!("{}ing", &verb[..verb.len() - 1]);
    }
    format!("{}ing", doubled(verb))
}

fn doubled(verb: &str) -> String {
    let mut stem = verb.to_owned();
    if DOUBLING.contains(&verb) {
        stem.extend(verb.chars().last());
    }
    stem
}

/// Whether the article before `word` is "an".
pub(super) fn takes_an(word: &str) -> bool {
    let lower = word.to_lowercase();
    let silent = ["hour", "honest", "heir"].iter().any(|w| lower.starts_with(w));
    let glide = ["uni", "use", "euro", "one", "once"].iter().any(|w| lower.starts_with(w));
    let digits =
        lower == "8" || lower == "11" || lower == "18" || (lower.starts_with('8') && lower.len() == 2);
    silent || digits || (!glide && lower.bytes().next().is_some_and(is_vowel))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inflects_by_rule_and_by_table() {
        assert_eq!(["box", "berry", "key", "loaf"].map(plural), ["boxes", "berries", "keys", "loaves"]);
        assert_eq!(
            ["walk", "carry", "stop", "bake", "go"].map(past),
            ["walked", "carried", "stopped", "baked", "went"]
        );
        assert_eq!(["make", "run", "tie", "see"].map(gerund), ["making", "running", "tying", "seeing"]);
        assert_eq!(
            ["watch", "have", "carry", "play"].map(third_person),
            ["watches", "has", "carries", "plays"]
        );
        assert_eq!(["old", "use", "hour", "hat", "88"].map(takes_an), [true, false, true, false, true]);
    }
}
