//! What can be made to go wrong.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What goes wrong, in the JSON of `POST /_faults` (every key may be left out):
///
/// ```json
/// { "cut": [{"path": "model.safetensors", "after": 1000, "times": 3}],
///   "corrupt": [{"path": "model.safetensors", "offset": 5000, "times": 1}],
///   "status": [{"path": "config.json", "code": 503, "times": 2}],
///   "no_range": true, "rate": 1000000,
///   "gated": {"owner/name": "hf_token"}, "private": {"owner/name": "hf_token"} }
/// ```
///
/// `path` is the end of a request's path; left out, every file is meant. `times` left out means always. A data set is
/// called `datasets/owner/name`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Bodies that end before their time, with the connection.
    pub cut: Vec<Cut>,
    /// Bytes that arrive wrong.
    pub corrupt: Vec<Corrupt>,
    /// Answers that are an error.
    pub status: Vec<Status>,
    /// `Range` is not honoured: the whole file comes, with 200.
    pub no_range: bool,
    /// At most so many bytes of file a second on each connection.
    pub rate: Option<u64>,
    /// Repositories whose files need this token, though everybody may know what is in them.
    pub gated: BTreeMap<String, String>,
    /// Repositories that exist only for who has this token.
    pub private: BTreeMap<String, String>,
}

/// Closes the connection after some bytes of a file's body.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cut {
    /// End of the path of the file.
    pub path: String,
    /// Bytes of a body that still arrive; a shorter body is not cut.
    pub after: u64,
    /// So many bodies are cut.
    pub times: Option<u64>,
}

/// Inverts one byte of a file on its way.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Corrupt {
    /// End of the path of the file.
    pub path: String,
    /// Which byte of the file.
    pub offset: u64,
    /// In so many of the bodies that hold it.
    pub times: Option<u64>,
}

/// Answers with an error instead of a file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Status {
    /// End of the path of the request; requests to `/api/` count, too.
    pub path: String,
    /// The HTTP status, say 503.
    pub code: u16,
    /// To so many requests.
    pub times: Option<u64>,
}

/// Takes one of the times left, if there is one.
fn take(times: &mut Option<u64>) -> bool {
    match times {
        None => true,
        Some(0) => false,
        Some(left) => {
            *left -= 1;
            true
        }
    }
}

/// What happens to one body.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    /// The connection ends after so many of its bytes.
    pub(crate) cut: Option<u64>,
    /// Places in the file whose byte is inverted.
    pub(crate) corrupt: Vec<u64>,
    pub(crate) rate: Option<u64>,
}

impl Faults {
    /// The error that a request for this path meets, if one.
    pub(crate) fn status(&mut self, path: &str) -> Option<u16> {
        let fault = self.status.iter_mut().find(|f| path.ends_with(&f.path) && f.times != Some(0))?;
        take(&mut fault.times).then_some(fault.code)
    }

    /// What happens to a body that holds bytes `from..to` of the file that this path ends in.
    pub(crate) fn fate(&mut self, path: &str, from: u64, to: u64) -> Fate {
        let cut = self
            .cut
            .iter_mut()
            .find(|f| path.ends_with(&f.path) && f.after < to - from && f.times != Some(0))
            .and_then(|f| take(&mut f.times).then_some(f.after));
        let corrupt = self
            .corrupt
            .iter_mut()
            .filter(|f| path.ends_with(&f.path) && (from..to).contains(&f.offset))
            .filter_map(|f| take(&mut f.times).then_some(f.offset))
            .collect();
        Fate { cut, corrupt, rate: self.rate }
    }
}
