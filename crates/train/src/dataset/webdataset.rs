//! WebDataset tars: the members of a sample stand together under one basename, the picture as
//! `jpg`, `jpeg`, `png` or `webp`, the class as a number in `cls`.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Dataset, Sample, Source};
use crate::{Error, ErrorKind, Result};

/// Highest class number believed.
const MAX_CLASSES: usize = 1_000_000;

/// Most shards that a brace range may name.
const MAX_SHARDS: usize = 100_000;

pub(super) fn open(path: &Path) -> Result<Dataset> {
    let mut samples = Vec::new();
    for shard in expand(path)? {
        scan(&shard, &mut samples).map_err(|error| {
            let what = format!("{}: not a readable WebDataset tar", shard.display());
            Error::new(ErrorKind::Data, what).because(error)
        })?;
    }
    let classes = samples.iter().map(|sample: &Sample| sample.label + 1).max().unwrap_or(0);
    let classes = (0..classes).map(|label| label.to_string()).collect();
    Ok(Dataset { classes, train: samples, ..Dataset::default() })
}

/// What is known of the sample whose members are being read.
#[derive(Default)]
struct Pending {
    key: String,
    picture: Option<Source>,
    label: Option<usize>,
}

impl Pending {
    fn finish(&mut self, samples: &mut Vec<Sample>) {
        if let (Some(source), Some(label)) = (self.picture.take(), self.label.take()) {
            samples.push(Sample { source, label });
        }
        *self = Self::default();
    }
}

fn scan(shard: &Path, samples: &mut Vec<Sample>) -> std::io::Result<()> {
    let file: Arc<Path> = Arc::from(shard);
    let mut archive = tar::Archive::new(File::open(shard)?);
    let mut pending = Pending::default();
    for entry in archive.entries_with_seek()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let leaf = name.rfind('/').map_or(0, |slash| slash + 1);
        let dot = name[leaf..].find('.').map_or(name.len(), |dot| leaf + dot);
        let (key, extension) = (&name[..dot], name[dot..].trim_start_matches('.'));
        if key != pending.key {
            pending.finish(samples);
            pending.key = key.to_owned();
        }
        match extension.to_ascii_lowercase().as_str() {
            "jpg" | "jpeg" | "png" | "webp" => {
                let start = entry.raw_file_position();
                let bytes = start..start.saturating_add(entry.size());
                pending.picture = Some(Source::Part { file: file.clone(), bytes, name });
            }
            "cls" => pending.label = Some(class(&mut entry, &name)?),
            _ => {}
        }
    }
    pending.finish(samples);
    Ok(())
}

fn class(entry: &mut impl std::io::Read, name: &str) -> std::io::Result<usize> {
    let mut text = String::new();
    entry.take(32).read_to_string(&mut text)?;
    match text.trim().parse() {
        Ok(label) if label < MAX_CLASSES => Ok(label),
        _ => Err(std::io::Error::other(format!("{name}: {text:?} is no class number"))),
    }
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
