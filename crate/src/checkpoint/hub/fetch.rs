//! A whole repository, or what is wanted of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cache::{CachedRepo, RepoCache, scan};
use super::client::Client;
use super::download::{self, Download, Event};
use super::listing::{Listing, Remote};
use super::select::{self, INDEX, MOST_INDEX, OPTIONAL};
use super::{HubError, RepoName, Settings, Want};

/// A repository in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its folder.
    pub path: PathBuf,
    /// Its commit.
    pub commit: String,
    /// Bytes downloaded just now.
    pub downloaded: u64,
}

/// The hub and the cache.
pub struct Hub {
    settings: Settings,
    /// Bytes free where a folder is; tests say otherwise.
    pub(super) free: fn(&Path) -> std::io::Result<u64>,
    /// How long too little may come before it is called a stall; tests wait less.
    pub(super) patience: Duration,
    /// Whether somebody wants downloads to stop.
    stop: fn() -> bool,
}

impl Hub {
    /// With these settings; [`Settings::from_env`] has the user's.
    pub fn new(settings: Settings) -> Self {
        let free = |path: &Path| fs4::available_space(path);
        Self { settings, free, patience: Duration::from_secs(60), stop: || false }
    }

    /// The same, asking now and then in a download whether it should end with [`HubError::Cancelled`].
    pub fn stopping(self, stop: fn() -> bool) -> Self {
        Self { stop, ..self }
    }

