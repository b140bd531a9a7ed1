//! Data sets: their Parquet files, one after the other, from the cache or the hub.
//!
//! The hub keeps a copy of every public data set in Parquet on the branch `refs/convert/parquet`, as
//! `CONFIG/SPLIT/0000.parquet` and so on; where it has converted only the beginning, as `CONFIG/partial-SPLIT/…`.
//! Files of the data set's own, on other revisions, are found as `CONFIG/SPLIT-00000-of-00080.parquet`, with the folder
//! `data` (or none) for the config `default`.

use std::path::PathBuf;

use super::cache::RepoCache;
use super::error::some;
use super::fetch::Job;
use super::listing::Listing;
use super::{Event, Hub, HubError, RepoName};
use crate::words::{echo, meant};

/// The branch that the hub converts data sets to.
const CONVERTED: &str = "refs/convert/parquet";

/// What is put before the name of a split of which only the beginning is converted.
const PARTIAL: &str = "partial-";

/// `OWNER/NAME[@REVISION][/CONFIG[/SPLIT]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataSetName {
    /// The repository; its revision is the hub's conversion unless one is named.
    pub repo: RepoName,
    /// The config; `default` or the only one unless named.
    pub config: Option<String>,
    /// The split; `train` unless named.
    pub split: String,
}

impl DataSetName {
    /// Reads `OWNER/NAME[@REVISION][/CONFIG[/SPLIT]]`. A revision has slashes only if it is `refs/…/…`.
    ///
    /// # Errors
    /// [`HubError::DataSetName`] for everything else.
    pub fn parse(text: &str) -> Result<Self, HubError> {
        let wrong = || HubError::DataSetName(text.to_owned());
        let (owner, rest) = text.split_once('/').ok_or_else(wrong)?;
        let name_ends = rest.find(['/', '@']).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(name_ends);
        let (revision, rest) = match rest.strip_prefix('@') {
            None => (CONVERTED, rest),
            Some(rest) => {
                let slashes = if rest.starts_with("refs/") { 2 } else { 0 };
                let end = rest.match_indices('/').nth(slashes).map_or(rest.len(), |(i, _)| i);
                rest.split_at(end)
            }
        };
        let mut parts = rest.splitn(3, '/').skip(1).map(str::to_owned);
        let (config, split) = (parts.next(), parts.next());
        if [&config, &split].into_iter().flatten().any(String::is_empty) {
            return Err(wrong());
        }
        let repo = RepoName::parse(&format!("{owner}/{name}@{revision}")).map_err(|_| wrong())?;
        Ok(Self { repo: repo.data_set(), config, split: split.unwrap_or_else(|| "train".to_owned()) })
    }
}

/// Where a file belongs by its path.
#[derive(Debug, PartialEq, Eq)]
struct Shard<'a> {
    config: &'a str,
    split: &'a str,
    partial: bool,
    /// Its number in the split, where the name tells.
    number: Option<usize>,
}

impl<'a> Shard<'a> {
    fn of(path: &'a str) -> Option<Self> {
        let stem = path.strip_suffix(".parquet")?;
        let (folder, stem) = stem.rsplit_once('/').unwrap_or(("", stem));
        if let Some((config, split)) = folder.split_once('/') {
            let whole = split.strip_prefix(PARTIAL);
            let number = stem.parse().ok();
            return Some(Self { config, split: whole.unwrap_or(split), partial: whole.is_some(), number });
        }
        let config = if matches!(folder, "" | "data") { "default" } else { folder };
        // SPLIT-00000-of-00080, perhaps with a fingerprint.
        let (split, number) = match stem.split_once("-of-").and_then(|(before, _)| before.rsplit_once('-')) {
            Some((split, number)) => (split, number.parse().ok()),
            None => (stem, None),
        };
        Some(Self { config, split, partial: false, number })
    }
}

/// The files of one split of one config.
#[derive(Debug)]
struct Split {
    config: String,
    /// Their paths, in order.
    files: Vec<String>,
    partial: bool,
}

