//! Questions to the hub over HTTP.

use std::io::Read;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

use super::pace::Pace;
use super::{HubError, RepoKind, RepoName, Settings};
use crate::words::echo;

/// What may stand in a part of a path as it is.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

pub(super) fn encode(part: &str) -> String {
    utf8_percent_encode(part, PART).to_string()
}

/// Why a request failed.
pub(super) enum RequestError {
    /// It may work in a moment: no connection, or the hub is busy.
    Passing(HubError),
    /// It will not.
    Final(HubError),
}

impl RequestError {
    pub(super) fn into_error(self) -> HubError {
        match self {
            Self::Passing(e) | Self::Final(e) => e,
        }
    }
}

/// A connection to the hub. Keeps sockets between requests.
pub(super) struct Client<'a> {
    agent: Agent,
    settings: &'a Settings,
    /// How long too little may come.
    patience: Duration,
    /// The wait before a second attempt; each further one is twice as long.
    pause: Duration,
}

impl<'a> Client<'a> {
    pub(super) fn new(settings: &'a Settings, patience: Duration) -> Self {
        let second = Duration::from_secs;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // Redirects are followed here: the token may go to no other host.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(Some(second(15)))
            .timeout_connect(Some(second(15)))
            .timeout_recv_response(Some(patience))
            .timeout_per_read(Some(patience))
            .user_agent(concat!("mppc/", env!("CARGO_PKG_VERSION")))
            // Byte ranges are of the file, not of its compressed form.
            .accept_encoding("identity")
            .build();
        Self { agent: config.into(), settings, patience, pause: Duration::from_millis(400) }
    }

    /// Waits before attempt number `attempt` (the first is 1, and comes at once).
    pub(super) fn wait(&self, attempt: u32) {
        if attempt > 1 {
            std::thread::sleep(self.pause * 2u32.pow(attempt.min(6) - 2));
        }
    }

    /// Gets an address of the hub, from byte `from` on if that is not 0.
    pub(super) fn get(&self, name: &RepoName, url: &str, from: u64) -> Result<Response<Body>, RequestError> {
        let home = origin(url);
        let mut at = url.to_owned();
        for _ in 0..10 {
            let mut request = self.agent.get(&at);
            if from > 0 {
                request = request.header("range", format!("bytes={from}-"));
            }
            if let Some(token) = self.settings.token.as_ref().filter(|_| origin(&at) == home) {
                request = request.header("authorization", format!("Bearer {}", token.value));
            }
            let unreachable = |e: ureq::Error| {
                let error = HubError::Unreachable { url: origin(&at).to_owned(), reason: e.to_string() };
                match e {
                    ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::InvalidProxyUrl => {
                        RequestError::Final(error)
                    }
                    _ => RequestError::Passing(error),
                }
            };
            let response = request.call().map_err(unreachable)?;
            if !response.status().is_redirection() {
                return match origin(&at) == home {
                    true => self.judge(name, &at, response),
                    false => judge_store(&at, response),
                };
            }
            at = match header(&response, "location") {
                Some(to) if to.starts_with("http://") || to.starts_with("https://") => to.to_owned(),
                Some(to) if to.starts_with('/') => format!("{}{to}", origin(&at)),
                other => {
                    let reason = format!("it redirects to {}", echo(other.unwrap_or("no address")));
                    return Err(RequestError::Final(HubError::Answer { url: at, reason }));
                }
            };
        }
        let reason = "it redirects without an end".to_owned();
        Err(RequestError::Final(HubError::Answer { url: url.to_owned(), reason }))
    }

