//! The one error of this crate: what kind, about what, and everything that was tried on the way.
//!
//! Built by every other file here; nothing in this file touches a disk or a socket.

use std::fmt;
use std::io;
use std::path::Path;

use crate::{embedded, local, remote};

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of trouble an [`Error`] reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The text is not a handle.
    InvalidHandle,
    /// A setting or an environment variable has a value that means nothing.
    InvalidOption,
    /// There is nothing at that path or URL.
    NotFound,
    /// It would have to be downloaded, and downloading is switched off.
    Offline,
    /// The connection failed, was cut or timed out, and trying again did not help.
    Network,
    /// The server answered, but with an error status or an answer that makes no sense.
    Server,
    /// A redirect that must not be followed.
    Redirect,
    /// More bytes, entries or redirects than the limits allow.
    Limit,
    /// The bytes are neither an archive nor a model file, or a broken or hostile archive.
    Archive,
    /// Files that make a module complete are missing.
    Incomplete,
    /// The bytes are not those that a checksum promised.
    Checksum,
    /// A file or folder could not be read or written.
    Io,
    /// Another process holds the lock of the cache entry and does not let go.
    Locked,
}

/// One thing that was tried to resolve a handle, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The name of the resolver, such as `file URL`.
    pub resolver: &'static str,
    /// Why it declined or failed, in words.
    pub reason: String,
    /// What kind of failure it was; `None` when the resolver declined the handle.
    pub failure: Option<ErrorKind>,
}

/// An error of resolving a handle or of the cache.
///
/// `Display` names the handle, path or URL, says what happened and, where known, what to do. An
/// error of [`Hub::resolve`](crate::Hub::resolve) says what each resolver failed at.
///
/// ```
/// use mobilenet_hub::{ErrorKind, Handle};
///
/// let error = Handle::parse("gs://bucket/module").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::InvalidHandle);
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    attempts: Vec<Attempt>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Error(Box::new(Inner { kind, message, hint: None, attempts: Vec::new(), source: None }))
    }

    /// Says what the reader of the message can do.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub(crate) fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The error of a handle for which no resolver had a module.
    pub(crate) fn unresolved(handle: &str, attempts: Vec<Attempt>) -> Self {
        let kind = attempts.iter().rev().find_map(|attempt| attempt.failure);
        let mut error =
            Error::new(kind.unwrap_or(ErrorKind::NotFound), format!("no module at `{handle}`"));
        error.0.attempts = attempts;
        error
    }

    /// What kind of trouble this is; for a handle that did not resolve, that of the last failure.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What was tried, in order; empty for errors that are not about resolving a handle.
    pub fn attempts(&self) -> &[Attempt] {
        &self.0.attempts
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        write_attempts(f, &self.0.attempts)?;
        match &self.0.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// What went wrong, resolver by resolver; that others declined is worth a word only where none
/// failed.
fn write_attempts(f: &mut fmt::Formatter<'_>, attempts: &[Attempt]) -> fmt::Result {
    let any_failed = attempts.iter().any(|attempt| attempt.failure.is_some());
    let telling = |attempt: &&Attempt| {
        let others = [local::NOT_A_PATH, embedded::NOT_EMBEDDED, remote::NOT_A_URL];
        let declined = !others.contains(&attempt.reason.as_str());
        if any_failed { attempt.failure.is_some() } else { declined }
    };
    let mut told: Vec<_> = attempts.iter().filter(telling).collect();
    told.dedup_by(|a, b| a.reason == b.reason);
    match told.as_slice() {
        [one] => write!(f, ": {}", one.reason),
        many => many
            .iter()
            .try_for_each(|attempt| write!(f, "\n  {}: {}", attempt.resolver, attempt.reason)),
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}: {self}", self.0.kind)?;
        if let Some(source) = &self.0.source {
            write!(f, "; caused by {source:?}")?;
        }
        f.write_str(")")
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<mobilenet_formats::Error> for Error {
    fn from(error: mobilenet_formats::Error) -> Self {
        let kind = match error.kind() {
            mobilenet_formats::ErrorKind::Limit => ErrorKind::Limit,
            mobilenet_formats::ErrorKind::Checksum => ErrorKind::Checksum,
            mobilenet_formats::ErrorKind::Io => ErrorKind::Io,
            _ => ErrorKind::Archive,
        };
        Error::new(kind, error.to_string()).caused_by(error)
    }
}

/// An I/O error at `path`, in words that say what to do about a full or read-only disk.
pub(crate) fn at(path: &Path, doing: &str, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Some("there is no room: free some space or point TFHUB_CACHE_DIR to another disk")
        }
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            Some("not writable or not readable: point TFHUB_CACHE_DIR to a folder that is")
        }
        io::ErrorKind::NotADirectory => {
            Some("part of the path is a file: point TFHUB_CACHE_DIR to a folder")
        }
        _ => None,
    };
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        _ => ErrorKind::Io,
    };
    let message = format!("{}: cannot {doing}: {error}", path.display());
    let error = Error::new(kind, message).caused_by(error);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Adds path and action to the error of an I/O result.
pub(crate) trait At<T> {
    fn at(self, path: &Path, doing: &str) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path, doing: &str) -> Result<T> {
        self.map_err(|error| at(path, doing, error))
    }
}
