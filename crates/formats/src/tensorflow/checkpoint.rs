//! Checkpoints of a training run: V2 (a [tensor bundle](super::bundle)) and V1 (one sorted string
//! table), opened by what is there.
//!
//! ```text
//! checkpoint                     text: which checkpoint is the latest
//! model.ckpt-7.index, .data-*    V2
//! model.ckpt-7                   V1: "" -> all names, types, shapes; slice key -> values
//! model.ckpt-7.meta              the MetaGraphDef; decode it with `decode_message`
//! ```

mod state;
mod v1;

use std::sync::Arc;

pub use state::{STATE_FILE, latest, state_file};
pub use v1::{CheckpointV1, write_v1};

use super::bundle::{BundleEntry, BundleReader};
use crate::files::require_file;
use crate::{Error, ErrorKind, FileSource, Limits, Result, Tensor};

/// Whether a file ends like a sorted string table: a checkpoint of version 1, or the index of one
/// of version 2.
#[must_use]
pub fn is_table(bytes: &[u8]) -> bool {
    bytes.last_chunk().is_some_and(|end| u64::from_le_bytes(*end) == crate::table::MAGIC)
}

/// The tensors of a checkpoint of either version.
///
/// ```
/// use std::sync::Arc;
/// use mobilenet_formats::{Limits, Tensor, tensorflow::{BundleWriter, checkpoint::Checkpoint}};
///
/// let mut writer = BundleWriter::default();
/// writer.add("global_step", &Tensor::new([], vec![7i64])?)?;
/// let files = Arc::new(writer.finish("model.ckpt-7")?);
/// let checkpoint = Checkpoint::open(files, "model.ckpt-7", &Limits::default())?;
/// assert_eq!(checkpoint.read("global_step")?.as_i64(), Some(&[7][..]));
/// # Ok::<(), mobilenet_formats::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Checkpoint {
    /// Version 1.
    V1(CheckpointV1),
    /// Version 2.
    V2(BundleReader),
}

impl Checkpoint {
    /// Opens the checkpoint `prefix` (`model.ckpt-7`), or the folder's latest when `prefix` is empty.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none, else what is wrong with it.
    pub fn open(source: Arc<dyn FileSource>, prefix: &str, limits: &Limits) -> Result<Self> {
        if prefix.is_empty() {
            let state = require_file(&*source, STATE_FILE, limits.file_bytes)?;
            let prefix = latest(&state).map_err(|error| error.within(STATE_FILE))?;
            drop(state);
            return Checkpoint::open(source, &prefix, limits);
        }
        let exists = |path: &str| Ok::<_, Error>(source.len(path)?.is_some());
        if exists(&format!("{prefix}.index"))? {
            return BundleReader::open(source, prefix, limits).map(Checkpoint::V2);
        }
        if exists(prefix)? {
            let bytes = require_file(&*source, prefix, limits.file_bytes)?;
            let read = CheckpointV1::open(&bytes, limits).map_err(|error| error.within(prefix))?;
            return Ok(Checkpoint::V1(read));
        }
        let message = format!("neither {prefix}.index (version 2) nor {prefix} (version 1)");
        Err(Error::new(ErrorKind::NotFound, message).within("checkpoint"))
    }

    /// The names of all tensors, in order.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Checkpoint::V1(checkpoint) => checkpoint.names().collect(),
            Checkpoint::V2(bundle) => bundle.names().collect(),
        }
    }

    /// Type and shape of the tensor `name`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], or what is wrong with the entry.
    pub fn entry(&self, name: &str) -> Result<BundleEntry> {
        match self {
            Checkpoint::V1(checkpoint) => checkpoint.entry(name),
            Checkpoint::V2(bundle) => bundle.entry(name),
        }
    }

    /// The tensor `name`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], or what is wrong with it.
    pub fn read(&self, name: &str) -> Result<Tensor> {
        match self {
            Checkpoint::V1(checkpoint) => checkpoint.read(name),
            Checkpoint::V2(bundle) => bundle.read(name),
        }
    }
}

#[cfg(test)]
mod tests;
