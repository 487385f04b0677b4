//! What happens to a cache behind our back: cleaners, other programs, damage, dead processes.
#![allow(clippy::panic, clippy::print_stdout, reason = "tests")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use common::{Folder, Server, archive, assert_whole, file, module};
use mobilenet_formats::tensorflow::{BundleWriter, messages};
use mobilenet_formats::{MemoryFiles, Tensor};
use mobilenet_hub::{EntryState, ErrorKind, Handle, Hub, HubOptions, Progress, Verify};

const PADDING: usize = 10_000;
const DATA: &str = "variables/variables.data-00000-of-00001";

/// A module in the cache, and the server it came from.
struct Cached {
    folder: Folder,
    server: Server,
    handle: Handle,
}

impl Cached {
    fn new() -> Self {
        let cached = Self::empty();
        cached.folder.hub().resolve(&cached.handle).unwrap();
        cached
    }

    fn empty() -> Self {
        let server = Server::always(file(archive(PADDING)));
        let handle = Handle::parse(&server.url("/mobilenet/1.tar.gz")).unwrap();
        Cached { folder: Folder::new(), server, handle }
    }

    fn root(&self) -> PathBuf {
        self.folder.0.join(self.handle.cache_key())
    }

    fn beside(&self, extension: &str) -> PathBuf {
        self.folder.0.join(format!("{}.{extension}", self.handle.cache_key()))
    }

    fn offline(&self, verify: Verify) -> Result<mobilenet_hub::ModuleDir, mobilenet_hub::Error> {
        let options = HubOptions { offline: true, verify, ..self.folder.options() };
        Hub::new(options).unwrap().resolve(&self.handle)
    }

    /// Resolves; asserts that the module is whole after `downloads` in all.
    fn is_whole_after(&self, downloads: usize) {
        assert_whole(&self.folder.hub().resolve(&self.handle).unwrap(), PADDING);
        assert_eq!(self.server.requests().len(), downloads);
        assert!(self.folder.leftovers().is_empty(), "{:?}", self.folder.leftovers());
    }
}

fn modified(path: &Path) -> SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

fn set_modified(path: &Path, time: SystemTime) {
    File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn a_cleaner_that_removed_files_is_noticed_and_repaired() {
    for path in ["saved_model.pb", "variables/variables.index", DATA, "tfhub_module.pb"] {
        let cached = Cached::new();
        fs::remove_file(cached.root().join(path)).unwrap();
        let error = cached.offline(Verify::Changed).unwrap_err();
        assert!(error.to_string().contains(&format!("{path} is missing")), "{error}");
        cached.is_whole_after(2);
        cached.is_whole_after(2);
    }
}

#[test]
fn a_cleaner_that_left_only_folders_is_repaired() {
    let cached = Cached::new();
    for path in module(PADDING).iter().map(|(path, _)| path) {
        fs::remove_file(cached.root().join(path)).unwrap();
    }
    fs::remove_file(cached.beside("manifest.txt")).unwrap();
    cached.is_whole_after(2);
    fs::remove_dir_all(cached.root()).unwrap();
    let entry = cached.folder.hub().cache().find(&cached.handle).unwrap().unwrap();
    assert!(matches!(entry.state, EntryState::Damaged(_)), "{entry:?}");
    cached.is_whole_after(3);
}

#[test]
fn a_changed_file_is_noticed_by_its_size_its_time_or_its_bytes() {
    let cached = Cached::new();
    let path = cached.root().join(DATA);
    fs::write(&path, b"shorter").unwrap();
    assert_eq!(cached.folder.hub().cache().list().unwrap()[0].checksum, None);
    cached.is_whole_after(2);

    let mut bytes = fs::read(&path).unwrap();
    bytes[17] ^= 1;
    fs::write(&path, &bytes).unwrap();
    cached.is_whole_after(3);

    // With the old time and size put back, only reading the bytes can tell.
    let time = modified(&path);
    fs::write(&path, &bytes).unwrap();
    set_modified(&path, time);
    cached.offline(Verify::Changed).unwrap();
    let text = cached.offline(Verify::All).unwrap_err().to_string();
    assert!(text.contains("not the file that was downloaded"), "{text}");
    let cache = cached.folder.hub().cache();
    let entry = cache.find(&cached.handle).unwrap().unwrap();
    assert_eq!(entry.state, EntryState::Whole);
    let entry = cache.verify(&entry).unwrap().unwrap();
    assert!(matches!(entry.state, EntryState::Damaged(_)), "{entry:?}");
}

#[test]
fn a_touched_or_copied_cache_is_hashed_once_and_kept() {
    let cached = Cached::new();
    let path = cached.root().join(DATA);
    set_modified(&path, SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000));
    cached.is_whole_after(1);
    let noted = fs::read_to_string(cached.beside("manifest.txt")).unwrap();
    assert!(noted.contains(" 1000000000000000000 "), "{noted}");
}

