//! `owner/name@revision`.

use super::HubError;

/// A repository and a revision of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoName {
    /// `owner/name`.
    pub repo: String,
    /// A branch, a tag or a commit; `main` unless one is named.
    pub revision: String,
    /// Models and data sets have repositories of the same names.
    pub kind: RepoKind,
}

/// What a repository is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepoKind {
    /// Models, SAEs.
    Model,
    /// A data set.
    DataSet,
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
        Ok(Self { repo: repo.to_owned(), revision: revision.to_owned(), kind: RepoKind::Model })
    }

    /// The data set of this name.
    pub fn data_set(self) -> Self {
        Self { kind: RepoKind::DataSet, ..self }
    }

    /// Its path on the hub's site: `owner/name` or `datasets/owner/name`.
    pub(super) fn path(&self) -> String {
        match self.kind {
            RepoKind::Model => self.repo.clone(),
            RepoKind::DataSet => format!("datasets/{}", self.repo),
        }
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
        if self.kind == RepoKind::DataSet {
            return write!(f, "the data set {}", self.repo);
        }
        match self.revision.as_str() {
            "main" => f.write_str(&self.repo),
            other => write!(f, "{}@{other}", self.repo),
        }
    }
}
