//! The one error type of the engine: what went wrong and at which node.
//!
//! Every message names the node, its op and the shapes it was given wherever there is a node
//! to name; ops build errors without a place and the graph adds it with [`Error::at`].

use std::fmt;

/// The result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing went wrong; see [`Error::kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The graph is malformed: a cycle, a missing input, a doubled name, a bad attribute.
    InvalidGraph,
    /// A valid thing this engine does not do: an op, an attribute value, a dtype of an op.
    Unsupported,
    /// Shapes do not fit together, or a size is negative, zero or too large.
    Shape,
    /// A tensor has another dtype than the op wants.
    DType,
    /// A named tensor, node or variable is not there.
    NotFound,
    /// A tensor handed in by the caller does not fit the plan.
    Input,
    /// A limit that guards memory was exceeded.
    Limit,
}

/// An engine error; says where (node, op, shapes) and what to do when that is known.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    place: Option<Place>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

#[derive(Debug)]
struct Place {
    node: String,
    op: String,
    inputs: String,
}

impl Error {
    /// An error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), place: None, source: None }))
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidGraph, message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }

    pub(crate) fn shape(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Shape, message)
    }

    pub(crate) fn dtype(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::DType, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    pub(crate) fn input(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Input, message)
    }

    /// Keeps `source` as the cause.
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Adds the node where it happened, unless one is named already.
    pub(crate) fn at(mut self, node: &str, op: &str, inputs: impl fmt::Display) -> Self {
        if self.0.place.is_none() {
            self.0.place =
                Some(Place { node: shorten(node), op: shorten(op), inputs: inputs.to_string() });
        }
        self
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The node where it happened, if the error belongs to one.
    pub fn node(&self) -> Option<&str> {
        self.0.place.as_ref().map(|place| place.node.as_str())
    }
}

/// Names come from files: keep a hostile one from flooding the message.
pub(crate) fn shorten(name: &str) -> String {
    const MOST: usize = 200;
    if name.chars().count() <= MOST {
        return name.escape_debug().to_string();
    }
    let head: String = name.chars().take(MOST).collect();
    format!("{}… ({} bytes)", head.escape_debug(), name.len())
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.0.place {
            write!(f, "node '{}' ({}", place.node, place.op)?;
            if !place.inputs.is_empty() {
                write!(f, " of {}", place.inputs)?;
            }
            write!(f, "): ")?;
        }
        write!(f, "{}", self.0.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_node_once() {
        let error = Error::shape("4 channels wanted").at("a/b", "Conv2D", "float[1,2]");
        let again = error.at("c", "Mul", "");
        assert_eq!(again.to_string(), "node 'a/b' (Conv2D of float[1,2]): 4 channels wanted");
        assert_eq!(again.node(), Some("a/b"));
    }

    #[test]
    fn huge_names_are_shortened() {
        let error = Error::invalid("bad").at(&"x".repeat(1 << 20), "Op", "");
        assert!(error.to_string().len() < 400);
    }
}
