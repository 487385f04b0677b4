//! [`LabelledImages`]: photos whose class is known, found without reading a pixel.
//!
//! A folder per class, a folder of files named `<wnid>_….JPEG`, a tar of either, a table of paths
//! and labels (`table.rs`), or shards as training reads them (`numbered.rs`). Classes have the names
//! that the data gives them here; which class of a module each one is, `classes.rs` says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use mobilenet_train::dataset::{Dataset, Sample, Source};

use super::classes::wordnet_id;
use super::numbered::{self, Numbered};
use super::table;
use crate::error::{Error, ErrorKind, Result};

/// Names of the folders that divide a data set; the first one that is there is evaluated.
const SPLITS: [&str; 8] =
    ["test", "testing", "validation", "val", "valid", "eval", "train", "training"];

/// Endings that make a file an image; what it really is, its content decides.
const ENDINGS: [&str; 10] =
    ["jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff"];

/// Deepest folder that is looked into.
const MAX_DEPTH: usize = 16;

/// Most images, and most entries of a tar.
const MAX_IMAGES: usize = 1 << 24;

/// Longest line, and longest file, of WordNet ids and their names.
const MAX_WORDS_BYTES: u64 = 16 << 20;

/// Photos and their classes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LabelledImages {
    /// The classes by the names that the data gives them: folders, WordNet ids, labels.
    pub classes: Vec<String>,
    /// The photos; a label indexes `classes`.
    pub images: Vec<Sample>,
    /// The part that was taken of a data set divided into `train`, `validation` and `test`.
    pub split: Option<String>,
    /// Files passed over: no image by their name, or in no class.
    pub ignored: usize,
    /// Names of WordNet ids, from a file `words.txt` beside the data.
    pub(crate) words: BTreeMap<String, String>,
    /// Of data in shards, what is known of each class.
    pub(crate) numbered: Vec<Numbered>,
}

impl LabelledImages {
    /// Finds the photos at `path`: a folder with a folder for each class, a folder of files whose
    /// names start with their WordNet id (`n01440764_tench.JPEG`), a `.tar` of such a folder, a
    /// `.csv` or `.tsv` file of paths and labels, or what `mobilenet train` reads besides: a
    /// TFRecord of `tf.Example`, a WebDataset tar, a range (`{0000..0147}`) or a folder of those.
    /// Of data that is divided, the first of `test`, `validation` and `train` is taken.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] for what cannot be read, [`ErrorKind::Input`] if there are no images
    /// whose class can be told.
    pub fn open(path: &Path) -> Result<Self> {
        let found = Self::find(path, group)?;
        if found.images.is_empty() {
            return Err(failed(
                path,
                "no images whose class can be told; expected a folder for each class \
                 (cat/1.jpg, dog/2.jpg), files named by WordNet id (n02123045_tabby.jpg), or \
                 shards (1.jpg with 1.cls in a tar, TFRecords)",
            ));
        }
        Ok(found)
    }

    /// As [`Self::open`], but where no class can be told, every photo there is, and no classes: to
    /// calibrate and to compare on.
    ///
    /// # Errors
    /// As [`Self::open`], [`ErrorKind::Input`] if there are no images at all.
    pub fn open_any(path: &Path) -> Result<Self> {
        let found = Self::find(path, group_or_all)?;
        if found.images.is_empty() {
            return Err(failed(path, &format!("no images: none ends in .{}", ENDINGS.join(", ."))));
        }
        Ok(found)
    }

    fn find(path: &Path, group: Group) -> Result<Self> {
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let found = match ending.to_ascii_lowercase().as_str() {
            _ if path.is_dir() => in_folder(path, group)?,
            _ if !path.exists() && is_range(path) => numbered::open(path)?,
            _ if !path.exists() => return Err(failed(path, "no such file or folder")),
            "csv" => table::read(path, b',')?,
            "tsv" => table::read(path, b'\t')?,
            "tar" => in_tar(path, group)?,
            ending if ENDINGS.contains(&ending) => {
                return Err(failed(path, "a photo; neither a folder nor a file of many"));
            }
            _ => numbered::open(path)?,
        };
        Ok(Self { words: words(path), ..found })
    }

    /// From pairs of a picture and the name of its class.
    pub(super) fn from_pairs(pairs: Vec<(Source, String)>) -> Self {
        let names: BTreeSet<&str> = pairs.iter().map(|(_, class)| class.as_str()).collect();
        let classes: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let label = |class: &String| classes.binary_search(class).unwrap_or_default();
        let images = pairs.iter().map(|(source, class)| Sample {
            source: source.clone(),
            label: label(class),
            origin: 0,
        });
        LabelledImages { images: images.collect(), classes, ..Self::default() }
    }
}

fn failed(path: &Path, what: &str) -> Error {
    Error::new(ErrorKind::Input, format!("{}: {what}", path.display()))
}

/// Whether `path` stands for several files: `val-{000..127}.tar`.
fn is_range(path: &Path) -> bool {
    path.to_string_lossy().contains('{')
}

