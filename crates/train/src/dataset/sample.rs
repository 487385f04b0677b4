//! One image of a data set: where its bytes are and what it shows.

use std::borrow::Cow;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Error, ErrorKind, Result};

/// Longest encoded image that is read.
const MAX_IMAGE_BYTES: u64 = 256 << 20;

/// Where an encoded image is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file of its own.
    File(PathBuf),
    /// A part of a larger file: a record, a member of a tar.
    Part {
        /// The larger file.
        file: Arc<Path>,
        /// Byte offsets in it.
        bytes: Range<u64>,
        /// What the part is called inside the file.
        name: String,
    },
}

/// An image and its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Where its bytes are.
    pub source: Source,
    /// Index of its class.
    pub label: usize,
    /// Which of several sources of data it is from.
    pub origin: usize,
}

impl Source {
    /// What it is called, without the folders or the file it lies in.
    pub(super) fn name(&self) -> Cow<'_, str> {
        match self {
            Self::File(path) => path.file_name().unwrap_or_default().to_string_lossy(),
            Self::Part { name, .. } => Cow::Borrowed(name),
        }
    }

    /// Bytes of the encoded image; `None` if there is no such file.
    pub(super) fn size(&self) -> Option<u64> {
        match self {
            Self::File(path) => std::fs::metadata(path).ok().map(|file| file.len()),
            Self::Part { bytes, .. } => Some(bytes.end.saturating_sub(bytes.start)),
        }
    }

    /// The encoded image.
    ///
    /// # Errors
    /// If it cannot be read or is longer than 256 MiB.
    pub fn read(&self) -> Result<Vec<u8>> {
        let read = || -> std::io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            match self {
                Self::File(path) => {
                    File::open(path)?.take(MAX_IMAGE_BYTES + 1).read_to_end(&mut bytes)?;
                }
                Self::Part { file, bytes: range, .. } => {
                    let mut file = File::open(file)?;
                    file.seek(SeekFrom::Start(range.start))?;
                    let len = range.end.saturating_sub(range.start);
                    file.take(len.min(MAX_IMAGE_BYTES + 1)).read_to_end(&mut bytes)?;
                }
            }
            if bytes.len() as u64 > MAX_IMAGE_BYTES {
                return Err(std::io::Error::other("longer than 256 MiB, no photo is"));
            }
            Ok(bytes)
        };
        read().map_err(|error| Error::new(ErrorKind::Io, self.to_string()).because(error))
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Part { file, name, .. } => write!(f, "{}:{name}", file.display()),
        }
    }
}
