//! Writes an archive that depends on nothing but its files: owner 0, time 0, `./` first, folders before
//! what is in them, paths in order.

use std::collections::BTreeMap;
use std::io::{self, Write};

use flate2::GzBuilder;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

use crate::{Error, MemoryFiles, Result};

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
    let mut header = Header::new_gnu();
    header.set_entry_type(if content.is_some() {
        EntryType::Regular
    } else {
        EntryType::Directory
    });
    header.set_mode(if content.is_some() { 0o644 } else { 0o755 });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    let content = content.unwrap_or_default();
    header.set_size(content.len() as u64);
    builder.append_data(&mut header, path, content)
}
