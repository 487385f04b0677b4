//! Hostile archives, from a server and from a file: refused by name, and nothing is left behind.
#![allow(clippy::panic, clippy::print_stdout, reason = "tests")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::io::Write;

use common::{Folder, Server, file};
use flate2::{Compression, write::GzEncoder};
use mobilenet_formats::Limits;
use mobilenet_hub::{Error, ErrorKind, Handle, Hub, HubOptions};
use tar::{Builder, EntryType, Header};

/// A tar of a whole module and of what `more` adds, its paths and types unchecked.
fn tar_with(more: impl FnOnce(&mut Builder<Vec<u8>>)) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    add(&mut builder, "saved_model.pb", b"the graph");
    more(&mut builder);
    builder.into_inner().unwrap()
}

fn add(builder: &mut Builder<Vec<u8>>, path: &str, bytes: &[u8]) {
    add_as(builder, EntryType::Regular, path, "", bytes);
}

/// Writes the header by hand: the `tar` crate would refuse such paths.
fn add_as(builder: &mut Builder<Vec<u8>>, kind: EntryType, path: &str, link: &str, bytes: &[u8]) {
    let mut header = Header::new_gnu();
    let gnu = header.as_gnu_mut().unwrap();
    gnu.name[..path.len()].copy_from_slice(path.as_bytes());
    gnu.linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o777);
    header.set_size(bytes.len() as u64);
    header.set_cksum();
    builder.append(&header, bytes).unwrap();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The error of an archive, downloaded and from a file; both leave nothing.
fn refused(archive: &[u8], options: impl Fn(HubOptions) -> HubOptions) -> Error {
    let folder = Folder::new();
    let cache = folder.0.join("cache");
    let hub = Hub::new(options(HubOptions { cache_dir: Some(cache.clone()), ..folder.options() }))
        .unwrap();
    let path = folder.0.join("1.tar.gz");
    fs::write(&path, archive).unwrap();
    let local = hub.resolve(&Handle::from_path(&path)).unwrap_err();

    let server = Server::always(file(archive.to_vec()));
    let error = hub.resolve(&Handle::parse(&server.url("/1.tar.gz")).unwrap()).unwrap_err();
    assert_eq!((error.kind(), server.requests().len()), (local.kind(), 1), "{error}\n{local}");
    let left: Vec<_> =
        fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name.to_str().unwrap().ends_with(".guard")), "{left:?}");
    let beside = fs::read_dir(&folder.0).unwrap().count();
    assert_eq!(beside, 2, "something was written beside the cache");
    error
}

fn refused_as(archive: &[u8], kind: ErrorKind) -> String {
    for archive in [archive.to_vec(), gzip(archive)] {
        let error = refused(&archive, |options| options);
        assert_eq!(error.kind(), kind, "{error}");
    }
    refused(archive, |options| options).to_string()
}

#[test]
fn paths_out_of_the_folder() {
    for path in ["../evil", "a/../../evil", "/tmp/evil", "..\\evil", "C:\\evil", "a/b\n"] {
        let text = refused_as(&tar_with(|tar| add(tar, path, b"x")), ErrorKind::Archive);
        assert!(text.contains("do not trust this archive"), "{text}");
    }
}

#[test]
fn links_and_devices() {
    use EntryType::{Block, Char, Fifo, Link, Symlink};
    for kind in [Symlink, Link, Block, Char, Fifo] {
        let archive = tar_with(|tar| {
            add_as(tar, kind, "assets", "/etc", b"");
            add(tar, "assets/passwd", b"x");
        });
        refused_as(&archive, ErrorKind::Archive);
    }
}

#[test]
fn the_same_file_twice() {
    let archive = tar_with(|tar| add(tar, "SAVED_MODEL.PB", b"another"));
    refused_as(&archive, ErrorKind::Archive);
}

#[test]
fn a_file_that_is_a_folder_too() {
    let archive = tar_with(|tar| add(tar, "saved_model.pb/x", b"x"));
    refused_as(&archive, ErrorKind::Archive);
}

#[test]
fn a_bomb() {
    let archive = gzip(&tar_with(|tar| add(tar, "assets/zeros", &vec![0; 64 << 20])));
    assert!(archive.len() < 100_000);
    let error = refused(&archive, |options| options);
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    assert!(error.to_string().contains("times"), "{error}");
}

#[test]
fn more_than_the_limits_allow() {
    let archive = tar_with(|tar| (0..50).for_each(|k| add(tar, &format!("assets/{k}"), b"x")));
    let few = |options| HubOptions {
        limits: Limits { archive_entries: 20, ..Default::default() },
        ..options
    };
    assert_eq!(refused(&archive, few).kind(), ErrorKind::Limit);
    let small = |options| HubOptions {
        limits: Limits { archive_bytes: 9_000, ..Default::default() },
        ..options
    };
    assert_eq!(refused(&archive, small).kind(), ErrorKind::Limit);
    let short =
        |options| HubOptions { limits: Limits { path_bytes: 8, ..Default::default() }, ..options };
    assert!(matches!(refused(&archive, short).kind(), ErrorKind::Limit | ErrorKind::Archive));
}

#[test]
fn a_tar_that_ends_early_or_goes_on() {
    let whole = tar_with(|tar| add(tar, "assets/x", &[1; 3000]));
    refused_as(&whole[..1800], ErrorKind::Archive);
    let packed = gzip(&whole);
    for cut in [packed.len() / 2, packed.len() - 1] {
        let error = refused(&packed[..cut], |options| options);
        assert_eq!(error.kind(), ErrorKind::Archive, "{error}");
    }
    refused_as(&[&whole[..], b"more"].concat(), ErrorKind::Archive);
}

#[test]
fn an_archive_without_a_module() {
    let mut builder = Builder::new(Vec::new());
    add(&mut builder, "model/saved_model.pb", b"the graph");
    let text = refused_as(&builder.into_inner().unwrap(), ErrorKind::Incomplete);
    assert!(text.contains("in `model`") && text.contains("unpack it and give"), "{text}");
}
