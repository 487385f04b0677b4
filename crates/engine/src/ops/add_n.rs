//! `AddN`: the sum of tensors of one shape.

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::Tensor;

use super::{Op, expect_same_dtype};
use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::Fact;
use crate::lower::Lowering;
use crate::reference;
use crate::steps::MOST_OPERANDS;

#[derive(Debug)]
pub(super) struct AddN;

impl AddN {
    pub(super) fn import(_: &Attributes) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Self))
    }
}

impl Op for AddN {
    fn arity(&self) -> RangeInclusive<usize> {
        1..=usize::MAX
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        let mut shape = inputs[0].shape.clone();
        for input in inputs {
            expect_same_dtype(&inputs[0], input)?;
            shape = shape
                .merge(&input.shape)
                .ok_or_else(|| Error::shape("all operands must have one shape"))?;
        }
        Ok(vec![Fact { dtype: inputs[0].dtype, shape, ..Fact::unknown() }])
    }

    fn evaluate(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let mut sum = reference::reals(inputs[0])?;
        for input in &inputs[1..] {
            let values = reference::reals(input)?;
            sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
        Ok(vec![reference::real(inputs[0].dtype(), inputs[0].shape(), sum)?])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        lowering.add_n(MOST_OPERANDS - 1)
    }
}
