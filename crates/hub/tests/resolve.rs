//! Handles to modules, the usual way: folders, archives, URLs, the cache, offline.
#![allow(clippy::panic, clippy::print_stdout, reason = "tests")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::sync::{Arc, Mutex};

use common::{Folder, Server, archive, assert_whole, file, module, redirect, status};
use mobilenet_formats::FileSource;
use mobilenet_hub::{Endpoints, EntryState, ErrorKind, Handle, Hub, HubOptions, Progress, Verify};

const PADDING: usize = 10_000;

fn handle(text: &str) -> Handle {
    Handle::parse(text).unwrap()
}

#[test]
fn a_folder_is_read_where_it_is() {
    let folder = Folder::new();
    for (path, bytes) in module(PADDING).iter() {
        let path = folder.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let hub = Hub::new(HubOptions::default()).unwrap();
    let text = folder.0.to_str().unwrap();
    for handle in [handle(text), handle(&format!("file://{text}")), Handle::from_path(&folder.0)] {
        let found = hub.resolve(&handle).unwrap();
        assert_eq!(found.path(), Some(folder.0.as_path()));
        assert_eq!(found.paths(), module(PADDING).paths());
        assert_eq!(found.read("saved_model.pb").unwrap().unwrap(), &b"the graph"[..]);
        assert_eq!(found.read_range("saved_model.pb", 4..100).unwrap().unwrap(), &b"graph"[..]);
        assert_eq!(found.read_range("saved_model.pb", 50..u64::MAX).unwrap().unwrap().len(), 0);
        assert_eq!(found.len("saved_model.pb").unwrap(), Some(9));
        assert!(found.read("../x").unwrap().is_none() && found.len("x").unwrap().is_none());
    }
}

#[test]
fn an_archive_file_is_the_same_module_in_memory() {
    let folder = Folder::new();
    let path = folder.0.join("1.tar.gz");
    fs::write(&path, archive(PADDING)).unwrap();
    let hub = folder.hub();
    let packed = hub.resolve(&Handle::from_path(&path)).unwrap();
    assert_eq!((packed.path(), packed.paths()), (None, module(PADDING).paths()));

    let server = Server::always(file(archive(PADDING)));
    let fetched = hub.resolve(&handle(&server.url("/m/1.tar.gz"))).unwrap();
    assert_eq!(packed.checksum().unwrap(), fetched.checksum().unwrap());
    assert_eq!(packed.size(), fetched.size());
}

#[test]
fn a_single_file_brings_what_belongs_to_it() {
    let folder = Folder::new();
    let all = [
        "a.onnx",
        "a.onnx.data",
        "b.onnx",
        "m.ckpt.index",
        "m.ckpt.meta",
        "m.ckpt.data-00000-of-00001",
        "m2.ckpt.index",
        "notes.txt",
    ];
    for name in all {
        fs::write(folder.0.join(name), name).unwrap();
    }
    let found = |name: &str| folder.hub().resolve(&Handle::from_path(folder.0.join(name))).unwrap();
    let onnx = found("a.onnx");
    assert_eq!(
        (onnx.main_file(), onnx.paths()),
        (Some("a.onnx"), vec!["a.onnx".into(), "a.onnx.data".into()])
    );
    assert_eq!(onnx.read("a.onnx").unwrap().unwrap(), &b"a.onnx"[..]);
    assert!(onnx.read("b.onnx").unwrap().is_none());
    let parts = ["m.ckpt.data-00000-of-00001", "m.ckpt.index", "m.ckpt.meta"];
    for name in ["m.ckpt", "m.ckpt.index", "m.ckpt.data-00000-of-00001"] {
        assert_eq!(found(name).paths(), parts, "{name}");
    }
    assert_eq!(found("m.ckpt").main_file(), Some("m.ckpt.index"));
    assert_eq!(found("").main_file(), None);
}

#[test]
fn a_url_is_downloaded_once_and_then_found_in_the_cache() {
    let (folder, server) = (Folder::new(), Server::always(file(archive(PADDING))));
    let handle = handle(&server.url("/mobilenet/1.tar.gz"));
    let first = folder.hub().resolve(&handle).unwrap();
    assert_whole(&first, PADDING);
    assert_eq!(first.path(), Some(folder.0.join(handle.cache_key()).as_path()));
    assert!(first.path().unwrap().join("assets").is_dir());

    let offline = HubOptions { offline: true, verify: Verify::All, ..folder.options() };
    let again = Hub::new(offline).unwrap().resolve(&handle).unwrap();
    assert_eq!(again.checksum().unwrap(), first.checksum().unwrap());
    assert_eq!(server.requests().len(), 1);
    assert_eq!(folder.leftovers(), [""; 0]);

    let descriptor = folder.0.join(format!("{}.descriptor.txt", handle.cache_key()));
    let descriptor = fs::read_to_string(descriptor).unwrap();
    assert!(descriptor.starts_with(&format!("Module: {handle}\nDownload Time: ")), "{descriptor}");
}

#[test]
fn a_hub_url_asks_for_the_compressed_form() {
    let (folder, server) = (Folder::new(), Server::always(file(archive(0))));
    folder.hub().resolve(&handle(&server.url("/google/mobilenet/1?a=b"))).unwrap();
    let request = &server.requests()[0];
    assert_eq!(request.target, "/google/mobilenet/1?a=b&tf-hub-format=compressed");
    assert_eq!(request.header("accept-encoding"), Some("identity"));
}

#[test]
fn a_kaggle_page_is_fetched_from_its_api_with_credentials_for_it_alone() {
    let elsewhere = Server::always(file(archive(0)));
    let api = Server::always(redirect(&elsewhere.url("/signed.tar.gz")));
    let folder = Folder::new();
    let endpoints = Endpoints { kaggle: api.address.clone(), ..Default::default() };
    let kaggle_credentials = Some(("me".into(), "secret".into()));
    let hub = Hub::new(HubOptions { endpoints, kaggle_credentials, ..folder.options() }).unwrap();
    let page = "https://www.kaggle.com/models/google/mobilenet-v1/tensorFlow1/025-192/1";
    let found = hub.resolve(&handle(page)).unwrap();
    assert_whole(&found, 0);
    let request = &api.requests()[0];
    assert_eq!(request.target, "/api/v1/models/google/mobilenet-v1/tensorFlow1/025-192/1/download");
    assert!(request.header("authorization").unwrap().starts_with("Basic "));
    assert_eq!(elsewhere.requests()[0].header("authorization"), None);
}

#[test]
fn what_was_tried_is_in_the_error() {
    let folder = Folder::new();
    let server = Server::always(status("404 Not Found"));
    let error = folder.hub().resolve(&handle(&server.url("/google/m/1"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let resolvers: Vec<_> = error.attempts().iter().map(|attempt| attempt.resolver).collect();
    assert_eq!(
        resolvers,
        [
            "folder",
            "archive file",
            "model file",
            "embedded",
            "cache",
            "archive URL",
            "Kaggle",
            "hub URL",
            "tfhub.dev"
        ]
    );
    let text = error.to_string();
    for part in ["no module at", "tf-hub-format=compressed", "404"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("Kaggle") && !text.contains("not a path"), "{text}");

    let missing = folder.hub().resolve(&handle("/no/such/folder")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let text = missing.to_string();
    assert_eq!(text, "no module at `/no/such/folder`: no such file or folder");
}

#[test]
fn offline_never_connects() {
    let (folder, server) = (Folder::new(), Server::always(file(archive(0))));
    let hub = Hub::new(HubOptions { offline: true, ..folder.options() }).unwrap();
    let error = hub.resolve(&handle(&server.url("/1.tar.gz"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Offline);
    assert!(server.requests().is_empty());
}

#[test]
fn a_folder_that_is_no_module_says_what_is_missing() {
    let folder = Folder::new();
    fs::create_dir_all(folder.0.join("mobilenet")).unwrap();
    fs::write(folder.0.join("mobilenet/saved_model.pb"), "x").unwrap();
    let error = folder.hub().resolve(&Handle::from_path(&folder.0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incomplete);
    assert!(error.to_string().contains("in `mobilenet`"), "{error}");
}

#[test]
fn progress_tells_every_step() {
    let (folder, server) = (Folder::new(), Server::always(file(archive(PADDING))));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let steps = Arc::clone(&seen);
    let progress: mobilenet_hub::ProgressCallback = Arc::new(move |step: &Progress<'_>| {
        steps.lock().unwrap().push(match step {
            Progress::Connecting { .. } => "connecting",
            Progress::Downloading { received, total, .. } if Some(*received) == *total => "all",
            Progress::Downloading { .. } => "some",
            Progress::Unpacking { .. } => "unpacking",
            Progress::Done { .. } => "done",
            _ => "other",
        });
    });
    let hub = Hub::new(HubOptions { progress: Some(progress), ..folder.options() }).unwrap();
    hub.resolve(&handle(&server.url("/1.tgz"))).unwrap();
    let mut seen = seen.lock().unwrap().clone();
    seen.dedup();
    assert_eq!(seen, ["connecting", "some", "all", "unpacking", "done"]);
}

#[test]
fn the_cache_lists_verifies_and_removes() {
    let (folder, server) = (Folder::new(), Server::always(file(archive(PADDING))));
    let hub = folder.hub();
    assert!(hub.cache().list().unwrap().is_empty());
    let handle = handle(&server.url("/1.tar.gz"));
    let module = hub.resolve(&handle).unwrap();

    let entries = hub.cache().list().unwrap();
    assert_eq!(entries.len(), 1);
    let entry = &entries[0];
    assert_eq!(entry.handle.as_deref(), Some(handle.as_str()));
    assert_eq!(entry.state, EntryState::Whole);
    assert_eq!(entry.checksum, Some(module.checksum().unwrap()));
    assert!(entry.size >= module.size() && entry.downloaded.is_some());
    assert_eq!(hub.cache().find(&handle).unwrap().as_ref(), Some(entry));
    assert_eq!(hub.cache().verify(entry).unwrap().unwrap().state, EntryState::Whole);

    assert_eq!(hub.cache().remove(entry).unwrap(), entry.size);
    assert!(hub.cache().list().unwrap().is_empty());
    assert!(hub.cache().verify(entry).unwrap().is_none());
}

#[test]
fn a_cache_that_cannot_be_written_says_what_to_do() {
    let (folder, server) = (Folder::new(), Server::always(file(archive(0))));
    let blocked = folder.0.join("file");
    fs::write(&blocked, "").unwrap();
    let options = HubOptions { cache_dir: Some(blocked.join("cache")), ..folder.options() };
    let error = Hub::new(options).unwrap().resolve(&handle(&server.url("/1.tar.gz"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("TFHUB_CACHE_DIR"), "{error}");
    assert!(server.requests().is_empty());
}
