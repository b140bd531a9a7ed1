//! Where the hub and the cache are: the environment variables of `huggingface_hub`.

use std::path::PathBuf;

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
    /// Reads the environment.
    pub fn from_env() -> Self {
        Self::read(|name| std::env::var(name).ok().filter(|v| !v.trim().is_empty()))
    }

    pub(super) fn read(var: impl Fn(&str) -> Option<String>) -> Self {
        let home = var("HF_HOME").map(PathBuf::from).unwrap_or_else(|| {
            let user = || std::env::home_dir().unwrap_or_default().join(".cache");
            var("XDG_CACHE_HOME").map_or_else(user, PathBuf::from).join("huggingface")
        });
        let cache = var("HF_HUB_CACHE").or_else(|| var("HUGGINGFACE_HUB_CACHE")).map(PathBuf::from);
        let named = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]
            .iter()
            .find_map(|name| Some(Token { value: var(name)?.trim().to_owned(), source: (*name).to_owned() }));
        let stored = || {
            let file = var("HF_TOKEN_PATH").map_or_else(|| home.join("token"), PathBuf::from);
            let value = std::fs::read_to_string(&file).ok()?.trim().to_owned();
            (!value.is_empty()).then(|| Token { value, source: file.display().to_string() })
        };
        let on = |name| var(name).is_some_and(|v| matches!(&*v.to_uppercase(), "1" | "ON" | "YES" | "TRUE"));
        let endpoint = var("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: named.or_else(|| stored().filter(|_| !on("HF_HUB_DISABLE_IMPLICIT_TOKEN"))),
            cache: cache.unwrap_or_else(|| home.join("hub")),
            offline: on("HF_HUB_OFFLINE"),
        }
    }
}