    /// A connection.
    pub(super) fn client(&self) -> Client<'_> {
        Client::new(&self.settings, self.patience)
    }

    /// Where the hub and the cache are.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Everything in the cache.
    ///
    /// # Errors
    /// [`HubError::Io`] when it cannot be read.
    pub fn cached(&self) -> Result<Vec<CachedRepo>, HubError> {
        scan(&self.settings.cache)
    }

    /// What is wanted of a repository: without any request if it is complete in the cache, otherwise as
    /// [`Hub::fetch`].
    ///
    /// # Errors
    /// As [`Hub::fetch`].
    pub fn get(
        &self,
        name: &RepoName,
        want: &Want,
        watch: &mut dyn FnMut(Event<'_>),
    ) -> Result<Fetched, HubError> {
        match self.in_cache(name, want, true) {
            Some(found) => Ok(found),
            None => self.fetch(name, want, watch),
        }
    }

    /// What is wanted of a repository, in the state that the hub has now. Without a connection, what is complete
    /// in the cache is taken instead.
    ///
    /// # Errors
    /// Any [`HubError`].
    pub fn fetch(
        &self,
        name: &RepoName,
        want: &Want,
        watch: &mut dyn FnMut(Event<'_>),
    ) -> Result<Fetched, HubError> {
        if let Some(found) = self.in_cache(name, want, true).filter(|_| name.is_pinned()) {
            return Ok(found); // a commit never changes
        }
        if self.settings.offline {
            let cache = self.settings.cache.clone();
            let offline = || HubError::Offline { repo: name.to_string(), cache };
            return self.in_cache(name, want, false).ok_or_else(offline);
        }
        match self.ask(name, want, watch) {
            Err(e @ HubError::Unreachable { .. }) => match self.in_cache(name, want, false) {
                Some(found) => {
                    watch(Event::Note(&format!("{e}. The copy in the cache is used")));
                    Ok(found)
                }
                None => Err(e),
            },
            other => other,
        }
    }

    fn in_cache(&self, name: &RepoName, want: &Want, strictly: bool) -> Option<Fetched> {
        let place = RepoCache::new(&self.settings.cache, name);
        let path = place.complete(want, strictly)?;
        Some(Fetched { path, commit: place.commit()?, downloaded: 0 })
    }

    /// Brings the cache to the state of the hub.
    fn ask(
        &self,
        name: &RepoName,
        want: &Want,
        watch: &mut dyn FnMut(Event<'_>),
    ) -> Result<Fetched, HubError> {
        let client = self.client();
        let place = RepoCache::new(&self.settings.cache, name);
        let listing = self.listing(&client, name)?;
        let job = Job { hub: self, client: &client, name, place: &place, listing: &listing };
        let downloaded = match want {
            Want::Files(patterns) => {
                job.get(&select::matching(&name.to_string(), &listing, patterns)?, watch)?
            }
            Want::Model => {
                let (mut files, weights) = select::model(&name.to_string(), &listing)
                    .map_err(|e| with_revisions(&client, name, e))?;
                let index = if weights.path == INDEX { job.get(&[weights], watch)? } else { 0 };
                files.extend(if weights.path == INDEX { job.shards(weights)? } else { vec![weights] });
                let rest = job.get(&files, watch)?;
                for file in OPTIONAL.iter().filter(|f| listing.get(f).is_none()) {
                    place.note_absent(&listing.commit, file).map_err(|source| job.io(source))?;
                }
                index + rest
            }
        };
        // Last, so that the revision never names a commit of which nothing is there.
        place.remember(&listing.commit).map_err(|source| job.io(source))?;
        Ok(Fetched { path: place.snapshot(&listing.commit), commit: listing.commit, downloaded })
    }

    /// What the hub says is in a repository.
    pub(super) fn listing(&self, client: &Client<'_>, name: &RepoName) -> Result<Listing, HubError> {
        let url = client.info_url(name);
        let json = client.bytes(name, &url).map_err(|e| with_revisions(client, name, e))?;
        Listing::parse(&json).map_err(|reason| HubError::Answer { url, reason })
    }
}

/// Adds to an error about a revision which others there are, if the hub tells.
fn with_revisions(client: &Client<'_>, name: &RepoName, mut error: HubError) -> HubError {
    if let HubError::NoRevision { known, .. } | HubError::NoWeights { known, .. } = &mut error
        && let Ok(json) = client.bytes(name, &client.refs_url(name))
        && let Ok(refs) = serde_json::from_slice::<serde_json::Value>(&json)
    {
        let lists = ["branches", "tags"].map(|kind| refs[kind].as_array().cloned().unwrap_or_default());
        let names = lists.iter().flatten().filter_map(|r| r["name"].as_str());
        known.extend(names.filter(|n| *n != name.revision).map(str::to_owned));
    }
    error
}

/// A repository on its way.
pub(super) struct Job<'a> {
    pub(super) hub: &'a Hub,
    pub(super) client: &'a Client<'a>,
    pub(super) name: &'a RepoName,
    pub(super) place: &'a RepoCache,
    pub(super) listing: &'a Listing,
}

impl Job<'_> {
    fn io(&self, source: std::io::Error) -> HubError {
        HubError::Io { file: self.hub.settings.cache.clone(), source }
    }

    /// Gets files, if there is room for them. Returns how many bytes came.
    pub(super) fn get(&self, files: &[&Remote], watch: &mut dyn FnMut(Event<'_>)) -> Result<u64, HubError> {
        let missing = |f: &&Remote| download::missing(&self.place.blob(&f.hash), f.size);
        // A hub may state sizes that no disk has.
        let needed = files.iter().map(missing).fold(0, u64::saturating_add);
        let cache = &self.hub.settings.cache;
        if needed > 0 {
            std::fs::create_dir_all(cache).map_err(|source| self.io(source))?;
            // Where the system does not say how much is free, writing will.
            if let Ok(free) = (self.hub.free)(cache)
                && free < needed
            {
                return Err(HubError::Space { place: cache.clone(), free, needed });
            }
            let to = self.place.snapshot(&self.listing.commit);
            watch(Event::Start { files: files.len(), bytes: needed, to: &to });
        }
        let mut received = 0;
        for remote in files {
            let (client, name, place) = (self.client, self.name, self.place);
            let (commit, stop) = (&self.listing.commit, self.hub.stop);
            received += Download { client, name, place, commit, remote, stop }.run(watch)?;
        }
        Ok(received)
    }

    /// The shards that a downloaded index names.
    fn shards(&self, index: &Remote) -> Result<Vec<&Remote>, HubError> {
        let file = self.place.blob(&index.hash);
        let bytes =
            crate::regular::read_within(&file, MOST_INDEX).map_err(|source| HubError::Io { file, source })?;
        let url = self.client.file_url(self.name, &self.listing.commit, &index.path);
        let names = select::shards(&bytes).map_err(|reason| HubError::Answer { url, reason })?;
        let find = |shard: String| {
            self.listing.get(&shard).ok_or_else(|| HubError::Shard {
                repo: self.name.to_string(),
                index: index.path.clone(),
                shard,
            })
        };
        names.into_iter().map(find).collect()
    }
}
