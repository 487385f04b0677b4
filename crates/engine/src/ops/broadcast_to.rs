//! `BroadcastTo`: a tensor stretched to a shape.

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::Tensor;

use super::Op;
use super::fill::shape_of_sizes;
use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::Fact;
use crate::lower::Lowering;
use crate::reference;

#[derive(Debug)]
pub(super) struct BroadcastTo;

impl BroadcastTo {
    pub(super) fn import(_: &Attributes) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Self))
    }
}

impl Op for BroadcastTo {
    fn arity(&self) -> RangeInclusive<usize> {
        2..=2
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        let shape = shape_of_sizes(&inputs[1])?;
        Ok(vec![Fact { dtype: inputs[0].dtype, shape, ..Fact::unknown() }])
    }

    fn evaluate(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let shape = shape_of_sizes(&Fact::constant(Arc::new(inputs[1].clone())))?;
        let shape = shape.concrete().ok_or_else(|| Error::shape("the shape is not known"))?;
        if reference::broadcast(inputs[0].shape(), &shape)? != shape {
            return Err(Error::shape(format!(
                "{:?} does not stretch to {shape:?}",
                inputs[0].shape()
            )));
        }
        let x = reference::reals(inputs[0])?;
        let strides = reference::broadcast_strides(inputs[0].shape(), shape.len());
        let mut y = Vec::new();
        reference::walk(&shape, [&strides], |[at]| y.push(x[at]));
        Ok(vec![reference::real(inputs[0].dtype(), &shape, y)?])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        lowering.broadcast()
    }
}
