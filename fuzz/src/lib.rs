//! What the fuzz targets share: small limits, and several files in one input.
//!
//! Under `cargo fuzz` the checksums of tables, tensors and records are not compared, so that
//! mutations reach the code behind them.

use mobilenet_formats::{Limits, MemoryFiles};

/// Limits that keep one run fast and small.
pub fn limits() -> Limits {
    Limits {
        message_fields: 100_000,
        tensor_bytes: 1 << 20,
        tensor_strings: 10_000,
        table_block_bytes: 1 << 20,
        table_key_bytes: 1 << 20,
        file_bytes: 1 << 20,
        archive_bytes: 4 << 20,
        record_bytes: 1 << 20,
        ..Limits::default()
    }
}

/// The files named `paths` out of one input: each but the last with its length (u16, little-endian)
/// before it.
pub fn files(paths: &[&str], mut data: &[u8]) -> MemoryFiles {
    let mut files = MemoryFiles::default();
    for (number, path) in paths.iter().enumerate() {
        let mut len = data.len();
        if let Some((head, rest)) =
            data.split_first_chunk::<2>().filter(|_| number + 1 < paths.len())
        {
            len = usize::from(u16::from_le_bytes(*head)).min(rest.len());
            data = rest;
        }
        let (file, rest) = data.split_at(len);
        files.insert(*path, file);
        data = rest;
    }
    files
}
