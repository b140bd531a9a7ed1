//! A set of named files: a directory, or files that have no place in one (the page's, the embedded pair's).

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;

use super::{Bytes, CheckpointError};

/// How the name of a file one folder up begins.
const ABOVE: &str = "../";

/// A set of files by relative name (`config.json`, `saes/…/cfg.json`). It notes which of them were opened, so that what
/// a result depends on need not be guessed.
#[derive(Clone)]
pub struct Files {
    place: Place,
    /// Shared by clones and by the sets [above](Files::above).
    opened: Rc<RefCell<BTreeSet<String>>>,
    /// What stands in front of the names that are noted: `../` for each folder that this one is above the first.
    up: String,
}

#[derive(Clone)]
enum Place {
    /// A directory.
    Dir(PathBuf),
    /// Files by themselves, under a name for messages.
    Loose {
        /// What messages call the whole set.
        name: String,
        /// The folder in it that this is; empty, or with a `/` at its end.
        folder: String,
        /// Content by name in the whole set.
        files: Rc<BTreeMap<String, Bytes>>,
    },
}

impl From<Place> for Files {
    fn from(place: Place) -> Self {
        Self { place, opened: Rc::default(), up: String::new() }
    }
}

impl Files {
    /// A directory.
    pub fn dir(path: impl Into<PathBuf>) -> Self {
        Place::Dir(path.into()).into()
    }

    /// Files in memory or elsewhere; `name` is what messages call the set.
    pub fn loose(name: impl Into<String>, files: impl IntoIterator<Item = (String, Bytes)>) -> Self {
        let files = Rc::new(files.into_iter().collect());
        Place::Loose { name: name.into(), folder: String::new(), files }.into()
    }

    /// The same files, none of them opened yet.
    pub fn afresh(&self) -> Self {
        self.place.clone().into()
    }

    /// Names of the files that were opened through this set and its clones, sorted; those of the folders above it begin
    /// with `../`. A [folder](Files::folder) is a set of its own.
    pub fn opened(&self) -> Vec<String> {
        self.opened.borrow().iter().cloned().collect()
    }

    /// What messages call the set.
    pub fn place(&self) -> String {
        match &self.place {
            Place::Dir(path) => path.display().to_string(),
            Place::Loose { name, folder, .. } => format!("{name}/{folder}").trim_end_matches('/').to_owned(),
        }
    }

    /// What messages call one of its files.
    pub fn label(&self, name: &str) -> String {
        match &self.place {
            Place::Dir(path) => path.join(name).display().to_string(),
            Place::Loose { name: place, folder, .. } => format!("{place}/{folder}{name}"),
        }
    }

    /// Whether a file is there.
    pub fn has(&self, name: &str) -> bool {
        match &self.place {
            Place::Dir(path) => path.join(name).is_file(),
            Place::Loose { folder, files, .. } => files.contains_key(&format!("{folder}{name}")),
        }
    }

    /// The bytes of a file, which are not read before they are looked at. A name that was [noted](Files::opened) of a
    /// folder above is found there.
    ///
    /// # Errors
    /// [`CheckpointError::Missing`] and [`CheckpointError::Io`].
    pub fn open(&self, name: &str) -> Result<Bytes, CheckpointError> {
        if let Some(rest) = name.strip_prefix(ABOVE)
            && let Some(above) = self.above()
        {
            return above.open(rest);
        }
        let missing = || CheckpointError::Missing { place: self.place(), name: name.to_owned() };
        let bytes = match &self.place {
            #[cfg(not(target_arch = "wasm32"))]
            Place::Dir(path) => match Bytes::map(&path.join(name)) {
                Ok(bytes) => Ok(bytes),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(missing()),
                Err(source) => Err(CheckpointError::Io { file: self.label(name), source }),
            },
            #[cfg(target_arch = "wasm32")]
            Place::Dir(_) => Err(missing()),
            Place::Loose { folder, files, .. } => {
                files.get(&format!("{folder}{name}")).cloned().ok_or_else(missing)
            }
        }?;
        self.opened.borrow_mut().insert(format!("{}{name}", self.up));
        Ok(bytes)
    }

    /// As [`Files::open`], for a file whose name stands in another file: it must lie inside the set, and not only seem
    /// to. Links may lead to the blobs of the hub's cache, of which a snapshot is made.
    ///
    /// # Errors
    /// As [`Files::open`]; [`CheckpointError::Outside`], `said_by` being the file with the name.
    pub fn open_named(&self, name: &str, said_by: &str) -> Result<Bytes, CheckpointError> {
        let inside = |part: std::path::Component<'_>| matches!(part, std::path::Component::Normal(_));
        let sound =
            !name.is_empty() && !name.contains('\\') && std::path::Path::new(name).components().all(inside);
        if sound && self.leads_inside(name) {
            return self.open(name);
        }
        Err(CheckpointError::Outside {
            file: self.label(said_by),
            name: name.to_owned(),
            place: self.place(),
        })
    }

