//! Files that are whole or not there: written beside, brought to disk, then renamed.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::{Error, ErrorKind, Result};

/// Writes `bytes` to `path`: whoever reads it, after a crash too, finds the old content or the
/// new one, never a part.
///
/// # Errors
/// If the disk refuses.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let beside = beside(path, ".part");
    write_durably(&beside, bytes)
        .and_then(|()| fs::rename(&beside, path))
        .and_then(|()| sync_folder(path))
        .map_err(|error| failed("written", path, error))
}

/// As [`write_atomically`]; what was at `path` is kept at `previous`. At every moment one of the
/// two is whole.
///
/// # Errors
/// If the disk refuses.
pub fn write_keeping(path: &Path, previous: &Path, bytes: &[u8]) -> Result<()> {
    let beside = beside(path, ".part");
    let keep = || if path.exists() { fs::rename(path, previous) } else { Ok(()) };
    write_durably(&beside, bytes)
        .and_then(|()| keep())
        .and_then(|()| fs::rename(&beside, path))
        .and_then(|()| sync_folder(path))
        .map_err(|error| failed("written", path, error))
}

/// Makes a folder and those above it.
///
/// # Errors
/// If the disk refuses.
pub fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|error| failed("made", path, error))
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(ending);
    path.with_file_name(name)
}

fn write_durably(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A rename is safe once its folder is on disk; where folders cannot be opened (Windows), the
/// system sees to it.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    match path.parent().map(File::open) {
        Some(Ok(folder)) if cfg!(unix) => folder.sync_all(),
        _ => Ok(()),
    }
}

fn failed(what: &str, path: &Path, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("{} cannot be {what}", path.display())).because(error)
}
