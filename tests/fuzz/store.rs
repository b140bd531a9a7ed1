//! The stores of comparisons.

use mppc::lab::{FolderStore, Shard, Store};
use mppc::universality::{Best, Correlation, from_dense};

use crate::{Folder, folder, resealed, scratch, write};

const SHARD: Shard = Shard { number: 0, tokens: 3 };
const KEY: &str = "key-0123456789abcdef";

pub(crate) fn good() -> Vec<Folder> {
    let dir = scratch();
    let mut store = FolderStore::open(dir.path()).expect("a store");
    let codes = from_dense(2, &[0.5, 0.0, 1.0, 2.0, 0.0, 3.0]);
    store.put_codes(KEY, SHARD, codes).expect("written");
    let best = |mppc: &[f32], argmax: &[i32]| Best { mppc: mppc.to_vec(), argmax: argmax.to_vec() };
    let both = Correlation { a_to_b: best(&[0.5, f32::NAN], &[1, -1]), b_to_a: best(&[0.25, 0.5], &[0, 0]) };
    store.put_pair(KEY, &both).expect("written");
    store.put_note(KEY, r#"{"a": [0.1, null], "b": {"c": "d"}}"#).expect("written");
    drop(store);
    let mut files = folder(dir.path());
    files.remove("lock");
    vec![files]
}

/// Reads a store as it is, and as it would be with the right checksums.
pub(crate) fn read(input: &Folder) -> bool {
    let sealed: Folder = input
        .iter()
        .map(|(name, file)| (name.clone(), resealed(file).unwrap_or_else(|| file.clone())))
        .collect();
    let whole = opened(input);
    if sealed == *input { whole } else { opened(&sealed) }
}

/// Opens a store, reads its records, and merges it with a good one.
fn opened(input: &Folder) -> bool {
    let dir = scratch();
    let (here, there) = (dir.path().join("here"), dir.path().join("there"));
    write(input, &here);
    write(&good()[0], &there);
    let Ok(store) = FolderStore::open(&here) else { return false };
    let there_are = store.has_codes(KEY, SHARD).is_ok_and(|there| there);
    let codes = there_are && store.codes(KEY, &[SHARD]).is_ok();
    let (pair, note) = (store.pair(KEY, (2, 2)), store.note(KEY));
    let whole = store.damaged().is_empty();
    let mut good = FolderStore::open(&there).expect("a store");
    let merged = good.merge(&store);
    whole && codes && pair.is_ok_and(|pair| pair.is_some()) && note.is_ok() && merged.is_ok()
}