/// By class, or of the shards in a folder without photos of a class.
fn in_folder(path: &Path, group: Group) -> Result<LabelledImages> {
    let found = group(folder(path)?);
    let sharded = || Dataset::is_sharded(path).map_err(|e| Error::because(ErrorKind::Io, "", e));
    if found.images.is_empty() && sharded()? { numbered::open(path) } else { Ok(found) }
}

/// By class, or as a WebDataset, which has a `.cls` beside each picture.
fn in_tar(path: &Path, group: Group) -> Result<LabelledImages> {
    let files = tar(path)?;
    let sharded = files.iter().any(|(inside, _)| inside.to_ascii_lowercase().ends_with(".cls"));
    if sharded { numbered::open(path) } else { Ok(group(files)) }
}

/// A file, by its path from the root of the data with `/` between the parts.
type Found = (String, Source);

/// What makes photos and classes of files.
type Group = fn(Vec<Found>) -> LabelledImages;

/// Visible files in and under `root`, sorted.
fn folder(root: &Path) -> Result<Vec<Found>> {
    let visible = |entry: &walkdir::DirEntry| {
        entry.depth() == 0 || !entry.file_name().as_encoded_bytes().starts_with(b".")
    };
    let entries = walkdir::WalkDir::new(root).max_depth(MAX_DEPTH).sort_by_file_name();
    let mut files = Vec::new();
    for entry in entries.into_iter().filter_entry(visible) {
        let entry = entry.map_err(|e| Error::because(ErrorKind::Io, "", e))?;
        if entry.path().is_dir() {
            continue;
        }
        let path = entry.into_path();
        let inside = path.strip_prefix(root).unwrap_or(&path);
        let parts: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
        files.push((parts.join("/"), Source::File(path)));
        check_count(root, files.len())?;
    }
    Ok(files)
}

/// The files of a tar, left where they are.
fn tar(path: &Path) -> Result<Vec<Found>> {
    let file: Arc<Path> = Arc::from(path);
    let read = || -> std::io::Result<Vec<Found>> {
        let mut archive = tar::Archive::new(File::open(path)?);
        let mut files = Vec::new();
        for entry in archive.entries_with_seek()?.take(MAX_IMAGES + 1) {
            let entry = entry?;
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let start = entry.raw_file_position();
            let bytes = start..start.saturating_add(entry.size());
            let inside = name.trim_start_matches("./").to_owned();
            files.push((inside, Source::Part { file: file.clone(), bytes, name }));
        }
        Ok(files)
    };
    let failed =
        |e| Error::because(ErrorKind::Io, format!("{}: no readable tar", path.display()), e);
    let mut files = read().map_err(failed)?;
    check_count(path, files.len())?;
    files.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(files)
}

fn check_count(path: &Path, count: usize) -> Result<()> {
    if count > MAX_IMAGES {
        return Err(failed(path, &format!("more than {MAX_IMAGES} files")));
    }
    Ok(())
}

/// Files to classes, by their paths.
fn group(mut files: Vec<Found>) -> LabelledImages {
    let all = files.len();
    files.retain(|(path, _)| is_image(path));
    let split = take_split(&mut files);
    let images = files.len();
    // A lone folder around everything is the name of the data set; but not if it is the class.
    while let Some(outer) = lone_folder(&files) {
        strip(&mut files, &outer);
    }
    let mut pairs = Vec::with_capacity(images);
    for (path, source) in files {
        if let Some(class) = class_of(&path) {
            pairs.push((source, class.to_owned()));
        }
    }
    let ignored = all - pairs.len();
    LabelledImages { split, ignored, ..LabelledImages::from_pairs(pairs) }
}

/// As [`group`], or every image where no class can be told.
fn group_or_all(files: Vec<Found>) -> LabelledImages {
    let grouped = group(files.clone());
    if !grouped.images.is_empty() {
        return grouped;
    }
    let all = files.len();
    let images = files.into_iter().filter(|(path, _)| is_image(path));
    let images: Vec<Sample> =
        images.map(|(_, source)| Sample { source, label: 0, origin: 0 }).collect();
    LabelledImages { ignored: all - images.len(), images, ..LabelledImages::default() }
}

fn is_image(path: &str) -> bool {
    let ending = path.rsplit_once('.').map_or("", |(_, ending)| ending);
    ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known))
        && !path.split('/').any(|part| part.starts_with('.'))
}

/// Leaves only the part that is evaluated, if the data is divided; gives its name.
fn take_split(files: &mut Vec<Found>) -> Option<String> {
    if let Some(outer) = lone_folder(files).filter(|outer| !SPLITS.contains(&outer.as_str())) {
        let inner: BTreeSet<_> = files.iter().filter_map(|(p, _)| p.split('/').nth(1)).collect();
        if inner.iter().all(|name| SPLITS.contains(name) || is_image(name)) && !inner.is_empty() {
            strip(files, &outer);
        }
    }
    let tops: BTreeSet<_> = files.iter().filter_map(|(path, _)| folder_of(path)).collect();
    if tops.is_empty() || !tops.iter().all(|top| SPLITS.contains(top)) {
        return None;
    }
    let split = SPLITS.into_iter().find(|name| tops.contains(name))?.to_owned();
    files.retain(|(path, _)| folder_of(path) == Some(&split));
    strip(files, &split);
    Some(split)
}

