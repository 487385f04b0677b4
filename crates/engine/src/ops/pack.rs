//! `Pack`: tensors of one shape, stacked along a new axis; folded only (shape arithmetic).

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::Tensor;

use super::Op;
use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::{Fact, Shape};
use crate::reference::{self, Numbers};

#[derive(Debug)]
pub(super) struct Pack {
    axis: i64,
}

impl Pack {
    pub(super) fn import(attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Self { axis: attributes.int("axis", 0)? }))
    }
}

impl Op for Pack {
    fn arity(&self) -> RangeInclusive<usize> {
        1..=1 << 16
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        let mut shape = Shape::unknown();
        for fact in inputs {
            super::expect_same_dtype(&inputs[0], fact)?;
            shape = shape
                .merge(&fact.shape)
                .ok_or_else(|| Error::shape("all inputs must have one shape"))?;
        }
        let shape = match shape.dims() {
            Some(dims) => {
                let mut dims = dims.to_vec();
                let at = super::axis(self.axis, dims.len() + 1)?;
                dims.insert(at, Some(inputs.len()));
                Shape::new(dims)
            }
            None => Shape::unknown(),
        };
        Ok(vec![Fact { dtype: inputs[0].dtype, shape, ..Fact::unknown() }])
    }

    fn evaluate(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let dims = inputs[0].shape();
        let at = super::axis(self.axis, dims.len() + 1)?;
        let inner: usize = dims[at..].iter().product();
        let mut shape = dims.to_vec();
        shape.insert(at, inputs.len());
        let numbers = inputs.iter().map(|tensor| reference::numbers(tensor));
        let packed = match numbers.collect::<Result<Vec<_>>>()?.as_slice() {
            all @ [Numbers::Real(_), ..] => Numbers::Real(interleave(all, inner, |n| match n {
                Numbers::Real(x) => x,
                Numbers::Whole(_) => &[],
            })),
            all => Numbers::Whole(interleave(all, inner, |n| match n {
                Numbers::Whole(x) => x,
                Numbers::Real(_) => &[],
            })),
        };
        Ok(vec![reference::tensor(inputs[0].dtype(), &shape, packed)?])
    }
}

/// Runs of `inner` elements, one from each input in turn.
fn interleave<T: Copy>(all: &[Numbers], inner: usize, of: impl Fn(&Numbers) -> &[T]) -> Vec<T> {
    let runs = all.first().map_or(0, |first| of(first).len() / inner.max(1));
    let run = |i: usize, n: &Numbers| of(n).iter().skip(i * inner).take(inner).copied().collect();
    (0..runs).flat_map(|i| all.iter().flat_map(move |n| -> Vec<T> { run(i, n) })).collect()
}
