//! Where the hub and the cache are: the environment variables of `huggingface_hub`.

use std::path::{Path, PathBuf};

use super::expand::expand;

/// A token and where it comes from, for messages.
#[derive(Clone)]
pub struct Token {
    /// What is sent.
    pub value: String,
    /// `HF_TOKEN`, or a file.
    pub source: String,
}

/// What the environment says.
#[derive(Clone)]
pub struct Settings {
    /// Address of the hub, without a slash at the end: `HF_ENDPOINT`.
    pub endpoint: String,
    /// `HF_TOKEN`, or the file that `hf auth login` writes.
    pub token: Option<Token>,
    /// Folder of the cache: `HF_HUB_CACHE`, or `hub` in `HF_HOME`.
    pub cache: PathBuf,
    /// Nothing may be downloaded: `HF_HUB_OFFLINE`.
    pub offline: bool,
}

impl Settings {
    /// Reads the environment. `~` and `$NAME` in paths are expanded as Python does.
    pub fn from_env() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    pub(super) fn read(raw: impl Fn(&str) -> Option<String>) -> Self {
        let var = |name: &str| raw(name).filter(|value| !value.trim().is_empty());
        let path = |text: &str| expand(text, &raw);
        let base = var("HF_HOME").unwrap_or_else(|| {
            let user = || "~/.cache".to_owned();
            format!("{}/huggingface", var("XDG_CACHE_HOME").unwrap_or_else(user))
        });
        let home = path(&base);
        // What is below the home folder is expanded once more there, too.
        let named = |name: &str, usual: &str| path(&var(name).unwrap_or_else(|| format!("{home}/{usual}")));
        let cache = match var("HF_HUB_CACHE") {
            Some(cache) => path(&cache),
            None => named("HUGGINGFACE_HUB_CACHE", "hub"),
        };
        let given = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]
            .iter()
            .find_map(|name| Some(Token { value: var(name)?.trim().to_owned(), source: (*name).to_owned() }));
        let stored = || {
            let file = named("HF_TOKEN_PATH", "token");
            let bytes = crate::regular::read_within(Path::new(&file), 1 << 16).ok()?;
            let value = String::from_utf8(bytes).ok()?.trim().to_owned();
            (!value.is_empty()).then_some(Token { value, source: file })
        };
        let on = |name| var(name).is_some_and(|v| matches!(&*v.to_uppercase(), "1" | "ON" | "YES" | "TRUE"));
        let endpoint = var("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: given.or_else(|| stored().filter(|_| !on("HF_HUB_DISABLE_IMPLICIT_TOKEN"))),
            cache: cache.into(),
            offline: on("HF_HUB_OFFLINE"),
        }
    }
}
