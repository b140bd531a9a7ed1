//! The bytes of a file, wherever they are.

use std::borrow::Cow;
use std::io;
use std::ops::Range;
use std::rc::Rc;

/// Random access to a file that is neither in memory nor mapped into it, such as one of the browser's storage.
pub trait ReadAt {
    /// Bytes of the file.
    fn size(&self) -> u64;

    /// Fills `into` with the bytes from `offset` on.
    ///
    /// # Errors
    /// When the file cannot be read, or ends before.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;
}

/// The bytes of a file. Cheap to clone.
#[derive(Clone)]
pub enum Bytes {
    /// In memory.
    Memory(Cow<'static, [u8]>),
    /// Mapped into memory: read from disk page by page as they are looked at.
    #[cfg(not(target_arch = "wasm32"))]
    Mapped(std::sync::Arc<memmap2::Mmap>),
    /// Read when asked for.
    Elsewhere(Rc<dyn ReadAt>),
}

impl<T: Into<Cow<'static, [u8]>>> From<T> for Bytes {
    fn from(bytes: T) -> Self {
        Self::Memory(bytes.into())
    }
}

impl Bytes {
    /// Maps a regular file.
    ///
    /// # Errors
    /// When it is something else, or cannot be opened or mapped.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn map(path: &std::path::Path) -> io::Result<Self> {
        let file = crate::regular::open(path)?;
        // A mapping of nothing is an error on some systems.
        if file.metadata()?.len() == 0 {
            return Ok(Self::Memory(Cow::Borrowed(&[])));
        }
        // SAFETY: the mapping is read-only and outlives every slice of it. Whoever shortens the file while it is
        // mapped ends this process with a fault: the hub's clients and this lab never do (they write beside the
        // place and rename), and writing over weights that are being loaded makes no sense of either version.
        let map = unsafe { memmap2::Mmap::map(&file)? };
        Ok(Self::Mapped(map.into()))
    }

    /// How many there are.
    pub fn size(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            #[cfg(not(target_arch = "wasm32"))]
            Self::Mapped(map) => map.len() as u64,
            Self::Elsewhere(file) => file.size(),
        }
    }

    /// Some of them: borrowed where they are in memory, read otherwise.
    ///
    /// # Errors
    /// When the range ends behind the file, or the file cannot be read.
    pub fn slice(&self, range: Range<u64>) -> io::Result<Cow<'_, [u8]>> {
        let beyond = || io::Error::from(io::ErrorKind::UnexpectedEof);
        if range.start > range.end || range.end > self.size() {
            return Err(beyond());
        }
        let place = |offset: u64| usize::try_from(offset).map_err(|_| beyond());
        match self {
            Self::Memory(bytes) => Ok(Cow::Borrowed(&bytes[place(range.start)?..place(range.end)?])),
            #[cfg(not(target_arch = "wasm32"))]
            Self::Mapped(map) => Ok(Cow::Borrowed(&map[place(range.start)?..place(range.end)?])),
            Self::Elsewhere(file) => {
                let mut bytes = vec![0; place(range.end - range.start)?];
                file.read_at(range.start, &mut bytes)?;
                Ok(Cow::Owned(bytes))
            }
        }
    }

    /// Says that a range will not be looked at again: the pages of a mapping go back to the system, so that a
    /// loaded checkpoint does not count twice.
    pub(super) fn done_with(&self, range: Range<u64>) {
        #[cfg(unix)]
        if let Self::Mapped(map) = self {
            let (start, len) = (range.start as usize, (range.end - range.start) as usize);
            // SAFETY: the mapping is of a file and never written: a page looked at again is read again, with
            // the same bytes.
            // What cannot be given back costs memory, not correctness.
            let _ = unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, len) };
        }
        #[cfg(not(unix))]
        let _ = range;
    }
}

/// The bytes of a text without the byte order mark that some programs of Windows put in front of UTF-8.
pub fn without_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::SafeFile;

    struct Slow(Vec<u8>);

    impl ReadAt for Slow {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
            into.copy_from_slice(&self.0[offset as usize..][..into.len()]);
            Ok(())
        }
    }

    /// 3 rows of a width that no piece is a multiple of, more than two pieces in all.
    fn file() -> Vec<u8> {
        let values: Vec<u8> = (0..3 * 1_000_003_u32).flat_map(|i| (i as f32).to_le_bytes()).collect();
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![3, 1_000_003], &values);
        safetensors::serialize([("w", view.unwrap())], None).unwrap()
    }

    #[test]
    fn a_file_is_the_same_wherever_it_is() {
        let content = file();
        let mut on_disk = tempfile::NamedTempFile::new().unwrap();
        io::Write::write_all(&mut on_disk, &content).unwrap();
        let everywhere = [
            Bytes::from(content.clone()),
            Bytes::map(on_disk.path()).unwrap(),
            Bytes::Elsewhere(Rc::new(Slow(content.clone()))),
        ];
        for bytes in everywhere {
            assert_eq!(bytes.slice(5..9).unwrap(), &content[5..9]);
            let size = bytes.size();
            assert_eq!(bytes.slice(size..size + 1).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            let file = SafeFile::parse("f", bytes).unwrap();
            // Twice: pages of a mapping that were given back are there again.
            for _ in 0..2 {
                let values = file.f32s("w").unwrap();
                assert!(values.iter().enumerate().all(|(i, v)| *v == i as f32));
            }
            let mut seen = Vec::new();
            file.rows("w", &[3, 1_000_003], |row, bytes| {
                seen.push((row, bytes.len()));
                Ok(())
            })
            .unwrap();
            assert_eq!(seen, [(0, 4_000_012), (1, 4_000_012), (2, 4_000_012)]);
        }
    }

    #[test]
    fn an_empty_file_maps() {
        let empty = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(Bytes::map(empty.path()).unwrap().size(), 0);
    }
}
