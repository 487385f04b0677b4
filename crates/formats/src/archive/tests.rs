//! Archives written and read, and hostile ones built by hand.

use std::io::{Read, Write};

use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

use super::*;
use crate::{Error, ErrorKind, FileSource, Limits, MemoryFiles, Result};

fn limits() -> Limits {
    Limits::default()
}

fn kind(bytes: &[u8]) -> ErrorKind {
    read(bytes, &limits()).unwrap_err().kind()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The header of an entry with any path at all: the `tar` crate's builder refuses bad ones.
fn header(path: &[u8], kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.as_mut_bytes()[..path.len()].copy_from_slice(path);
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(size);
    header.set_cksum();
    header
}

/// A tar of these entries, ended properly.
fn tar(entries: &[(&[u8], EntryType, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (path, kind, content) in entries {
        bytes.extend(header(path, *kind, content.len() as u64).as_bytes());
        bytes.extend(*content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.extend([0; 1024]);
    bytes
}

fn sample() -> MemoryFiles {
    let mut files = MemoryFiles::default();
    files.insert("saved_model.pb", vec![8, 1]);
    files.insert("variables/variables.index", vec![7; 3000]);
    files.insert(format!("assets/{}.txt", "long".repeat(60)), "x");
    files.insert_folder("empty/folder");
    files
}

#[test]
fn a_tar_is_known_by_its_checksum() {
    let mut head = header(b"a", EntryType::Regular, 0);
    assert!(detect(head.as_bytes()));
    head.as_mut_bytes()[0] = b'b';
    assert!(!detect(head.as_bytes()));
    // A model file may have digits there.
    let mut model = [7; 512];
    model[148..150].copy_from_slice(b"3\0");
    assert!(!detect(&model));
    // As old programs add the bytes of names that are no ASCII.
    let mut old = header(&[0xe9], EntryType::Regular, 0);
    let unsigned = old.cksum().unwrap();
    old.as_mut_bytes()[148..156].copy_from_slice(format!("{:06o}\0 ", unsigned - 256).as_bytes());
    assert!(detect(old.as_bytes()));
}

#[test]
fn files_and_folders_round_trip() {
    for compression in [Compression::None, Compression::Gzip] {
        let bytes = write(&sample(), compression).unwrap();
        let files = read(&bytes, &limits()).unwrap();
        assert!(files.iter().eq(sample().iter()));
        let folders: Vec<_> = files.folders().collect();
        assert_eq!(folders, ["assets", "empty", "empty/folder", "variables"]);
        assert_eq!(write(&files, compression).unwrap(), bytes, "deterministic");
    }
}

#[test]
fn what_is_written_carries_no_owner_and_no_time() {
    let bytes = write(&sample(), Compression::None).unwrap();
    let mut archive = tar::Archive::new(bytes.as_slice());
    let entries: Vec<_> = archive.entries().unwrap().map(Result::unwrap).collect();
    assert_eq!(entries[0].path_bytes().as_ref(), b"./");
    for entry in &entries {
        let header = entry.header();
        assert_eq!(
            (header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()),
            (0, 0, 0)
        );
        assert!(entry.path_bytes().starts_with(b"./"));
    }
    let gzip = write(&sample(), Compression::Gzip).unwrap();
    assert_eq!(&gzip[4..8], [0; 4], "no time in the gzip header either");
}

#[test]
fn a_visitor_s_own_error_comes_through() {
    #[derive(Debug, PartialEq)]
    enum Mine {
        Format(ErrorKind),
        Full,
    }
    impl From<Error> for Mine {
        fn from(error: Error) -> Self {
            Mine::Format(error.kind())
        }
    }
    let bytes = write(&sample(), Compression::Gzip).unwrap();
    assert_eq!(unpack(bytes.as_slice(), &limits(), |_| Err(Mine::Full)), Err(Mine::Full));
    let error = unpack(&bytes[..40], &limits(), |_| Ok::<_, Mine>(()));
    assert_eq!(error, Err(Mine::Format(ErrorKind::Truncated)));
}

#[test]
fn content_that_is_not_read_is_skipped() {
    let bytes = write(&sample(), Compression::Gzip).unwrap();
    let mut seen = Vec::new();
    unpack(bytes.as_slice(), &limits(), |entry| {
        if let Entry::File { path, content, .. } = entry {
            seen.push(path.to_owned());
            content.read_exact(&mut [0])?;
        }
        Ok::<_, Error>(())
    })
    .unwrap();
    assert_eq!(seen, sample().paths());
}

#[test]
fn a_reader_that_gives_one_byte_at_a_time_is_enough() {
    struct Slow<'a>(&'a [u8]);
    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let len = buffer.len().min(1);
            self.0.read(&mut buffer[..len])
        }
    }
    for compression in [Compression::None, Compression::Gzip] {
        let bytes = write(&sample(), compression).unwrap();
        let mut count = 0;
        unpack(Slow(&bytes), &limits(), |_| {
            count += 1;
            Ok::<_, Error>(())
        })
        .unwrap();
        assert_eq!(count, 7);
    }
}

#[test]
fn paths_that_leave_the_folder_are_refused() {
    for path in [&b"../evil"[..], b"a/../../evil", b"/etc/passwd", b"a\\..\\b", b"C:evil", b"\xff"]
    {
        assert_eq!(kind(&tar(&[(path, EntryType::Regular, b"x")])), ErrorKind::UnsafePath);
    }
    assert_eq!(kind(&tar(&[(b"../", EntryType::Directory, b"")])), ErrorKind::UnsafePath);
}

#[test]
fn paths_that_leave_the_folder_by_a_long_name_are_refused() {
    for (kind_of_entry, record) in
        [(EntryType::XHeader, &b"16 path=../evil\n"[..]), (EntryType::GNULongName, b"../evil\0")]
    {
        let bytes = tar(&[(b"long", kind_of_entry, record), (b"good", EntryType::Regular, b"x")]);
        assert_eq!(kind(&bytes), ErrorKind::UnsafePath, "{kind_of_entry:?}");
    }
}

#[test]
fn links_devices_and_sparse_files_are_refused() {
    for kind_of_entry in [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Block,
        EntryType::Char,
        EntryType::Fifo,
        EntryType::GNUSparse,
        EntryType::Continuous,
        EntryType::new(b'?'),
    ] {
        let bytes = tar(&[(b"assets/x", kind_of_entry, b"")]);
        let error = read(&bytes, &limits()).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::UnsafePath | ErrorKind::Malformed),
            "{kind_of_entry:?}: {error}"
        );
    }
}