    /// Whether all links of a file, if it is there, end inside the set.
    #[cfg(not(target_arch = "wasm32"))]
    fn leads_inside(&self, name: &str) -> bool {
        let Place::Dir(folder) = &self.place else { return true };
        let (Ok(folder), Ok(file)) = (folder.canonicalize(), folder.join(name).canonicalize()) else {
            return true;
        };
        // REPOSITORY/snapshots/COMMIT and REPOSITORY/blobs
        let snapshots = folder.parent().filter(|parent| parent.ends_with("snapshots"));
        let blobs = snapshots.and_then(|snapshots| Some(snapshots.parent()?.join("blobs")));
        file.starts_with(&folder) || blobs.is_some_and(|blobs| file.starts_with(blobs))
    }

    #[cfg(target_arch = "wasm32")]
    fn leads_inside(&self, _: &str) -> bool {
        true
    }

    /// The whole content of a file.
    ///
    /// # Errors
    /// [`CheckpointError::Missing`] and [`CheckpointError::Io`].
    pub fn read(&self, name: &str) -> Result<Cow<'static, [u8]>, CheckpointError> {
        match self.open(name)? {
            Bytes::Memory(bytes) => Ok(bytes),
            bytes => match bytes.slice(0..bytes.size()) {
                Ok(content) => Ok(Cow::Owned(content.into_owned())),
                Err(source) => Err(CheckpointError::Io { file: self.label(name), source }),
            },
        }
    }

    /// The content of a JSON file, with or without a byte order mark; numbers that only Python can write (`NaN`,
    /// `Infinity`) are strings.
    ///
    /// # Errors
    /// As [`Files::read`], and [`CheckpointError::Config`] when it is not a JSON object.
    pub fn json(&self, name: &str) -> Result<serde_json::Map<String, serde_json::Value>, CheckpointError> {
        super::json::object(&self.read(name)?).map_err(|e| CheckpointError::Config {
            file: self.label(name),
            reason: format!("is not a JSON object: {e}").into(),
        })
    }

    /// Names of the folders directly inside, sorted; none where there is no such place.
    pub fn folders(&self) -> Vec<String> {
        let mut names: Vec<String> = match &self.place {
            Place::Dir(path) => std::fs::read_dir(path)
                .into_iter()
                .flatten()
                .flatten()
                .filter(|entry| entry.path().is_dir())
                .filter_map(|entry| entry.file_name().into_string().ok())
                .collect(),
            Place::Loose { folder, files, .. } => {
                let inside = files.keys().filter_map(|name| name.strip_prefix(folder.as_str()));
                inside.filter_map(|name| Some(name.split_once('/')?.0.to_owned())).collect()
            }
        };
        names.sort();
        names.dedup();
        names
    }

    /// The files below a folder, as a set of its own.
    pub fn folder(&self, folder: &str) -> Self {
        match &self.place {
            Place::Dir(path) => Place::Dir(path.join(folder)).into(),
            Place::Loose { name, folder: above, files } => {
                let folder = format!("{above}{folder}/");
                Place::Loose { name: name.clone(), folder, files: files.clone() }.into()
            }
        }
    }

    /// The folder that this one is in, which notes here what is opened; `None` where nothing is known above it.
    pub fn above(&self) -> Option<Self> {
        let place = match &self.place {
            // `.` and `a/..` have no last part to take off.
            Place::Dir(path) => Place::Dir(match path.file_name() {
                Some(_) => path.parent().map(|above| match above.as_os_str().is_empty() {
                    true => PathBuf::from("."),
                    false => above.to_owned(),
                })?,
                None => path.canonicalize().ok()?.parent()?.to_owned(),
            }),
            Place::Loose { name, folder, files } => {
                let inside = folder.strip_suffix('/')?;
                let above = inside.rfind('/').map_or("", |at| &inside[..=at]);
                Place::Loose { name: name.clone(), folder: above.to_owned(), files: files.clone() }
            }
        };
        Some(Self { place, opened: self.opened.clone(), up: format!("{}{ABOVE}", self.up) })
    }

    /// The content of a set that is no directory, by name in the whole set.
    #[cfg(test)]
    pub(crate) fn content(&self) -> BTreeMap<String, Bytes> {
        match &self.place {
            Place::Dir(_) => BTreeMap::new(),
            Place::Loose { files, .. } => (**files).clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_opened_is_noted() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join("sub")).expect("made");
        for name in ["a.json", "b.json", "sub/c.json"] {
            std::fs::write(dir.path().join(name), "{}").expect("written");
        }
        let loose = ["a.json", "b.json", "sub/c.json"].map(|name| (name.to_owned(), Bytes::from(&b"{}"[..])));
        for files in [Files::dir(dir.path()), Files::loose("l", loose)] {
            assert!(files.has("a.json") && files.opened().is_empty());
            files.json("b.json").expect("JSON");
            files.clone().open("sub/c.json").expect("there");
            assert!(files.open("d.json").is_err());
            assert_eq!(files.opened(), ["b.json", "sub/c.json"]);
            assert!(files.afresh().opened().is_empty());
            let folder = files.folder("sub");
            folder.read("c.json").expect("there");
            assert_eq!((folder.opened().len(), files.opened().len()), (1, 2));
            folder.above().expect("it is inside").json("a.json").expect("there");
            assert_eq!(folder.opened(), ["../a.json", "c.json"]);
            assert_eq!(folder.afresh().open("../a.json").expect("there").size(), 2);
        }
    }
}