    /// Turns statuses of the hub that are no success into errors. 416 is for the caller, who knows what was asked for.
    fn judge(
        &self,
        name: &RepoName,
        url: &str,
        response: Response<Body>,
    ) -> Result<Response<Body>, RequestError> {
        let status = response.status();
        if status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(response);
        }
        let code = header(&response, "x-error-code").unwrap_or_default();
        let (repo, endpoint) = (name.path(), self.settings.endpoint.clone());
        let told = header(&response, "x-error-message").unwrap_or_default();
        let error = match (status.as_u16(), code) {
            (401 | 403, "GatedRepo") => HubError::Gated { repo, endpoint },
            (404, "RevisionNotFound") => {
                let repo = name.repo.clone();
                HubError::NoRevision { repo, revision: name.revision.clone(), known: Vec::new() }
            }
            (404, "EntryNotFound") => {
                let file = url.rsplit('/').next().unwrap_or_default().to_owned();
                HubError::NoFile { repo: name.to_string(), file }
            }
            (401, _) if told.contains("Invalid credentials") && self.settings.token.is_some() => {
                let source = self.settings.token.as_ref().map(|t| t.source.clone());
                HubError::Token { source_of_token: source.unwrap_or_default(), endpoint }
            }
            (401 | 403 | 404, _) => HubError::NoRepo { repo, endpoint },
            (status @ (408 | 429 | 500..), _) => {
                return Err(RequestError::Passing(HubError::Status { url: url.to_owned(), status }));
            }
            (status, _) => HubError::Status { url: url.to_owned(), status },
        };
        Err(RequestError::Final(error))
    }

    /// Gets an address whole, with a few attempts; for answers of a few megabytes at most.
    pub(super) fn bytes(&self, name: &RepoName, url: &str) -> Result<Vec<u8>, HubError> {
        const ATTEMPTS: u32 = 3;
        let mut attempt = 1;
        loop {
            self.wait(attempt);
            let read = self.get(name, url, 0).and_then(|response| self.content(url, response));
            match read {
                Err(RequestError::Passing(_)) if attempt < ATTEMPTS => attempt += 1,
                other => return other.map_err(RequestError::into_error),
            }
        }
    }

    /// How fast a transfer that begins now comes on.
    pub(super) fn pace(&self) -> Pace {
        Pace::new(self.patience)
    }

    /// The content of an answer.
    fn content(&self, url: &str, mut response: Response<Body>) -> Result<Vec<u8>, RequestError> {
        const LIMIT: usize = 64 << 20;
        let unreachable = |reason: String| HubError::Unreachable { url: url.to_owned(), reason };
        let (mut body, mut pace) = (response.body_mut().as_reader(), self.pace());
        let (mut bytes, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
        loop {
            let n = match body.read(&mut buffer) {
                Ok(0) => return Ok(bytes),
                Ok(n) => n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(RequestError::Passing(unreachable(e.to_string()))),
            };
            bytes.extend_from_slice(&buffer[..n]);
            if bytes.len() > LIMIT {
                let reason = format!("it is longer than {} MiB", LIMIT >> 20);
                return Err(RequestError::Final(HubError::Answer { url: url.to_owned(), reason }));
            }
            pace.check(n).map_err(|reason| RequestError::Final(unreachable(reason)))?;
        }
    }

    /// Address of what the hub knows of a revision.
    pub(super) fn info_url(&self, name: &RepoName) -> String {
        let revision = encode(&name.revision);
        format!("{}/revision/{revision}?blobs=true", self.api_url(name))
    }

    /// Address of the list of branches and tags.
    pub(super) fn refs_url(&self, name: &RepoName) -> String {
        format!("{}/refs", self.api_url(name))
    }

    fn api_url(&self, name: &RepoName) -> String {
        let kind = match name.kind {
            RepoKind::Model => "models",
            RepoKind::DataSet => "datasets",
        };
        format!("{}/api/{kind}/{}", self.settings.endpoint, name.repo)
    }

    /// Address of a file of a commit.
    pub(super) fn file_url(&self, name: &RepoName, commit: &str, path: &str) -> String {
        let path: Vec<String> = path.split('/').map(encode).collect();
        format!("{}/{}/resolve/{commit}/{}", self.settings.endpoint, name.path(), path.join("/"))
    }
}

pub(super) fn header<'r>(response: &'r Response<Body>, name: &str) -> Option<&'r str> {
    response.headers().get(name)?.to_str().ok()
}

/// `https://host:port` of an address.
fn origin(url: &str) -> &str {
    let start = url.find("://").map_or(0, |i| i + 3);
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |i| start + i);
    &url[..end]
}

/// The same for the store that a hub redirects to, which knows nothing of repositories: a refusal there (an address
/// that has run out, a proxy in between) may be gone with the next redirect.
fn judge_store(url: &str, response: Response<Body>) -> Result<Response<Body>, RequestError> {
    let status = response.status();
    if status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE {
        return Ok(response);
    }
    let error = HubError::Status { url: origin(url).to_owned(), status: status.as_u16() };
    Err(match status.as_u16() {
        401 | 403 | 408 | 429 | 500.. => RequestError::Passing(error),
        _ => RequestError::Final(error),
    })
}
