//! The one error type of this crate: what went wrong, where, and what to do about it.
//!
//! An [`Error`] never holds pixels or file names: the caller knows the path and adds it.

use std::borrow::Cow;
use std::fmt;

/// What went wrong, for code that must decide; the text of [`Error`] is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The bytes are no image format this crate knows.
    UnknownFormat,
    /// The format is known and this file breaks its rules, or ends too early.
    Damaged,
    /// The file may be fine, but it uses a feature that is not decoded here.
    Unsupported,
    /// Decoding would take more pixels, memory or work than the limits allow.
    LimitExceeded,
    /// A decoder failed in a way it should not; please report the file.
    Internal,
    /// An argument cannot be used: a size of zero, a buffer of the wrong length, an unknown name.
    InvalidArgument,
    /// A label file cannot be used, or does not fit the number of classes.
    Labels,
}

/// What went wrong, where, and what to do about it.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: Cow<'static, str>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The result of everything fallible in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The kind of failure, for code that must decide.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(crate) fn damaged(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Damaged, message)
    }

    pub(crate) fn unsupported(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    pub(crate) fn limit(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::LimitExceeded, message)
    }

    pub(crate) fn argument(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    pub(crate) fn labels(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Labels, message)
    }

    pub(crate) fn with_source(
        mut self,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        self.source = Some(Box::new(source));
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
