//! The one error of this crate: what kind, where in which file, and what to do about it.
//!
//! Readers start with [`Error::new`] at the place of the fault and add the place on the way out with
//! [`Error::within`]; nothing here knows a format.

use std::fmt;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of trouble an [`Error`] reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The bytes do not follow the format.
    Malformed,
    /// The bytes end before the format says they should.
    Truncated,
    /// A stored checksum does not match the bytes.
    Checksum,
    /// The file asks for more than a [`Limits`](crate::Limits) field allows.
    Limit,
    /// The file is sound but uses something we do not implement.
    Unsupported,
    /// A file, variable, signature or tag set that was asked for is not there.
    NotFound,
    /// Two parts that should agree do not: shape and length, dtype and values.
    Mismatch,
    /// A path in an archive or model that must not be followed.
    UnsafePath,
    /// Reading the bytes failed.
    Io,
}

/// An error of reading or writing a format.
///
/// `Display` says where (file, byte offset, field) and, when known, what to do.
///
/// ```
/// use mobilenet_formats::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::Truncated, "need 48 bytes, have 3")
///     .offset(0)
///     .within("variables/variables.index")
///     .hint("fetch the module again");
/// assert_eq!(error.kind(), ErrorKind::Truncated);
/// assert_eq!(
///     error.to_string(),
///     "variables/variables.index: byte 0: need 48 bytes, have 3 (fetch the module again)"
/// );
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    /// Outermost place last.
    places: Vec<String>,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind`; `message` says what is wrong without saying where.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let (message, places) = (message.into(), Vec::new());
        Error(Box::new(Inner { kind, places, message, hint: None, source: None }))
    }

    /// Adds the place around the places named so far: a field, an entry, a file.
    #[must_use]
    pub fn within(mut self, place: impl Into<String>) -> Self {
        self.0.places.push(place.into());
        self
    }

    /// Adds a byte offset as the place.
    #[must_use]
    pub fn offset(self, byte: u64) -> Self {
        self.within(format!("byte {byte}"))
    }

    /// Says what the reader of the message can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Keeps the error that caused this one.
    #[must_use]
    pub fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What kind of trouble this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in self.0.places.iter().rev() {
            write!(f, "{}: ", place.escape_debug())?;
        }
        f.write_str(&self.0.message)?;
        match &self.0.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
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

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::UnexpectedEof => ErrorKind::Truncated,
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Io,
        };
        Error::new(kind, error.to_string()).caused_by(error)
    }
}

impl From<prost::DecodeError> for Error {
    fn from(error: prost::DecodeError) -> Self {
        Error::new(ErrorKind::Malformed, error.to_string()).caused_by(error)
    }
}

/// Adds the place to the error of a `Result`.
pub trait Within<T> {
    /// As [`Error::within`]; `place` is only built when there is an error.
    ///
    /// # Errors
    /// The error of `self`, with the place added.
    fn within<P: Into<String>>(self, place: impl FnOnce() -> P) -> Result<T>;
}

impl<T, E: Into<Error>> Within<T> for std::result::Result<T, E> {
    fn within<P: Into<String>>(self, place: impl FnOnce() -> P) -> Result<T> {
        self.map_err(|error| error.into().within(place()))
    }
}
