//! `.npy`, NumPy's file of one array, and `.npz`, a zip of them.
//!
//! Holds the byte layout, [`read`], [`write()`] and [`header`]; archives of several are [`read_archive`]'s.
//! The command line writes features and logits with it, and reads images and features.
//!
//! # Layout
//!
//! ```text
//! 93 4E 55 4D 50 59   "\x93NUMPY"
//! u8 major, u8 minor  version 1.0, 2.0 or 3.0
//! u16 or u32          little-endian length of the header; u32 from version 2.0 on
//! header              {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } spaces, newline
//! values              row-major, or column-major where `fortran_order` is True
//! ```
//!
//! The header pads the file so that values start at a multiple of 64 bytes. It is a Python literal;
//! the reader takes only the three keys and only the literals NumPy itself writes.

mod archive;
mod header;
mod reader;
mod writer;

pub use archive::{detect_archive, read_archive, write_archive};
pub use reader::read;
pub use writer::{header, write};

/// The first bytes of every file.
const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// Whether `bytes` begin like a `.npy` file.
#[must_use]
pub fn detect(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

#[cfg(test)]
mod tests;
