//! One output of several files, which is looked at before it takes its place.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use mobilenet::MemoryFiles;
use tempfile::TempDir;

use crate::failure::Failure;

/// A file with what belongs to it, or a folder, whole in a folder of its own beside its place. Dropped,
/// it leaves nothing, and what was at its place before is still there.
pub(crate) struct Staged<'a> {
    out: &'a Path,
    name: &'a str,
    /// Relative to the folder that `out` is in.
    paths: Vec<String>,
    is_folder: bool,
    temporary: TempDir,
}

impl<'a> Staged<'a> {
    /// Writes `files`, whose paths begin with `name`, the last part of `out`.
    pub(crate) fn write(
        out: &'a Path,
        name: &'a str,
        files: &MemoryFiles,
    ) -> Result<Self, Failure> {
        let in_folder = format!("{name}/");
        let is_folder = files.iter().any(|(path, _)| path.starts_with(&in_folder));
        if is_folder && out.exists() {
            return Err(Failure::new(format!("{} exists already", out.display())));
        }
        let temporary = stage(beside(out), files).map_err(|e| cannot_write(out, &e))?;
        let paths = files.iter().map(|(path, _)| path.to_owned()).collect();
        Ok(Staged { out, name, paths, is_folder, temporary })
    }

    /// Where the output is until it has its place.
    pub(crate) fn path(&self) -> PathBuf {
        // As `out` leads there: the absolute path may be of folders whose names are no text.
        let folder = self.temporary.path().file_name().unwrap_or_default();
        beside(self.out).join(folder).join(self.name)
    }

    /// Puts it in its place, over the files that are there, one after the other: where one cannot be
    /// replaced, those before it are.
    pub(crate) fn place(self) -> Result<(), Failure> {
        let (from, to) = (self.temporary.path(), beside(self.out));
        let mut paths = self.paths.iter();
        let placed = match self.is_folder {
            true => fs::rename(self.path(), to.join(self.name)),
            false => paths.try_for_each(|path| fs::rename(from.join(path), to.join(path))),
        };
        placed.map_err(|e| cannot_write(self.out, &e))
    }
}

/// The folder that `out` is in.
fn beside(out: &Path) -> &Path {
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

fn stage(folder: &Path, files: &MemoryFiles) -> io::Result<TempDir> {
    fs::create_dir_all(folder)?;
    let temporary =
        tempfile::Builder::new().prefix(".mobilenet-").suffix(".tmp").tempdir_in(folder)?;
    for folder in files.folders() {
        fs::create_dir_all(temporary.path().join(folder))?;
    }
    for (path, bytes) in files.iter() {
        let path = temporary.path().join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = fs::File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()?;
    }
    Ok(temporary)
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::io(format!("cannot write {}", path.display()), error)
}
