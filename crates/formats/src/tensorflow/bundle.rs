//! Tensor bundles: the `variables/variables.*` of a SavedModel and V2 checkpoints.
//!
//! ```text
//! PREFIX.index                 sorted string table: "" -> BundleHeaderProto,
//!                              name -> BundleEntryProto, slice key -> BundleEntryProto
//! PREFIX.data-SSSSS-of-NNNNN   the tensors' bytes; an entry names shard, offset and size
//! numbers                      row-major, little-endian
//! strings                      length varint * n , crc u32 of the lengths , bytes of all
//! ```
//!
//! Each entry has the masked CRC-32C of its bytes. A partitioned tensor's entry lists slices, each an
//! entry of its own under its slice key.

mod reader;
mod slices;
mod strings;
mod writer;

pub use reader::{BundleEntry, BundleReader};
pub(super) use slices::Assembly;
pub use writer::BundleWriter;

use super::messages::BundleHeaderProto;
use crate::{Error, ErrorKind, Limits, Result};

/// The version of the format that we read and write.
const VERSION: i32 = 1;

/// The path of a shard, as TensorFlow names it.
fn shard_path(prefix: &str, shard: u32, shards: u32) -> String {
    format!("{prefix}.data-{shard:05}-of-{shards:05}")
}

/// The path of the index.
fn index_path(prefix: &str) -> String {
    format!("{prefix}.index")
}

/// Checks version and endianness; the number of shards.
fn check_header(header: &BundleHeaderProto, limits: &Limits) -> Result<u32> {
    let unsupported = |message: String| Err(Error::new(ErrorKind::Unsupported, message));
    let min_consumer = header.version.as_ref().map_or(0, |version| version.min_consumer);
    if min_consumer > VERSION {
        return unsupported(format!("the bundle wants a reader of version {min_consumer}"));
    }
    if header.endianness != 0 {
        return unsupported("big-endian bundle".into());
    }
    let shards = u32::try_from(header.num_shards)
        .map_err(|_| Error::new(ErrorKind::Malformed, format!("{} shards", header.num_shards)))?;
    Limits::check("shards", u64::from(shards), u64::from(limits.shards))?;
    Ok(shards)
}

#[cfg(test)]
mod tests;
