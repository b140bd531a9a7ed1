//! Edits of an input: of its bytes, and of what they mean.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;

use crate::Folder;

/// One change of one file.
#[derive(Debug, Clone)]
pub(crate) struct Edit {
    /// Which file.
    file: Index,
    change: Change,
}

#[derive(Debug, Clone)]
enum Change {
    /// One bit is turned.
    Flip(Index, u8),
    /// Bytes become a number, little-endian, of this many bytes.
    Number(Index, Index, u8),
    /// The end is missing.
    End(Index),
    /// A stretch is missing.
    Remove(Index, u8),
    /// A stretch comes twice.
    Repeat(Index, u8),
    /// Text comes in between.
    Insert(Index, Index),
    /// A value of JSON (of a safetensors header, of a line of JSON Lines, of TOML) is another one.
    Value(Index, Index),
    /// A key or an element is missing.
    Without(Index, Index),
    /// A key has another name.
    Rename(Index, Index),
    /// A value is that of another place in the same file.
    Move(Index, Index),
    /// The file is missing.
    Delete,
    /// The file is empty.
    Empty,
    /// The file is the same-named one of another input.
    Swap(Index),
}

impl Arbitrary for Edit {
    type Parameters = ();
    type Strategy = BoxedStrategy<Self>;

    fn arbitrary_with((): ()) -> Self::Strategy {
        use Change::*;
        let index = any::<Index>;
        let change = prop_oneof![
            4 => (index(), 0u8..8).prop_map(|(at, bit)| Flip(at, bit)),
            4 => (index(), index(), 0u8..4).prop_map(|(at, n, width)| Number(at, n, 1 << width)),
            2 => index().prop_map(End),
            2 => (index(), any::<u8>()).prop_map(|(at, n)| Remove(at, n)),
            2 => (index(), any::<u8>()).prop_map(|(at, n)| Repeat(at, n)),
            2 => (index(), index()).prop_map(|(at, what)| Insert(at, what)),
            12 => (index(), index()).prop_map(|(at, what)| Value(at, what)),
            3 => (index(), index()).prop_map(|(at, which)| Without(at, which)),
            3 => (index(), index()).prop_map(|(at, name)| Rename(at, name)),
            4 => (index(), index()).prop_map(|(at, from)| Move(at, from)),
            1 => Just(Delete),
            1 => Just(Empty),
            1 => index().prop_map(Swap),
        ];
        (index(), change).prop_map(|(file, change)| Self { file, change }).boxed()
    }
}

