//! The limits every reader checks before it allocates; each has a name, a unit and a default that
//! is generous for MobileNet and small for a machine.

use crate::{Error, ErrorKind, Result};

/// Upper bounds on what a file may ask for.
///
/// ```
/// let limits = mobilenet_formats::Limits { archive_entries: 10, ..Default::default() };
/// assert!(limits.file_bytes > 1 << 20);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file of a model, and of one entry of an archive.
    pub file_bytes: u64,
    /// Bytes of one protobuf message read whole (`saved_model.pb`, a frozen graph).
    pub message_bytes: u64,
    /// Length-delimited fields in one protobuf message, over all levels: bounds the memory that
    /// many tiny sub-messages can claim.
    pub message_fields: usize,
    /// Bytes of one decoded tensor.
    pub tensor_bytes: u64,
    /// Elements of one tensor of strings.
    pub tensor_strings: usize,
    /// Dimensions of one tensor.
    pub rank: usize,
    /// Bytes of one (uncompressed) block of a sorted string table.
    pub table_block_bytes: u64,
    /// Entries of one sorted string table.
    pub table_entries: usize,
    /// Bytes of all keys of one sorted string table, shared prefixes undone.
    pub table_key_bytes: u64,
    /// Shards of a tensor bundle.
    pub shards: u32,
    /// Entries of one archive.
    pub archive_entries: usize,
    /// Bytes of an archive after decompression.
    pub archive_bytes: u64,
    /// Largest ratio of decompressed to compressed bytes, checked beyond the first 16 MiB.
    pub archive_ratio: u64,
    /// Bytes of one path in an archive.
    pub path_bytes: usize,
    /// Bytes of one record of a record file.
    pub record_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            file_bytes: 1 << 30,
            message_bytes: 512 << 20,
            message_fields: 2_000_000,
            tensor_bytes: 512 << 20,
            tensor_strings: 4_000_000,
            rank: 16,
            table_block_bytes: 64 << 20,
            table_entries: 1_000_000,
            table_key_bytes: 64 << 20,
            shards: 10_000,
            archive_entries: 10_000,
            archive_bytes: 2 << 30,
            archive_ratio: 200,
            path_bytes: 1024,
            record_bytes: 256 << 20,
        }
    }
}

impl Limits {
    /// An error of kind [`ErrorKind::Limit`] when `value` exceeds `limit`; `what` names both.
    pub(crate) fn check(what: &str, value: u64, limit: u64) -> Result<()> {
        if value <= limit {
            return Ok(());
        }
        let message = format!("{what}: {value} is more than the limit of {limit}");
        Err(Error::new(ErrorKind::Limit, message).hint("raise the limit if the file is trusted"))
    }
}
