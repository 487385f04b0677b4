//! `BiasAdd`: one value per channel, added.

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::Tensor;

use super::binary::{Arithmetic, Binary};
use super::{Op, only_nhwc};
use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::Fact;
use crate::lower::Lowering;

#[derive(Debug)]
pub(super) struct BiasAdd {
    data_format: String,
}

impl BiasAdd {
    pub(super) fn import(attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Self { data_format: attributes.string("data_format", "NHWC")? }))
    }
}

impl Op for BiasAdd {
    fn arity(&self) -> RangeInclusive<usize> {
        2..=2
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        super::expect_same_dtype(&inputs[0], &inputs[1])?;
        if inputs[1].shape.rank().is_some_and(|rank| rank != 1) {
            return Err(Error::shape("the bias must have rank 1"));
        }
        let (channels, bias) = (inputs[0].shape.last(), inputs[1].shape.last());
        if self.data_format == "NHWC" && channels.zip(bias).is_some_and(|(a, b)| a != b) {
            return Err(Error::shape("the bias must have one value per channel"));
        }
        Ok(vec![Fact { value: None, ..inputs[0].clone() }])
    }

    fn evaluate(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        only_nhwc(&self.data_format)?;
        Binary::new(Arithmetic::Add).evaluate(inputs)
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        only_nhwc(&self.data_format)?;
        Binary::new(Arithmetic::Add).lower(lowering)
    }
}