/// Numbers at which code breaks.
const NUMBERS: [u64; 24] = [
    0,
    1,
    2,
    3,
    7,
    8,
    31,
    127,
    128,
    255,
    256,
    4_096,
    65_535,
    65_536,
    1_000_000,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    1 << 32,
    (1 << 53) + 1,
    (1 << 62),
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

/// Text at which code breaks.
const TEXTS: [&str; 18] = [
    "NaN",
    "Infinity",
    "-1",
    "1e999",
    "\u{feff}",
    "\\ud800",
    "\0",
    "\u{1b}[2J",
    "\u{1}",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    "{\"a\":{\"a\":{\"a\":{\"a\":",
    "\"",
    "\n",
    "\r\n\r\n",
    "=",
    "../../",
    "\u{202e}",
    "�",
];

/// A value of JSON that nobody expects; there are as many as [`VALUES`] says.
fn value(i: usize) -> Value {
    let rest = i.checked_sub(NUMBERS.len() + TEXTS.len());
    match (i, rest) {
        (i, _) if i < NUMBERS.len() => Value::from(NUMBERS[i]),
        (i, None) => Value::from(TEXTS[i - NUMBERS.len()]),
        (_, Some(rest)) => match rest {
            0 => Value::Null,
            1 => Value::from(true),
            2 => Value::from(-1),
            3 => Value::from(i64::MIN),
            4 => Value::from(1e308),
            5 => Value::from(-1e-308),
            6 => Value::from(0.5),
            7 => Value::from(-0.0),
            8 => Value::from(""),
            9 => Value::from("x".repeat(100_000)),
            10 => Value::Array(Vec::new()),
            11 => Value::Object(serde_json::Map::new()),
            12 => serde_json::json!([0, 1_u64 << 62]),
            13 => serde_json::json!([0x8000_0000_u64, 0x8000_0000_u64]),
            14 => serde_json::json!([[0, 0], {}]),
            15 => (0..100).fold(Value::Null, |inner, _| Value::Array(vec![inner])),
            16 => Value::from("/dev/zero"),
            _ => Value::from(vec![7; 3_000]),
        },
    }
}

const VALUES: usize = NUMBERS.len() + TEXTS.len() + 18;

/// An input after some edits.
pub(crate) fn edited(good: &[Folder], which: usize, edits: &[Edit]) -> Folder {
    let mut folder = good[which].clone();
    for edit in edits {
        if folder.is_empty() {
            break;
        }
        let name = folder.keys().nth(edit.file.index(folder.len())).expect("within").clone();
        match &edit.change {
            Change::Delete => drop(folder.remove(&name)),
            Change::Swap(from) => {
                if let Some(other) = good[from.index(good.len())].get(&name) {
                    folder.insert(name, other.clone());
                }
            }
            change => change.apply(&name, folder.get_mut(&name).expect("it is there")),
        }
    }
    folder
}

impl Change {
    fn apply(&self, name: &str, bytes: &mut Vec<u8>) {
        let len = bytes.len();
        let stretch = |at: &Index, n: u8| {
            let at = at.index(len.max(1)).min(len);
            at..(at + usize::from(n)).min(len)
        };
        match self {
            Self::Flip(at, bit) => {
                if let Some(byte) = bytes.get_mut(at.index(len.max(1))) {
                    *byte ^= 1 << bit;
                }
            }
            Self::Number(at, n, width) => {
                let number = NUMBERS[n.index(NUMBERS.len())].to_le_bytes();
                let place = stretch(at, *width);
                let width = place.len();
                bytes[place].copy_from_slice(&number[..width]);
            }
            Self::End(at) => bytes.truncate(at.index(len + 1)),
            Self::Remove(at, n) => drop(bytes.drain(stretch(at, *n))),
            Self::Repeat(at, n) => {
                let place = stretch(at, *n);
                let (copy, start) = (bytes[place.clone()].to_vec(), place.start);
                bytes.splice(start..start, copy);
            }
            Self::Insert(at, what) => {
                let at = at.index(len + 1);
                bytes.splice(at..at, TEXTS[what.index(TEXTS.len())].bytes());
            }
            Self::Empty => bytes.clear(),
            Self::Value(..) | Self::Without(..) | Self::Rename(..) | Self::Move(..) => {
                structured(name, bytes, |root| self.restructure(root));
            }
            Self::Delete | Self::Swap(_) => unreachable!("they are about the folder"),
        }
    }

    fn restructure(&self, root: &mut Value) {
        let nodes = count(root);
        match self {
            Self::Value(at, what) => *node(root, at.index(nodes)) = value(what.index(VALUES)),
            Self::Move(at, from) => {
                let other = node(root, from.index(nodes)).clone();
                *node(root, at.index(nodes)) = other;
            }
            Self::Without(at, which) => match node(root, at.index(nodes)) {
                Value::Object(map) => {
                    if let Some(key) = map.keys().nth(which.index(map.len().max(1))).cloned() {
                        map.remove(&key);
                    }
                }
                Value::Array(items) if !items.is_empty() => drop(items.remove(which.index(items.len()))),
                other => *other = Value::Null,
            },
            Self::Rename(at, to) => {
                if let Value::Object(map) = node(root, at.index(nodes))
                    && let Some(key) = map.keys().nth(to.index(map.len().max(1))).cloned()
                {
                    let inner = map.remove(&key).unwrap_or_default();
                    map.insert(TEXTS[to.index(TEXTS.len())].to_owned(), inner);
                }
            }
            _ => {}
        }
    }
}

/// Edits what the bytes mean, if they mean something.
fn structured(name: &str, bytes: &mut Vec<u8>, edit: impl FnOnce(&mut Value)) {
    if name.ends_with(".safetensors") {
        let Some((header, data)) = bytes.get(8..).and_then(|rest| {
            let n = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"));
            rest.split_at_checked(usize::try_from(n).ok()?)
        }) else {
            return;
        };
        let Ok(mut root) = serde_json::from_slice(header) else { return };
        edit(&mut root);
        let header = root.to_string();
        let mut new = (header.len() as u64).to_le_bytes().to_vec();
        new.extend(header.bytes());
        new.extend(data);
        *bytes = new;
    } else if name.ends_with(".toml") {
        let text = String::from_utf8_lossy(bytes);
        let Ok(mut root) = toml::from_str::<Value>(&text) else { return };
        edit(&mut root);
        // Not every value has a form in TOML.
        if let Ok(text) = toml::to_string(&root) {
            *bytes = text.into_bytes();
        }
    } else if name.ends_with(".jsonl") {
        let mut lines: Vec<Vec<u8>> = bytes.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
        let Some(line) = lines.first_mut() else { return };
        let Ok(mut root) = serde_json::from_slice(line) else { return };
        edit(&mut root);
        *line = root.to_string().into_bytes();
        *bytes = lines.join(&b'\n');
    } else if let Ok(mut root) = serde_json::from_slice(bytes) {
        edit(&mut root);
        *bytes = root.to_string().into_bytes();
    }
}

/// Values in a value, itself among them.
fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Object(map) => 1 + map.values().map(count).sum::<usize>(),
        _ => 1,
    }
}

/// The value with this number, the whole first.
fn node(value: &mut Value, mut number: usize) -> &mut Value {
    if number == 0 {
        return value;
    }
    number -= 1;
    let inner: Box<dyn Iterator<Item = &mut Value>> = match value {
        Value::Array(items) => Box::new(items.iter_mut()),
        Value::Object(map) => Box::new(map.values_mut()),
        _ => unreachable!("the number is below the count"),
    };
    for one in inner {
        let here = count(one);
        if number < here {
            return node(one, number);
        }
        number -= here;
    }
    unreachable!("the number is below the count")
}
