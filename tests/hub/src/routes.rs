//! Who answers what.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Value, json};

use crate::faults::{Fate, Faults};
use crate::files;
use crate::http::{Head, Request, range};
use crate::log::{Entry, Log};
use crate::repo::{Blob, Repos, Snapshot, pointer};

/// What connections share.
pub(crate) struct State {
    repos: Repos,
    /// Where large files come from, say `http://127.0.0.1:4711`.
    cdn: String,
    faults: Mutex<Faults>,
    pub(crate) log: Log,
}

impl State {
    pub(crate) fn new(root: PathBuf, cdn: String) -> Self {
        Self { repos: Repos::new(root), cdn, faults: Mutex::default(), log: Log::default() }
    }

    fn current(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        *self.current() = faults;
    }
}

/// What follows the head of an answer.
enum Body {
    Bytes(Vec<u8>),
    /// From this byte of a file to before that.
    File(Blob, u64, u64),
}

type Answer = (Head, Body);

fn json_answer(status: u16, value: &Value) -> Answer {
    let head = Head::new(status).with("Content-Type", "application/json; charset=utf-8");
    (head, Body::Bytes(value.to_string().into_bytes()))
}

/// An error as the hub words it.
fn error(status: u16, code: &'static str, message: &str) -> Answer {
    let (head, body) = json_answer(status, &json!({ "error": message }));
    (head.with("X-Error-Code", code).with("X-Error-Message", message), body)
}

/// Answers the requests of one connection until one side has enough.
pub(crate) fn converse(state: &State, stop: &AtomicBool, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut out = stream.try_clone()?;
    let mut input = BufReader::new(stream);
    while let Some(request) = Request::read(&mut input)? {
        if stop.load(Ordering::SeqCst) {
            return Ok(()); // a stopped hub is silent on old connections, too
        }
        let (head, body) = answer(state, &request).unwrap_or_else(|e| error(500, "Internal", &e.to_string()));
        if !deliver(state, &mut out, &request, (head, body))? || request.wants_close() {
            return Ok(());
        }
    }
    Ok(())
}

/// Sends an answer. Returns whether the connection lives.
fn deliver(state: &State, out: &mut TcpStream, request: &Request, (head, body): Answer) -> io::Result<bool> {
    let head = cors(request, head);
    let own = request.path().starts_with("/_") && !request.path().starts_with("/_cdn/");
    let entry = Entry {
        method: request.method.clone(),
        path: request.target.clone(),
        range: request.header("range").map(str::to_owned),
        authorized: request.header("authorization").is_some(),
        status: head.status,
        bytes: 0,
    };
    // Questions to the stand-in itself are not what the hub was asked.
    let sent = if own { Default::default() } else { state.log.note(entry) };
    let silent = request.method == "HEAD";
    match body {
        Body::Bytes(bytes) => {
            head.write(out, bytes.len() as u64)?;
            if !silent {
                out.write_all(&bytes)?;
                sent.store(bytes.len() as u64, Ordering::SeqCst);
            }
        }
        Body::File(_, from, to) if silent => head.write(out, to - from)?,
        Body::File(blob, from, to) => {
            let mut file = File::open(&blob.place)?;
            head.write(out, to - from)?;
            let decoded = request.segments().join("/");
            let fate: Fate = state.current().fate(&decoded, from, to);
            return files::send(out, &mut file, (from, to), &fate, &sent);
        }
    }
    Ok(true)
}

/// Lets pages of any origin read the answer, as the hub does.
fn cors(request: &Request, head: Head) -> Head {
    let origin = request.header("origin").unwrap_or("*").to_owned();
    head.with("Access-Control-Allow-Origin", origin).with("Vary", "Origin").with(
        "Access-Control-Expose-Headers",
        "X-Repo-Commit,X-Request-Id,X-Error-Code,X-Error-Message,X-Total-Count,ETag,Link,Accept-Ranges,\
         Content-Range,X-Linked-Size,X-Linked-ETag,X-Xet-Hash",
    )
}

fn answer(state: &State, request: &Request) -> io::Result<Answer> {
    let segments = request.segments();
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    if parts.iter().any(|p| matches!(*p, "." | "..") || p.contains('\\')) {
        return Ok(error(400, "BadRequest", "no such path"));
    }
    match (request.method.as_str(), &parts[..]) {
        ("OPTIONS", _) => Ok((
            Head::new(204)
                .with("Access-Control-Allow-Methods", "GET,HEAD,OPTIONS,POST")
                .with(
                    "Access-Control-Allow-Headers",
                    "Range,Authorization,Content-Type,If-Range,If-None-Match",
                )
                .with("Access-Control-Max-Age", "86400"),
            Body::Bytes(Vec::new()),
        )),
        ("POST", ["_faults"]) => Ok(match serde_json::from_slice(&request.body) {
            Ok(faults) => {
                state.set_faults(faults);
                json_answer(200, &json!({ "ok": true }))
            }
            Err(e) => error(400, "BadRequest", &format!("faults: {e}")),
        }),
        ("POST", ["_reset"]) => {
            state.set_faults(Faults::default());
            state.log.clear();
            Ok(json_answer(200, &json!({ "ok": true })))
        }
        ("GET", ["_faults"]) => Ok(json_answer(200, &json!(*state.current()))),
        ("GET", ["_log"]) => Ok(json_answer(200, &json!(state.log.entries()))),
        ("GET" | "HEAD", parts) => {
            if let Some(code) = state.current().status(&parts.join("/")) {
                let (head, body) = error(code, "Fault", "this was asked for");
                return Ok((head.with("Retry-After", "0"), body));
            }
            served(state, request, parts)
        }
        _ => Ok(error(405, "MethodNotAllowed", "only GET, HEAD and OPTIONS")),
    }
}

