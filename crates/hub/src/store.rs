//! Opening a module of the cache: is it there, is it whole, is it what was downloaded?
//!
//! Our manifest tells, file by file: size and time as noted, or else the checksum. A module that
//! TensorFlow Hub downloaded has no manifest; it gets one if it is whole. Nothing is downloaded
//! here, and nothing but manifests is written.

use std::fs::{self, Metadata};
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use mobilenet_formats::tensorflow::SavedModel;
use mobilenet_formats::{self as formats, Limits};

use crate::layout::{Layout, write_whole};
use crate::local::{DEPTH, list};
use crate::manifest::{Manifest, Record, is_plain};
use crate::module::{Checksum, ModuleDir, ModuleFile};
use crate::options::Verify;
use crate::{Error, ErrorKind, Handle, Result, complete};

/// What there is of a module in the cache.
#[derive(Debug)]
pub(crate) enum State {
    /// Nothing, or an empty folder.
    Absent,
    /// Files are missing or are not those that were downloaded.
    Damaged(Error),
    /// All files, and what is known about them.
    Whole(Manifest),
}

impl State {
    /// The whole module, as a resolver gives it.
    pub(crate) fn module(manifest: &Manifest, layout: &Layout, handle: &Handle) -> ModuleDir {
        let file = |file: &Record| ModuleFile { path: file.path.clone(), size: file.size };
        let files = manifest.files.iter().map(file).collect();
        ModuleDir::folder(handle.clone(), layout.folder(), files).with_checksum(manifest.checksum)
    }
}

/// Looks at the module at `layout`.
///
/// `handle` is noted in the manifest of a module that has none.
pub(crate) fn open(
    layout: &Layout,
    handle: &str,
    verify: Verify,
    limits: &Limits,
) -> Result<State> {
    match fs::symlink_metadata(layout.folder()) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Ok(State::Damaged(damage(layout, "a file stands in for the folder"))),
        Err(_) => return Ok(State::Absent),
    }
    let noted = fs::read_to_string(layout.manifest()).ok();
    match noted.and_then(|text| Manifest::parse(&text)) {
        Some(manifest) => compare(layout, manifest, verify),
        None => adopt(layout, handle, limits),
    }
}

/// Holds the files against the manifest.
fn compare(layout: &Layout, mut manifest: Manifest, verify: Verify) -> Result<State> {
    let folder = layout.folder();
    let mut touched = false;
    for file in &mut manifest.files {
        let path = folder.join(&file.path);
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => metadata,
            _ => return Ok(State::Damaged(damage(layout, &format!("{} is missing", file.path)))),
        };
        let same = metadata.len() == file.size && modified(&metadata) == file.modified;
        if same && verify == Verify::Changed {
            continue;
        }
        if metadata.len() != file.size || Checksum::of_file(&path)? != file.checksum {
            return Ok(State::Damaged(changed(layout, file)));
        }
        touched |= !same;
        file.modified = modified(&metadata);
    }
    if touched {
        note(layout, &manifest);
    }
    Ok(State::Whole(manifest))
}

/// Makes a manifest for a whole module without one.
fn adopt(layout: &Layout, handle: &str, limits: &Limits) -> Result<State> {
    let folder = layout.folder();
    let files = list(&folder, DEPTH, |path| fs::symlink_metadata(path), limits)?;
    if files.is_empty() {
        return Ok(State::Absent);
    }
    let module = ModuleDir::folder(Handle::from_path(&folder), folder.clone(), files.clone());
    let message = format!("{} is damaged", folder.display());
    if let Err(error) = complete::check_cached(&module, &message, Some(&folder), limits) {
        return Ok(State::Damaged(error));
    }
    if let Some(fault) = fault(module, &files, limits) {
        return Ok(State::Damaged(damage(layout, &fault)));
    }
    let mut records = Vec::new();
    for file in files {
        records.push(record(&folder, file.path)?);
    }
    let manifest = Manifest::new(handle, "", records);
    note(layout, &manifest);
    Ok(State::Whole(manifest))
}

/// What is wrong inside the files of a module that nobody has noted checksums of: the graph cannot
/// be decoded, or a variable is not there or does not match its own checksum.
fn fault(module: ModuleDir, files: &[ModuleFile], limits: &Limits) -> Option<String> {
    if !files.iter().any(|file| file.path == "saved_model.pb") {
        return None;
    }
    let read = || {
        let model = SavedModel::open(Arc::new(module), limits)?;
        model.meta_graphs().iter().try_for_each(|graph| graph.def().map(drop))?;
        model.variable_names().into_iter().try_for_each(|name| model.variable(name).map(drop))
    };
    // What we cannot read is not for that reason broken.
    let broken = |error: &formats::Error| error.kind() != formats::ErrorKind::Unsupported;
    read().err().filter(broken).map(|error| error.to_string())
}

/// What a manifest notes about a file that is on the disk.
pub(crate) fn record(folder: &Path, path: String) -> Result<Record> {
    let on_disk = folder.join(&path);
    if !is_plain(&path) {
        let message = format!("{}: not a name for a file of a module", on_disk.display());
        return Err(Error::new(ErrorKind::Archive, message));
    }
    let checksum = Checksum::of_file(&on_disk)?;
    let metadata = fs::symlink_metadata(&on_disk)
        .map_err(|error| crate::error::at(&on_disk, "look at it", error))?;
    Ok(Record { path, size: metadata.len(), modified: modified(&metadata), checksum })
}

/// Writes the manifest if the cache can be written; one that cannot is as good without.
fn note(layout: &Layout, manifest: &Manifest) {
    let _ = write_whole(layout, &layout.manifest(), &manifest.to_text());
}

fn modified(metadata: &Metadata) -> u64 {
    let time = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    time.and_then(|time| u64::try_from(time.as_nanos()).ok()).unwrap_or(0)
}

fn damage(layout: &Layout, what: &str) -> Error {
    let message = format!("{} is damaged: {what}", layout.folder().display());
    Error::new(ErrorKind::Incomplete, message)
}

fn changed(layout: &Layout, file: &Record) -> Error {
    let path = layout.folder().join(&file.path);
    let message = format!("{} is not the file that was downloaded", path.display());
    Error::new(ErrorKind::Checksum, message)
}
