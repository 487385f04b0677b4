//! [`Cache`]: looking after the modules that were downloaded: list, verify, remove.
//!
//! What the files are called is said in `layout`, whether they are good in `store`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::error::At;
use crate::layout::{Layout, is_key, remove};
use crate::lock::{self, Lock, is_held};
use crate::manifest::Manifest;
use crate::module::Checksum;
use crate::options::{HubOptions, Verify};
use crate::resolve::Hub;
use crate::store::{State, open};
use crate::{Handle, Result};

/// The modules in the cache folder of a [`Hub`].
///
/// ```
/// use mobilenet_hub::{Hub, HubOptions};
///
/// # let dir = std::env::temp_dir().join(format!("mobilenet-doc-cache-{}", std::process::id()));
/// let hub = Hub::new(HubOptions { cache_dir: Some(dir), ..Default::default() })?;
/// for entry in hub.cache().list()? {
///     println!("{:>12}  {}", entry.size, entry.handle.as_deref().unwrap_or(&entry.key));
/// }
/// # Ok::<(), mobilenet_hub::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Cache {
    hub: Hub,
}

/// What the cache has of one module.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheEntry {
    /// The SHA-1 of the handle, which names the folder.
    pub key: String,
    /// The handle, where a manifest or TensorFlow Hub's descriptor tells.
    pub handle: Option<String>,
    /// The folder with the module's files.
    pub path: PathBuf,
    /// Bytes of everything that belongs to the module, unfinished downloads included.
    pub size: u64,
    /// When the module was put there.
    pub downloaded: Option<SystemTime>,
    /// The module's checksum, when it is whole.
    pub checksum: Option<Checksum>,
    /// In what state it is.
    pub state: EntryState,
}

/// In what state a module of the cache is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryState {
    /// All files are there and as they were downloaded.
    Whole,
    /// It is being downloaded by a live process.
    Downloading,
    /// There is the beginning of an archive only; the next use of the handle goes on with it.
    Partial,
    /// Files are missing or changed, in words; the next use of the handle downloads it again.
    Damaged(String),
}

impl Hub {
    /// The cache, to look after it.
    pub fn cache(&self) -> Cache {
        Cache { hub: self.clone() }
    }
}

impl Cache {
    /// All modules in the cache, sorted by handle.
    ///
    /// As cheap as opening them: files are hashed only where their size or time has changed.
    ///
    /// # Errors
    /// The cache folder cannot be read; one that does not exist is empty.
    pub fn list(&self) -> Result<Vec<CacheEntry>> {
        let mut entries = Vec::new();
        for key in keys(self.hub.cache_dir())? {
            entries.extend(self.entry(&self.layout(&key), Verify::Changed)?);
        }
        entries.sort_by(|a, b| (&a.handle, &a.key).cmp(&(&b.handle, &b.key)));
        Ok(entries)
    }

    /// What there is of `handle`.
    ///
    /// # Errors
    /// Files cannot be read.
    pub fn find(&self, handle: &Handle) -> Result<Option<CacheEntry>> {
        self.entry(&self.hub.layout(handle), Verify::Changed)
    }

    /// The entry anew, after every file was read and hashed; `None` when it has gone.
    ///
    /// # Errors
    /// Files cannot be read.
    pub fn verify(&self, entry: &CacheEntry) -> Result<Option<CacheEntry>> {
        self.entry(&self.layout(&entry.key), Verify::All)
    }

    /// Removes all that is there of a module; gives the bytes that were freed.
    ///
    /// # Errors
    /// [`ErrorKind::Locked`](crate::ErrorKind::Locked) while it is being downloaded; files that
    /// cannot be removed.
    pub fn remove(&self, entry: &CacheEntry) -> Result<u64> {
        let layout = self.layout(&entry.key);
        let name = entry.handle.as_deref().unwrap_or(&entry.key);
        let options = HubOptions { lock_wait: Duration::ZERO, ..self.hub.options().clone() };
        let _lock = Lock::acquire(&layout, name, &options)?;
        let freed = size_of_all(&layout);
        // The folder last but one: without its manifest it would be taken for TensorFlow Hub's.
        let rest = [layout.partial_note(), layout.partial(), layout.descriptor()];
        for path in rest.into_iter().chain([layout.folder(), layout.manifest()]) {
            remove(&path).at(&path, "remove it")?;
        }
        lock::clean(&layout, Duration::ZERO);
        Ok(freed)
    }

