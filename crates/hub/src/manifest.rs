//! Our note beside a cached module: the size, time and checksum of every file when it was last
//! known to be good.
//!
//! ```text
//! mobilenet module manifest 1
//! handle https://tfhub.dev/google/imagenet/mobilenet_v1_025_192/classification/1
//! source https://storage.googleapis.com/…/1.tar.gz
//! checksum 9f86d081…                                      of the module
//! file 2c26b46b… 475103 1700000000123456789 saved_model.pb    sum, bytes, ns since 1970, path
//! end
//! ```
//!
//! Only text here; `store` compares it with the disk.

use std::fmt::Write as _;

use crate::module::Checksum;

const TITLE: &str = "mobilenet module manifest 1";

/// What is noted about a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) handle: String,
    /// The URL the archive came from; empty for a module that TensorFlow Hub downloaded.
    pub(crate) source: String,
    pub(crate) checksum: Checksum,
    /// Sorted by path.
    pub(crate) files: Vec<Record>,
}

/// What is noted about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) path: String,
    pub(crate) size: u64,
    /// Nanoseconds since 1970 of the last change; 0 where the system does not tell.
    pub(crate) modified: u64,
    pub(crate) checksum: Checksum,
}

impl Manifest {
    /// The manifest of these files, which are sorted here.
    pub(crate) fn new(handle: &str, source: &str, mut files: Vec<Record>) -> Self {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let mut all = Checksum::of_files();
        files.iter().for_each(|file| all.add(&file.path, file.checksum));
        let (handle, source) = (handle.to_owned(), source.to_owned());
        Manifest { handle, source, checksum: all.finish(), files }
    }

    pub(crate) fn to_text(&self) -> String {
        let mut text = format!("{TITLE}\nhandle {}\n", self.handle);
        if !self.source.is_empty() {
            let _ = writeln!(text, "source {}", self.source);
        }
        let _ = writeln!(text, "checksum {}", self.checksum);
        for Record { path, size, modified, checksum } in &self.files {
            let _ = writeln!(text, "file {checksum} {size} {modified} {path}");
        }
        text + "end\n"
    }

    /// Reads what [`Manifest::to_text`] wrote; `None` for anything else, also when it is cut off
    /// or its checksums do not belong together.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix("\nend\n")?.split('\n');
        let (mut handle, mut source, mut checksum, mut files) = (None, "", None, Vec::new());
        if lines.next() != Some(TITLE) {
            return None;
        }
        for line in lines {
            match line.split_once(' ')? {
                ("handle", value) => handle = Some(value),
                ("source", value) => source = value,
                ("checksum", value) => checksum = Checksum::parse(value),
                ("file", value) => files.push(record(value)?),
                _ => return None,
            }
        }
        let manifest = Manifest::new(handle?, source, files);
        (checksum? == manifest.checksum).then_some(manifest)
    }
}

fn record(line: &str) -> Option<Record> {
    let mut parts = line.splitn(4, ' ');
    Some(Record {
        checksum: Checksum::parse(parts.next()?)?,
        size: parts.next()?.parse().ok()?,
        modified: parts.next()?.parse().ok()?,
        path: parts.next().filter(|path| is_plain(path))?.to_owned(),
    })
}

/// Whether a path can be written in a manifest and stays inside its folder.
pub(crate) fn is_plain(path: &str) -> bool {
    !path.contains(['\\', ':']) && !path.chars().any(char::is_control) && {
        path.split('/').all(|part| !matches!(part, "" | "." | ".."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Manifest {
        let record = |path: &str, bytes: &[u8]| Record {
            path: path.into(),
            size: bytes.len() as u64,
            modified: 1_700_000_000_123_456_789,
            checksum: Checksum::of(bytes),
        };
        let files = vec![record("variables/a b", b"xy"), record("saved_model.pb", b"z")];
        Manifest::new("https://h/1", "https://h/1?tf-hub-format=compressed", files)
    }

    #[test]
    fn round_trip() {
        let manifest = sample();
        assert_eq!(manifest.files[0].path, "saved_model.pb");
        assert_eq!(Manifest::parse(&manifest.to_text()), Some(manifest));
    }

    #[test]
    fn what_is_cut_off_or_changed_is_no_manifest() {
        let text = sample().to_text();
        for end in 0..text.len() {
            assert_eq!(Manifest::parse(&text[..end]), None, "cut at {end}");
        }
        assert_eq!(Manifest::parse(&text.replace("saved_model", "other_model")), None);
        assert_eq!(Manifest::parse(&text.replace("manifest 1", "manifest 2")), None);
    }

    #[test]
    fn paths_stay_inside() {
        for path in ["a", "a/b c", "ä/…"] {
            assert!(is_plain(path), "{path}");
        }
        for path in ["", "/a", "../a", "a/../b", "a//b", "a\nb", "a\\b", "C:a", "./a", "a/"] {
            assert!(!is_plain(path), "{path}");
        }
    }
}
