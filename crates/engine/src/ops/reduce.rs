//! Reductions over given axes: `Mean`, `Sum`, `Max`, `Prod`.

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::Tensor;

use super::Op;
use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::{Fact, Shape, elements};
use crate::lower::Lowering;
use crate::reference::{self, Numbers};

/// How values become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reduction {
    Mean,
    Sum,
    Max,
    Product,
}

#[derive(Debug)]
pub(super) struct Reduce {
    reduction: Reduction,
    keep_dims: bool,
}

macro_rules! imports {
    ($($name:ident $reduction:ident,)*) => {
        impl Reduce {
            $(pub(super) fn $name(attributes: &Attributes) -> Result<Arc<dyn Op>> {
                let keep_dims = attributes.bool("keep_dims", false)?;
                Ok(Arc::new(Self { reduction: Reduction::$reduction, keep_dims }))
            })*
        }
    };
}

imports! {
    mean Mean,
    sum Sum,
    max Max,
    product Product,
}

impl Reduce {
    fn output_dims<T: Copy>(&self, dims: &[T], reduced: &[bool], one: T) -> Vec<T> {
        let kept = dims.iter().zip(reduced).filter_map(|(&dim, &reduced)| match reduced {
            false => Some(dim),
            true => self.keep_dims.then_some(one),
        });
        kept.collect()
    }

    fn reduce_reals(&self, x: &[f64], slots: &[usize], mut y: Vec<f64>, each: f64) -> Vec<f64> {
        for (x, &slot) in x.iter().zip(slots) {
            let y = &mut y[slot];
            match self.reduction {
                Reduction::Mean | Reduction::Sum => *y += x,
                Reduction::Max => *y = if *x > *y || x.is_nan() { *x } else { *y },
                Reduction::Product => *y *= x,
            }
        }
        if self.reduction == Reduction::Mean {
            y.iter_mut().for_each(|y| *y /= each);
        }
        y
    }

    fn reduce_wholes(&self, x: &[i64], slots: &[usize], mut y: Vec<i64>) -> Result<Vec<i64>> {
        for (&x, &slot) in x.iter().zip(slots) {
            let y = &mut y[slot];
            *y = match self.reduction {
                Reduction::Sum => y.checked_add(x),
                Reduction::Product => y.checked_mul(x),
                Reduction::Max => Some((*y).max(x)),
                Reduction::Mean => None,
            }
            .ok_or_else(|| Error::unsupported("integers: a mean, or a sum out of range"))?;
        }
        Ok(y)
    }
}

/// Which axes of a rank the (possibly negative) `axes` name.
///
/// # Errors
/// `Shape` where an axis is out of range.
pub(crate) fn reduced_axes(axes: &[i64], rank: usize) -> Result<Vec<bool>> {
    let mut reduced = vec![false; rank];
    for &axis in axes {
        let index = super::axis(axis, rank)?;
        reduced[index] = true;
    }
    Ok(reduced)
}

impl Op for Reduce {
    fn arity(&self) -> RangeInclusive<usize> {
        2..=2
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        let shape = match (inputs[0].shape.dims(), inputs[1].integers()) {
            (Some(dims), Some(axes)) => {
                let reduced = reduced_axes(&axes, dims.len())?;
                Shape::new(self.output_dims(dims, &reduced, Some(1)))
            }
            (Some(dims), None) if self.keep_dims => Shape::of_rank(dims.len()),
            _ => Shape::unknown(),
        };
        Ok(vec![Fact { shape, value: None, variable: None, ..inputs[0].clone() }])
    }

    fn evaluate(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let axes = reference::integers(inputs[1]).ok_or_else(|| Error::dtype("axes: integers"))?;
        let dims = inputs[0].shape();
        let reduced = reduced_axes(&axes, dims.len())?;
        let shape = self.output_dims(dims, &reduced, 1);
        let kept: Vec<usize> = dims
            .iter()
            .zip(&reduced)
            .map(|(&dim, &reduced)| if reduced { 1 } else { dim })
            .collect();
        let strides = reference::broadcast_strides(&kept, dims.len());
        let mut slots = Vec::with_capacity(inputs[0].len());
        reference::walk(dims, [&strides], |[slot]| slots.push(slot));
        let count = elements(&shape)?;
        let y = match reference::numbers(inputs[0])? {
            Numbers::Real(x) => {
                let start = match self.reduction {
                    Reduction::Max => f64::NEG_INFINITY,
                    Reduction::Product => 1.0,
                    _ => 0.0,
                };
                let each = (x.len() / count.max(1)) as f64;
                Numbers::Real(self.reduce_reals(&x, &slots, vec![start; count], each))
            }
            Numbers::Whole(x) => {
                let start = match self.reduction {
                    Reduction::Max => i64::MIN,
                    Reduction::Product => 1,
                    _ => 0,
                };
                Numbers::Whole(self.reduce_wholes(&x, &slots, vec![start; count])?)
            }
        };
        Ok(vec![reference::tensor(inputs[0].dtype(), &shape, y)?])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let axes = lowering
            .constant_integers(1)
            .ok_or_else(|| Error::unsupported("axes that are not constant"))?;
        let rank = lowering.shape(0)?.len();
        lowering.reduce(self.reduction, &reduced_axes(&axes, rank)?)
    }
}
