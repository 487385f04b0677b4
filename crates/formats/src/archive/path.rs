//! Which paths an archive may hold, and that each is held once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::{Error, ErrorKind, Limits, Result};

/// Names that are devices on Windows, whatever their extension.
const DEVICES: &[&str] = &["con", "prn", "aux", "nul"];

/// The path with `.` parts removed; empty for the root itself.
///
/// # Errors
/// [`ErrorKind::UnsafePath`] for anything but a plain relative path on every system.
pub(super) fn clean(raw: &[u8], limits: &Limits) -> Result<String> {
    let shown = || String::from_utf8_lossy(raw).chars().take(200).collect::<String>();
    let refuse = |why: &str| Err(unsafe_path(why).within(format!("entry `{}`", shown())));
    if raw.len() > limits.path_bytes {
        return refuse("the path is too long");
    }
    let Ok(path) = std::str::from_utf8(raw) else { return refuse("the path is not UTF-8") };
    if path.starts_with('/') {
        return refuse("the path is absolute");
    }
    let mut parts = Vec::new();
    for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
        if let Some(why) = fault(part) {
            return refuse(why);
        }
        parts.push(part);
    }
    Ok(parts.join("/"))
}

fn unsafe_path(why: &str) -> Error {
    Error::new(ErrorKind::UnsafePath, why).hint("do not trust this archive")
}

/// What is wrong with one part of a path.
fn fault(part: &str) -> Option<&'static str> {
    if part == ".." {
        return Some("the path leaves the folder");
    }
    if part.contains('\\') {
        return Some("the path has a backslash");
    }
    if part.contains(':') {
        return Some("the path has a drive name or stream");
    }
    if part.chars().any(char::is_control) {
        return Some("the path has a control character");
    }
    if part.ends_with(['.', ' ']) {
        return Some("a part of the path ends with a dot or a space");
    }
    is_device(part).then_some("the path names a device")
}

fn is_device(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    let numbered = |prefix: &str| {
        stem.strip_prefix(prefix).is_some_and(|rest| matches!(rest.as_bytes(), [b'1'..=b'9']))
    };
    DEVICES.contains(&stem.as_str()) || numbered("com") || numbered("lpt")
}

/// The paths seen so far, compared without regard to case.
#[derive(Default)]
pub(super) struct Seen(HashMap<String, (String, bool)>);

impl Seen {
    /// Notes a file and the folders above it.
    pub(super) fn file(&mut self, path: &str) -> Result<()> {
        self.parents(path)?;
        match self.0.insert(path.to_lowercase(), (path.to_owned(), true)) {
            None => Ok(()),
            Some((before, _)) => Err(duplicate(path, &before)),
        }
    }

    /// Notes a folder and the folders above it; the same folder may come again.
    pub(super) fn folder(&mut self, path: &str) -> Result<()> {
        self.parents(path)?;
        match self.0.entry(path.to_lowercase()) {
            Entry::Vacant(entry) => {
                entry.insert((path.to_owned(), false));
                Ok(())
            }
            Entry::Occupied(entry) => match entry.get() {
                (before, false) if before == path => Ok(()),
                (before, _) => Err(duplicate(path, before)),
            },
        }
    }

    fn parents(&mut self, path: &str) -> Result<()> {
        match path.rsplit_once('/') {
            Some((parent, _)) if !self.knows_folder(parent) => self.folder(parent),
            _ => Ok(()),
        }
    }

    fn knows_folder(&self, path: &str) -> bool {
        matches!(self.0.get(&path.to_lowercase()), Some((before, false)) if before == path)
    }
}

fn duplicate(path: &str, before: &str) -> Error {
    unsafe_path(&format!("the path is taken by `{before}`")).within(format!("entry `{path}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_are_cleaned() {
        let clean = |path: &str| clean(path.as_bytes(), &Limits::default()).unwrap();
        assert_eq!(clean("./variables/variables.index"), "variables/variables.index");
        assert_eq!(clean("./"), "");
        assert_eq!(clean("assets//./x.txt"), "assets/x.txt");
        assert_eq!(clean("assets/étiquettes…txt"), "assets/étiquettes…txt");
    }

    #[test]
    fn traversal_absolute_and_foreign_paths_are_refused() {
        for path in [
            "../x",
            "a/../../x",
            "a/..",
            "/etc/passwd",
            "a\\b",
            "C:x",
            "C:\\x",
            "a:stream",
            "a/b. ",
            "a.",
            "con",
            "assets/NUL.txt",
            "com1.log",
            "a\nb",
            "a\0b",
            "./\u{7f}",
        ] {
            let error = clean(path.as_bytes(), &Limits::default()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnsafePath, "{path:?}");
        }
        assert!(clean(b"\xff", &Limits::default()).is_err());
        assert!(clean(&[b'a'; 2000], &Limits::default()).is_err());
    }

    #[test]
    fn a_path_counts_once_whatever_its_case() {
        let mut seen = Seen::default();
        seen.file("a/b").unwrap();
        seen.folder("a").unwrap();
        seen.file("a/c").unwrap();
        for path in ["a/b", "A/B", "A/x", "a/b/c", "a"] {
            assert_eq!(seen.file(path).unwrap_err().kind(), ErrorKind::UnsafePath, "{path}");
        }
        assert!(seen.folder("a/B").is_err());
    }
}
