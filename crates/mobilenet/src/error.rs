//! The one error of this crate. Errors of the crates below pass through with their own words;
//! what is added here is which file, signature or input they are about.

use std::fmt;

/// What went wrong, for code that must decide; the text of [`Error`] is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The handle leads to no module: no such file, no network, nothing cached.
    Fetch,
    /// The module's files are damaged, incomplete or of an unknown kind.
    Format,
    /// The module's graph cannot run: an unknown op, shapes that do not fit.
    Graph,
    /// A signature, input, output or tag set that the module does not have.
    NotFound,
    /// A tensor of the wrong type or shape, or with values far outside its range.
    Input,
    /// An image that cannot be decoded or prepared.
    Image,
    /// A label file that cannot be used, or does not fit the number of classes.
    Labels,
    /// A file that cannot be read.
    Io,
    /// Training cannot start or go on: unusable data or settings, a loss that is no number.
    Training,
}

/// What went wrong, where, and, when known, what to do about it.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The result of everything fallible in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of its own words.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner { kind, message: message.into(), source: None }))
    }

    /// An error of other words: `message` says what was being done.
    pub(crate) fn because(
        kind: ErrorKind,
        message: impl Into<String>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        let source: Box<dyn std::error::Error + Send + Sync> = Box::new(source);
        Error(Box::new(Inner { kind, message: message.into(), source: Some(source) }))
    }

    /// The kind of failure, for code that must decide.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&*self.0.message, &self.0.source) {
            ("", Some(source)) => source.fmt(f),
            (message, _) => f.write_str(message),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("source", &self.0.source)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match (&*self.0.message, self.0.source.as_deref()) {
            // The words are the source's own: its source comes next.
            ("", Some(source)) => source.source(),
            (_, source) => source.map(|source| source as _),
        }
    }
}

/// Errors that pass through with their own words.
macro_rules! pass_through {
    ($($error:ty => $kind:ident,)*) => {
        $(impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Error::because(ErrorKind::$kind, "", error)
            }
        })*
    };
}

pass_through! {
    mobilenet_hub::Error => Fetch,
    mobilenet_formats::Error => Format,
    mobilenet_engine::Error => Graph,
    mobilenet_train::Error => Training,
}

impl From<mobilenet_vision::Error> for Error {
    fn from(error: mobilenet_vision::Error) -> Self {
        let kind = match error.kind() {
            mobilenet_vision::ErrorKind::Labels => ErrorKind::Labels,
            _ => ErrorKind::Image,
        };
        Error::because(kind, "", error)
    }
}
