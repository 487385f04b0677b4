//! Writes an archive that depends on nothing but its files: owner 0, time 0, `./` first, folders before
//! what is in them, paths in order.

use std::collections::BTreeMap;
use std::io::{self, Write};

use flate2::GzBuilder;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

use crate::{Error, MemoryFiles, Result};

/// Bytes of a path that fit into a header.
const NAME_BYTES: usize = 100;

/// How an archive is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// `.tar`
    None,
    /// `.tar.gz`
    Gzip,
}

/// The archive of `files`, their folders included, with an entry `./` first.
///
/// # Errors
/// [`ErrorKind::Io`](crate::ErrorKind::Io) when a path does not fit the format.
pub fn write(files: &MemoryFiles, compression: Compression) -> Result<Vec<u8>> {
    let written = match compression {
        Compression::None => write_tar(files, Vec::new()),
        Compression::Gzip => {
            let gzip = GzBuilder::new().mtime(0).write(Vec::new(), flate2::Compression::best());
            write_tar(files, gzip).and_then(GzEncoder::finish)
        }
    };
    written.map_err(|error| Error::from(error).within("archive"))
}

fn write_tar<W: Write>(files: &MemoryFiles, writer: W) -> io::Result<W> {
    let mut builder = Builder::new(writer);
    append(&mut builder, "./", None)?;
    for (path, content) in entries(files) {
        append(&mut builder, &format!("./{path}"), content)?;
    }
    builder.into_inner()
}

/// Every folder (with `/` at its end, no content) and file, in order.
fn entries(files: &MemoryFiles) -> BTreeMap<String, Option<&[u8]>> {
    let mut entries = BTreeMap::new();
    let mut folder = |path: &str| {
        for (end, _) in path.match_indices('/') {
            entries.insert(path.split_at(end + 1).0.to_owned(), None);
        }
    };
    files.folders().for_each(|path| folder(&format!("{}/", path.trim_end_matches('/'))));
    files.iter().for_each(|(path, _)| folder(path));
    entries.extend(files.iter().map(|(path, bytes)| (path.to_owned(), Some(bytes))));
    entries
}

fn append<W: Write>(
    builder: &mut Builder<W>,
    path: &str,
    content: Option<&[u8]>,
) -> io::Result<()> {
    if path.len() > NAME_BYTES {
        let name = [path.as_bytes(), b"\0"].concat();
        builder.append(&header("././@LongLink", EntryType::GNULongName, name.len()), &*name)?;
    }
    let kind = if content.is_some() { EntryType::Regular } else { EntryType::Directory };
    let content = content.unwrap_or_default();
    builder.append(&header(path, kind, content.len()), content)
}

/// A header with nothing in it but path (cut off where it is too long), type, size and rights; the
/// `tar` crate's own way to set a path drops the `./`.
fn header(path: &str, kind: EntryType, size: usize) -> Header {
    let mut header = Header::new_gnu();
    if let Some(gnu) = header.as_gnu_mut() {
        gnu.name.iter_mut().zip(path.bytes()).for_each(|(to, from)| *to = from);
    }
    header.set_entry_type(kind);
    header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size as u64);
    header.set_cksum();
    header
}
