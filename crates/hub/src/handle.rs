//! [`Handle`]: the name of a module as a user writes it, told apart into a local path, a URL or
//! the name of an embedded module.
//!
//! Whether there is anything at that place is found out by the resolvers (`resolve`).

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use sha1::{Digest, Sha1};

use crate::url::{Url, has_scheme};
use crate::{Error, ErrorKind, Result};

/// The name of a module: a folder, a file, a URL, or one that the program brings along.
///
/// | form | example |
/// |---|---|
/// | folder | `models/mobilenet` |
/// | archive or model file | `models/1.tar.gz`, `file:///models/mobilenet.onnx` |
/// | file URL | `https://example.com/mobilenet/1.tar.gz`, `https://example.com/mobilenet.onnx` |
/// | hub URL | `https://tfhub.dev/google/imagenet/mobilenet_v1_025_192/classification/1` |
/// | embedded | `embedded:default` |
/// | Kaggle page | `https://www.kaggle.com/models/google/mobilenet-v1/tensorFlow1/025-192-classification/1` |
///
/// Parsing looks at the text alone: no disk, no network.
///
/// ```
/// use mobilenet_hub::Handle;
///
/// let handle = Handle::parse("https://tfhub.dev/google/imagenet/mobilenet_v1_025_192/classification/1")?;
/// assert!(handle.is_remote());
/// // TensorFlow Hub's folder name in the cache:
/// assert_eq!(handle.cache_key(), "b20fac96d6207a1c0d5dfd9798daa75b2e9adb87");
///
/// let handle = Handle::parse("file:///models/mobile%20net")?;
/// assert_eq!(handle.path().unwrap(), std::path::Path::new("/models/mobile net"));
/// # Ok::<(), mobilenet_hub::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Handle {
    text: String,
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Local(PathBuf),
    Remote(Url),
    Embedded(String),
}

impl Handle {
    /// Tells what kind of handle `text` is.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidHandle`] for an empty text, a scheme other than `http`, `https` and
    /// `file`, and a URL that is malformed or carries a password.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = |reason: String| {
            let message = format!("`{}` is no module handle: {reason}", text.escape_debug());
            Error::new(ErrorKind::InvalidHandle, message)
        };
        if text.is_empty() {
            return Err(invalid("it is empty".into()));
        }
        let place = place_of(text).map_err(invalid)?;
        Ok(Handle { text: text.to_owned(), place })
    }

    /// The handle of a folder or archive file, whatever characters its path has.
    pub fn from_path(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Handle { text: path.display().to_string(), place: Place::Local(path) }
    }

    /// The handle as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The path of a local handle.
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::Local(path) => Some(path),
            Place::Remote(_) | Place::Embedded(_) => None,
        }
    }

    /// Whether the handle is a URL, so that its module lives in the cache.
    pub fn is_remote(&self) -> bool {
        matches!(self.place, Place::Remote(_))
    }

    /// The name of the handle's folder in the cache: the SHA-1 of its text in hexadecimal.
    pub fn cache_key(&self) -> String {
        crate::hex::encode(&Sha1::digest(self.text.as_bytes()))
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }
}

fn place_of(text: &str) -> Result<Place, String> {
    let lower = text.get(..8).unwrap_or(text).to_ascii_lowercase();
    if lower.starts_with("http://") || lower.starts_with("https://") {
        return Url::parse(text).map(Place::Remote);
    }
    if lower.starts_with("file:") {
        return file_path(text.get("file:".len()..).unwrap_or_default()).map(Place::Local);
    }
    if let Some(name) = text.strip_prefix("embedded:") {
        return Ok(Place::Embedded(name.to_owned()));
    }
    match text.split_once("://") {
        Some(("gs", rest)) => {
            Err(format!("`gs://` needs Google's tools; use https://storage.googleapis.com/{rest}"))
        }
        Some((scheme, _)) if has_scheme(text) => {
            Err(format!("`{scheme}://` is not supported; use http, https, file or a path"))
        }
        _ if text.contains('\0') => Err("it has a zero byte".into()),
        _ => Ok(Place::Local(PathBuf::from(text))),
    }
}

/// The path behind `file:`, as RFC 8089 has it: `//host/path`, `///path` or `/path`.
fn file_path(rest: &str) -> Result<PathBuf, String> {
    let path = match rest.strip_prefix("//") {
        Some(rest) if rest.starts_with('/') => rest,
        Some(rest) => rest
            .strip_prefix("localhost")
            .filter(|path| path.starts_with('/'))
            .ok_or("a file URL must name this machine: file:///absolute/path")?,
        None => rest,
    };
    let path = percent_decode_str(path).decode_utf8().map_err(|error| error.to_string())?;
    if path.is_empty() || path.contains('\0') {
        return Err("a file URL needs a path".into());
    }
    let drive = path.strip_prefix('/').filter(|path| path.as_bytes().get(1) == Some(&b':'));
    Ok(PathBuf::from(drive.filter(|_| cfg!(windows)).unwrap_or(&path)))
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Handle {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Handle::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_key_is_tensorflow_hubs() {
        let feature_vector =
            "https://tfhub.dev/google/imagenet/mobilenet_v1_025_192/feature_vector/1";
        let key = Handle::parse(feature_vector).unwrap().cache_key();
        assert_eq!(key, "3a21d0f41a3e131f2992a671c22dc3fc88875b04");
    }

    #[test]
    fn local_and_remote_are_told_apart() {
        for text in ["a", "./a", "/a/1.tar.gz", "a:b", "C:\\models", "http", "größe/ä.tgz"] {
            assert_eq!(Handle::parse(text).unwrap().path(), Some(Path::new(text)), "{text}");
        }
        for text in ["http://h/1", "HTTPS://h/1.tar.gz", "https://h"] {
            assert!(Handle::parse(text).unwrap().is_remote(), "{text}");
        }
        for text in ["file:///a", "file:/a", "file://localhost/a", "FILE:///%61"] {
            assert_eq!(Handle::parse(text).unwrap().path(), Some(Path::new("/a")), "{text}");
        }
    }

    #[test]
    fn what_is_no_handle_says_why() {
        for text in [
            "",
            "gs://b/m",
            "s3://b/m",
            "http://",
            "https://u:p@h/m",
            "file://host/a",
            "file:",
            "a\0b",
        ] {
            let error = Handle::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidHandle, "{text}");
        }
        let hint = Handle::parse("gs://b/m").unwrap_err().to_string();
        assert!(hint.contains("https://storage.googleapis.com/b/m"), "{hint}");
    }
}
