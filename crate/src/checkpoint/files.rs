//! A set of named files: a directory, or files that have no place in one (the page's, the embedded pair's).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use super::{Bytes, CheckpointError, without_bom};

/// A set of files by relative name (`config.json`, `saes/…/cfg.json`).
#[derive(Clone)]
pub enum Files {
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

impl Files {
    /// A directory.
    pub fn dir(path: impl Into<PathBuf>) -> Self {
        Self::Dir(path.into())
    }

    /// Files in memory or elsewhere; `name` is what messages call the set.
    pub fn loose(name: impl Into<String>, files: impl IntoIterator<Item = (String, Bytes)>) -> Self {
        Self::Loose { name: name.into(), folder: String::new(), files: Rc::new(files.into_iter().collect()) }
    }

    /// What messages call the set.
    pub fn place(&self) -> String {
        match self {
            Self::Dir(path) => path.display().to_string(),
            Self::Loose { name, folder, .. } => format!("{name}/{folder}").trim_end_matches('/').to_owned(),
        }
    }

    /// What messages call one of its files.
    pub fn label(&self, name: &str) -> String {
        match self {
            Self::Dir(path) => path.join(name).display().to_string(),
            Self::Loose { name: place, folder, .. } => format!("{place}/{folder}{name}"),
        }
    }

    /// Whether a file is there.
    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::Dir(path) => path.join(name).is_file(),
            Self::Loose { folder, files, .. } => files.contains_key(&format!("{folder}{name}")),
        }
    }

    /// The bytes of a file, which are not read before they are looked at.
    ///
    /// # Errors
    /// [`CheckpointError::Missing`] and [`CheckpointError::Io`].
    pub fn open(&self, name: &str) -> Result<Bytes, CheckpointError> {
        let missing = || CheckpointError::Missing { place: self.place(), name: name.to_owned() };
        match self {
            #[cfg(not(target_arch = "wasm32"))]
            Self::Dir(path) => match Bytes::map(&path.join(name)) {
                Ok(bytes) => Ok(bytes),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(missing()),
                Err(source) => Err(CheckpointError::Io { file: self.label(name), source }),
            },
            #[cfg(target_arch = "wasm32")]
            Self::Dir(_) => Err(missing()),
            Self::Loose { folder, files, .. } => {
                files.get(&format!("{folder}{name}")).cloned().ok_or_else(missing)
            }
        }
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

    /// The content of a JSON file, with or without a byte order mark; numbers that only Python can write (`NaN`, `Infinity`)
    /// are strings.
    ///
    /// # Errors
    /// As [`Files::read`], and [`CheckpointError::Config`] when it is not a JSON object.
    pub fn json(&self, name: &str) -> Result<serde_json::Map<String, serde_json::Value>, CheckpointError> {
        super::json::object(without_bom(&self.read(name)?)).map_err(|e| CheckpointError::Config {
            file: self.label(name),
            reason: format!("is not a JSON object: {e}"),
        })
    }

    /// Names of the files directly inside, sorted; none where there is no such place.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = match self {
            Self::Dir(path) => std::fs::read_dir(path)
                .into_iter()
                .flatten()
                .flatten()
                // Through links, of which the hub's cache is made.
                .filter(|entry| entry.path().is_file())
                .filter_map(|entry| entry.file_name().into_string().ok())
                .collect(),
            Self::Loose { .. } => {
                self.inside().filter(|name| !name.contains('/')).map(str::to_owned).collect()
            }
        };
        names.sort();
        names
    }

    /// Names of the folders directly inside, sorted; none where there is no such place.
    pub fn folders(&self) -> Vec<String> {
        let mut names: Vec<String> = match self {
            Self::Dir(path) => std::fs::read_dir(path)
                .into_iter()
                .flatten()
                .flatten()
                .filter(|entry| entry.path().is_dir())
                .filter_map(|entry| entry.file_name().into_string().ok())
                .collect(),
            Self::Loose { .. } => {
                self.inside().filter_map(|name| Some(name.split_once('/')?.0.to_owned())).collect()
            }
        };
        names.sort();
        names.dedup();
        names
    }

    /// The files below a folder, as a set of its own.
    pub fn folder(&self, folder: &str) -> Self {
        match self {
            Self::Dir(path) => Self::Dir(path.join(folder)),
            Self::Loose { name, folder: above, files } => {
                Self::Loose { name: name.clone(), folder: format!("{above}{folder}/"), files: files.clone() }
            }
        }
    }

    /// The folder that this one is in; `None` where nothing is known above it.
    pub fn above(&self) -> Option<Self> {
        match self {
            // `.` and `a/..` have no last part to take off.
            Self::Dir(path) => match path.file_name() {
                Some(_) => path.parent().map(|above| match above.as_os_str().is_empty() {
                    true => Self::dir("."),
                    false => Self::dir(above),
                }),
                None => path.canonicalize().ok()?.parent().map(Self::dir),
            },
            Self::Loose { name, folder, files } => {
                let inside = folder.strip_suffix('/')?;
                let above = inside.rfind('/').map_or("", |at| &inside[..=at]);
                Some(Self::Loose { name: name.clone(), folder: above.to_owned(), files: files.clone() })
            }
        }
    }

    /// Names below this folder of a loose set.
    fn inside(&self) -> impl Iterator<Item = &str> {
        let (folder, files) = match self {
            Self::Dir(_) => ("", None),
            Self::Loose { folder, files, .. } => (&folder[..], Some(files)),
        };
        files.into_iter().flat_map(|files| files.keys()).filter_map(move |name| name.strip_prefix(folder))
    }
}