fn served(state: &State, request: &Request, parts: &[&str]) -> io::Result<Answer> {
    match parts {
        ["_cdn", sha256, ..] => Ok(match state.repos.by_sha256(sha256) {
            Some(blob) => file(state, request, blob, Head::new(200)),
            None => error(404, "EntryNotFound", "Entry not found"),
        }),
        ["api", "models", owner, name, rest @ ..] => api(state, request, (&format!("{owner}/{name}"), rest)),
        ["api", "datasets", owner, name, rest @ ..] => {
            api(state, request, (&format!("datasets/{owner}/{name}"), rest))
        }
        ["datasets", owner, name, "resolve", revision, path @ ..] if !path.is_empty() => {
            let repo = format!("datasets/{owner}/{name}");
            on(state, request, (&repo, revision), |s| resolve(state, request, s, (&repo, &path.join("/"))))
        }
        [owner, name, "resolve", revision, path @ ..] if !path.is_empty() => {
            let repo = format!("{owner}/{name}");
            on(state, request, (&repo, revision), |s| resolve(state, request, s, (&repo, &path.join("/"))))
        }
        _ => Ok(error(404, "RepoNotFound", "Repository not found")),
    }
}

/// Questions about a repository: `/api/{models,datasets}/owner/name/…`.
fn api(state: &State, request: &Request, (repo, rest): (&str, &[&str])) -> io::Result<Answer> {
    match rest {
        [] => on(state, request, (repo, "main"), |s| info(request, s, repo)),
        ["refs"] => on(state, request, (repo, "main"), |_| refs(state, repo)),
        ["revision", revision] => on(state, request, (repo, revision), |s| info(request, s, repo)),
        ["tree", revision, folder @ ..] => {
            let prefix = folder.iter().map(|f| format!("{f}/")).collect::<String>();
            on(state, request, (repo, revision), |s| tree(request, s, &prefix))
        }
        _ => Ok(error(404, "RepoNotFound", "Repository not found")),
    }
}

/// Finds the revision and asks `then`, unless there is no such thing for who asks.
fn on(
    state: &State,
    request: &Request,
    (repo, revision): (&str, &str),
    then: impl FnOnce(&Snapshot) -> Answer,
) -> io::Result<Answer> {
    let key = state.current().private.get(repo).cloned();
    match (key, request.token()) {
        (Some(_), None) => {
            return Ok(error(401, "RepoNotFound", "Invalid username or password."));
        }
        (Some(key), Some(token)) if key != token => {
            return Ok(error(404, "RepoNotFound", "Repository not found"));
        }
        _ => {}
    }
    if repo.contains('@') || !state.repos.has(repo) {
        return Ok(error(404, "RepoNotFound", "Repository not found"));
    }
    Ok(match state.repos.snapshot(repo, revision)? {
        Some(snapshot) => then(&snapshot),
        None => error(404, "RevisionNotFound", &format!("Invalid rev id: {revision}")),
    })
}

/// `/api/models/owner/name`, or of a data set.
fn info(request: &Request, snapshot: &Snapshot, repo: &str) -> Answer {
    let siblings: Vec<Value> = snapshot
        .files
        .iter()
        .map(|(path, blob)| {
            let mut one = json!({ "rfilename": path });
            if request.flag("blobs") {
                one["size"] = json!(blob.size);
                one["blobId"] = json!(blob.oid);
                if let Some(sha256) = &blob.sha256 {
                    one["lfs"] = json!({
                        "sha256": sha256, "size": blob.size, "pointerSize": pointer(sha256, blob.size).len(),
                    });
                }
            }
            one
        })
        .collect();
    let data_set = repo.strip_prefix("datasets/");
    let id = data_set.unwrap_or(repo);
    let mut told = json!({
        "id": id, "author": id.split('/').next(), "sha": snapshot.commit, "private": false, "gated": false,
        "disabled": false, "tags": [], "siblings": siblings,
    });
    if data_set.is_none() {
        told["modelId"] = json!(id);
    }
    json_answer(200, &told)
}

