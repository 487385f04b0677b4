//! The one error type of this crate. Kernels fail only while they are being prepared:
//! a bad geometry, a slice of the wrong length, an instruction set this CPU lacks.

use std::fmt;

/// What went wrong, coarsely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Sizes, strides or paddings that describe no computation.
    Geometry,
    /// A slice whose length does not match its geometry.
    Length,
    /// An instruction set this CPU lacks, or a name that is none.
    Isa,
    /// A kernel name that no table line carries.
    Kernel,
}

/// A kernel that could not be prepared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

/// Result of preparing a kernel.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn geometry(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Geometry, message: message.into() }
    }

    pub(crate) fn isa(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Isa, message: message.into() }
    }

    pub(crate) fn kernel(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Kernel, message: message.into() }
    }

    /// What went wrong, coarsely.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

/// Checks that `slice`, called `name` in the message, holds `expected` elements.
pub(crate) fn check_len<T>(name: &str, slice: &[T], expected: usize) -> Result<()> {
    if slice.len() == expected {
        return Ok(());
    }
    let message = format!("{name} holds {} values, its shape needs {expected}", slice.len());
    Err(Error { kind: ErrorKind::Length, message })
}

/// Product of sizes, or an error that names `what` when it overflows.
pub(crate) fn product(what: &str, sizes: &[usize]) -> Result<usize> {
    sizes
        .iter()
        .try_fold(1usize, |all, &size| all.checked_mul(size))
        .filter(|&all| all <= isize::MAX as usize / 8)
        .ok_or_else(|| Error::geometry(format!("{what} of shape {sizes:?} is too large")))
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