#[test]
fn a_repair_is_reported() {
    let cached = Cached::new();
    fs::remove_file(cached.root().join("saved_model.pb")).unwrap();
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&reasons);
    let progress: mobilenet_hub::ProgressCallback = Arc::new(move |step: &Progress<'_>| {
        if let Progress::Repairing { reason, .. } = step {
            seen.lock().unwrap().push((*reason).to_owned());
        }
    });
    let options = HubOptions { progress: Some(progress), ..cached.folder.options() };
    Hub::new(options).unwrap().resolve(&cached.handle).unwrap();
    let reasons = reasons.lock().unwrap();
    assert!(matches!(&reasons[..], [reason] if reason.contains("saved_model.pb is missing")));
}

#[test]
fn a_manifest_that_is_cut_off_or_points_elsewhere_is_not_believed() {
    let cached = Cached::new();
    let path = cached.beside("manifest.txt");
    let text = fs::read_to_string(&path).unwrap();
    for text in
        [&text[..text.len() / 2], &text.replace("saved_model.pb", "../../secret"), "\0\u{1}"]
    {
        fs::write(&path, text).unwrap();
        // Judged as a module without one: this one's graph is no graph.
        assert_eq!(cached.offline(Verify::Changed).unwrap_err().kind(), ErrorKind::Offline);
    }
    cached.is_whole_after(2);
}

#[test]
fn a_link_in_the_cache_is_not_followed() {
    let cached = Cached::new();
    let (secret, path) = (cached.folder.0.join("secret"), cached.root().join("saved_model.pb"));
    fs::write(&secret, "the graph").unwrap();
    fs::remove_file(&path).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(&secret, &path).unwrap();
    assert_eq!(cached.offline(Verify::Changed).unwrap_err().kind(), ErrorKind::Offline);
    cached.is_whole_after(2);
    assert_eq!(fs::read(&secret).unwrap(), b"the graph");
}

/// A module whose graph and variables are real, as TensorFlow Hub unpacks it: without a manifest.
fn real_module() -> MemoryFiles {
    use prost::Message as _;
    let mut writer = BundleWriter::default();
    writer.add("weights", &Tensor::new([3], vec![1.0f32, 2.0, 3.0]).unwrap()).unwrap();
    let mut files = writer.finish("variables/variables").unwrap();
    let model = messages::SavedModel {
        saved_model_schema_version: 1,
        meta_graphs: vec![messages::MetaGraphDef::default().encode_to_vec().into()],
    };
    files.insert("saved_model.pb", model.encode_to_vec());
    files.insert("tfhub_module.pb", [8, 3]);
    files
}

