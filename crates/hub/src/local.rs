//! Modules that are on this machine already: the resolvers for a folder and for an archive file.
//!
//! A folder is the user's own: links in it are followed. An archive file is unpacked in memory.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use mobilenet_formats::{self as formats, Limits};

use crate::error::{At, at};
use crate::module::{ModuleDir, ModuleFile};
use crate::resolve::{Hub, Outcome};
use crate::{Error, ErrorKind, Handle, Result, complete};

/// Folders within folders; a link that leads back up ends here.
pub(crate) const DEPTH: usize = 32;

const NOT_LOCAL: Outcome = Outcome::Declined("not a path");

/// A folder with `saved_model.pb` in it.
pub(crate) fn folder(hub: &Hub, handle: &Handle) -> Result<Outcome> {
    let Some(path) = handle.path() else { return Ok(NOT_LOCAL) };
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Ok(Outcome::Declined("not a folder")),
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
    whole(module, path).map(Outcome::Found)
}

/// A tar or tar.gz file of such a folder.
pub(crate) fn archive(hub: &Hub, handle: &Handle) -> Result<Outcome> {
    let Some(path) = handle.path() else { return Ok(NOT_LOCAL) };
    let metadata = fs::metadata(path).at(path, "look at it")?;
    if !metadata.is_file() {
        return Ok(Outcome::Declined("not a file"));
    }
    let bytes = read_at_most(path, hub.options().download_bytes)?;
    let files = formats::archive::read(&bytes, &hub.options().limits)
        .map_err(|error| Error::from(error.within(path.display().to_string())))?;
    whole(ModuleDir::memory(handle.clone(), files), path).map(Outcome::Found)
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

fn whole(module: ModuleDir, path: &Path) -> Result<ModuleDir> {
    match lack(&module) {
        None => Ok(module),
        Some(reason) => {
            let message = format!("{}: not a whole module: {reason}", path.display());
            Err(Error::new(ErrorKind::Incomplete, message))
        }
    }
}

/// What `module` lacks to be whole.
pub(crate) fn lack(module: &ModuleDir) -> Option<String> {
    let files = module.files();
    let files: Vec<_> = files.iter().map(|file| (file.path.as_str(), file.size)).collect();
    complete::lack(&files)
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
