use super::*;

fn codes(values: &[f32]) -> Codes {
    crate::universality::from_dense(2, values)
}

const FIRST: Shard = Shard { number: 0, tokens: 2 };
const SECOND: Shard = Shard { number: 1, tokens: 1 };

#[test]
fn keeps_codes_pairs_and_notes() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut store = FolderStore::open(&dir.path().join("deep/store")).expect("a store");
    assert!(!store.has_codes("k", FIRST).expect("no error"));
    store.put_codes("k", FIRST, codes(&[0.5, 0.0, 1.0, 2.0])).expect("written");
    store.put_codes("k", SECOND, codes(&[0.0, 3.0])).expect("written");
    assert!(store.has_codes("k", FIRST).expect("no error"));
    assert!(!store.has_codes("k", Shard { tokens: 9, ..FIRST }).expect("no error"));
    let all = store.codes("k", &[FIRST, SECOND]).expect("there");
    assert_eq!(*all, codes(&[0.5, 0.0, 1.0, 2.0, 0.0, 3.0]));
    let error = store.codes("other", &[FIRST]).expect_err("never written").to_string();
    assert!(error.contains("other/00000-2.safetensors"), "{error}");

    let best = |mppc: &[f32], argmax: &[i32]| Best { mppc: mppc.to_vec(), argmax: argmax.to_vec() };
    let pair = Correlation { a_to_b: best(&[0.5, f32::NAN], &[0, -1]), b_to_a: best(&[0.5], &[0]) };
    assert_eq!(store.pair("p", (2, 1)).expect("no error"), None);
    store.put_pair("p", &pair).expect("written");
    let read = store.pair("p", (2, 1)).expect("no error").expect("there");
    assert_eq!(format!("{read:?}"), format!("{pair:?}"));

    assert_eq!(store.note("n").expect("no error"), None);
    store.put_note("n", "{}").expect("written");
    assert_eq!(store.note("n").expect("no error").as_deref(), Some("{}"));
}

#[test]
fn unites_stores_and_refuses_contradictions() {
    let dir = tempfile::tempdir().expect("a folder");
    let open = |name: &str| FolderStore::open(&dir.path().join(name)).expect("a store");
    let (mut a, mut b, mut c) = (open("a"), open("b"), open("c"));
    a.put_codes("k", FIRST, codes(&[0.5, 0.0, 1.0, 2.0])).expect("written");
    b.put_codes("k", FIRST, codes(&[0.5, 0.0, 1.0, 2.0])).expect("written");
    b.put_codes("k", SECOND, codes(&[0.0, 3.0])).expect("written");
    assert_eq!(a.merge(&b).expect("no contradiction"), Merged { copied: 1, same: 1, damaged: vec![] });
    assert_eq!(a.files().expect("listed"), b.files().expect("listed"));
    c.put_codes("k", SECOND, codes(&[0.0, 4.0])).expect("written");
    let error = a.merge(&c).expect_err("a contradiction").to_string();
    assert!(error.contains("00001-1.safetensors") && error.contains("differ"), "{error}");
}

/// One of each kind of record.
fn filled(root: &Path) -> FolderStore {
    let mut store = FolderStore::open(root).expect("a store");
    let best = |mppc: &[f32], argmax: &[i32]| Best { mppc: mppc.to_vec(), argmax: argmax.to_vec() };
    let pair = Correlation { a_to_b: best(&[0.5, f32::NAN], &[0, -1]), b_to_a: best(&[0.5], &[0]) };
    store.put_codes("k", FIRST, codes(&[0.5, 0.0, 1.0, 2.0])).expect("written");
    store.put_pair("p", &pair).expect("written");
    store.put_note("n", "{\"cka\":[[0.25]]}").expect("written");
    store
}

/// What of these is there.
fn there(store: &FolderStore) -> [bool; 3] {
    [
        store.has_codes("k", FIRST).expect("no error"),
        store.pair("p", (2, 1)).expect("no error").is_some(),
        store.note("n").expect("no error").is_some(),
    ]
}