    /// Removes what downloads left that died, of all modules but those being downloaded; gives the
    /// bytes that were freed. Unfinished archives stay: the next download goes on with them.
    ///
    /// # Errors
    /// The cache folder cannot be read.
    pub fn remove_leftovers(&self) -> Result<u64> {
        let options = HubOptions { lock_wait: Duration::ZERO, ..self.hub.options().clone() };
        let mut freed = 0;
        for key in keys(self.hub.cache_dir())? {
            let layout = self.layout(&key);
            let left = |layout: &Layout| layout.temporaries().iter().map(|path| size(path)).sum();
            let before: u64 = left(&layout);
            if before > 0
                && let Ok(_lock) = Lock::acquire(&layout, &key, &options)
            {
                lock::clean(&layout, options.stale_lock);
                freed += before - left(&layout).min(before);
            }
        }
        Ok(freed)
    }

    fn layout(&self, key: &str) -> Layout {
        Layout::new(self.hub.cache_dir(), key)
    }

    fn entry(&self, layout: &Layout, verify: Verify) -> Result<Option<CacheEntry>> {
        let handle = handle_of(layout);
        let name = handle.as_deref().unwrap_or_default();
        let opened = open(layout, name, verify, &self.hub.options().limits)?;
        let (state, checksum) = match opened {
            State::Whole(manifest) => (EntryState::Whole, Some(manifest.checksum)),
            _ if is_held(layout) => (EntryState::Downloading, None),
            State::Damaged(error) => (EntryState::Damaged(error.to_string()), None),
            State::Absent if layout.partial().exists() => (EntryState::Partial, None),
            State::Absent if layout.manifest().exists() || layout.descriptor().exists() => {
                (EntryState::Damaged("its files are gone".into()), None)
            }
            State::Absent => return Ok(None),
        };
        let noted = [layout.manifest(), layout.descriptor()];
        let time = |path: &PathBuf| fs::metadata(path).and_then(|it| it.modified()).ok();
        Ok(Some(CacheEntry {
            key: layout.key().to_owned(),
            handle,
            path: layout.folder(),
            size: size_of_all(layout),
            downloaded: noted.iter().rev().find_map(time),
            checksum,
            state,
        }))
    }
}

/// The keys of everything in the cache folder.
fn keys(cache: &Path) -> Result<BTreeSet<String>> {
    if !cache.exists() {
        return Ok(BTreeSet::new());
    }
    let mut keys = BTreeSet::new();
    for entry in fs::read_dir(cache).at(cache, "list it")? {
        let name = entry.at(cache, "list it")?.file_name();
        let key = name.to_str().and_then(|name| name.split('.').next());
        keys.extend(key.filter(|key| is_key(key)).map(str::to_owned));
    }
    Ok(keys)
}

/// The handle of a module, by any of the notes there may be about it.
fn handle_of(layout: &Layout) -> Option<String> {
    let read = |path| fs::read_to_string(path).ok();
    let manifest = || Manifest::parse(&read(layout.manifest())?).map(|manifest| manifest.handle);
    let descriptor = || {
        let text = read(layout.descriptor())?;
        text.lines().find_map(|line| line.strip_prefix("Module: ").map(str::to_owned))
    };
    manifest().filter(|handle| !handle.is_empty()).or_else(descriptor)
}

fn size_of_all(layout: &Layout) -> u64 {
    let files = [layout.manifest(), layout.descriptor(), layout.partial(), layout.partial_note()];
    let all = files.into_iter().chain([layout.folder()]).chain(layout.temporaries());
    all.map(|path| size(&path)).sum()
}

/// Bytes of a file or of all files in a folder; links count nothing.
fn size(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            entries.map(|entry| size(&entry.path())).sum()
        }
        Ok(metadata) if metadata.is_file() => metadata.len(),
        _ => 0,
    }
}