/// The folder that all files are in, if the names in it still tell classes.
fn lone_folder(files: &[Found]) -> Option<String> {
    let top = folder_of(&files.first()?.0)?;
    let tells = |path: &str| class_of(path.get(top.len() + 1..).unwrap_or_default()).is_some();
    let all = files.iter().all(|(path, _)| folder_of(path) == Some(top) && tells(path));
    (all && wordnet_id(top).is_none()).then(|| top.to_owned())
}

fn strip(files: &mut [Found], outer: &str) {
    for (path, _) in files {
        if let Some(inner) = path.get(outer.len() + 1..) {
            *path = inner.to_owned();
        }
    }
}

fn folder_of(path: &str) -> Option<&str> {
    path.split_once('/').map(|(top, _)| top)
}

/// The outermost folder, or the WordNet id that the name of a file without a folder starts with.
fn class_of(path: &str) -> Option<&str> {
    folder_of(path).or_else(|| wordnet_id(path))
}

/// `words.txt` of Tiny ImageNet, in the folder or the one around it; what is no such file is
/// no error, the names are a convenience.
fn words(path: &Path) -> BTreeMap<String, String> {
    let places = [Some(path), path.parent()];
    let texts = places.into_iter().flatten().map(|folder| folder.join("words.txt"));
    let small = |path: &std::path::PathBuf| {
        path.metadata().is_ok_and(|data| data.is_file() && data.len() <= MAX_WORDS_BYTES)
    };
    let text = texts.filter(small).find_map(|path| std::fs::read_to_string(path).ok());
    let pair = |line: &str| line.split_once('\t').map(|(id, name)| (id.into(), name.trim().into()));
    text.unwrap_or_default().lines().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grouped(paths: &[&str]) -> LabelledImages {
        group(paths.iter().map(|path| ((*path).to_owned(), Source::File(path.into()))).collect())
    }

    fn classes(paths: &[&str]) -> Vec<String> {
        grouped(paths).classes
    }

    #[test]
    fn classes_are_folders_or_wordnet_ids_in_names() {
        assert_eq!(classes(&["cat/1.jpg", "dog/deep/2.PNG", "notes.txt"]), ["cat", "dog"]);
        assert_eq!(
            classes(&["n01440764_tench.JPEG", "n01443537_1.JPEG"]),
            ["n01440764", "n01443537"]
        );
        assert_eq!(classes(&["set/n01440764_tench.JPEG"]), ["n01440764"]);
        assert_eq!(classes(&["set/cat/1.jpg", "set/dog/1.jpg"]), ["cat", "dog"]);
        assert_eq!(classes(&["cat/1.jpg", "cat/2.jpg"]), ["cat"]);
        assert_eq!(classes(&["n01440764/n01440764_1.JPEG"]), ["n01440764"]);
        assert_eq!(classes(&["1.jpg", "2.jpg"]), [""; 0]);
    }

    #[test]
    fn of_divided_data_the_test_images_are_taken() {
        let found = grouped(&["train/cat/1.jpg", "test/cat/2.jpg", "test/dog/3.jpg"]);
        assert_eq!((found.split.as_deref(), found.images.len()), (Some("test"), 2));
        assert_eq!(found.classes, ["cat", "dog"]);
        let outer = grouped(&["set/val/cat/1.jpg", "set/train/cat/2.jpg", "set/words.txt"]);
        assert_eq!((outer.split.as_deref(), outer.images.len()), (Some("val"), 1));
        let none = grouped(&["test/1.jpg", "cat/2.jpg"]);
        assert_eq!((none.split, none.classes.len()), (None, 2));
    }

    #[test]
    fn photos_without_classes_are_all_taken_where_none_are_needed() {
        let any = |paths: &[&str]| {
            let file = |path: &&str| ((*path).to_owned(), Source::File(path.into()));
            let found = group_or_all(paths.iter().map(file).collect());
            (found.classes.len(), found.images.len(), found.ignored)
        };
        assert_eq!(any(&["1.jpg", "2.JPEG", "notes.txt"]), (0, 2, 1));
        assert_eq!(any(&["cat/1.jpg", "dog/2.jpg", "stray.jpg"]), (2, 2, 1));
        assert_eq!(any(&["n01440764_tench.JPEG", "1.jpg"]), (1, 1, 1));
        assert_eq!(any(&["notes.txt"]), (0, 0, 1));
    }

    #[test]
    fn what_is_passed_over_is_counted() {
        let found = grouped(&["cat/1.jpg", "cat/.hidden.jpg", "cat/notes.txt", "stray.jpg"]);
        assert_eq!((found.images.len(), found.ignored), (1, 3));
    }
}
