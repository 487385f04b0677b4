//! From a download to a module in the cache: an archive unpacked, or a model file copied, into a
//! temporary folder, forced to the disk, then renamed, so that whoever looks sees all of it or nothing.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use mobilenet_formats::archive::{self, Entry, archive_error, unpack};
use mobilenet_formats::{Limits, ModelKind, onnx};

use crate::error::At;
use crate::layout::{Layout, new_id, remove, sync_folder, write_whole};
use crate::local::head;
use crate::lock::{Lock, host};
use crate::manifest::{Manifest, Record, is_plain};
use crate::module::{ModuleDir, ModuleFile};
use crate::store::record;
use crate::{Error, ErrorKind, Handle, Result, complete};

/// How a gzip begins.
const GZIP: &[u8] = &[0x1f, 0x8b];

/// How a zip begins.
const ZIP: &[u8] = b"PK\x03\x04";

/// What is to be installed and where it came from.
pub(crate) struct Package<'a> {
    pub(crate) handle: &'a str,
    /// The URL it came from.
    pub(crate) source: &'a str,
    /// The archive or model file.
    pub(crate) file: &'a Path,
    /// What a model file is called in the cache.
    pub(crate) called: &'a str,
    /// Whether the server said where the file ends.
    pub(crate) ends: bool,
}

/// Puts the files of an archive, or a model file, in the place of what is in the cache.
///
/// # Errors
/// Of kind [`ErrorKind::Io`] for trouble with the disk; any other kind is the download's fault.
pub(crate) fn install(
    layout: &Layout,
    lock: &Lock,
    package: &Package<'_>,
    limits: &Limits,
) -> Result<Manifest> {
    let temporary = layout.temporary(lock.id());
    let installed = whole(&temporary, package, limits)
        .and_then(|manifest| publish(layout, &temporary, &manifest).map(|()| manifest));
    if installed.is_err() {
        let _ = remove(&temporary);
    }
    installed
}

/// Fills the folder `root`; an error if that is not a whole module.
fn whole(root: &Path, package: &Package<'_>, limits: &Limits) -> Result<Manifest> {
    remove(root).at(root, "remove it")?;
    fs::create_dir_all(root).at(root, "make it")?;
    let head = head(package.file)?;
    let records = match archive::detect(&head) {
        true => unpacked(root, package.file, limits)?,
        false => vec![alone(root, package, limits)?],
    };
    // The end of a gzip holds its own length and checksum; nothing else tells of what was cut off.
    if !package.ends && !head.starts_with(GZIP) {
        let message = "may be cut off: the server sent no length, no chunks and no checksum";
        let hint = "download it with another program, and give its path or the URL of a .tar.gz";
        return Err(Error::new(ErrorKind::Server, message).hint(hint));
    }
    Ok(Manifest::new(package.handle, package.source, records))
}

/// The files of an archive.
fn unpacked(root: &Path, archive: &Path, limits: &Limits) -> Result<Vec<Record>> {
    let archive = File::open(archive).at(archive, "open it")?;
    let (mut records, mut folders) = (Vec::new(), BTreeSet::from([root.to_owned()]));
    unpack(archive, limits, |entry| place(root, entry, &mut records, &mut folders))?;
    let file = |file: &Record| ModuleFile { path: file.path.clone(), size: file.size };
    let files = records.iter().map(file).collect();
    let module = ModuleDir::folder(Handle::from_path(root), root.to_owned(), files);
    complete::check_cached(&module, "the archive does not hold a whole module", None, limits)?;
    folders.iter().for_each(|folder| sync_folder(folder));
    Ok(records)
}

/// A file that is a model without any other.
fn alone(root: &Path, package: &Package<'_>, limits: &Limits) -> Result<Record> {
    let file = File::open(package.file).at(package.file, "open it")?;
    let mut bytes = Vec::new();
    let most = limits.file_bytes;
    file.take(most.saturating_add(1)).read_to_end(&mut bytes).at(package.file, "read it")?;
    if bytes.len() as u64 > most {
        let message = format!("more than the {most} bytes that a file of a model may have");
        return Err(Error::new(ErrorKind::Limit, message));
    }
    refuse_part(&bytes, package.called, limits)?;
    write_file(&root.join(plain(package.called)?), &mut bytes.as_slice())?;
    sync_folder(root);
    record(root, package.called.to_owned())
}

/// Refuses what is no model, and what is one only with files beside it, which no URL brings along.
fn refuse_part(bytes: &[u8], name: &str, limits: &Limits) -> Result<()> {
    let part = match ModelKind::of(bytes) {
        None if bytes.is_empty() => return Err(Error::new(ErrorKind::Archive, "an empty file")),
        // Those of Keras and NumPy have a kind.
        None if bytes.starts_with(ZIP) => {
            let message = "a zip archive that is no model by itself";
            let hint = "download and unpack it, and give the path of the model in it";
            return Err(Error::new(ErrorKind::Archive, message).hint(hint));
        }
        None => {
            let text: String = String::from_utf8_lossy(bytes).chars().take(40).collect();
            let message = format!("neither an archive nor a model file: starts with {text:?}");
            return Err(Error::new(ErrorKind::Archive, message));
        }
        Some(ModelKind::SavedModel) => "the graph of a SavedModel without its variables",
        Some(ModelKind::TensorFlowJs) => "a TensorFlow.js model without its weights",
        Some(ModelKind::Checkpoint) if name.ends_with(".index") => {
            "the index of a checkpoint without its values"
        }
        Some(ModelKind::Onnx) => return refuse_onnx_part(bytes, limits),
        Some(_) => return Ok(()),
    };
    let message = format!("{part}, which are files beside it");
    Err(Error::new(ErrorKind::Incomplete, message).hint("give the URL of an archive of its folder"))
}

