//! `Pad`: zeros around a tensor; before a `VALID` convolution it becomes that one's padding.

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::Tensor;

use super::Op;
use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::{Fact, MAX_ELEMENTS, Shape, elements};
use crate::lower::Lowering;
use crate::reference::{self, Numbers};

#[derive(Debug)]
pub(super) struct Pad;

impl Pad {
    pub(super) fn import(_attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Self))
    }
}

/// `[before, after]` of each axis.
pub(crate) fn paddings(values: &[i64], rank: usize) -> Result<Vec<[usize; 2]>> {
    let size = |value: i64| usize::try_from(value).ok().filter(|&size| size < MAX_ELEMENTS);
    let pads: Option<Vec<[usize; 2]>> = values
        .chunks(2)
        .map(|pair| match pair {
            &[before, after] => Some([size(before)?, size(after)?]),
            _ => None,
        })
        .collect();
    pads.filter(|pads| pads.len() == rank)
        .ok_or_else(|| Error::shape("paddings must be a non-negative pair for each axis"))
}

impl Op for Pad {
    fn arity(&self) -> RangeInclusive<usize> {
        2..=2
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        let shape = match (inputs[0].shape.dims(), inputs[1].integers()) {
            (Some(dims), Some(values)) => {
                let pads = paddings(&values, dims.len())?;
                let padded = dims
                    .iter()
                    .zip(&pads)
                    .map(|(dim, pad)| Some((*dim)?.saturating_add(pad[0]).saturating_add(pad[1])));
                Shape::new(padded.collect())
            }
            (Some(dims), None) => Shape::of_rank(dims.len()),
            _ => Shape::unknown(),
        };
        Ok(vec![Fact { dtype: inputs[0].dtype, shape, ..Fact::unknown() }])
    }

    fn evaluate(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let values = reference::integers(inputs[1]).ok_or_else(|| Error::dtype("integers"))?;
        let dims = inputs[0].shape();
        let pads = paddings(&values, dims.len())?;
        let shape: Vec<usize> = dims.iter().zip(&pads).map(|(d, p)| d + p[0] + p[1]).collect();
        let count = elements(&shape)?;
        let strides = reference::row_major_strides(&shape);
        let first: usize = pads.iter().zip(&strides).map(|(pad, stride)| pad[0] * stride).sum();
        let mut targets = Vec::with_capacity(inputs[0].len());
        reference::walk(dims, [&strides], |[at]| targets.push(first + at));
        let padded = match reference::numbers(inputs[0])? {
            Numbers::Real(x) => Numbers::Real(scatter(&x, &targets, count, 0.0)),
            Numbers::Whole(x) => Numbers::Whole(scatter(&x, &targets, count, 0)),
        };
        Ok(vec![reference::tensor(inputs[0].dtype(), &shape, padded)?])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let values =
            lowering.constant_integers(1).ok_or_else(|| Error::unsupported("computed paddings"))?;
        let rank = lowering.shape(0)?.len();
        lowering.pad(paddings(&values, rank)?)
    }
}

fn scatter<T: Copy>(x: &[T], targets: &[usize], count: usize, zero: T) -> Vec<T> {
    let mut y = vec![zero; count];
    x.iter().zip(targets).for_each(|(&x, &target)| y[target] = x);
    y
}
