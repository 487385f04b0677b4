//! TFRecord files: a row of byte strings, each with checksums.
//!
//! ```text
//! record = length u64 , masked CRC-32C of the length u32 , data , masked CRC-32C of the data u32
//! ```
//!
//! All numbers are little-endian. What a record means is its reader's business: a
//! [`tf.Example`](example), or a TensorBoard [event](crate::events).

pub mod example;
mod reader;
mod writer;

pub use reader::{RecordReader, detect};
pub use writer::RecordWriter;

/// Bytes before the data of a record: its length and the checksum of the length.
pub const HEADER_BYTES: usize = 12;

#[cfg(test)]
mod tests;
