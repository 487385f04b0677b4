//! Element by element on two broadcast operands: arithmetic and comparison.

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::{DType, Tensor};

use super::Op;
use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::{Fact, Shape};
use crate::lower::{Affine, Lowering};
use crate::reference::{self, Numbers};

/// What is done to `a` and `b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Maximum,
    Minimum,
    SquaredDifference,
    Greater,
    GreaterEqual,
}

impl Arithmetic {
    /// On one pair, in double precision; truth values are 0 and 1.
    fn apply(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Add => a + b,
            Self::Subtract => a - b,
            Self::Multiply => a * b,
            Self::Divide => a / b,
            Self::Maximum => {
                if a.is_nan() || a > b {
                    a
                } else {
                    b
                }
            }
            Self::Minimum => {
                if a.is_nan() || a < b {
                    a
                } else {
                    b
                }
            }
            Self::SquaredDifference => (a - b) * (a - b),
            Self::Greater => f64::from(a > b),
            Self::GreaterEqual => f64::from(a >= b),
        }
    }

    fn apply_whole(self, a: i64, b: i64) -> Option<i64> {
        match self {
            Self::Add => a.checked_add(b),
            Self::Subtract => a.checked_sub(b),
            Self::Multiply => a.checked_mul(b),
            Self::Divide => a.checked_div(b),
            Self::Maximum => Some(a.max(b)),
            Self::Minimum => Some(a.min(b)),
            Self::SquaredDifference => a.checked_sub(b).and_then(|d| d.checked_mul(d)),
            Self::Greater => Some(i64::from(a > b)),
            Self::GreaterEqual => Some(i64::from(a >= b)),
        }
    }

    pub(crate) fn is_comparison(self) -> bool {
        matches!(self, Self::Greater | Self::GreaterEqual)
    }
}

#[derive(Debug)]
pub(super) struct Binary {
    arithmetic: Arithmetic,
}

macro_rules! imports {
    ($($name:ident $arithmetic:ident,)*) => {
        impl Binary {
            $(pub(super) fn $name(_attributes: &Attributes) -> Result<Arc<dyn Op>> {
                Ok(Arc::new(Self::new(Arithmetic::$arithmetic)))
            })*
        }
    };
}

imports! {
    add Add,
    subtract Subtract,
    multiply Multiply,
    divide Divide,
    maximum Maximum,
    minimum Minimum,
    squared_difference SquaredDifference,
    greater Greater,
    greater_equal GreaterEqual,
}

impl Binary {
    pub(super) fn new(arithmetic: Arithmetic) -> Self {
        Self { arithmetic }
    }

    /// As an affine of operand 0 or 1, if the other is a constant per channel or for all.
    fn affine(&self, lowering: &mut Lowering<'_>) -> Result<Option<(usize, Affine)>> {
        for variable in [0, 1] {
            let Some(constant) = lowering.per_channel(1 - variable, variable)? else { continue };
            let affine = match (self.arithmetic, variable) {
                (Arithmetic::Add, _) => Affine::offset(constant),
                (Arithmetic::Multiply, _) => Affine::scale(constant),
                (Arithmetic::Subtract, 0) => Affine::offset(negate(constant)),
                (Arithmetic::Subtract, _) => Affine { scale: vec![-1.0], offset: constant },
                (Arithmetic::Divide, 0) => Affine::scale(invert(constant)),
                _ => return Ok(None),
            };
            return Ok(Some((variable, affine)));
        }
        Ok(None)
    }
}

fn negate(values: Vec<f64>) -> Vec<f64> {
    values.into_iter().map(|value| -value).collect()
}

fn invert(values: Vec<f64>) -> Vec<f64> {
    values.into_iter().map(|value| 1.0 / value).collect()
}

impl Op for Binary {
    fn arity(&self) -> RangeInclusive<usize> {
        2..=2
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        let operand = super::expect_same_dtype(&inputs[0], &inputs[1])?;
        let dtype = if self.arithmetic.is_comparison() { Some(DType::Bool) } else { operand };
        let shape = broadcast(&inputs[0].shape, &inputs[1].shape)?;
        Ok(vec![Fact { dtype, shape, ..Fact::unknown() }])
    }

    fn evaluate(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let (a, b) = (inputs[0], inputs[1]);
        let shape = reference::broadcast(a.shape(), b.shape())?;
        let (sa, sb) = (
            reference::broadcast_strides(a.shape(), shape.len()),
            reference::broadcast_strides(b.shape(), shape.len()),
        );
        let dtype = if self.arithmetic.is_comparison() { DType::Bool } else { a.dtype() };
        let values = match (reference::numbers(a)?, reference::numbers(b)?) {
            (Numbers::Real(a), Numbers::Real(b)) => {
                let mut out = Vec::new();
                reference::walk(&shape, [&sa, &sb], |[i, j]| {
                    out.push(self.arithmetic.apply(a[i], b[j]));
                });
                if self.arithmetic.is_comparison() {
                    Numbers::Whole(out.into_iter().map(|value| value as i64).collect())
                } else {
                    Numbers::Real(out)
                }
            }
            (Numbers::Whole(a), Numbers::Whole(b)) => {
                let mut out = Vec::new();
                reference::walk(&shape, [&sa, &sb], |[i, j]| {
                    out.push(self.arithmetic.apply_whole(a[i], b[j]));
                });
                let out: Option<Vec<i64>> = out.into_iter().collect();
                Numbers::Whole(out.ok_or_else(|| Error::shape("integer overflow"))?)
            }
            _ => return Err(Error::dtype("operands of different kinds")),
        };
        Ok(vec![reference::tensor(dtype, &shape, values)?])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        if let Some((operand, affine)) = self.affine(lowering)? {
            return lowering.affine(operand, affine);
        }
        lowering.binary(self.arithmetic)
    }
}

/// Broadcasting of shapes with unknown dimensions.
pub(super) fn broadcast(a: &Shape, b: &Shape) -> Result<Shape> {
    let (Some(x), Some(y)) = (a.dims(), b.dims()) else { return Ok(Shape::unknown()) };
    let rank = x.len().max(y.len());
    let dim = |dims: &[Option<usize>], i: usize| match (i + dims.len()).checked_sub(rank) {
        Some(i) => dims[i],
        None => Some(1),
    };
    let dims = (0..rank).map(|i| match (dim(x, i), dim(y, i)) {
        (Some(1), other) | (other, Some(1)) => Ok(other),
        (None, other) | (other, None) => Ok(other),
        (Some(x), Some(y)) if x == y => Ok(Some(x)),
        _ => Err(Error::shape(format!("shapes {a} and {b} do not broadcast"))),
    });
    Ok(Shape::new(dims.collect::<Result<_>>()?))
}
