//! Data in large files, by content: WebDataset tars (`webdataset.rs`) and TFRecords
//! (`tfrecord.rs`). One file, several by a range in braces, or a folder of them.
//!
//! Their classes are numbers. Where the lowest is 1, as in TensorFlow's ImageNet, class 0 is
//! "background", which no picture shows.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::folder::{self, Side};
use super::{Dataset, Sample, tfrecord, webdataset};
use crate::{Error, ErrorKind, Result};

/// Highest class number believed.
pub(super) const MAX_CLASSES: usize = 1_000_000;

/// Most shards that a brace range may name.
const MAX_SHARDS: usize = 100_000;

/// Endings of shards; TensorFlow's own end in `-00000-of-01024`.
const EXTENSIONS: &[&str] = &["tar", "tfrecord", "tfrecords"];

/// What was found in shards.
#[derive(Default)]
pub(super) struct Found {
    pub(super) samples: Vec<Sample>,
    /// Classes in words, where the records have them.
    pub(super) names: BTreeMap<usize, String>,
}

/// Whether `path` is data in shards: a file, a range of files, or a folder with shards and no
/// folders in it. Beside folders of classes an archive is what they were unpacked from.
pub(super) fn is_sharded(path: &Path) -> Result<bool> {
    if !path.is_dir() {
        return Ok(true);
    }
    let entries = folder::entries(path)?;
    Ok(entries.iter().any(|path| is_shard(path)) && !entries.iter().any(|path| path.is_dir()))
}

pub(super) fn open(path: &Path) -> Result<Dataset> {
    read(&list(path)?)
}

/// Of a folder only the shards furthest from training.
pub(super) fn open_held_out(path: &Path) -> Result<Dataset> {
    let mut shards = list(path)?;
    let furthest = shards.iter().map(|(side, _)| *side).max();
    shards.retain(|(side, _)| Some(*side) == furthest);
    read(&shards)
}

/// The shards and what they are for: one that is named alone for training, whatever it is called.
fn list(path: &Path) -> Result<Vec<(Side, PathBuf)>> {
    if path.is_dir() {
        return Ok(in_folder(path)?.into_iter().map(|shard| (side(&shard), shard)).collect());
    }
    Ok(expand(path)?.into_iter().map(|shard| (Side::Train, shard)).collect())
}

fn read(shards: &[(Side, PathBuf)]) -> Result<Dataset> {
    let mut found = Found::default();
    let mut sides = [const { Vec::new() }; 3];
    for (side, shard) in shards {
        scan(shard, &mut found)?;
        sides[*side as usize].append(&mut found.samples);
    }
    let labels = || sides.iter().flatten().map(|sample: &Sample| sample.label);
    let count = labels().max().map_or(0, |highest| highest + 1);
    let classes = class_names(count, labels().min() == Some(1), found.names.clone());
    let [train, validation, test] = sides;
    Ok(Dataset { classes, words: found.names, train, validation, test, ignored: 0 })
}

/// A class without words is called by its number; one whose words were taken gets it besides.
fn class_names(count: usize, background: bool, mut words: BTreeMap<usize, String>) -> Vec<String> {
    if background {
        words.insert(0, "background".to_owned());
    }
    let mut taken = HashSet::new();
    let name = |label: usize| match words.get(&label) {
        Some(name) if taken.insert(name.clone()) => name.clone(),
        Some(name) => format!("{name} ({label})"),
        None if taken.insert(label.to_string()) => label.to_string(),
        None => format!("class {label}"),
    };
    (0..count).map(name).collect()
}

/// The side that the beginning of a shard's name says: `validation-00000-of-00128`.
fn side(shard: &Path) -> Side {
    let name = shard.file_name().map(OsStr::to_string_lossy).unwrap_or_default();
    let word: String = name.chars().take_while(char::is_ascii_alphabetic).collect();
    Side::of(&word).unwrap_or(Side::Train)
}

/// Adds a shard's samples to `found`.
fn scan(shard: &Path, found: &mut Found) -> Result<()> {
    let failed = |error: Error| {
        let message = format!("{}: not a readable WebDataset tar or TFRecord", shard.display());
        Error::new(ErrorKind::Data, message).because(error)
    };
    let is_records = || -> std::io::Result<bool> {
        let mut head = Vec::new();
        File::open(shard)?.take(tfrecord::HEAD_BYTES).read_to_end(&mut head)?;
        Ok(tfrecord::detect(&head))
    };
    let unreadable = |error| failed(Error::new(ErrorKind::Io, "cannot be read").because(error));
    if is_records().map_err(unreadable)? {
        return tfrecord::scan(shard, found).map_err(failed);
    }
    webdataset::scan(shard, &mut found.samples).map_err(unreadable)
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = folder::entries(folder)?;
    paths.retain(|path| is_shard(path) && path.is_file());
    Ok(paths)
}

fn is_shard(path: &Path) -> bool {
    let name = path.file_name().map(OsStr::to_string_lossy).unwrap_or_default();
    let numbered = name.rsplit_once("-of-").is_some_and(|(_, count)| {
        !count.is_empty() && count.chars().all(|digit| digit.is_ascii_digit())
    });
    let extension = path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
    numbered || extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
}

/// `{0000..0147}` stands for every number in between, as wide as the first.
fn expand(path: &Path) -> Result<Vec<PathBuf>> {
    let text = path.to_string_lossy();
    let Some((head, (range, tail))) =
        text.split_once('{').and_then(|(head, rest)| Some((head, rest.split_once('}')?)))
    else {
        return Ok(vec![path.to_path_buf()]);
    };
    let bounds = range.split_once("..").and_then(|(first, last)| {
        Some((first.len(), first.parse::<usize>().ok()?, last.parse::<usize>().ok()?))
    });
    match bounds {
        Some((width, first, last)) if first <= last && last - first < MAX_SHARDS => {
            Ok((first..=last).map(|n| PathBuf::from(format!("{head}{n:0width$}{tail}"))).collect())
        }
        _ => Err(Error::new(
            ErrorKind::Data,
            format!("{text}: {{{range}}} is no range; write {{0000..0147}}"),
        )),
    }
}