#[test]
fn paths_that_come_twice_are_refused() {
    let regular = EntryType::Regular;
    assert_eq!(
        kind(&tar(&[(b"a", regular, b"1"), (b"./a", regular, b"2")])),
        ErrorKind::UnsafePath
    );
    assert_eq!(kind(&tar(&[(b"a", regular, b"1"), (b"A", regular, b"2")])), ErrorKind::UnsafePath);
    assert_eq!(
        kind(&tar(&[(b"a", regular, b"1"), (b"a/b", regular, b"2")])),
        ErrorKind::UnsafePath
    );
    let folder = (&b"a/"[..], EntryType::Directory, &b""[..]);
    assert_eq!(kind(&tar(&[folder, (b"a", regular, b"2")])), ErrorKind::UnsafePath);
    assert!(read(&tar(&[folder, folder, (b"a/b", regular, b"2")]), &limits()).is_ok());
}

#[test]
fn every_truncation_of_a_gzip_is_an_error() {
    let bytes = write(&sample(), Compression::Gzip).unwrap();
    for len in 0..bytes.len() {
        assert!(read(&bytes[..len], &limits()).is_err(), "{len} of {}", bytes.len());
    }
}

#[test]
fn a_truncated_tar_is_an_error_where_a_file_ends_early() {
    let bytes = tar(&[(b"a", EntryType::Regular, &[7; 600])]);
    for len in [1, 511, 513, 1000, 1111] {
        assert!(read(&bytes[..len], &limits()).is_err(), "{len}");
    }
}

#[test]
fn a_damaged_gzip_is_an_error() {
    let mut bytes = write(&sample(), Compression::Gzip).unwrap();
    let crc = bytes.len() - 8;
    bytes[crc] ^= 1;
    assert_eq!(kind(&bytes), ErrorKind::Malformed);
}

#[test]
fn trailing_garbage_is_refused_and_padding_is_not() {
    let plain = tar(&[(b"a", EntryType::Regular, b"x")]);
    let padded = [plain.clone(), vec![0; 10240]].concat();
    assert!(read(&padded, &limits()).is_ok());
    assert!(read(&gzip(&padded), &limits()).is_ok());
    let garbage = [plain.clone(), b"garbage".to_vec()].concat();
    assert_eq!(kind(&garbage), ErrorKind::Malformed);
    assert_eq!(kind(&gzip(&garbage)), ErrorKind::Malformed);
    let after = [gzip(&plain), b"garbage garbage garbage".to_vec()].concat();
    assert_eq!(kind(&after), ErrorKind::Malformed);
}

#[test]
fn something_else_is_named_by_its_start() {
    let error = read(b"<!DOCTYPE html><title>404</title>", &limits()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(error.to_string().contains("<!DOCTYPE html>"), "{error}");
    assert_eq!(kind(b""), ErrorKind::Truncated);
}

#[test]
fn a_bomb_of_zeros_is_refused() {
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), flate2::Compression::best()));
    let size = 64u64 << 20;
    builder
        .append(&header(b"zeros", EntryType::Regular, size), std::io::repeat(0).take(size))
        .unwrap();
    let bytes = builder.into_inner().unwrap().finish().unwrap();
    assert!(bytes.len() < 200 << 10);
    assert_eq!(kind(&bytes), ErrorKind::Limit);
}

#[test]
fn limits_on_entries_files_and_bytes_hold() {
    let many = vec![(&b"./"[..], EntryType::Directory, &b""[..]); 11];
    let few = Limits { archive_entries: 10, ..limits() };
    assert_eq!(read(&tar(&many), &few).unwrap_err().kind(), ErrorKind::Limit);
    let file = tar(&[(b"a", EntryType::Regular, &[7; 2000])]);
    let small = Limits { file_bytes: 1999, ..limits() };
    assert_eq!(read(&file, &small).unwrap_err().kind(), ErrorKind::Limit);
    let little = Limits { archive_bytes: 2000, ..limits() };
    assert_eq!(read(&file, &little).unwrap_err().kind(), ErrorKind::Limit);
}

#[test]
fn a_size_that_lies_allocates_nothing() {
    let mut bytes = header(b"huge", EntryType::Regular, 1 << 29).as_bytes().to_vec();
    bytes.extend([1; 512]);
    assert!(matches!(kind(&bytes), ErrorKind::Truncated | ErrorKind::Malformed));
}

#[test]
fn endless_headers_are_refused() {
    let long = vec![b'a'; 3 << 20];
    for kind_of_entry in [EntryType::GNULongName, EntryType::XHeader] {
        let bytes = tar(&[(b"long", kind_of_entry, &long), (b"good", EntryType::Regular, b"x")]);
        assert_eq!(kind(&bytes), ErrorKind::Limit, "{kind_of_entry:?}");
    }
}
