//! What a module offers: signatures with named inputs and outputs, as its file declares them.

use std::fmt;

use mobilenet_formats::DType;

/// A way to call a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Its name, such as `image_classification`.
    pub name: String,
    /// What it takes, by key.
    pub inputs: Vec<Port>,
    /// What it gives, by key.
    pub outputs: Vec<Port>,
}

/// An input or output of a [`Signature`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name for callers, such as `images`.
    pub key: String,
    /// Its name in the graph, such as `hub_input/images:0`.
    pub tensor: String,
    /// The type of its values.
    pub dtype: DType,
    /// Its dimensions, `None` for any; `None` if even their number is not known.
    pub shape: Option<Vec<Option<usize>>>,
}

/// What a module's `image_classification` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scores {
    /// The network's own outputs; softmax makes probabilities of them.
    Logits,
    /// Probabilities already: the file has nothing before its softmax, or hides it.
    Probabilities,
}

impl fmt::Display for Scores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scores::Logits => "logits",
            Scores::Probabilities => "probabilities",
        })
    }
}

impl Signature {
    /// The input called `key`.
    pub fn input(&self, key: &str) -> Option<&Port> {
        self.inputs.iter().find(|port| port.key == key)
    }

    /// The output called `key`.
    pub fn output(&self, key: &str) -> Option<&Port> {
        self.outputs.iter().find(|port| port.key == key)
    }
}

impl Port {
    /// Whether values of `shape` may go here.
    pub fn admits(&self, shape: &[usize]) -> bool {
        let fits = |(have, want): (&usize, &Option<usize>)| want.is_none_or(|want| *have == want);
        self.shape.as_ref().is_none_or(|declared| {
            declared.len() == shape.len() && shape.iter().zip(declared).all(fits)
        })
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.dtype, DisplayShape(self.shape.as_deref()))
    }
}

/// `[?, 192, 192, 3]`, or `[…]` where the number of dimensions is not known.
pub(crate) struct DisplayShape<'a>(pub(crate) Option<&'a [Option<usize>]>);

impl fmt::Display for DisplayShape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(shape) = self.0 else { return f.write_str("[…]") };
        f.write_str("[")?;
        for (place, dimension) in shape.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            match dimension {
                Some(size) => write!(f, "{comma}{size}")?,
                None => write!(f, "{comma}?")?,
            }
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_shown_and_checked() {
        let port = Port {
            key: "images".into(),
            tensor: "hub_input/images:0".into(),
            dtype: DType::F32,
            shape: Some(vec![None, Some(192), Some(192), Some(3)]),
        };
        assert!(port.to_string().ends_with("[?, 192, 192, 3]"));
        assert!(port.admits(&[7, 192, 192, 3]));
        assert!(!port.admits(&[7, 192, 192]) && !port.admits(&[7, 191, 192, 3]));
        let any = Port { shape: None, ..port };
        assert!(any.admits(&[]) && any.to_string().ends_with("[…]"));
    }
}
