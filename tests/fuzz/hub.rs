//! Answers of a hub.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};

use mppc::checkpoint::hub::{DataSet, DataSetName, Hub, RepoName, Settings, Want};
use serde_json::json;
use sha1::{Digest as _, Sha1};

use crate::{Folder, scratch};

const LISTING: &str = "listing.json";
const INDEX: &str = "index.json";
/// In a listing these stand for the index, whose hash and size its edits change.
const INDEX_HASH: &str = "INDEX_HASH";
const INDEX_SIZE: u64 = 424_242;

/// A model in one file, a model in shards, a data set.
pub(crate) fn good() -> Vec<Folder> {
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let small = |path: &str| json!({"rfilename": path, "size": 10, "blobId": commit});
    let large = |path: &str| {
        let lfs = json!({"sha256": "ab".repeat(32), "size": 100, "pointerSize": 130});
        json!({"rfilename": path, "size": 100, "blobId": commit, "lfs": lfs})
    };
    let folder = |files: Vec<serde_json::Value>| {
        let listing = json!({"id": "o/m", "sha": commit, "private": false, "siblings": files});
        Folder::from([(LISTING.to_owned(), listing.to_string().into_bytes())])
    };
    let index =
        json!({"rfilename": "model.safetensors.index.json", "size": INDEX_SIZE, "blobId": INDEX_HASH});
    let shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let mut sharded = folder(vec![small("config.json"), index, large(shards[0]), large(shards[1])]);
    let map = json!({"metadata": {"total_size": 200}, "weight_map": {"a": shards[0], "b": shards[1]}});
    sharded.insert(INDEX.to_owned(), map.to_string().into_bytes());
    let parquet = ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"];
    vec![
        folder(vec![small("config.json"), large("model.safetensors"), small("tokenizer.json")]),
        sharded,
        folder(vec![small("README.md"), large(parquet[0]), large(parquet[1])]),
    ]
}

type Answers = Arc<Mutex<Folder>>;

/// A server that answers every question about a repository with the listing, and every question for an index with
/// that; other files it does not have.
fn server() -> &'static (String, Answers) {
    static SERVER: OnceLock<(String, Answers)> = OnceLock::new();
    SERVER.get_or_init(|| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let answers = Answers::default();
        let of_server = answers.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                // A client that went away is no finding.
                let _ = answer(connection, &of_server);
            }
        });
        (address, answers)
    })
}

fn answer(mut connection: TcpStream, answers: &Answers) -> std::io::Result<()> {
    let (mut request, mut part) = (Vec::new(), [0; 2_048]);
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match connection.read(&mut part)? {
            0 => return Ok(()),
            n => request.extend_from_slice(&part[..n]),
        }
    }
    let request = String::from_utf8_lossy(&request);
    let address = request.split(' ').nth(1).unwrap_or_default();
    let name = match () {
        () if address.starts_with("/api/") => LISTING,
        () if address.contains("index.json") => INDEX,
        () => "",
    };
    let (status, body) = match answers.lock().expect("not poisoned").get(name) {
        Some(body) => ("200 OK", body.clone()),
        None => ("404 Not Found", Vec::new()),
    };
    let length = body.len();
    write!(connection, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
    connection.write_all(&body)
}

/// Asks for a model, for single files, and for a data set. Nothing can be had whole, so what counts as taken is a
/// listing that is understood.
pub(crate) fn read(input: &Folder) -> bool {
    let (endpoint, answers) = server();
    *answers.lock().expect("not poisoned") = prepared(input);
    let dir = scratch();
    let settings = || Settings {
        endpoint: endpoint.clone(),
        token: None,
        cache: dir.path().join("hub"),
        offline: false,
    };
    let hub = Hub::new(settings());
    let name = RepoName::parse("o/m").expect("a name");
    let _ = hub.fetch(&name, &Want::Model, &mut |_| {});
    let files = hub.fetch(&name, &Want::Files(vec!["nothing-like-it".to_owned()]), &mut |_| {});
    let data = DataSetName::parse("o/m").expect("a name");
    let _ = DataSet::open(Hub::new(settings()), data, Box::new(|_| {}));
    let _ = hub.cached();
    files.is_ok() || files.is_err_and(|e| !e.to_string().contains("answer"))
}

/// The answers, with the index's own hash and size in the listing.
fn prepared(input: &Folder) -> Folder {
    let mut answers = input.clone();
    if let (Some(index), Some(listing)) = (input.get(INDEX), input.get(LISTING)) {
        let mut digest = Sha1::new();
        digest.update(format!("blob {}\0", index.len()));
        digest.update(index);
        let hash: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let text = String::from_utf8_lossy(listing);
        let text = text.replace(INDEX_HASH, &hash).replace(&INDEX_SIZE.to_string(), &index.len().to_string());
        answers.insert(LISTING.to_owned(), text.into_bytes());
    }
    answers
}
