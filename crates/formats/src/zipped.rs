//! Zip archives in memory, for the formats that are one or carry one: TFLite's label files, `.keras`.
//!
//! The zip itself is the `zip` crate's; here are the limits, the rule on names and fixed times, so
//! that the same files always give the same bytes.

use std::io::{Cursor, Read, Write};

use zip::{CompressionMethod, ZipArchive, ZipWriter, write::SimpleFileOptions};

use crate::error::Within;
use crate::{Error, ErrorKind, Limits, MemoryFiles, Result, paths};

/// Whether `bytes` end in a zip's directory, whatever stands before.
pub(crate) fn detect(bytes: &[u8]) -> bool {
    const END: &[u8; 4] = b"PK\x05\x06";
    const END_LEN: usize = 22;
    let tail_at = bytes.len().saturating_sub(END_LEN + usize::from(u16::MAX));
    let tail = bytes.get(tail_at..).unwrap_or_default();
    tail.windows(END_LEN).enumerate().rev().any(|(at, end)| match end {
        [rest @ .., low, high] => {
            let comment = usize::from(u16::from_le_bytes([*low, *high]));
            rest.starts_with(END) && at + END_LEN + comment == tail.len()
        }
        _ => false,
    })
}

/// All files of an archive. Folders are implied by names and not listed.
pub(crate) fn unpack(bytes: &[u8], limits: &Limits) -> Result<MemoryFiles> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(malformed).within(|| "zip")?;
    Limits::check("entries of the zip", archive.len() as u64, limits.archive_entries as u64)?;
    let mut files = MemoryFiles::default();
    let mut room = room(bytes.len(), limits);
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(malformed).within(|| "zip")?;
        if entry.is_dir() {
            continue;
        }
        let name = entry.name().map_err(malformed).within(|| "zip")?.into_owned();
        let name = paths::plain(&name, limits).within(|| "zip")?;
        let allowed = room.min(limits.file_bytes);
        let mut content = Vec::new();
        entry.by_ref().take(allowed + 1).read_to_end(&mut content).map_err(|error| {
            Error::new(ErrorKind::Malformed, error.to_string())
                .caused_by(error)
                .within(name.clone())
        })?;
        Limits::check("bytes unpacked", content.len() as u64, allowed).within(|| name.clone())?;
        room -= content.len() as u64;
        if files.get(&name).is_some() {
            return Err(Error::new(ErrorKind::Malformed, "the name is given twice").within(name));
        }
        files.insert(name, content);
    }
    Ok(files)
}

/// Bytes that may be unpacked in all.
fn room(packed: usize, limits: &Limits) -> u64 {
    let by_ratio = (packed as u64).saturating_mul(limits.archive_ratio).max(16 << 20);
    by_ratio.min(limits.archive_bytes)
}

fn malformed(error: zip::result::ZipError) -> Error {
    let kind = match error {
        zip::result::ZipError::UnsupportedArchive(_) => ErrorKind::Unsupported,
        _ => ErrorKind::Malformed,
    };
    Error::new(kind, error.to_string()).caused_by(error)
}

/// Adds an uncompressed zip of `files` behind `front`; its offsets count from the start of `front`.
pub(crate) fn append(front: Vec<u8>, files: &MemoryFiles) -> Result<Vec<u8>> {
    append_with(front, files, CompressionMethod::Stored)
}

fn append_with(front: Vec<u8>, files: &MemoryFiles, method: CompressionMethod) -> Result<Vec<u8>> {
    let mut cursor = Cursor::new(front);
    cursor.set_position(cursor.get_ref().len() as u64);
    let options = SimpleFileOptions::default()
        .compression_method(method)
        .last_modified_time(zip::DateTime::default());
    let mut writer = ZipWriter::new(cursor);
    for (path, content) in files.iter() {
        writer.start_file(path, options).map_err(malformed).within(|| path)?;
        writer.write_all(content)?;
    }
    Ok(writer.finish().map_err(malformed)?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(entries: &[(&str, &[u8])], compression: CompressionMethod) -> Vec<u8> {
        let mut files = MemoryFiles::default();
        entries.iter().for_each(|(path, content)| files.insert(*path, *content));
        append_with(Vec::new(), &files, compression).unwrap()
    }

    #[test]
    fn files_round_trip_behind_other_bytes() {
        let mut files = MemoryFiles::default();
        files.insert("a/b.txt", "labels");
        files.insert("c", Vec::new());
        for compression in [CompressionMethod::Stored, CompressionMethod::Deflated] {
            let bytes = append_with(vec![7; 1000], &files, compression).unwrap();
            assert!(bytes.starts_with(&[7; 1000]) && detect(&bytes));
            assert_eq!(unpack(&bytes, &Limits::default()).unwrap(), files);
        }
        assert!(!detect(&[7; 1000]) && !detect(b"") && !detect(b"PK\x05\x06"));
    }

    #[test]
    fn paths_that_leave_the_folder_are_refused() {
        for path in ["../a", "a/../../b", "/a", "a\\b", "C:a", "a//b"] {
            let error =
                unpack(&archive(&[(path, b"x")], CompressionMethod::Stored), &Limits::default());
            assert_eq!(error.unwrap_err().kind(), ErrorKind::UnsafePath, "{path}");
        }
    }

    #[test]
    fn bombs_are_refused() {
        let bomb = archive(&[("zeros", &vec![0; 32 << 20])], CompressionMethod::Deflated);
        assert!(bomb.len() < 1 << 17);
        let error = unpack(&bomb, &Limits::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
    }

    #[test]
    fn too_many_entries_are_refused() {
        let limits = Limits { archive_entries: 1, ..Limits::default() };
        let bytes = archive(&[("a", b"1"), ("b", b"2")], CompressionMethod::Stored);
        assert_eq!(unpack(&bytes, &limits).unwrap_err().kind(), ErrorKind::Limit);
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = archive(&[("a", b"123")], CompressionMethod::Stored);
        for len in 0..bytes.len() {
            assert!(unpack(&bytes[..len], &Limits::default()).is_err(), "{len} bytes");
        }
    }
}
