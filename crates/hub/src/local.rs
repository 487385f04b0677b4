//! Modules that are on this machine already: the resolvers for a folder, for an archive file and
//! for a single file of a model.
//!
//! A folder is the user's own: links in it are followed. An archive file is unpacked in memory.
//! What a file means is found out by who reads it; here only archives are told from the rest.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use mobilenet_formats::tensorflow::begins_saved_model;
use mobilenet_formats::{self as formats, Limits};

use crate::error::{At, at};
use crate::module::{ModuleDir, ModuleFile};
use crate::resolve::{Hub, Outcome};
use crate::{Error, ErrorKind, Handle, Result, complete};

/// Folders within folders; a link that leads back up ends here.
pub(crate) const DEPTH: usize = 32;

/// Why a URL is none of the business of the resolvers here.
pub(crate) const NOT_A_PATH: &str = "not a path";
const NOT_LOCAL: Outcome = Outcome::Declined(NOT_A_PATH);
const NOTHING: &str = "no such file or folder";

/// A folder with a model in it.
pub(crate) fn folder(hub: &Hub, handle: &Handle) -> Result<Outcome> {
    let Some(path) = handle.path() else { return Ok(NOT_LOCAL) };
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Ok(Outcome::Declined("not a folder")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Outcome::Declined(NOTHING));
        }
        Err(error) => return Err(at(path, "look at it", error)),
    }
    let limits = &hub.options().limits;
    let stat = |path: &Path| fs::metadata(path);
    let shallow = list(path, 0, stat, limits)?;
    // The folder itself first: a walk over all of a disk that holds no module helps nobody.
    let files = if shallow.iter().any(|file| file.path.starts_with("saved_model.")) {
        list(path, DEPTH, stat, limits)?
    } else {
        list(path, 1, stat, limits)?
    };
    let module = ModuleDir::folder(handle.clone(), path.to_owned(), files);
    let message = format!("{}: not a whole module", path.display());
    complete::check(&module, &message, Some(path)).map(|()| Outcome::Found(module))
}

/// A tar or tar.gz file of such a folder.
pub(crate) fn archive(hub: &Hub, handle: &Handle) -> Result<Outcome> {
    let Some(path) = handle.path() else { return Ok(NOT_LOCAL) };
    if !path.is_file() {
        return Ok(Outcome::Declined(if path.exists() { "not a file" } else { NOTHING }));
    }
    if !formats::archive::detect(&head(path)?) {
        return Ok(Outcome::Declined("neither gzip nor tar"));
    }
    let bytes = read_at_most(path, hub.options().download_bytes)?;
    let files = formats::archive::read(&bytes, &hub.options().limits)
        .map_err(|error| Error::from(error.within(path.display().to_string())))?;
    of_archive(ModuleDir::memory(handle.clone(), files)).map(Outcome::Found)
}

/// The module of an unpacked archive, if it has all its parts.
pub(crate) fn of_archive(module: ModuleDir) -> Result<ModuleDir> {
    let message = format!("{}: not a whole module", module.handle());
    complete::check(&module, &message, None).map(|()| module)
}

/// As many bytes as it takes to know an archive.
const HEAD_BYTES: u64 = 512;

/// The first bytes of a file.
pub(crate) fn head(path: &Path) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    let file = fs::File::open(path).at(path, "open it")?;
    file.take(HEAD_BYTES).read_to_end(&mut head).at(path, "read it")?;
    Ok(head)
}

/// Any other file, with those beside it that belong to it. The prefix of a checkpoint, which
/// names no file itself, means its index.
pub(crate) fn file(hub: &Hub, handle: &Handle) -> Result<Outcome> {
    let Some(path) = handle.path() else { return Ok(NOT_LOCAL) };
    let index = PathBuf::from(format!("{}.index", path.display()));
    let path = if !path.exists() && index.is_file() { &index } else { path };
    if !path.is_file() {
        return Ok(Outcome::Declined(if path.exists() { "not a file" } else { NOTHING }));
    }
    let head = head(path)?;
    if formats::archive::detect(&head) {
        return Ok(Outcome::Declined("an archive"));
    }
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return Ok(Outcome::Declined("a name that is no UTF-8"));
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    // A SavedModel is all of its folder; one of another name, its own file and the usual others.
    let usual = name == "saved_model.pb";
    if usual || begins_saved_model(&head) {
        let limits = &hub.options().limits;
        let (handle, root) = (handle.clone(), folder.to_owned());
        let module = if usual {
            let files = list(folder, DEPTH, |path| fs::metadata(path), limits)?;
            ModuleDir::folder(handle, root, files)
        } else {
            ModuleDir::file(handle, root, renamed(folder, name, limits)?, name.to_owned())
        };
        let message = format!("{}: not a whole module", folder.display());
        return complete::check(&module, &message, Some(folder)).map(|()| Outcome::Found(module));
    }
    let files = family(folder, name, &hub.options().limits)?;
    let module = ModuleDir::file(handle.clone(), folder.to_owned(), files, name.to_owned());
    Ok(Outcome::Found(module))
}

