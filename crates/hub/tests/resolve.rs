//! Handles to modules, the usual way: folders, archives, URLs, the cache, offline.
#![allow(clippy::panic, clippy::print_stdout, reason = "tests")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::sync::{Arc, Mutex};

use common::{Folder, Server, archive, assert_whole, file, module, redirect, status};
use mobilenet_formats::archive::{Compression, write};
use mobilenet_formats::onnx::{GraphProto, ModelProto, StringStringEntryProto, TensorProto};
use mobilenet_formats::{FileSource, Limits, MemoryFiles, onnx};
use mobilenet_hub::{
    Endpoints, EntryState, Error, ErrorKind, Handle, Hub, HubOptions, Progress, Verify,
};

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
    // What the file names is found, inside its folder.
    fs::create_dir_all(folder.0.join("parts")).unwrap();
    fs::write(folder.0.join("parts/weights.bin"), "0123456789").unwrap();
    let beside = onnx.with_neighbours();
    assert!(!onnx.uses_others());
    assert_eq!(beside.paths(), onnx.paths());
    assert_eq!(beside.read("notes.txt").unwrap().unwrap(), &b"notes.txt"[..]);
    assert_eq!(beside.read_range("parts/weights.bin", 3..5).unwrap().unwrap(), &b"34"[..]);
    assert_eq!(beside.len("parts/weights.bin").unwrap(), Some(10));
    assert!(onnx.uses_others());
    let up = format!("../{}/notes.txt", folder.0.file_name().unwrap().to_str().unwrap());
    let absolute = folder.0.join("notes.txt");
    for path in [up.as_str(), absolute.to_str().unwrap(), "./../notes.txt", "parts", "none"] {
        assert!(beside.read(path).unwrap().is_none(), "{path}");
        assert_eq!(beside.len(path).unwrap(), None, "{path}");
    }
    let whole = folder.hub().resolve(&Handle::from_path(&folder.0)).unwrap().with_neighbours();
    assert!(whole.read("parts/none").unwrap().is_none());
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

