//! Reads an archive entry by entry.

use std::cell::Cell;
use std::io::{self, BufReader, Cursor, Read};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;
use tar::EntryType;

use super::meter::{Bomb, Counted, Metered};
use super::path::{self, Seen};
use crate::{Error, ErrorKind, Limits, MemoryFiles, Result};

/// Decompressed bytes that may pass between two entries: headers with long names, and padding.
const HEADER_BYTES: u64 = 1 << 20;

/// Bytes that tell what the archive is: one tar header.
const HEAD_BYTES: usize = 512;

/// One thing in an archive; paths are clean: relative, `/` between the parts, no `.` or `..`.
pub enum Entry<'a> {
    /// A folder.
    Folder {
        /// Its path.
        path: &'a str,
    },
    /// A file.
    File {
        /// Its path.
        path: &'a str,
        /// Its length in bytes, within `Limits::file_bytes`.
        size: u64,
        /// Its bytes; what is not read is skipped.
        content: &'a mut dyn Read,
    },
}

/// The files of the archive in `bytes`, in memory.
///
/// ```
/// use mobilenet_formats::{Limits, MemoryFiles, archive};
///
/// let mut files = MemoryFiles::default();
/// files.insert("assets/labels.txt", "background\n");
/// let bytes = archive::write(&files, archive::Compression::Gzip)?;
/// assert_eq!(archive::read(&bytes, &Limits::default())?.get("assets/labels.txt"), Some(&b"background\n"[..]));
/// # Ok::<(), mobilenet_formats::Error>(())
/// ```
///
/// # Errors
/// As [`unpack`].
pub fn read(bytes: &[u8], limits: &Limits) -> Result<MemoryFiles> {
    let mut files = MemoryFiles::default();
    unpack(bytes, limits, |entry| match entry {
        Entry::Folder { path } => {
            files.insert_folder(path);
            Ok::<_, Error>(())
        }
        Entry::File { path, size, content } => {
            // The size is only a claim until the bytes arrive.
            let mut bytes = Vec::with_capacity(size.min(1 << 20) as usize);
            content.read_to_end(&mut bytes).map_err(|error| archive_error(error).within(path))?;
            files.insert(path, bytes);
            Ok(())
        }
    })?;
    Ok(files)
}

/// Calls `visit` for every folder and file of a `.tar` or `.tar.gz`, in the archive's order.
///
/// The archive is read to its very end, so that damage anywhere is an error; what was visited before
/// is then worthless.
///
/// # Errors
/// [`ErrorKind::UnsafePath`] for links, devices and paths that are not plain, relative and unique;
/// [`ErrorKind::Limit`], [`ErrorKind::Truncated`], [`ErrorKind::Malformed`] (also for bytes after
/// the end); or what `visit` gave.
pub fn unpack<E: From<Error>>(
    reader: impl Read,
    limits: &Limits,
    visit: impl FnMut(Entry<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let compressed = Rc::new(Cell::new(0));
    let mut reader = Counted { inner: reader, count: Rc::clone(&compressed) };
    let mut head = Vec::with_capacity(HEAD_BYTES);
    reader.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head).map_err(Error::from)?;
    let gzip = is_gzip(&head)?;
    let reader = BufReader::with_capacity(64 << 10, Cursor::new(head).chain(reader));
    let meter = Meter { allowance: Rc::new(Cell::new(HEADER_BYTES)), compressed };
    if gzip {
        meter.unpack(MultiGzDecoder::new(reader), limits, visit)
    } else {
        meter.unpack(reader, limits, visit)
    }
}

/// Whether a file that begins with `head`, its first 512 bytes, is an archive.
///
/// ```
/// assert!(mobilenet_formats::archive::detect(&[0x1f, 0x8b, 8]));
/// assert!(!mobilenet_formats::archive::detect(b"\x89HDF\r\n\x1a\n"));
/// ```
#[must_use]
pub fn detect(head: &[u8]) -> bool {
    is_gzip(head).is_ok()
}

/// Whether the archive is compressed, by its first bytes.
fn is_gzip(head: &[u8]) -> Result<bool> {
    let zeros = || !head.is_empty() && head.iter().all(|&byte| byte == 0);
    match head {
        [0x1f, 0x8b, ..] => Ok(true),
        _ if zeros() || is_tar(head) => Ok(false),
        [] => Err(Error::new(ErrorKind::Truncated, "the archive is empty")),
        _ => {
            let text: String = String::from_utf8_lossy(head).chars().take(40).collect();
            let message = format!("neither gzip nor tar: starts with {text:?}");
            Err(Error::new(ErrorKind::Malformed, message))
        }
    }
}

/// Whether `head` is a tar header: its bytes add up to the checksum in it. Old programs add them as
/// signed numbers.
fn is_tar(head: &[u8]) -> bool {
    // Where the checksum is; spaces are added in its place.
    const SUM: std::ops::Range<usize> = 148..156;
    if head.len() != HEAD_BYTES {
        return false;
    }
    let Ok(noted) = tar::Header::from_byte_slice(head).cksum() else { return false };
    let (mut unsigned, mut signed) = (0, 0);
    for (at, &byte) in head.iter().enumerate() {
        let byte = if SUM.contains(&at) { b' ' } else { byte };
        unsigned += i64::from(byte);
        signed += i64::from(i8::from_ne_bytes([byte]));
    }
    [unsigned, signed].contains(&i64::from(noted))
}

