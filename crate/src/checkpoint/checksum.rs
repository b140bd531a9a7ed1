//! A checksum in the file itself, for what the lab keeps for itself and must not believe when it was damaged.
//!
//! It is the CRC-32 of the whole file, its own eight digits taken as zeros, and stands at the beginning of the file's
//! JSON: in a safetensors file in `__metadata__`, so that every other program reads the file as any other. Each flipped
//! bit is found, and each stretch of damage of up to 32 bits; of other damage one case in 4·10⁹ is not.

use std::borrow::Cow;
use std::io;
use std::ops::Range;

use super::Bytes;

/// The name it has in a file's JSON.
pub(crate) const KEY: &str = "mppc.crc32";
/// What stands in its place until it is known.
pub(crate) const BLANK: &str = "00000000";
/// It stands within so many bytes of the file's beginning.
const WITHIN: usize = 256;
/// What is said of a file without one.
const NONE: &str = "it has no checksum, as it would if it was whole and not of an earlier version";
/// A file is read in pieces of so many bytes.
const PIECE: usize = 4 << 20;

/// Where the digits are in a file's beginning.
fn place(beginning: &[u8]) -> Option<Range<usize>> {
    let mark = format!("\"{KEY}\":\"");
    let beginning = &beginning[..beginning.len().min(WITHIN)];
    let start = beginning.windows(mark.len()).position(|w| w == mark.as_bytes())? + mark.len();
    (start + BLANK.len() <= beginning.len()).then(|| start..start + BLANK.len())
}

/// Puts the checksum of a file in its place, where [`BLANK`] is: `beginning` has it, `rest` is what follows.
///
/// # Panics
/// When the place is not there.
pub(crate) fn fill(beginning: &mut [u8], rest: impl Iterator<Item = impl AsRef<[u8]>>) {
    let mut sum = crc32fast::Hasher::new();
    sum.update(beginning);
    rest.for_each(|piece| sum.update(piece.as_ref()));
    let place = place(beginning).expect("a place for the checksum");
    beginning[place].copy_from_slice(format!("{:08x}", sum.finalize()).as_bytes());
}

/// A safetensors file with its checksum.
///
/// # Panics
/// When it is none.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn sealed(file: &[u8]) -> Vec<u8> {
    const NOTES: &str = "{\"__metadata__\":{";
    let (length, rest) = file.split_first_chunk().expect("a safetensors file");
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let header = std::str::from_utf8(header).expect("JSON").trim_end();
    let mut header = match header.strip_prefix(NOTES) {
        Some(more) => format!("{NOTES}\"{KEY}\":\"{BLANK}\",{more}"),
        None => format!("{NOTES}\"{KEY}\":\"{BLANK}\"}},{}", header.strip_prefix('{').expect("an object")),
    };
    header += &" ".repeat(header.len().next_multiple_of(8) - header.len());
    let mut sealed = (header.len() as u64).to_le_bytes().to_vec();
    sealed.extend_from_slice(header.as_bytes());
    fill(&mut sealed, [data].into_iter());
    sealed.extend_from_slice(data);
    sealed
}

/// A JSON value with its checksum, as a JSON file.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn sealed_note(value: &str) -> Vec<u8> {
    let mut note = format!("{{\"{KEY}\":\"{BLANK}\",\"note\":{value}}}").into_bytes();
    fill(&mut note, std::iter::empty::<&[u8]>());
    note
}

/// The value in such a file.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn note(file: &[u8]) -> Option<&str> {
    let rest = std::str::from_utf8(file).ok()?.get(place(file)?.end..)?;
    rest.strip_prefix("\",\"note\":")?.strip_suffix('}')
}

/// Whether a file is as it was written.
///
/// # Errors
/// What is wrong with it, in a few words.
pub(crate) fn check(file: &Bytes) -> Result<(), String> {
    let size = file.size();
    let starts = (0..size).step_by(PIECE);
    compare(starts.map(|start| file.slice(start..(start + PIECE as u64).min(size))))
}