/// The file `name` of `folder`, a SavedModel's graph, and the other parts of a SavedModel there.
fn renamed(folder: &Path, name: &str, limits: &Limits) -> Result<Vec<ModuleFile>> {
    const MARK: &str = "tfhub_module.pb";
    let mut walk = Walk { stat: |path| fs::metadata(path), limits, files: Vec::new() };
    for path in [name, MARK].into_iter().take(if name == MARK { 1 } else { 2 }) {
        if let Ok(metadata) = fs::metadata(folder.join(path))
            && metadata.is_file()
        {
            walk.file(ModuleFile { path: path.to_owned(), size: metadata.len() }, folder)?;
        }
    }
    for part in ["variables", "assets", "assets.extra"] {
        let path = folder.join(part);
        if path.is_dir() {
            walk.folder(&path, &format!("{part}/"), DEPTH - 1)?;
        }
    }
    Ok(walk.files)
}

/// The file `name` of `folder` and the files beside it that belong to it.
fn family(folder: &Path, name: &str, limits: &Limits) -> Result<Vec<ModuleFile>> {
    let mut walk = Walk { stat: |path| fs::metadata(path), limits, files: Vec::new() };
    for entry in fs::read_dir(folder).at(folder, "list it")? {
        let path = entry.at(folder, "list it")?.path();
        let Some(other) = path.file_name().and_then(|other| other.to_str()) else { continue };
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if metadata.is_file() && belongs(other, name) {
            walk.file(ModuleFile { path: other.to_owned(), size: metadata.len() }, folder)?;
        }
    }
    Ok(walk.files)
}

/// Whether the file `other` is, or belongs to, the file `name` beside it: the parts of a checkpoint,
/// what is called like it with something behind (`model.onnx.data`), the shards of a `model.json`.
fn belongs(other: &str, name: &str) -> bool {
    let checkpoint = |name: &str| -> Option<usize> {
        let end = [".index", ".meta"].iter().find(|end| name.ends_with(**end));
        end.map(|end| name.len() - end.len()).or_else(|| name.find(".data-"))
    };
    let of_checkpoint = || match (checkpoint(name), checkpoint(other)) {
        (Some(a), Some(b)) => name.get(..a) == other.get(..b),
        _ => false,
    };
    let shard = || name.ends_with(".json") && other.ends_with(".bin");
    other.starts_with(name) || of_checkpoint() || shard()
}

fn read_at_most(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = fs::File::open(path).at(path, "open it")?;
    let size = file.metadata().at(path, "look at it")?.len();
    if size > limit {
        let message = format!("{}: {size} bytes, more than {limit}", path.display());
        return Err(Error::new(ErrorKind::Limit, message).hint("raise the limit on downloads"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    file.take(limit).read_to_end(&mut bytes).at(path, "read it")?;
    Ok(bytes)
}

/// `fs::metadata` to follow links, `fs::symlink_metadata` to leave them out.
pub(crate) type Stat = fn(&Path) -> io::Result<fs::Metadata>;

/// All files under `root` down to `depth` folders below it.
pub(crate) fn list(
    root: &Path,
    depth: usize,
    stat: Stat,
    limits: &Limits,
) -> Result<Vec<ModuleFile>> {
    let mut walk = Walk { stat, limits, files: Vec::new() };
    walk.folder(root, "", depth)?;
    Ok(walk.files)
}

struct Walk<'a> {
    stat: Stat,
    limits: &'a Limits,
    files: Vec<ModuleFile>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<()> {
        for entry in fs::read_dir(folder).at(folder, "list it")? {
            let path = entry.at(folder, "list it")?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let name = format!("{prefix}{name}");
            // A dangling link is no file of the module.
            let Ok(metadata) = (self.stat)(&path) else { continue };
            if metadata.is_dir() && depth > 0 {
                self.folder(&path, &format!("{name}/"), depth - 1)?;
            } else if metadata.is_file() {
                self.file(ModuleFile { path: name, size: metadata.len() }, folder)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, file: ModuleFile, folder: &Path) -> Result<()> {
        self.files.push(file);
        if self.files.len() <= self.limits.archive_entries {
            return Ok(());
        }
        let most = self.limits.archive_entries;
        let message = format!("{}: more than {most} files", folder.display());
        Err(Error::new(ErrorKind::Limit, message))
    }
}