struct Meter {
    allowance: Rc<Cell<u64>>,
    compressed: Rc<Cell<u64>>,
}

impl Meter {
    fn unpack<E: From<Error>>(
        self,
        inner: impl Read,
        limits: &Limits,
        mut visit: impl FnMut(Entry<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Meter { allowance, compressed } = self;
        let (limits, refill) = (limits.clone(), Rc::clone(&allowance));
        let inner = Metered { inner, allowance, compressed, total: 0, limits: limits.clone() };
        let mut archive = tar::Archive::new(inner);
        let mut seen = Seen::default();
        for (number, entry) in archive.entries().map_err(archive_error)?.enumerate() {
            let mut entry = entry.map_err(archive_error)?;
            Limits::check(
                "entries of the archive",
                number as u64 + 1,
                limits.archive_entries as u64,
            )?;
            // Content and its padding on top of the headers of the next entry.
            refill.set(HEADER_BYTES.saturating_add(entry.size()));
            visit_entry(&mut entry, &mut seen, &limits, &mut visit)?;
            io::copy(&mut entry, &mut io::sink()).map_err(archive_error)?;
            refill.set(HEADER_BYTES);
        }
        refill.set(u64::MAX);
        Ok(only_zeros(archive.into_inner())?)
    }
}

fn visit_entry<R: Read, E: From<Error>>(
    entry: &mut tar::Entry<'_, R>,
    seen: &mut Seen,
    limits: &Limits,
    visit: &mut impl FnMut(Entry<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let kind = kind_of(entry);
    if kind == EntryType::XGlobalHeader {
        return Ok(());
    }
    let path = path::clean(&entry.path_bytes(), limits)?;
    match kind {
        // The root itself.
        EntryType::Directory if path.is_empty() => Ok(()),
        EntryType::Directory => {
            seen.folder(&path)?;
            visit(Entry::Folder { path: &path })
        }
        EntryType::Regular if !path.is_empty() => {
            let size = entry.size();
            Limits::check("bytes of the file", size, limits.file_bytes)
                .map_err(|error| error.within(format!("entry `{path}`")))?;
            seen.file(&path)?;
            visit(Entry::File { path: &path, size, content: entry })
        }
        other => Err(refused(&path, other).into()),
    }
}

/// The entry's type; the oldest archives mark folders by a `/` at the end of the path alone.
fn kind_of<R: Read>(entry: &tar::Entry<'_, R>) -> EntryType {
    match entry.header().entry_type() {
        EntryType::Regular if entry.size() == 0 && entry.path_bytes().ends_with(b"/") => {
            EntryType::Directory
        }
        kind => kind,
    }
}

fn refused(path: &str, kind: EntryType) -> Error {
    let what = match kind {
        EntryType::Symlink | EntryType::Link => "a link".to_owned(),
        EntryType::Block | EntryType::Char | EntryType::Fifo => "a device".to_owned(),
        EntryType::GNUSparse => "a sparse file".to_owned(),
        other => format!("of type {:?}", other.as_byte() as char),
    };
    let message = format!("{what}, but only files and folders are accepted");
    Error::new(ErrorKind::UnsafePath, message)
        .within(format!("entry `{path}`"))
        .hint("do not trust this archive")
}

/// After the end of a tar there may be padding only; reading it also verifies the gzip's end.
fn only_zeros(mut reader: impl Read) -> Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = reader.read(&mut buffer).map_err(archive_error)?;
        match buffer.get(..read) {
            None | Some([]) => return Ok(()),
            Some(bytes) if bytes.iter().all(|&byte| byte == 0) => {}
            Some(_) => {
                return Err(Error::new(ErrorKind::Malformed, "data after the end of the archive"));
            }
        }
    }
}

/// What an `io::Error` from reading an entry's content means: of kind [`ErrorKind::Limit`] when the
/// archive turned out to be a bomb.
pub fn archive_error(error: io::Error) -> Error {
    let bomb = error.get_ref().is_some_and(|inner| inner.is::<Bomb>());
    let kind = match error.kind() {
        _ if bomb || is_bomb(&error) => ErrorKind::Limit,
        io::ErrorKind::UnexpectedEof => ErrorKind::Truncated,
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other => {
            ErrorKind::Malformed
        }
        _ => ErrorKind::Io,
    };
    Error::new(kind, format!("archive: {error}")).caused_by(error)
}

/// The `tar` crate wraps errors of reading; a bomb may lie deeper.
fn is_bomb(error: &io::Error) -> bool {
    let mut next = error.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static));
    while let Some(error) = next {
        if error.is::<Bomb>() {
            return true;
        }
        let io = error.downcast_ref::<io::Error>();
        let inner = io.and_then(|io| io.get_ref()).map(|inner| inner as _);
        next = inner.or_else(|| error.source());
    }
    false
}
