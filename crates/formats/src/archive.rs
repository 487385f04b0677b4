//! Archives of a model folder: `.tar` and `.tar.gz`, told apart by content.
//!
//! An archive is untrusted: only files and folders, only clean relative paths, each once, everything
//! within [`Limits`](crate::Limits). Header parsing is the `tar` crate's; paths are ours alone, and nothing is ever
//! written to disk here. [`unpack`] streams, [`read`] gathers into memory, [`write()`] is
//! deterministic.

mod meter;
mod path;
mod reader;
mod writer;

pub use reader::{Entry, archive_error, detect, read, unpack};
pub use writer::{Compression, write};

#[cfg(test)]
mod tests;
