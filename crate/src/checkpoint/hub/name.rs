//! `owner/name@revision`.

use super::HubError;

/// A repository and a revision of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoName {
    /// `owner/name`.
    pub repo: String,
    /// A branch, a tag or a commit; `main` unless one is named.
    pub revision: String,
}

/// Letters that neither a path nor an address needs to fear.
fn plain(part: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !part.is_empty() && part.chars().all(allowed) && !part.starts_with('.') && !part.contains("..")
}

impl RepoName {
    /// Reads `owner/name` or `owner/name@revision`.
    ///
    /// # Errors
    /// [`HubError::Name`] for everything else.
    pub fn parse(text: &str) -> Result<Self, HubError> {
        let wrong = || HubError::Name(text.to_owned());
        let (repo, revision) = text.split_once('@').unwrap_or((text, "main"));
        match repo.split_once('/') {
            Some((owner, name)) if plain(owner) && plain(name) => {}
            _ => return Err(wrong()),
        }
        if !revision.split('/').all(plain) {
            return Err(wrong());
        }
        Ok(Self { repo: repo.to_owned(), revision: revision.to_owned() })
    }

    /// Whether the revision is a commit, which never changes.
    pub fn is_pinned(&self) -> bool {
        is_commit(&self.revision)
    }
}

/// 40 hexadecimal digits.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

impl std::fmt::Display for RepoName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.revision.as_str() {
            "main" => f.write_str(&self.repo),
            other => write!(f, "{}@{other}", self.repo),
        }
    }
}