/// Files that are models by themselves, as far as their beginnings and ends tell.
const MODELS: [(&str, &[u8]); 4] = [
    ("m.onnx", b"\x08\x07\x12\x07pytorch\x3a\x02\x12\x00"),
    ("m.tflite", b"\x1c\0\0\0TFL3 and more"),
    ("m.h5", b"\x89HDF\r\n\x1a\n and more"),
    ("frozen.pb", b"\n<\n\x05input\x12\x0bPlaceholder*&aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
];

#[test]
fn a_url_of_a_model_file_is_downloaded_once_and_then_found_in_the_cache() {
    for (name, content) in MODELS {
        let (folder, server) = (Folder::new(), Server::always(file(content.to_vec())));
        let handle = handle(&server.url(&format!("/models/{name}?signature=x")));
        let first = folder.hub().resolve(&handle).unwrap();
        let ending = name.rsplit('.').next().unwrap();
        let called = format!("model.{ending}");
        assert_eq!(first.paths(), [called.as_str()]);
        assert_eq!(first.read(&called).unwrap().unwrap(), content);
        assert_eq!(first.path(), Some(folder.0.join(handle.cache_key()).as_path()));
        // Signed URLs bear no other query.
        assert_eq!(server.requests()[0].target, format!("/models/{name}?signature=x"));

        let offline = HubOptions { offline: true, verify: Verify::All, ..folder.options() };
        let again = Hub::new(offline).unwrap().resolve(&handle).unwrap();
        assert_eq!(again.checksum().unwrap(), first.checksum().unwrap());
        assert_eq!((server.requests().len(), folder.leftovers().len()), (1, 0));
        let entry = folder.hub().cache().find(&handle).unwrap().unwrap();
        assert_eq!(entry.state, EntryState::Whole);

        // Without its manifest it is judged anew.
        fs::remove_file(folder.0.join(format!("{}.manifest.txt", handle.cache_key()))).unwrap();
        let offline = HubOptions { offline: true, ..folder.options() };
        assert!(Hub::new(offline).unwrap().resolve(&handle).is_ok(), "{name}");

        // What was changed is fetched again.
        fs::write(first.path().unwrap().join(&called), "x").unwrap();
        let repaired = folder.hub().resolve(&handle).unwrap();
        assert_eq!(repaired.read(&called).unwrap().unwrap(), content);
        assert_eq!(server.requests().len(), 2);
    }
    let (folder, server) = (Folder::new(), Server::always(file(MODELS[0].1.to_vec())));
    let found = folder.hub().resolve(&handle(&server.url("/download?id=7"))).unwrap();
    assert_eq!(found.paths(), ["model"]);
}

#[test]
fn an_archive_of_another_format_is_the_same_by_url_and_by_path() {
    let mut files = MemoryFiles::default();
    files.insert("m.onnx", MODELS[0].1);
    files.insert("weights.bin", &b"0123"[..]);
    let packed = write(&files, Compression::Gzip).unwrap();
    let (folder, server) = (Folder::new(), Server::always(file(packed.clone())));
    fs::write(folder.0.join("onnx.tar.gz"), packed).unwrap();
    let local = Handle::from_path(folder.0.join("onnx.tar.gz"));
    let hub = folder.hub();
    let [local, fetched] = [local, handle(&server.url("/onnx.tar.gz"))]
        .map(|handle| hub.resolve(&handle).unwrap().checksum().unwrap());
    assert_eq!(local, fetched);
}

#[test]
fn an_archive_without_a_model_is_not_installed() {
    for (path, content) in [("README.md", &b"hello"[..]), ("below/m.onnx", MODELS[0].1)] {
        let mut files = MemoryFiles::default();
        files.insert(path, content);
        let packed = write(&files, Compression::Gzip).unwrap();
        let error = refused("/m.tar.gz", &packed, |options| options);
        assert_eq!(error.kind(), ErrorKind::Incomplete, "{error}");
        let said = format!("no model at its root; there is `{path}`");
        assert!(error.to_string().contains(&said), "{error}");
    }
}

/// By URL; nothing is left of it.
fn refused(name: &str, content: &[u8], options: impl Fn(HubOptions) -> HubOptions) -> Error {
    let (folder, server) = (Folder::new(), Server::always(file(content.to_vec())));
    let hub = Hub::new(options(folder.options())).unwrap();
    let error = hub.resolve(&handle(&server.url(name))).unwrap_err();
    assert_eq!((folder.leftovers().len(), server.requests().len()), (0, 1), "{error}");
    assert!(hub.cache().list().unwrap().is_empty(), "{error}");
    error
}

#[test]
fn part_of_a_model_by_url_says_what_to_give() {
    let shards = br#"{"modelTopology": {}, "weightsManifest": [{"paths": ["a.bin"]}]}"#;
    let graph = b"\x08\x01\x12\x04\x0a\x02\x0a\x00";
    for (name, content) in [("/saved_model.pb", &graph[..]), ("/model.json", &shards[..])] {
        let error = refused(name, content, |options| options);
        assert_eq!(error.kind(), ErrorKind::Incomplete, "{error}");
        assert!(error.to_string().contains("give the URL of an archive"), "{error}");
    }
    let mut files = module(0);
    files.remove("variables/variables.index");
    let archive = |files| write(&files, Compression::Gzip).unwrap();
    let error = refused("/m.tar.gz", &archive(files), |options| options);
    assert_eq!(error.kind(), ErrorKind::Incomplete);
    assert!(error.to_string().contains("variables.index is missing"), "{error}");
    let mut files = module(0);
    files.remove("saved_model.pb");
    let error = refused("/m.tar.gz", &archive(files), |options| options);
    assert!(error.to_string().contains("no saved_model.pb"), "{error}");
    let error = refused("/m.onnx", b"not found, sorry", |options| options);
    assert_eq!(error.kind(), ErrorKind::Archive);
    assert!(error.to_string().contains("neither an archive nor a model file"), "{error}");
    let error = refused("/m.zip", b"PK\x03\x04 and so on", |options| options);
    assert_eq!(error.kind(), ErrorKind::Archive);
    assert!(error.to_string().contains("download and unpack it"), "{error}");
    // A message that is cut off.
    let cut = &MODELS[0].1[..MODELS[0].1.len() - 1];
    assert_eq!(refused("/m.onnx", cut, |options| options).kind(), ErrorKind::Archive);
    let small =
        |options| HubOptions { limits: Limits { file_bytes: 10, ..Default::default() }, ..options };
    assert_eq!(refused("/m.onnx", MODELS[0].1, small).kind(), ErrorKind::Limit);
}

/// The file that holds its weights is named, and what to do; nothing is cached that cannot be loaded.
#[test]
fn an_onnx_model_by_url_says_where_its_weights_are() {
    let entry =
        |location: &str| StringStringEntryProto { key: "location".into(), value: location.into() };
    let tensor = |location: &str| TensorProto {
        data_location: 1,
        external_data: vec![entry(location)],
        ..TensorProto::default()
    };
    let model = |initializer: Vec<TensorProto>| {
        let graph = GraphProto { initializer, ..GraphProto::default() };
        onnx::write(&ModelProto { ir_version: 8, graph: Some(graph), ..ModelProto::default() })
    };
    let long = format!("{}\u{1b}[31m", "x".repeat(79));
    for (locations, said) in [
        (&["m.onnx.data"; 2][..], "are in `m.onnx.data` beside it".to_owned()),
        (&["b", "a"], "are in `a` and 1 more beside it".to_owned()),
        (&[&long], format!("are in `{}\\u{{1b}}` beside it", "x".repeat(79))),
    ] {
        let content = model(locations.iter().map(|location| tensor(location)).collect());
        let error = refused("/m.onnx", &content, |options| options);
        assert_eq!(error.kind(), ErrorKind::Incomplete, "{error}");
        for said in [&*said, "into one folder", "the URL of an archive"] {
            assert!(error.to_string().contains(said), "{error}");
        }
    }
    let (folder, server) = (Folder::new(), Server::always(file(model(Vec::new()))));
    folder.hub().resolve(&handle(&server.url("/m.onnx"))).unwrap();
}

#[test]
fn a_graph_of_another_name_still_wants_its_variables() {
    let folder = Folder::new();
    let put = |path: &str, bytes: &[u8]| {
        let path = folder.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    put("model.pb", b"\x08\x01\x12\x04\x0a\x02\x0a\x00");
    put("variables/variables.index", b"the index");
    let handles = [Handle::from_path(&folder.0), Handle::from_path(folder.0.join("model.pb"))];
    for handle in &handles {
        let error = folder.hub().resolve(handle).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Incomplete);
        assert!(error.to_string().contains("00000-of-00001 is missing"), "{error}");
    }
    put("variables/variables.data-00000-of-00001", b"");
    for handle in &handles {
        assert_eq!(folder.hub().resolve(handle).unwrap().paths().len(), 3);
    }
    // What else lies around the file is none of it.
    put("photos/1.jpg", b"");
    assert_eq!(folder.hub().resolve(&handles[1]).unwrap().paths().len(), 3);
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
            "file URL",
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
    let inner = folder.0.join("mobilenet");
    assert!(error.to_string().contains(&format!("(give {})", inner.display())), "{error}");
    assert!(folder.hub().resolve(&Handle::from_path(inner)).is_ok());
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