/// Refuses an ONNX model that has values in files of their own. What is wrong with one that cannot be
/// read, its reader says.
fn refuse_onnx_part(bytes: &[u8], limits: &Limits) -> Result<()> {
    let Ok(model) = onnx::read(bytes, limits) else { return Ok(()) };
    let beside = model.external_files();
    let Some(first) = beside.first() else { return Ok(()) };
    let more = match beside.len() {
        1 => String::new(),
        files => format!(" and {} more", files - 1),
    };
    let name: String = first.chars().take(80).collect();
    let message = format!(
        "an ONNX model without its weights, which are in `{}`{more} beside it",
        name.escape_debug()
    );
    let hint = "download all of it into one folder and give the model's path, or give the URL of an \
                archive of its folder";
    Err(Error::new(ErrorKind::Incomplete, message).hint(hint))
}

/// Writes one entry of an archive through to the disk, and notes it and its folder.
fn place(
    root: &Path,
    entry: Entry<'_>,
    records: &mut Vec<Record>,
    folders: &mut BTreeSet<PathBuf>,
) -> Result<()> {
    let (path, content) = match entry {
        Entry::Folder { path } => (path, None),
        Entry::File { path, content, .. } => (path, Some(content)),
    };
    let full = root.join(plain(path)?);
    let folder = if content.is_some() { full.parent().unwrap_or(root) } else { &full };
    fs::create_dir_all(folder).at(folder, "make it")?;
    folders.insert(folder.to_owned());
    if let Some(content) = content {
        write_file(&full, content)?;
        records.push(record(root, path.to_owned())?);
    }
    Ok(())
}

fn write_file(path: &Path, content: &mut dyn Read) -> Result<()> {
    let mut file = File::create_new(path).at(path, "make it")?;
    copy(content, &mut file, path)?;
    file.sync_all().at(path, "write it")
}

/// As `io::copy`, but tells a bad archive from a bad disk.
fn copy(content: &mut dyn Read, file: &mut File, path: &Path) -> Result<()> {
    let mut block = vec![0; 64 << 10];
    loop {
        let read = content.read(&mut block).map_err(archive_error)?;
        match block.get(..read) {
            None | Some([]) => return Ok(()),
            Some(bytes) => io::Write::write_all(file, bytes).at(path, "write it")?,
        }
    }
}

/// The reader of archives has looked already; a path out of the folder must not depend on that.
fn plain(path: &str) -> Result<&str> {
    if is_plain(path) {
        return Ok(path);
    }
    let message = format!("the archive has a file named `{}`", path.escape_debug());
    Err(Error::new(ErrorKind::Archive, message))
}

/// The manifest first: should we die now, it does not fit what is there, which will be replaced.
fn publish(layout: &Layout, temporary: &Path, manifest: &Manifest) -> Result<()> {
    let (folder, noted) = (layout.folder(), layout.manifest());
    write_whole(layout, &noted, &manifest.to_text()).at(&noted, "write it")?;
    let old = layout.temporary(&new_id());
    if fs::symlink_metadata(&folder).is_ok() {
        fs::rename(&folder, &old).at(&folder, "move it away")?;
    }
    fs::rename(temporary, &folder).at(&folder, "move the module there")?;
    describe(layout, &manifest.handle)?;
    sync_folder(layout.cache());
    let _ = remove(&old);
    Ok(())
}

/// Writes TensorFlow Hub's note for people.
pub(crate) fn describe(layout: &Layout, handle: &str) -> Result<()> {
    let path = layout.descriptor();
    write_whole(layout, &path, &description(handle)).at(&path, "write it")
}

fn description(handle: &str) -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let (time, host, pid) = (date_and_time(seconds), host(), std::process::id());
    format!("Module: {handle}\nDownload Time: {time}\nDownloader Hostname: {host} (PID:{pid})")
}

/// Seconds since 1970 as `2024-02-29 12:00:00+00:00`.
fn date_and_time(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}+00:00")
}

/// Year, month and day of a number of days since 1970, in years that start in March, so that the
/// odd day comes last (a cycle of 400 years has 146,097 days).
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (cycle, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (cycle * 400 + year + next, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00+00:00"),
            (951_782_400, "2000-02-29 00:00:00+00:00"),
            (1_709_251_199, "2024-02-29 23:59:59+00:00"),
            (4_102_444_800, "2100-01-01 00:00:00+00:00"),
        ] {
            assert_eq!(date_and_time(seconds), text);
        }
    }

    #[test]
    fn no_file_is_written_outside() {
        for path in ["../a", "/a", "a/../../b", "a\\b", "C:a"] {
            assert_eq!(plain(path).unwrap_err().kind(), ErrorKind::Archive, "{path}");
        }
    }
}
