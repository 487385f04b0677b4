//! WebDataset tars: the members of a sample stand together under one basename, the picture as
//! `jpg`, `jpeg`, `png` or `webp`, the class as a number in `cls`.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use super::shards::MAX_CLASSES;
use super::{Sample, Source};

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
            samples.push(Sample { source, label, origin: 0 });
        }
        *self = Self::default();
    }
}

/// Adds the pictures of `shard` to `samples`.
pub(super) fn scan(shard: &Path, samples: &mut Vec<Sample>) -> std::io::Result<()> {
    let file: Arc<Path> = Arc::from(shard);
    let mut opened = File::open(shard)?;
    let len = opened.seek(SeekFrom::End(0))?;
    opened.rewind()?;
    let mut archive = tar::Archive::new(opened);
    let mut pending = Pending::default();
    for entry in archive.entries_with_seek()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        // Passing over a member beyond the end of the file is no error of the file system.
        let start = entry.raw_file_position();
        let end = start.saturating_add(entry.size());
        if end > len {
            return Err(std::io::Error::other(format!(
                "{name}: the archive ends early: the member ends at byte {end}, the archive at \
                 byte {len}"
            )));
        }
        let leaf = name.rfind('/').map_or(0, |slash| slash + 1);
        let dot = name[leaf..].find('.').map_or(name.len(), |dot| leaf + dot);
        let (key, extension) = (&name[..dot], name[dot..].trim_start_matches('.'));
        if key != pending.key {
            pending.finish(samples);
            pending.key = key.to_owned();
        }
        match extension.to_ascii_lowercase().as_str() {
            "jpg" | "jpeg" | "png" | "webp" => {
                let bytes = start..end;
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