/// `/api/models/owner/name/refs`, or of a data set. What the hub has converted is no branch of the owner's.
fn refs(state: &State, repo: &str) -> Answer {
    let (mut branches, mut converts) = (Vec::new(), Vec::new());
    for name in state.repos.revisions(repo) {
        match name.strip_prefix("refs/convert/") {
            Some(form) => converts.push(json!({ "name": form, "ref": name })),
            None => branches.push(json!({ "name": name, "ref": format!("refs/heads/{name}") })),
        }
    }
    json_answer(200, &json!({ "branches": branches, "tags": [], "converts": converts }))
}

/// `/api/models/owner/name/tree/revision`, or of a data set.
fn tree(request: &Request, snapshot: &Snapshot, prefix: &str) -> Answer {
    let mut rows = Vec::new();
    let mut folders: Vec<String> = Vec::new();
    for (path, blob) in &snapshot.files {
        let Some(below) = path.strip_prefix(prefix) else { continue };
        let depths = below.match_indices('/').map(|(i, _)| &path[..prefix.len() + i]);
        let deep = below.contains('/');
        for folder in depths.take(if request.flag("recursive") { usize::MAX } else { 1 }) {
            if !folders.iter().any(|f| f == folder) {
                folders.push(folder.to_owned());
            }
        }
        if !deep || request.flag("recursive") {
            let mut row = json!({ "type": "file", "oid": blob.oid, "size": blob.size, "path": path });
            if let Some(sha256) = &blob.sha256 {
                row["lfs"] = json!({
                    "oid": sha256, "size": blob.size, "pointerSize": pointer(sha256, blob.size).len(),
                });
            }
            rows.push(row);
        }
    }
    if rows.is_empty() && folders.is_empty() {
        return error(404, "EntryNotFound", &format!("{prefix} does not exist"));
    }
    // Git's name of a folder, which nobody looks at, but Python insists on.
    let folder = |f: &String| json!({ "type": "directory", "oid": "0".repeat(40), "size": 0, "path": f });
    let mut all: Vec<Value> = folders.iter().map(folder).collect();
    all.append(&mut rows);
    json_answer(200, &json!(all))
}

/// `/owner/name/resolve/revision/path`, with `/datasets` before it for a data set.
fn resolve(state: &State, request: &Request, snapshot: &Snapshot, (repo, path): (&str, &str)) -> Answer {
    let key = state.current().gated.get(repo).cloned();
    let what = match repo.strip_prefix("datasets/") {
        Some(name) => format!("dataset {name}"),
        None => format!("model {repo}"),
    };
    match (key, request.token()) {
        (Some(_), None) => {
            let message = format!("Access to {what} is restricted. You must be authenticated to access it.");
            return error(401, "GatedRepo", &message);
        }
        (Some(key), Some(token)) if key != token => {
            let message = format!("Access to {what} is restricted and you are not in the authorized list.");
            return error(403, "GatedRepo", &message);
        }
        _ => {}
    }
    let commit = |head: Head| head.with("X-Repo-Commit", snapshot.commit.clone());
    let Some(blob) = snapshot.files.get(path) else {
        let (head, body) = error(404, "EntryNotFound", "Entry not found");
        return (commit(head), body);
    };
    match &blob.sha256 {
        None => {
            let head = commit(Head::new(200)).with("ETag", format!("\"{}\"", blob.oid));
            file(state, request, blob.clone(), head)
        }
        Some(sha256) => {
            /// What a path in an address may not hold.
            const UNSAFE: &AsciiSet = &CONTROLS.add(b' ').add(b'?').add(b'#').add(b'%').add(b'"');
            let place = format!("/_cdn/{sha256}/{}", utf8_percent_encode(path, UNSAFE));
            let head = commit(Head::new(302))
                .with("X-Linked-Size", blob.size.to_string())
                .with("X-Linked-ETag", format!("\"{sha256}\""))
                .with("Accept-Ranges", "bytes")
                .with("Location", format!("{}{place}", state.cdn));
            (head, Body::Bytes(b"Found. Redirecting".to_vec()))
        }
    }
}

/// A file or the part of it that is asked for.
fn file(state: &State, request: &Request, blob: Blob, head: Head) -> Answer {
    let size = blob.size;
    let mut head = head.with("Accept-Ranges", "bytes").with("Content-Type", "application/octet-stream");
    if let Some(sha256) = &blob.sha256 {
        head = head.with("ETag", format!("\"{sha256}\""));
    }
    let wanted = request.header("range").filter(|_| !state.current().no_range);
    match wanted.map(|r| range(r, size)) {
        Some(Ok(Some((from, to)))) => {
            head.status = 206;
            let head = head.with("Content-Range", format!("bytes {from}-{}/{size}", to - 1));
            (head, Body::File(blob, from, to))
        }
        Some(Err(())) => {
            head.status = 416;
            (head.with("Content-Range", format!("bytes */{size}")), Body::Bytes(Vec::new()))
        }
        Some(Ok(None)) | None => (head, Body::File(blob, 0, size)),
    }
}
