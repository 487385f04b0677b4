//! Where everything of one module is in the cache folder: TensorFlow Hub's names and ours.
//!
//! | name | whose | what |
//! |---|---|---|
//! | `KEY/` | TensorFlow Hub's | the module's files; KEY is the SHA-1 of the handle |
//! | `KEY.descriptor.txt` | TensorFlow Hub's | handle, time and host, for people |
//! | `KEY.lock` | TensorFlow Hub's | `host.pid.id` of who downloads |
//! | `KEY.ID.tmp/` | TensorFlow Hub's | the files on their way, renamed to `KEY/` when complete |
//! | `KEY.manifest.txt` | ours | size, time and checksum of every file (`manifest`) |
//! | `KEY.guard` | ours | empty; locked by the system for a live process (`lock`) |
//! | `KEY.partial`, `KEY.partial.txt` | ours | an interrupted download and what it is of (`partial`) |

use std::ffi::OsStr;
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};

/// The paths of one module in the cache.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    cache: PathBuf,
    key: String,
}

impl Layout {
    pub(crate) fn new(cache: &Path, key: impl Into<String>) -> Self {
        Layout { cache: cache.to_owned(), key: key.into() }
    }

    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.cache.join(&self.key)
    }

    pub(crate) fn descriptor(&self) -> PathBuf {
        self.beside("descriptor.txt")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.beside("lock")
    }

    pub(crate) fn manifest(&self) -> PathBuf {
        self.beside("manifest.txt")
    }

    pub(crate) fn guard(&self) -> PathBuf {
        self.beside("guard")
    }

    pub(crate) fn partial(&self) -> PathBuf {
        self.beside("partial")
    }

    pub(crate) fn partial_note(&self) -> PathBuf {
        self.beside("partial.txt")
    }

    /// A temporary file or folder, told apart by `id`.
    pub(crate) fn temporary(&self, id: &str) -> PathBuf {
        self.beside(&format!("{id}.tmp"))
    }

    /// All temporary files and folders of this module.
    pub(crate) fn temporaries(&self) -> Vec<PathBuf> {
        let ours = |name: &OsStr| {
            let name = name.to_str()?.strip_prefix(&self.key)?.strip_prefix('.')?;
            name.strip_suffix(".tmp").map(drop)
        };
        let Ok(entries) = fs::read_dir(&self.cache) else { return Vec::new() };
        let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
        names.filter(|name| ours(name).is_some()).map(|name| self.cache.join(name)).collect()
    }

    fn beside(&self, extension: &str) -> PathBuf {
        self.cache.join(format!("{}.{extension}", self.key))
    }
}

/// Whether `name` is the key of a module: a SHA-1 in hexadecimal.
pub(crate) fn is_key(name: &str) -> bool {
    name.len() == 40 && name.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
}

/// Marks the temporaries and locks of this program among those of TensorFlow Hub.
pub(crate) const OUR_IDS: &str = "6d6e";

/// An id that no other process or thread has: 32 hexadecimal digits, as TensorFlow Hub's.
pub(crate) fn new_id() -> String {
    let random = || RandomState::new().build_hasher().finish();
    let id = format!("{OUR_IDS}{:016x}{:016x}", random(), random());
    id.get(..32).unwrap_or(&id).to_owned()
}

/// Removes a file or a folder with all in it; no error if there is none.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Makes the names in `folder` survive a power cut. Not every system can; then nothing is lost
/// that a new download would not bring back.
pub(crate) fn sync_folder(folder: &Path) {
    if let Ok(folder) = fs::File::open(folder) {
        let _ = folder.sync_all();
    }
}

/// Writes `text` to `path` so that it is there whole or not at all.
pub(crate) fn write_whole(layout: &Layout, path: &Path, text: &str) -> io::Result<()> {
    let temporary = layout.temporary(&new_id());
    let written = fs::File::create(&temporary).and_then(|mut file| {
        io::Write::write_all(&mut file, text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_ours_and_differ() {
        let (a, b) = (new_id(), new_id());
        assert!(a.starts_with(OUR_IDS) && a.len() == 32 && a != b);
    }

    #[test]
    fn keys_are_told_from_what_lies_beside() {
        assert!(is_key("b20fac96d6207a1c0d5dfd9798daa75b2e9adb87"));
        for name in ["", "b20f", "B20FAC96D6207A1C0D5DFD9798DAA75B2E9ADB87", "b20fac96.tmp"] {
            assert!(!is_key(name), "{name}");
        }
    }
}
