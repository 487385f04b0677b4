//! safetensors: named tensors in one file, nothing else.
//!
//! Holds the byte layout, the reader ([`SafeTensors`]) and the writer ([`write()`]). What the names
//! mean (ours, or those of timm's MobileNet V1) is decided by whoever imports them.
//!
//! # Layout
//!
//! ```text
//! u64     little-endian length of the header, at most 100 MB
//! header  JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, …,
//!                "__metadata__": {"key": "value"}}, padded with spaces
//! values  row-major, little-endian; offsets count from here
//! ```
//!
//! The tensors fill the values part exactly: the reader refuses overlaps, holes, bytes left over,
//! lengths that disagree with shape and dtype, and names given twice.

mod reader;
mod writer;

pub use reader::{Entry, SafeTensors};
pub use writer::write;

use crate::DType;

/// Longest header the format allows, in bytes.
const HEADER_BYTES: u64 = 100_000_000;

/// The name under which a header keeps strings instead of a tensor.
const METADATA: &str = "__metadata__";

/// The format's name of each element type.
const TYPES: &[(&str, DType)] = &[
    ("F32", DType::F32),
    ("F64", DType::F64),
    ("F16", DType::F16),
    ("BF16", DType::BF16),
    ("I8", DType::I8),
    ("U8", DType::U8),
    ("I16", DType::I16),
    ("U16", DType::U16),
    ("I32", DType::I32),
    ("U32", DType::U32),
    ("I64", DType::I64),
    ("U64", DType::U64),
    ("BOOL", DType::Bool),
];

/// Whether `bytes` look like a safetensors file: a plausible header length and an opening brace.
#[must_use]
pub fn detect(bytes: &[u8]) -> bool {
    let Some((len, rest)) = bytes.split_first_chunk() else { return false };
    let len = u64::from_le_bytes(*len);
    (2..=HEADER_BYTES).contains(&len) && rest.starts_with(b"{")
}

#[cfg(test)]
mod tests;