/// As [`check`], of a file in memory.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn check_bytes(file: &[u8]) -> Result<(), String> {
    compare(std::iter::once(Ok(Cow::Borrowed(file))))
}

/// The first piece has the checksum.
fn compare<'a>(mut pieces: impl Iterator<Item = io::Result<Cow<'a, [u8]>>>) -> Result<(), String> {
    let first = pieces.next().transpose().map_err(|e| e.to_string())?.unwrap_or_default();
    let place = place(&first).ok_or(NONE)?;
    let mut sum = crc32fast::Hasher::new();
    sum.update(&first[..place.start]);
    sum.update(BLANK.as_bytes());
    sum.update(&first[place.end..]);
    for piece in pieces {
        sum.update(&piece.map_err(|e| e.to_string())?);
    }
    match first[place] == *format!("{:08x}", sum.finalize()).as_bytes() {
        true => Ok(()),
        false => Err("its checksum is wrong".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::{Dtype, SafeTensors, serialize, tensor::TensorView};
    use std::collections::HashMap;

    fn file(notes: Option<HashMap<String, String>>) -> Vec<u8> {
        let values: Vec<u8> = (0..600_u16).flat_map(u16::to_le_bytes).collect();
        let view = TensorView::new(Dtype::U16, vec![600], &values).expect("a view");
        serialize([("v", view)], notes).expect("a file")
    }

    fn checked(file: &[u8]) -> Result<(), String> {
        check(&Bytes::from(file.to_vec()))
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let notes = HashMap::from([("a".to_owned(), "b".to_owned())]);
        for sound in [sealed(&file(None)), sealed(&file(Some(notes))), sealed_note("{\"x\":[1.5,null]}")] {
            assert_eq!(checked(&sound), Ok(()));
            for bit in 0..sound.len() * 8 {
                let mut damaged = sound.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert!(checked(&damaged).is_err(), "bit {bit}");
            }
            for end in 0..sound.len() {
                assert!(checked(&sound[..end]).is_err(), "cut at {end}");
            }
        }
        assert_eq!(checked(&file(None)), Err(NONE.to_owned()));
    }

    /// The polynomial of zlib, PNG and Ethernet, bit by bit.
    #[test]
    fn it_is_the_crc_that_everybody_has() {
        let sound = sealed_note("7");
        let place = place(&sound).expect("a place");
        let mut blank = sound.clone();
        blank[place.clone()].copy_from_slice(BLANK.as_bytes());
        let step = |c: u32, _: u32| if c & 1 == 1 { (c >> 1) ^ 0xedb8_8320 } else { c >> 1 };
        let crc = !blank.iter().fold(!0_u32, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step));
        assert_eq!(std::str::from_utf8(&sound[place]), Ok(&*format!("{crc:08x}")));
    }

    #[test]
    fn others_read_the_file_as_before() {
        let notes = HashMap::from([("a".to_owned(), "b".to_owned())]);
        for plain in [file(None), file(Some(notes))] {
            let sealed = sealed(&plain);
            let tensor = |bytes: &[u8]| {
                let tensors = SafeTensors::deserialize(bytes).expect("a file");
                tensors.tensor("v").expect("there").data().to_vec()
            };
            assert_eq!(tensor(&sealed), tensor(&plain));
            let (_, header) = SafeTensors::read_metadata(&sealed).expect("a header");
            let (_, before) = SafeTensors::read_metadata(&plain).expect("a header");
            let notes = header.metadata().clone().expect("notes");
            let before = before.metadata().clone().unwrap_or_default();
            assert!(
                notes.len() == before.len() + 1 && before.iter().all(|(key, value)| notes[key] == *value)
            );
        }
        let value = "{\"x\":[1.5,null]}";
        assert_eq!(note(&sealed_note(value)), Some(value));
        let json: serde_json::Value = serde_json::from_slice(&sealed_note(value)).expect("JSON");
        assert_eq!(json["note"]["x"][0], 1.5);
    }
}
