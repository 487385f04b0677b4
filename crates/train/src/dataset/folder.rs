//! A folder per class, optionally below `train`, `validation` and `test`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::{Dataset, Sample, Source};
use crate::{Error, ErrorKind, Result};

/// Endings that make a file an image; what it really is, its content decides.
const EXTENSIONS: &[&str] = &["jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"];

/// What images are for; the further from training, the greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Train,
    Validation,
    Test,
}

impl Side {
    /// The side that folders or files of this name are.
    pub(super) fn of(name: &str) -> Option<Self> {
        match name {
            "train" | "training" => Some(Self::Train),
            "validation" | "val" | "valid" => Some(Self::Validation),
            "test" | "testing" => Some(Self::Test),
            _ => None,
        }
    }
}

/// Deepest folder below a class that is looked into.
const MAX_DEPTH: usize = 16;

pub(super) fn open(root: &Path) -> Result<Dataset> {
    let folders = entries(root)?.into_iter().filter(|path| path.is_dir()).collect::<Vec<_>>();
    let find =
        |side: Side| folders.iter().find(|folder| Side::of(&file_name(folder)) == Some(side));
    let mut dataset = Dataset::default();
    let Some(train) = find(Side::Train) else {
        dataset.classes = class_names(&folders);
        dataset.train = scan(&folders, &mut dataset.ignored)?;
        return Ok(dataset);
    };
    let classes = class_folders(train)?;
    dataset.classes = class_names(&classes);
    dataset.train = scan(&classes, &mut dataset.ignored)?;
    for side in [Side::Validation, Side::Test] {
        let Some(folder) = find(side) else { continue };
        let samples = scan_like(folder, &dataset.classes, &mut dataset.ignored)?;
        if side == Side::Test { dataset.test = samples } else { dataset.validation = samples }
    }
    Ok(dataset)
}

/// Samples of a folder whose classes must be among `classes`.
pub(super) fn scan_like(
    folder: &Path,
    classes: &[String],
    ignored: &mut usize,
) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for class in class_folders(folder)? {
        let name = file_name(&class);
        let Some(label) = classes.iter().position(|known| *known == name) else {
            return Err(Error::new(
                ErrorKind::Data,
                format!("{}: the training images have no class {name:?}", class.display()),
            ));
        };
        walk(&class, label, 0, &mut samples, ignored)?;
    }
    Ok(samples)
}

fn scan(classes: &[PathBuf], ignored: &mut usize) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for (label, class) in classes.iter().enumerate() {
        walk(class, label, 0, &mut samples, ignored)?;
    }
    Ok(samples)
}

/// Links to folders are not followed below a class, so no loop can form.
fn walk(
    folder: &Path,
    label: usize,
    depth: usize,
    samples: &mut Vec<Sample>,
    ignored: &mut usize,
) -> Result<()> {
    for path in entries(folder)? {
        let is_link = path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
        if path.is_dir() {
            if !is_link && depth < MAX_DEPTH {
                walk(&path, label, depth + 1, samples, ignored)?;
            }
        } else if is_image(&path) {
            samples.push(Sample { source: Source::File(path), label, origin: 0 });
        } else {
            *ignored += 1;
        }
    }
    Ok(())
}

fn class_folders(root: &Path) -> Result<Vec<PathBuf>> {
    Ok(entries(root)?.into_iter().filter(|path| path.is_dir()).collect())
}

fn class_names(folders: &[PathBuf]) -> Vec<String> {
    folders.iter().map(|folder| file_name(folder)).collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
}

/// Sorted by name, hidden ones left out.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = || -> std::io::Result<Vec<PathBuf>> {
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
    };
    let mut paths = read().map_err(|error| {
        Error::new(ErrorKind::Io, format!("{}: cannot list the folder", folder.display()))
            .because(error)
    })?;
    paths.retain(|path| !file_name(path).starts_with('.'));
    paths.sort();
    Ok(paths)
}
