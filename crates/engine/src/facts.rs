//! What is known of a tensor before it is computed: dtype, shape with unknown dimensions, and
//! its value where that is already known.
//!
//! Ops turn facts into facts ([`crate::ops::Op::infer`]); a plan wants them all concrete.

use std::fmt;
use std::sync::Arc;

use mobilenet_formats::{DType, Tensor};

use crate::error::{Error, Result};

/// No tensor has more elements than this: a guard against hostile shapes.
/// (What is allocated is limited further.)
pub const MAX_ELEMENTS: usize = if usize::BITS > 32 { 1 << 40 } else { 1 << 30 };

/// A shape of which dimensions, or even the rank, may be unknown.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Shape(Option<Vec<Option<usize>>>);

impl Shape {
    /// A shape of unknown rank.
    pub const fn unknown() -> Self {
        Self(None)
    }

    /// The shape `[]` of a scalar.
    pub const fn scalar() -> Self {
        Self(Some(Vec::new()))
    }

    /// A shape of known rank; `None` is an unknown dimension.
    pub fn new(dims: Vec<Option<usize>>) -> Self {
        Self(Some(dims))
    }

    /// A shape with every dimension known.
    pub fn known(dims: &[usize]) -> Self {
        Self(Some(dims.iter().copied().map(Some).collect()))
    }

    /// A shape of `rank` unknown dimensions.
    pub fn of_rank(rank: usize) -> Self {
        Self(Some(vec![None; rank]))
    }

    /// The dimensions, if the rank is known.
    pub fn dims(&self) -> Option<&[Option<usize>]> {
        self.0.as_deref()
    }

    /// The number of dimensions, if known.
    pub fn rank(&self) -> Option<usize> {
        self.0.as_ref().map(Vec::len)
    }

    /// Dimension `axis`, if the rank and the dimension are known and `axis` exists.
    pub fn dim(&self, axis: usize) -> Option<usize> {
        self.dims()?.get(axis).copied().flatten()
    }

    /// The last dimension (channels of NHWC), if known.
    pub fn last(&self) -> Option<usize> {
        self.dims()?.last().copied().flatten()
    }

    /// Every dimension, if all are known.
    pub fn concrete(&self) -> Option<Vec<usize>> {
        self.dims()?.iter().copied().collect()
    }

    /// Whether both could be the shape of one tensor.
    pub fn is_compatible(&self, other: &Shape) -> bool {
        self.merge(other).is_some()
    }

    /// What both say together; `None` where they contradict each other.
    pub fn merge(&self, other: &Shape) -> Option<Shape> {
        let (Some(a), Some(b)) = (&self.0, &other.0) else {
            return Some(if self.0.is_some() { self.clone() } else { other.clone() });
        };
        if a.len() != b.len() {
            return None;
        }
        let dims = a.iter().zip(b).map(|(a, b)| match (a, b) {
            (Some(a), Some(b)) if a != b => None,
            (a, b) => Some(a.or(*b)),
        });
        dims.collect::<Option<Vec<_>>>().map(|dims| Shape(Some(dims)))
    }
}

impl From<&[usize]> for Shape {
    fn from(dims: &[usize]) -> Self {
        Self::known(dims)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(dims) = &self.0 else { return f.write_str("[...]") };
        f.write_str("[")?;
        for (i, dim) in dims.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            match dim {
                Some(dim) => write!(f, "{comma}{dim}")?,
                None => write!(f, "{comma}?")?,
            }
        }
        f.write_str("]")
    }
}

/// The number of elements of a concrete shape.
///
/// # Errors
/// `Shape` where the product overflows or exceeds [`MAX_ELEMENTS`].
pub(crate) fn elements(dims: &[usize]) -> Result<usize> {
    let product = dims.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim));
    product.filter(|&count| count <= MAX_ELEMENTS).ok_or_else(|| {
        Error::shape(format!("{} has more than {MAX_ELEMENTS} elements", Shape::known(dims)))
    })
}

/// A variable as its handle knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Variable {
    /// The name under which checkpoints hold it.
    pub name: String,
    /// Its dtype.
    pub dtype: DType,
    /// Its shape.
    pub shape: Shape,
}

/// What is known of one output of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// The element type, [`DType::Resource`] for a variable's handle; `None` is unknown.
    pub dtype: Option<DType>,
    /// The shape as far as it is known.
    pub shape: Shape,
    /// The value, where it is a constant. Folded floating-point values are held in `f64`
    /// whatever `dtype` says: they are rounded once, where a kernel takes them.
    pub value: Option<Arc<Tensor>>,
    /// The variable behind a handle or a reference.
    pub variable: Option<Arc<Variable>>,
}

impl Fact {
    /// A tensor of `dtype` and `shape`, its value unknown.
    pub fn new(dtype: DType, shape: Shape) -> Self {
        Self { dtype: Some(dtype), shape, value: None, variable: None }
    }

    /// A tensor of which nothing is known.
    pub fn unknown() -> Self {
        Self { dtype: None, shape: Shape::unknown(), value: None, variable: None }
    }

    /// A tensor whose value is known.
    pub fn constant(value: Arc<Tensor>) -> Self {
        let shape = Shape::known(value.shape());
        Self { dtype: Some(value.dtype()), shape, value: Some(value), variable: None }
    }

    /// The value as integers, where it is a known integer tensor (shapes, axes, sizes).
    pub fn integers(&self) -> Option<Vec<i64>> {
        crate::reference::integers(self.value.as_deref()?)
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.dtype {
            Some(dtype) => write!(f, "{dtype}{}", self.shape),
            None => write!(f, "?{}", self.shape),
        }
    }
}

/// Facts as an error message shows them: `float[?,192,192,3], int32[2]`.
pub(crate) fn list(facts: &[Fact]) -> String {
    facts.iter().map(Fact::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_keeps_what_either_knows() {
        let a = Shape::new(vec![None, Some(3)]);
        let b = Shape::new(vec![Some(2), None]);
        assert_eq!(a.merge(&b), Some(Shape::known(&[2, 3])));
        assert_eq!(a.merge(&Shape::unknown()), Some(a.clone()));
        assert_eq!(a.merge(&Shape::known(&[2, 4])), None);
        assert_eq!(a.merge(&Shape::of_rank(3)), None);
        assert_eq!(a.to_string(), "[?,3]");
    }

    #[test]
    fn overflowing_shapes_are_errors() {
        assert!(elements(&[usize::MAX, 2]).is_err());
        assert!(elements(&[1 << 21, 1 << 20]).is_err());
        assert_eq!(elements(&[0, 7]).ok(), Some(0));
        assert_eq!(elements(&[]).ok(), Some(1));
    }
}
