//! Many threads and processes after one module, and processes that are killed on the way.
//!
//! The other processes are this test's own binary, started again with [`CHILD`] set.
#![allow(clippy::panic, clippy::print_stdout, reason = "tests")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::env;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::{self, sleep};
use std::time::Duration;

use common::{Folder, Server, archive, assert_whole, bytes, file, module, slow};
use mobilenet_formats::archive::{Compression, write};
use mobilenet_hub::{EntryState, Handle, Hub, HubOptions, Verify};

const CHILD: &str = "MOBILENET_HUB_TEST_CHILD";
const PADDING: usize = 300_000;

/// Not a test: what the other processes do.
#[test]
fn child() {
    let Ok(arguments) = env::var(CHILD) else { return };
    let (cache, url) = arguments.split_once('|').unwrap();
    let options = HubOptions { cache_dir: Some(cache.into()), ..Default::default() };
    let module = Hub::new(options).unwrap().resolve(&Handle::parse(url).unwrap()).unwrap();
    assert!(module.size() > 0);
}

fn start(cache: &Path, url: &str) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "child"])
        .env(CHILD, format!("{}|{url}", cache.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn whole(folder: &Folder, url: &str, padding: usize) {
    let options = HubOptions { verify: Verify::All, ..folder.options() };
    let handle = Handle::parse(url).unwrap();
    assert_whole(&Hub::new(options).unwrap().resolve(&handle).unwrap(), padding);
    assert!(folder.leftovers().is_empty(), "{:?}", folder.leftovers());
}

#[test]
fn threads_that_race_share_one_download() {
    let folder = Folder::new();
    let server = Server::always(slow(archive(PADDING), 30_000, Duration::from_millis(10)));
    let handle = Handle::parse(&server.url("/1.tar.gz")).unwrap();
    thread::scope(|scope| {
        for _ in 0..8 {
            // As strangers would: each with a hub of its own.
            scope.spawn(|| assert_whole(&folder.hub().resolve(&handle).unwrap(), PADDING));
        }
    });
    assert_eq!(server.requests().len(), 1);
    assert!(folder.leftovers().is_empty());
}

#[test]
fn processes_that_race_share_one_download() {
    let folder = Folder::new();
    let server = Server::always(slow(archive(PADDING), 30_000, Duration::from_millis(20)));
    let url = server.url("/1.tar.gz");
    let children: Vec<Child> = (0..6).map(|_| start(&folder.0, &url)).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(server.requests().len(), 1);
    whole(&folder, &url, PADDING);
}

#[test]
fn a_download_that_was_killed_goes_on() {
    let folder = Folder::new();
    let server = Server::start(vec![
        slow(archive(PADDING), 10_000, Duration::from_millis(50)),
        file(archive(PADDING)),
    ]);
    let url = server.url("/1.tar.gz");
    let mut child = start(&folder.0, &url);
    let partial = || folder.hub().cache().list().unwrap().first().map_or(0, |entry| entry.size);
    while partial() < 50_000 {
        assert!(child.try_wait().unwrap().is_none(), "the child ended early");
        sleep(Duration::from_millis(5));
    }
    let state = folder.hub().cache().list().unwrap()[0].state.clone();
    assert_eq!(state, EntryState::Downloading);
    child.kill().unwrap();
    child.wait().unwrap();
    let state = folder.hub().cache().list().unwrap()[0].state.clone();
    assert_eq!(state, EntryState::Partial);
    whole(&folder, &url, PADDING);
    let resumed = common::range(&server.requests()[1]).unwrap();
    assert!(resumed >= 40_000, "resumed from {resumed}");
}

#[test]
fn a_process_killed_at_any_moment_leaves_nothing_half_made() {
    // Many files, so that unpacking takes as long as downloading.
    let mut files = module(0);
    for k in 0..30 {
        files.insert(format!("assets/{k}.txt"), vec![k; 3_000]);
    }
    let packed = write(&files, Compression::Gzip).unwrap();
    let mut pause = 7_u64;
    for round in 0..16 {
        let folder = Folder::new();
        let server = Server::always(file(packed.clone()));
        let url = server.url("/1.tar.gz");
        let mut child = start(&folder.0, &url);
        // A fixed sequence over 0 to 250 ms.
        pause = (pause * 37 + 11) % 251;
        sleep(Duration::from_millis(pause));
        child.kill().unwrap();
        child.wait().unwrap();

        let handle = Handle::parse(&url).unwrap();
        let options = HubOptions { verify: Verify::All, ..folder.options() };
        let offline = HubOptions { offline: true, ..options.clone() };
        if let Ok(module) = Hub::new(offline).unwrap().resolve(&handle) {
            assert_eq!(module.files().len(), files.iter().count(), "round {round}");
        }
        let module = Hub::new(options).unwrap().resolve(&handle).unwrap();
        assert_eq!(module.files().len(), files.iter().count(), "round {round}");
        assert!(folder.leftovers().is_empty(), "round {round}: {:?}", folder.leftovers());
    }
}

/// The shell's limit on the size of a file is a disk that is full.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_says_so_and_the_next_process_recovers() {
    let folder = Folder::new();
    let server = Server::always(file(archive(PADDING)));
    let url = server.url("/1.tar.gz");
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" --exact child --nocapture"])
        .arg(env::current_exe().unwrap())
        .env(CHILD, format!("{}|{url}", folder.0.display()))
        .output()
        .unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("cannot write it") && text.contains("there is no room"), "{text}");
    whole(&folder, &url, PADDING);
}

#[test]
fn a_process_that_fails_does_not_hold_up_the_next() {
    let folder = Folder::new();
    let server = Server::start(vec![bytes(b"no http".to_vec()), file(archive(PADDING))]);
    let url = server.url("/1.tar.gz");
    let handle = Handle::parse(&url).unwrap();
    let hub = Hub::new(HubOptions { retries: 0, ..folder.options() }).unwrap();
    assert!(hub.resolve(&handle).is_err());
    whole(&folder, &url, PADDING);
}
