//! A download on its way: the bytes so far (`KEY.partial`), and a note what they are the
//! beginning of (`KEY.partial.txt`), so that the next attempt or the next process can go on.

use std::fs::{self, File, OpenOptions};
use std::path::PathBuf;

use crate::Result;
use crate::error::At;
use crate::layout::{Layout, remove, write_whole};

/// The two files of an unfinished download. Only the holder of the lock touches them.
pub(crate) struct Partial<'a> {
    layout: &'a Layout,
}

/// What there is to go on with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Resume {
    /// Bytes that are there.
    pub(crate) len: u64,
    /// The server's name for the version they belong to: an `ETag` or a date.
    pub(crate) version: String,
}

impl<'a> Partial<'a> {
    pub(crate) fn new(layout: &'a Layout) -> Self {
        Partial { layout }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.layout.partial()
    }

    /// What is there of `url`.
    pub(crate) fn resume(&self, url: &str) -> Option<Resume> {
        let note = fs::read_to_string(self.layout.partial_note()).ok()?;
        let (of, version) = note.strip_suffix('\n')?.split_once('\n')?;
        let len = fs::metadata(self.path()).ok()?.len();
        (of == url && len > 0).then(|| Resume { len, version: version.to_owned() })
    }

    /// An empty file for the bytes of `url`; without a `version` they cannot be resumed later.
    pub(crate) fn begin(&self, url: &str, version: Option<&str>) -> Result<File> {
        self.discard()?;
        let file = File::create(self.path()).at(&self.path(), "make it")?;
        if let Some(version) = version {
            let note = self.layout.partial_note();
            write_whole(self.layout, &note, &format!("{url}\n{version}\n"))
                .at(&note, "write it")?;
        }
        Ok(file)
    }

    /// The file for the bytes that are missing.
    pub(crate) fn append(&self) -> Result<File> {
        let path = self.path();
        OpenOptions::new().append(true).open(&path).at(&path, "open it")
    }

    /// Forgets the bytes.
    pub(crate) fn discard(&self) -> Result<()> {
        for path in [self.layout.partial_note(), self.path()] {
            remove(&path).at(&path, "remove it")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn goes_on_with_the_same_url_only() {
        let dir = std::env::temp_dir().join(format!("mobilenet-partial-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let layout = Layout::new(&dir, "key");
        let partial = Partial::new(&layout);
        assert_eq!(partial.resume("u"), None);
        partial.begin("u", Some("\"v\"")).unwrap().write_all(b"abc").unwrap();
        assert_eq!(partial.resume("u"), Some(Resume { len: 3, version: "\"v\"".into() }));
        assert_eq!(partial.resume("other"), None);
        partial.begin("u", None).unwrap().write_all(b"abc").unwrap();
        assert_eq!(partial.resume("u"), None);
        fs::remove_dir_all(&dir).unwrap();
    }
}