#[test]
fn every_flipped_bit_is_named_and_costs_its_record_alone() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = filled(dir.path());
    assert_eq!((there(&store), store.damaged()), ([true; 3], vec![]));
    let files = store.files().expect("listed");
    drop(store);
    assert_eq!(files.len(), 3);
    for (nth, file) in files.iter().enumerate() {
        let path = dir.path().join(file);
        let sound = std::fs::read(&path).expect("there");
        for bit in (0..sound.len() * 8).step_by(7) {
            let mut damaged = sound.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, damaged).expect("written");
            let store = FolderStore::open(dir.path()).expect("a store");
            // Codes, notes and pairs lie in the order of their folders' names.
            let mut wanted = [true; 3];
            wanted[[0, 2, 1][nth]] = false;
            assert_eq!(there(&store), wanted, "bit {bit} of {}", file.display());
            let lines = store.damaged();
            assert!(lines.len() == 1 && lines[0].contains(&*path.to_string_lossy()), "{lines:?}");
            assert!(there(&store) == wanted && store.damaged().is_empty(), "it is named once");
        }
        std::fs::write(&path, sound).expect("written");
    }
    assert_eq!(there(&FolderStore::open(dir.path()).expect("a store")), [true; 3]);
}

#[test]
fn damaged_records_are_not_merged_but_mended() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name);
    let files = filled(&path("whole")).files().expect("listed");
    drop(filled(&path("damaged")));
    for file in &files {
        let path = path("damaged").join(file);
        let mut bytes = std::fs::read(&path).expect("there");
        *bytes.last_mut().expect("a byte") ^= 4;
        std::fs::write(&path, bytes).expect("written");
    }
    let open = |name: &str| FolderStore::open(&path(name)).expect("a store");
    let (mut into, damaged, whole) = (open("into"), open("damaged"), open("whole"));
    let merged = into.merge(&damaged).expect("no contradiction");
    let all: Vec<PathBuf> = files.iter().map(|file| path("damaged").join(file)).collect();
    assert_eq!(merged, Merged { copied: 0, same: 0, damaged: all });
    drop(damaged);
    let mut damaged = open("damaged");
    assert_eq!(damaged.merge(&whole).expect("mended").copied, 3);
    assert_eq!(damaged.damaged().len(), 3);
    assert_eq!(there(&damaged), [true; 3]);
    assert_eq!(into.merge(&damaged).expect("whole").copied, 3);
}

/// A sound file may still hold what no run has written.
#[test]
fn a_pair_of_other_features_is_not_taken() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut store = filled(dir.path());
    for sizes in [(2, 2), (3, 1), (1, 2)] {
        assert_eq!(store.pair("p", sizes).expect("no error"), None, "{sizes:?}");
    }
    let best = |argmax: i32| Best { mppc: vec![0.5], argmax: vec![argmax] };
    for wrong in [1, -2, i32::MAX] {
        let pair = Correlation { a_to_b: best(0), b_to_a: best(wrong) };
        store.put_pair("q", &pair).expect("written");
        assert_eq!(store.pair("q", (1, 1)).expect("no error"), None, "{wrong}");
    }
}

#[cfg(unix)]
#[test]
fn links_are_refused_and_lead_nowhere() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().expect("a folder");
    let (root, thesis) = (dir.path().join("store"), dir.path().join("thesis"));
    std::fs::create_dir(&thesis).expect("made");
    for name in ["text.tex", ".mppc-x.part"] {
        std::fs::write(thesis.join(name), "years of work").expect("written");
    }
    let inside = || std::fs::read(thesis.join("text.tex")).expect("there");
    for (name, to) in
        [("lock", "text.tex"), ("codes/k", ""), ("notes", ""), ("pairs/p.safetensors", "text.tex")]
    {
        let link = root.join(name);
        std::fs::create_dir_all(link.parent().expect("a folder")).expect("made");
        symlink(thesis.join(to), &link).expect("a link");
        FolderStore::open(&root).expect_err(name);
        assert_eq!(inside(), b"years of work");
        assert!(thesis.join(".mppc-x.part").exists(), "{name}: swept");
        std::fs::remove_dir_all(&root).expect("removed");
    }
    // The store itself may be a link.
    std::fs::create_dir(dir.path().join("far")).expect("made");
    symlink(dir.path().join("far"), &root).expect("a link");
    assert_eq!(there(&filled(&root)), [true; 3]);
}

#[test]
fn does_not_write_among_other_things() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("thesis.tex"), "\\begin").expect("written");
    let error = FolderStore::open(dir.path()).expect_err("not a store").to_string();
    assert!(error.contains("holds thesis.tex"), "{error}");
    let half = dir.path().join("s/codes/k");
    std::fs::create_dir_all(&half).expect("made");
    std::fs::write(half.join(".mppc-x.part"), "half").expect("written");
    let store = FolderStore::open(&dir.path().join("s")).expect("a store");
    let error = FolderStore::open(&dir.path().join("s")).expect_err("in use").to_string();
    assert!(error.contains("in use by another run"), "{error}");
    assert_eq!(store.files().expect("listed"), Vec::<PathBuf>::new());
}
