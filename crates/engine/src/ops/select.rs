//! `SelectV2`: element by element, the second operand where the first is true, else the third.

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::{DType, Tensor};

use super::Op;
use super::binary::broadcast;
use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::Fact;
use crate::lower::Lowering;
use crate::reference::{self, Numbers};

#[derive(Debug)]
pub(super) struct Select;

impl Select {
    pub(super) fn import(_attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Self))
    }
}

impl Op for Select {
    fn arity(&self) -> RangeInclusive<usize> {
        3..=3
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        super::expect_dtype(&inputs[0], DType::Bool)?;
        let dtype = super::expect_same_dtype(&inputs[1], &inputs[2])?;
        let shape = broadcast(&inputs[1].shape, &inputs[2].shape)?;
        let shape = broadcast(&shape, &inputs[0].shape)?;
        Ok(vec![Fact { dtype, shape, ..Fact::unknown() }])
    }

    fn evaluate(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let shape = reference::broadcast(inputs[1].shape(), inputs[2].shape())?;
        let shape = reference::broadcast(&shape, inputs[0].shape())?;
        let strides =
            [0, 1, 2].map(|i: usize| reference::broadcast_strides(inputs[i].shape(), shape.len()));
        let condition = inputs[0].as_bool().ok_or_else(|| Error::dtype("bool wanted"))?;
        let (a, b) = (reference::numbers(inputs[1])?, reference::numbers(inputs[2])?);
        let (Numbers::Real(a), Numbers::Real(b)) = (a, b) else {
            return Err(Error::unsupported("only on floating point"));
        };
        let mut y = Vec::new();
        reference::walk(&shape, [&strides[0], &strides[1], &strides[2]], |[c, i, j]| {
            y.push(if condition[c] { a[i] } else { b[j] });
        });
        Ok(vec![reference::real(inputs[1].dtype(), &shape, y)?])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        lowering.select()
    }
}