impl Split {
    /// Chooses from all files of a repository.
    fn choose(name: &DataSetName, paths: &[&str]) -> Result<Self, HubError> {
        let all: Vec<(&str, Shard<'_>)> = paths.iter().filter_map(|p| Some((*p, Shard::of(p)?))).collect();
        let repo = name.repo.repo.clone();
        let choice = |problem: String, given: &str, known: Vec<&str>, what: &str| {
            let at = if name.repo.revision == CONVERTED { "" } else { &*format!("@{}", name.repo.revision) };
            let parent = if what == "split" { "/CONFIG/SPLIT" } else { "/CONFIG" };
            let meant = meant(given, known.iter().copied());
            let known: Vec<String> = known.into_iter().map(str::to_owned).collect();
            let advice = format!("its {what}s are {}: name one, as in hub:{repo}{at}{parent}", some(&known));
            HubError::Choice { repo: repo.clone(), problem, advice, meant }
        };
        let configs = each(all.iter().map(|(_, shard)| shard.config));
        let config = match (&name.config, &configs[..]) {
            (_, []) => {
                return Err(HubError::NoParquet { repo, revision: name.repo.revision.clone() });
            }
            (Some(named), all) if all.contains(&&**named) => named,
            (Some(named), _) => {
                return Err(choice(format!("no config {}", echo(named)), named, configs, "config"));
            }
            (None, [only]) => *only,
            (None, all) if all.contains(&"default") => "default",
            (None, _) => return Err(choice("several configs".to_owned(), "", configs, "config")),
        };
        let here: Vec<&(&str, Shard<'_>)> = all.iter().filter(|(_, s)| s.config == config).collect();
        let mut found: Vec<_> = here.iter().filter(|(_, s)| s.split == name.split).collect();
        if found.is_empty() {
            let splits = each(here.iter().map(|(_, shard)| shard.split));
            let problem = format!("no split {} in its config {}", echo(&name.split), echo(config));
            return Err(choice(problem, &name.split, splits, "split"));
        }
        // While the hub replaces one by the other, both may be there.
        let partial = found.iter().all(|(_, shard)| shard.partial);
        found.retain(|(_, shard)| shard.partial == partial);
        let mut files: Vec<String> = found.iter().map(|(path, _)| (*path).to_owned()).collect();
        files.sort();
        Ok(Self { config: config.to_owned(), files, partial })
    }

    /// Without the files behind a gap, for a list that may lack some.
    fn without_gaps(mut self) -> Self {
        let follows = |(i, path): &(usize, &String)| Shard::of(path).and_then(|s| s.number) == Some(*i);
        let sound = self.files.iter().enumerate().take_while(follows).count();
        self.files.truncate(sound);
        self
    }
}

/// Each name once, in order.
fn each<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Is told how downloads go.
pub type OnEvent = Box<dyn Fn(Event<'_>) + Send + Sync>;

/// A split of a data set at one commit. Its files are downloaded when they are asked for.
pub struct DataSet {
    hub: Hub,
    name: DataSetName,
    commit: String,
    /// What the repository holds; none where the hub could not be asked.
    listing: Option<Listing>,
    split: Split,
    watch: OnEvent,
}

impl std::fmt::Debug for DataSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataSet").field("name", &self.to_string()).finish_non_exhaustive()
    }
}

/// Everything that decides what it holds: `OWNER/NAME@COMMIT/CONFIG/SPLIT`.
impl std::fmt::Display for DataSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}/{}/{}", self.name.repo.repo, self.commit, self.split.config, self.name.split)
    }
}

