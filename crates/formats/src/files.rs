//! A model folder, wherever it is: [`FileSource`] reads it, [`MemoryFiles`] is one in memory.
//!
//! No file is opened here; `mobilenet-hub` implements [`FileSource`] for folders on disk.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::ops::Range;

use crate::{Error, ErrorKind, Limits, Result};

/// Bytes that [`FileSource::visit_range`] gives at once: a whole number of elements of any type, and
/// few enough to stay in a near cache.
pub const PIECE_BYTES: u64 = 64 << 10;

/// The files of one model, by relative path with `/` between the parts (`variables/variables.index`).
pub trait FileSource: Send + Sync {
    /// The whole file at `path`, or `None` where there is none.
    ///
    /// # Errors
    /// What reading the file gave.
    fn read(&self, path: &str) -> io::Result<Option<Cow<'_, [u8]>>>;

    /// The paths of all files, sorted; folders are not listed.
    fn paths(&self) -> Vec<String>;

    /// The bytes `range` of the file at `path`, cut off at its end; `None` where there is no file.
    ///
    /// The default reads the whole file; a folder on disk should seek.
    ///
    /// # Errors
    /// What reading the file gave.
    fn read_range(&self, path: &str, range: Range<u64>) -> io::Result<Option<Cow<'_, [u8]>>> {
        Ok(self.read(path)?.map(|bytes| cut(bytes, &range)))
    }

    /// Calls `visit` with the bytes `range` of the file at `path`, cut off at its end, in pieces of
    /// [`PIECE_BYTES`] and a last one; false where there is no file.
    ///
    /// The default reads each piece by itself; a folder on disk should use one buffer for all.
    ///
    /// # Errors
    /// What reading the file gave.
    fn visit_range(
        &self,
        path: &str,
        range: Range<u64>,
        visit: &mut dyn FnMut(&[u8]),
    ) -> io::Result<bool> {
        if range.is_empty() {
            return Ok(self.len(path)?.is_some());
        }
        let mut at = range.start;
        while at < range.end {
            let next = range.end.min(at.saturating_add(PIECE_BYTES));
            match self.read_range(path, at..next)? {
                None => return Ok(false),
                Some(piece) if piece.is_empty() => break,
                Some(piece) => visit(&piece),
            }
            at = next;
        }
        Ok(true)
    }

    /// The length of the file at `path` in bytes; `None` where there is no file.
    ///
    /// The default reads the whole file; a folder on disk should ask for its metadata.
    ///
    /// # Errors
    /// What reading the file gave.
    fn len(&self, path: &str) -> io::Result<Option<u64>> {
        Ok(self.read(path)?.map(|bytes| bytes.len() as u64))
    }
}

fn cut<'a>(bytes: Cow<'a, [u8]>, range: &Range<u64>) -> Cow<'a, [u8]> {
    let clamp = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    let (start, end) = (clamp(range.start), clamp(range.end));
    let range = start..end.max(start);
    match bytes {
        Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[range]),
        Cow::Owned(mut bytes) => {
            bytes.truncate(range.end);
            bytes.drain(..range.start);
            Cow::Owned(bytes)
        }
    }
}

/// The file at `path`, refused before it is read when it is larger than `limit` bytes.
pub(crate) fn read_file<'a>(
    source: &'a dyn FileSource,
    path: &str,
    limit: u64,
) -> Result<Option<Cow<'a, [u8]>>> {
    let at = |error: Error| error.within(path);
    let Some(len) = source.len(path).map_err(|error| at(error.into()))? else { return Ok(None) };
    Limits::check("bytes of the file", len, limit).map_err(at)?;
    source.read(path).map_err(|error| at(error.into()))
}

/// As [`read_file`], with an error where there is no such file.
pub(crate) fn require_file<'a>(
    source: &'a dyn FileSource,
    path: &str,
    limit: u64,
) -> Result<Cow<'a, [u8]>> {
    read_file(source, path, limit)?
        .ok_or_else(|| Error::new(ErrorKind::NotFound, "no such file in the model").within(path))
}

/// A model's files in memory, in order of path; empty folders are kept too.
///
/// ```
/// use mobilenet_formats::{FileSource, MemoryFiles};
///
/// let mut files = MemoryFiles::default();
/// files.insert("assets/labels.txt", "background\ntench\n");
/// assert_eq!(files.paths(), ["assets/labels.txt"]);
/// assert_eq!(files.read("assets/labels.txt").unwrap().unwrap().len(), 17);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct MemoryFiles {
    files: BTreeMap<String, Vec<u8>>,
    folders: BTreeSet<String>,
}

impl MemoryFiles {
    /// Adds or replaces a file.
    pub fn insert(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.files.insert(path.into(), bytes.into());
    }

    /// Adds a folder, which matters only when it stays empty (`assets`).
    pub fn insert_folder(&mut self, path: impl Into<String>) {
        self.folders.insert(path.into());
    }

    /// The file at `path`.
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }

    /// Takes the file at `path` out.
    pub fn remove(&mut self, path: &str) -> Option<Vec<u8>> {
        self.files.remove(path)
    }

    /// All files in order of path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
    }

    /// The folders that were added by name.
    pub fn folders(&self) -> impl Iterator<Item = &str> {
        self.folders.iter().map(String::as_str)
    }

    /// Copies every file of `source`.
    ///
    /// # Errors
    /// A file larger than `limits.file_bytes`, or what reading it gave.
    pub fn copy_of(source: &dyn FileSource, limits: &Limits) -> Result<Self> {
        let mut files = MemoryFiles::default();
        for path in source.paths() {
            let bytes = require_file(source, &path, limits.file_bytes)?.into_owned();
            files.insert(path, bytes);
        }
        Ok(files)
    }
}

impl fmt::Debug for MemoryFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folders = self.folders().map(|path| (path, None));
        let files = self.iter().map(|(path, bytes)| (path, Some(bytes.len())));
        f.debug_map().entries(folders.chain(files)).finish()
    }
}

impl FileSource for MemoryFiles {
    fn read(&self, path: &str) -> io::Result<Option<Cow<'_, [u8]>>> {
        Ok(self.get(path).map(Cow::Borrowed))
    }

    fn paths(&self) -> Vec<String> {
        self.files.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_at_the_end_of_the_file() {
        let mut files = MemoryFiles::default();
        files.insert("a", "0123456789");
        let read = |range| files.read_range("a", range).unwrap().unwrap().into_owned();
        assert_eq!(read(2..5), b"234");
        assert_eq!(read(8..20), b"89");
        assert_eq!(read(20..u64::MAX), b"");
        assert!(files.read_range("b", 0..1).unwrap().is_none());
    }
}
