//! How complex a feature is, without a judge: the ground-truth tag that it tells best, and how much context that tag
//! takes.

use serde::{Deserialize, Serialize};

use crate::corpus::{Context, Tag, TagSet};
use crate::par;
use crate::sae::Codes;
use crate::universality::bands;

/// The tag that a feature's firing tells best.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct TagMatch {
    /// The tag.
    pub(super) tag: Tag,
    /// How much context it takes to know the tag.
    pub(super) context: Context,
    /// 2·precision·recall / (precision + recall), where the feature “says” the tag by firing.
    pub(super) f1: f64,
    /// Share of the tokens on which it fires that carry the tag.
    pub(super) precision: f64,
    /// Share of the tokens with the tag on which it fires.
    pub(super) recall: f64,
}

/// For each feature the tag with the largest F1, the first of [`Tag::ALL`] of equals; none for a feature that never
/// fires on a tagged token. `tags[t]` are the tags of token `t`.
///
/// # Panics
/// When there are not as many tags as tokens.
pub(super) fn best_tags(codes: &Codes, tags: &[TagSet]) -> Vec<Option<TagMatch>> {
    assert_eq!(codes.tokens(), tags.len(), "best_tags: tokens");
    let mut carried = vec![0u32; Tag::ALL.len()];
    for set in tags {
        each(*set, |tag| carried[tag] += 1);
    }
    let bands = bands::of_features(codes.n_features);
    let of_band = |b: usize| {
        let band = &bands[b];
        let mut fires = vec![0u32; band.len()];
        let mut both = vec![0u32; band.len() * Tag::ALL.len()];
        bands::entries(codes, band, |t, j, x| {
            if x != 0.0 {
                let j = j - band.start;
                fires[j] += 1;
                each(tags[t], |tag| both[j * Tag::ALL.len() + tag] += 1);
            }
        });
        let pairs = fires.iter().zip(both.chunks(Tag::ALL.len()));
        pairs.map(|(&fires, both)| best(fires, both, &carried)).collect::<Vec<_>>()
    };
    par::map(bands.len(), of_band).concat()
}

/// Calls `f` with the number of each tag of a set.
fn each(set: TagSet, mut f: impl FnMut(usize)) {
    let mut bits = set.0;
    while bits != 0 {
        f(bits.trailing_zeros() as usize);
        bits &= bits - 1;
    }
}

fn best(fires: u32, both: &[u32], carried: &[u32]) -> Option<TagMatch> {
    let f1 = |tag: usize| 2.0 * f64::from(both[tag]) / (f64::from(fires) + f64::from(carried[tag]));
    let found = (0..both.len()).filter(|&tag| both[tag] > 0);
    let tag = found.reduce(|best, tag| if f1(tag) > f1(best) { tag } else { best })?;
    Some(TagMatch {
        tag: Tag::ALL[tag],
        context: Tag::ALL[tag].context(),
        f1: f1(tag),
        precision: f64::from(both[tag]) / f64::from(fires),
        recall: f64::from(both[tag]) / f64::from(carried[tag]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::universality::from_dense;

    #[test]
    fn the_tag_that_firing_tells_best() {
        let set = |tags: &[Tag]| {
            let mut set = TagSet::default();
            tags.iter().for_each(|t| set.insert(*t));
            set
        };
        let tags = [
            set(&[Tag::Name, Tag::KindStory]),
            set(&[Tag::KindStory]),
            set(&[Tag::Name, Tag::SentenceStart, Tag::KindStory]),
            set(&[]),
        ];
        // Names; the story and beyond; untagged only; never.
        let rows = [[1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [2.0, 1.0, 0.0, 0.0], [0.0, 1.0, 3.0, 0.0]];
        let got = best_tags(&from_dense(4, rows.as_flattened()), &tags);
        let name = got[0].expect("names");
        assert_eq!((name.tag, name.context, name.f1), (Tag::Name, Context::Token, 1.0));
        let story = got[1].expect("a story");
        assert_eq!((story.tag, story.context), (Tag::KindStory, Context::LongRange));
        assert_eq!((story.precision, story.recall), (0.75, 1.0));
        // 2·3 / (4 + 3).
        assert!((story.f1 - 6.0 / 7.0).abs() < 1e-15);
        assert_eq!((got[2], got[3]), (None, None));
    }

    #[test]
    fn of_equals_the_first_tag() {
        let mut both = TagSet::default();
        both.insert(Tag::Verse);
        both.insert(Tag::Number);
        let got = best_tags(&from_dense(1, &[1.0]), &[both]);
        assert_eq!(got[0].expect("a tag").tag, Tag::Number);
    }
}
