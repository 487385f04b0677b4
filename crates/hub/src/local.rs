//! A module in a folder of this machine. It is the user's own: links in it are followed.

use std::fs;
use std::path::Path;

use mobilenet_formats::Limits;

use crate::error::{At, at};
use crate::module::{ModuleDir, ModuleFile};
use crate::resolve::{Hub, Outcome};
use crate::{Error, ErrorKind, Handle, Result, complete};

/// Folders within folders; a link that leads back up ends here.
const DEPTH: usize = 32;

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
    let shallow = list(path, 0, limits)?;
    // The folder itself first: a walk over all of a disk that holds no module helps nobody.
    let files = if shallow.iter().any(|file| file.path.starts_with("saved_model.")) {
        list(path, DEPTH, limits)?
    } else {
        list(path, 1, limits)?
    };
    let module = ModuleDir::folder(handle.clone(), path.to_owned(), files);
    whole(module, path).map(Outcome::Found)
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

/// All files under `root` down to `depth` folders below it.
pub(crate) fn list(root: &Path, depth: usize, limits: &Limits) -> Result<Vec<ModuleFile>> {
    let mut files = Vec::new();
    walk(root, "", depth, limits, &mut files)?;
    Ok(files)
}

fn walk(
    folder: &Path,
    prefix: &str,
    depth: usize,
    limits: &Limits,
    files: &mut Vec<ModuleFile>,
) -> Result<()> {
    for entry in fs::read_dir(folder).at(folder, "list it")? {
        let path = entry.at(folder, "list it")?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let name = format!("{prefix}{name}");
        // A dangling link is no file of the module.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if metadata.is_dir() && depth > 0 {
            walk(&path, &format!("{name}/"), depth - 1, limits, files)?;
        } else if metadata.is_file() {
            files.push(ModuleFile { path: name, size: metadata.len() });
        }
        if files.len() > limits.archive_entries {
            let message =
                format!("{}: more than {} files", folder.display(), limits.archive_entries);
            return Err(Error::new(ErrorKind::Limit, message));
        }
    }
    Ok(())
}
