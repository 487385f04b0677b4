//! Sorted string tables: the file of `variables.index` and of V1 checkpoints, LevelDB's table format.
//!
//! ```text
//! file    = data block* , metaindex block , index block , footer
//! block   = entries , restart offset u32 * n , n u32 ‖ type u8 (0 plain, 1 snappy) , crc u32
//! entry   = shared varint , unshared varint , value length varint , unshared key bytes , value
//! footer  = metaindex handle , index handle (each: offset varint, size varint) , zeros to 40 , magic u64
//! ```
//!
//! A key repeats the first `shared` bytes of the key before it. Each index entry maps a key that is
//! not less than the last of its data block to the block's handle. The masked CRC-32C covers the block
//! and its type. Keys and values are plain bytes here; the tensor bundle gives them meaning.

mod block;
mod reader;
mod writer;

pub(crate) use reader::Table;
pub(crate) use writer::TableWriter;

/// The last eight bytes of every table, little-endian.
pub(crate) const MAGIC: u64 = 0xdb47_7524_8b80_fb57;

/// Bytes of the footer.
const FOOTER_BYTES: usize = 48;

/// Bytes after each block: its type and checksum.
const TRAILER_BYTES: usize = 5;

/// Where a block lies in the file, without its trailer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BlockHandle {
    offset: u64,
    size: u64,
}

#[cfg(test)]
mod tests;
