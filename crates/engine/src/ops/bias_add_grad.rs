//! `BiasAddGrad`: the sum over everything but the channels.

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::Tensor;

use super::reduce::Reduction;
use super::{Op, only_nhwc};
use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::{Fact, Shape};
use crate::lower::Lowering;
use crate::reference;

#[derive(Debug)]
pub(super) struct BiasAddGrad {
    data_format: String,
}

impl BiasAddGrad {
    pub(super) fn import(attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Self { data_format: attributes.string("data_format", "NHWC")? }))
    }
}

impl Op for BiasAddGrad {
    fn arity(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        if inputs[0].shape.rank().is_some_and(|rank| rank < 2) {
            return Err(Error::shape("the slope must have rank 2 or more"));
        }
        let shape = Shape::new(vec![inputs[0].shape.last()]);
        Ok(vec![Fact { dtype: inputs[0].dtype, shape, ..Fact::unknown() }])
    }

    fn evaluate(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        only_nhwc(&self.data_format)?;
        let channels = inputs[0].shape().last().copied().unwrap_or(1);
        let mut sums = vec![0.0; channels];
        for row in reference::reals(inputs[0])?.chunks_exact(channels.max(1)) {
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        Ok(vec![reference::real(inputs[0].dtype(), &[channels], sums)?])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        only_nhwc(&self.data_format)?;
        let rank = lowering.shape(0)?.len();
        let reduced: Vec<bool> = (0..rank).map(|axis| axis + 1 < rank).collect();
        lowering.reduce(Reduction::Sum, &reduced)
    }
}