impl DataSet {
    /// Finds out which files a data set has: in the cache, if the first of them is there, else from the hub.
    ///
    /// # Errors
    /// No such data set, config or split, and whatever keeps it from being known.
    pub fn open(hub: Hub, name: DataSetName, watch: OnEvent) -> Result<Self, HubError> {
        let place = RepoCache::new(&hub.settings().cache, &name.repo);
        let (commit, listing, split) = match Self::known(&place, &name) {
            Some(found) => found,
            None if hub.settings().offline => {
                let cache = hub.settings().cache.clone();
                let offline = || HubError::Offline { repo: name.repo.to_string(), cache };
                Self::unlisted(&place, &name).ok_or_else(offline)?
            }
            None => match hub.listing(&hub.client(), &name.repo) {
                Ok(listing) => {
                    let split = Split::choose(&name, &paths(&listing))?;
                    (listing.commit.clone(), Some(listing), split)
                }
                Err(e @ HubError::Unreachable { .. }) => {
                    let Some(found) = Self::unlisted(&place, &name) else { return Err(e) };
                    watch(Event::Note(&format!("{e}. The copy in the cache is used")));
                    found
                }
                Err(HubError::NoRevision { repo, revision, .. }) if revision == CONVERTED => {
                    return Err(HubError::NotConverted { repo });
                }
                Err(e) => return Err(e),
            },
        };
        Ok(Self { hub, name, commit, listing, split, watch })
    }

    /// What the cache knows, if the first file is there, too.
    fn known(place: &RepoCache, name: &DataSetName) -> Option<(String, Option<Listing>, Split)> {
        let listing = place.listing(&place.commit()?)?;
        let split = Split::choose(name, &paths(&listing)).ok()?;
        let first = place.snapshot(&listing.commit).join(split.files.first()?);
        first.is_file().then(|| (listing.commit.clone(), Some(listing), split))
    }

    /// Files that lie in the cache without a list of all that there are.
    fn unlisted(place: &RepoCache, name: &DataSetName) -> Option<(String, Option<Listing>, Split)> {
        let commit = place.commit()?;
        let files = place.files(&commit);
        let paths: Vec<&str> = files.iter().map(String::as_str).collect();
        let split = Split::choose(name, &paths).ok()?.without_gaps();
        (!split.files.is_empty()).then_some((commit, None, split))
    }

    /// File number `i` in the cache, from 0, downloaded unless it is there; none after the last.
    ///
    /// # Errors
    /// Any [`HubError`].
    pub fn file(&self, i: usize) -> Result<Option<PathBuf>, HubError> {
        let place = RepoCache::new(&self.hub.settings().cache, &self.name.repo);
        let Some(path) = self.split.files.get(i) else {
            return self.end();
        };
        let there = place.snapshot(&self.commit).join(path);
        if there.is_file() {
            return Ok(Some(there));
        }
        let cache = self.hub.settings().cache.clone();
        let listing = self.listing.as_ref().filter(|_| !self.hub.settings().offline);
        let found = listing.and_then(|listing| Some((listing, listing.get(path)?)));
        let Some((listing, remote)) = found else {
            return Err(HubError::Offline { repo: self.name.repo.to_string(), cache });
        };
        let client = self.hub.client();
        let job = Job { hub: &self.hub, client: &client, name: &self.name.repo, place: &place, listing };
        job.get(&[remote], &mut |event| (self.watch)(event))?;
        // The list first: a revision that is known has one.
        let kept = place.remember_listing(listing).and_then(|()| place.remember(&self.commit));
        kept.map_err(|source| HubError::Io { file: cache, source })?;
        Ok(Some(there))
    }

    /// After the last file.
    fn end(&self) -> Result<Option<PathBuf>, HubError> {
        if self.listing.is_none() {
            let cache = self.hub.settings().cache.clone();
            return Err(HubError::UsedUp { repo: self.name.repo.to_string(), cache });
        }
        if self.split.partial {
            let text = format!(
                "this is all that the hub has converted to Parquet of the split {}, which is longer",
                self.name.split
            );
            (self.watch)(Event::Note(&text));
        }
        Ok(None)
    }
}