fn write_all(root: &Path, files: &MemoryFiles) {
    for (path, bytes) in files.iter() {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

#[test]
fn a_module_that_tensorflow_hub_downloaded_is_taken_over() {
    let cached = Cached::empty();
    write_all(&cached.root(), &real_module());
    let descriptor = format!("Module: {}\nDownload Time: x\n", cached.handle);
    fs::write(cached.beside("descriptor.txt"), descriptor).unwrap();
    let module = cached.offline(Verify::Changed).unwrap();
    assert_eq!(module.files().len(), 4);
    let noted = fs::read_to_string(cached.beside("manifest.txt")).unwrap();
    assert!(noted.contains(cached.handle.as_str()), "{noted}");
    let entries = cached.folder.hub().cache().list().unwrap();
    assert_eq!(entries[0].handle.as_deref(), Some(cached.handle.as_str()));
    assert!(cached.server.requests().is_empty());
}

#[test]
fn what_a_cleaner_left_of_tensorflow_hubs_module_is_not() {
    let spoil: [fn(&mut MemoryFiles); 5] = [
        |files| drop(files.remove("saved_model.pb")),
        |files| drop(files.remove("variables/variables.index")),
        |files| drop(files.remove(DATA)),
        |files| files.insert(DATA, [0; 11]),
        |files| files.insert("saved_model.pb", [0xff; 9]),
    ];
    for spoil in spoil {
        let (cached, mut files) = (Cached::empty(), real_module());
        spoil(&mut files);
        write_all(&cached.root(), &files);
        assert_eq!(cached.offline(Verify::Changed).unwrap_err().kind(), ErrorKind::Offline);
        assert!(!cached.beside("manifest.txt").exists());
        cached.is_whole_after(1);
    }
}

#[test]
fn locks_and_folders_of_dead_processes_are_cleared_away() {
    let cached = Cached::empty();
    let id = "6d6e0123456789abcdef0123456789ab";
    let half_made = cached.beside(&format!("{id}.tmp"));
    write_all(&half_made, &module(PADDING));
    fs::write(cached.beside("lock"), format!("{}.{}.{id}", host(), std::process::id())).unwrap();
    fs::write(cached.beside("guard"), "").unwrap();
    fs::write(cached.beside("partial"), "never finished, of who knows what").unwrap();
    cached.is_whole_after(1);
}

#[test]
fn a_lock_of_tensorflow_hub_whose_process_is_dead_is_removed() {
    let cached = Cached::empty();
    // No Linux has so large a process number.
    fs::write(cached.beside("lock"), format!("{}.2000000000.{}", host(), "a".repeat(32))).unwrap();
    cached.is_whole_after(1);
}

#[test]
fn a_lock_of_tensorflow_hub_elsewhere_is_respected_until_it_is_stale() {
    let cached = Cached::empty();
    let id = "b".repeat(32);
    let (lock, growing) = (cached.beside("lock"), cached.beside(&format!("{id}.tmp")));
    fs::write(&lock, format!("elsewhere.1.{id}")).unwrap();
    write_all(&growing, &module(0));
    let wait = |lock_wait, stale_lock| {
        let options = HubOptions { lock_wait, stale_lock, ..cached.folder.options() };
        Hub::new(options).unwrap().resolve(&cached.handle)
    };
    let error = wait(Duration::from_millis(100), Duration::from_secs(600)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(error.to_string().contains("elsewhere.1"), "{error}");
    assert!(lock.exists() && growing.exists() && cached.server.requests().is_empty());

    assert_whole(&wait(Duration::from_secs(20), Duration::from_millis(50)).unwrap(), PADDING);
    assert!(!lock.exists() && !growing.exists());
}

#[test]
fn what_tensorflow_hub_finishes_while_we_wait_is_used() {
    let cached = Cached::empty();
    let (lock, root) = (cached.beside("lock"), cached.root());
    fs::write(&lock, format!("elsewhere.1.{}", "c".repeat(32))).unwrap();
    let tensorflow = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(150));
        write_all(&root.with_extension("c.tmp"), &real_module());
        fs::rename(root.with_extension("c.tmp"), &root).unwrap();
        fs::remove_file(lock).unwrap();
    });
    let module = cached.folder.hub().resolve(&cached.handle).unwrap();
    tensorflow.join().unwrap();
    assert_eq!(module.files().len(), 4);
    assert!(cached.server.requests().is_empty());
}

#[test]
fn leftovers_are_removed_on_request_but_not_under_a_live_download() {
    let cached = Cached::new();
    let half_made = cached.beside("6d6e.tmp");
    write_all(&half_made, &module(PADDING));
    let cache = cached.folder.hub().cache();
    assert!(cache.remove_leftovers().unwrap() > PADDING as u64);
    assert!(!half_made.exists());

    write_all(&half_made, &module(PADDING));
    let guard = File::options().append(true).open(cached.beside("guard")).unwrap();
    guard.lock().unwrap();
    assert_eq!(cache.remove_leftovers().unwrap(), 0);
    assert!(half_made.exists());
    let entry = cache.find(&cached.handle).unwrap().unwrap();
    assert_eq!(cache.remove(&entry).unwrap_err().kind(), ErrorKind::Locked);
}

#[cfg(unix)]
fn host() -> String {
    rustix::system::uname().nodename().to_str().unwrap().to_owned()
}

#[cfg(not(unix))]
fn host() -> String {
    std::env::var("COMPUTERNAME").unwrap()
}

#[test]
fn what_a_process_left_that_died_after_its_module_was_in_place_goes() {
    let cached = Cached::new();
    let id = format!("6d6e{:028}", 1);
    let owner = format!("another-machine.1.{id}");
    for (end, text) in [
        ("lock", owner.as_str()),
        ("partial", "all of the archive"),
        ("partial.txt", "where it came from"),
        (&format!("{id}.tmp"), "half of the descriptor"),
    ] {
        fs::write(cached.beside(end), text).unwrap();
    }
    fs::remove_file(cached.beside("descriptor.txt")).unwrap();

    let patient = HubOptions { offline: true, ..cached.folder.options() };
    Hub::new(patient.clone()).unwrap().resolve(&cached.handle).unwrap();
    assert_eq!(cached.folder.leftovers().len(), 4, "its owner may live");

    let options = HubOptions { stale_lock: Duration::ZERO, ..patient };
    Hub::new(options).unwrap().resolve(&cached.handle).unwrap();
    assert!(cached.folder.leftovers().is_empty(), "{:?}", cached.folder.leftovers());
    assert!(cached.beside("descriptor.txt").exists());
    assert_eq!(cached.server.requests().len(), 1);
}
