//! What `--corpus` names, data sets of the hub among them.

use std::path::PathBuf;
use std::sync::Arc;

use super::error::LabError;
use crate::checkpoint::hub::{DataSet, DataSetName, Hub, HubError, OnEvent};
use crate::corpus::{Corpus, CorpusError, CorpusName, Shards};

/// Opens a corpus: `hub:OWNER/NAME[@REVISION][/CONFIG[/SPLIT]][:COLUMN]`, a data set of which no more files are
/// downloaded than are read, or what [`Corpus::open`] takes. `watch` is told how downloads go.
///
/// # Errors
/// No such corpus, or one that cannot be read from its beginning.
pub fn open_corpus(spec: &str, seed: u64, hub: Hub, watch: OnEvent) -> Result<Corpus, LabError> {
    let CorpusName::DataSet { name, column } = CorpusName::parse(spec) else {
        return Ok(Corpus::open(spec, seed)?);
    };
    let data_set =
        DataSetName::parse(name).and_then(|name| DataSet::open(hub, name, watch)).map_err(shard)?;
    // With its commit: what is resumed or repeated must be the same texts.
    let mut called = format!("hub:{data_set}");
    if let Some(column) = column {
        called += &format!(":{column}");
    }
    Ok(Corpus::sharded(&called, Arc::new(data_set), column.map(str::to_owned))?)
}

impl Shards for DataSet {
    fn shard(&self, i: usize) -> Result<Option<PathBuf>, CorpusError> {
        self.file(i).map_err(shard)
    }
}

fn shard(error: HubError) -> CorpusError {
    CorpusError::Shard(error.into())
}