fn paths(listing: &Listing) -> Vec<&str> {
    listing.files.iter().map(|f| f.path.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DataSetName {
        DataSetName::parse(text).expect("a name")
    }

    #[test]
    fn names_are_taken_apart() {
        let plain = name("Skylion007/openwebtext");
        assert_eq!((&*plain.repo.repo, &*plain.repo.revision), ("Skylion007/openwebtext", CONVERTED));
        assert_eq!((plain.config, &*plain.split), (None, "train"));
        let parts = |text: &str| {
            let n = name(text);
            (n.repo.revision, n.config.unwrap_or_default(), n.split)
        };
        let want = |r: &str, c: &str, s: &str| (r.to_owned(), c.to_owned(), s.to_owned());
        assert_eq!(parts("o/n/en-US"), want(CONVERTED, "en-US", "train"));
        assert_eq!(parts("o/n/20220301.en/test"), want(CONVERTED, "20220301.en", "test"));
        assert_eq!(parts("o/n@main"), want("main", "", "train"));
        assert_eq!(parts("o/n@main/data/CC-MAIN/x"), want("main", "data", "CC-MAIN/x"));
        assert_eq!(parts("o/n@refs/pr/3/c/test"), want("refs/pr/3", "c", "test"));
        assert_eq!(parts("o/n@refs/convert/parquet"), want(CONVERTED, "", "train"));
        for wrong in
            ["", "n", "o/", "/n", "o/n/", "o/n//test", "o/n/c/", "o/n@", "o/n@/c", "../n", "o/n@../c", "o/.."]
        {
            let line = DataSetName::parse(wrong).expect_err(wrong).to_string();
            assert!(line.contains("hub:OWNER/NAME[@REVISION][/CONFIG[/SPLIT]]"), "{line}");
        }
    }

    fn chosen(text: &str, paths: &[&str]) -> Result<Vec<String>, String> {
        Split::choose(&name(text), paths).map(|split| split.files).map_err(|e| e.to_string())
    }

    #[test]
    fn files_belong_to_configs_and_splits() {
        let converted = [
            "plain_text/partial-train/0001.parquet",
            "plain_text/partial-train/0000.parquet",
            ".gitattributes",
        ];
        let files = ["plain_text/partial-train/0000.parquet", "plain_text/partial-train/0001.parquet"];
        assert_eq!(chosen("o/n", &converted).expect("the only config"), files);
        assert_eq!(chosen("o/n/plain_text/train", &converted).expect("named"), files);
        let line = chosen("o/n/plain/train", &converted).expect_err("no such config");
        assert_eq!(
            line,
            "o/n has no config plain; its configs are plain_text: name one, as in hub:o/n/CONFIG; \
             did you mean plain_text?"
        );
        let line = chosen("o/n/plain_text/test", &converted).expect_err("no such split");
        assert!(line.contains("no split test in its config plain_text; its splits are train:"), "{line}");

        let both = ["en/train/0000.parquet", "en/partial-train/0000.parquet", "de/train/0000.parquet"];
        assert_eq!(chosen("o/n/en", &both).expect("named"), ["en/train/0000.parquet"]);
        let line = chosen("o/n", &both).expect_err("two configs");
        assert!(line.contains("several configs; its configs are de, en"), "{line}");

        let own = ["README.md", "data/train-00001-of-00002.parquet", "data/train-00000-of-00002-1f.parquet"];
        let own = [&own[..], &["data/test-00000-of-00001.parquet", "other/train.parquet"]].concat();
        let files = ["data/train-00000-of-00002-1f.parquet", "data/train-00001-of-00002.parquet"];
        assert_eq!(chosen("o/n@main", &own).expect("default is there"), files);
        assert_eq!(chosen("o/n@main/other", &own).expect("named"), ["other/train.parquet"]);
        let line = chosen("o/n@main", &["train.csv"]).expect_err("nothing to read");
        assert!(line.contains("no .parquet files at main"), "{line}");
    }

    #[test]
    fn a_list_that_may_lack_files_ends_at_a_gap() {
        let kept =
            |paths: &[&str]| Split::choose(&name("o/n"), paths).expect("a split").without_gaps().files.len();
        assert_eq!(kept(&["d/train/0000.parquet", "d/train/0001.parquet", "d/train/0003.parquet"]), 2);
        assert_eq!(kept(&["d/train/0001.parquet"]), 0);
        assert_eq!(kept(&["d/train-00000-of-00003.parquet", "d/train-00002-of-00003.parquet"]), 1);
    }
}
