//! `Placeholder` and `PlaceholderWithDefault`: where the caller's tensors enter.

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::{DType, Tensor};

use super::{Effect, Op};
use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::{Fact, Shape};
use crate::lower::Lowering;

#[derive(Debug)]
pub(super) struct Placeholder {
    dtype: DType,
    shape: Shape,
    has_default: bool,
}

impl Placeholder {
    pub(super) fn import(attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Self::read(attributes, false)
    }

    pub(super) fn with_default(attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Self::read(attributes, true)
    }

    fn read(attributes: &Attributes, has_default: bool) -> Result<Arc<dyn Op>> {
        let dtype = attributes.dtype("dtype", DType::F32)?;
        Ok(Arc::new(Self { dtype, shape: attributes.shape("shape")?, has_default }))
    }
}

impl Op for Placeholder {
    fn arity(&self) -> RangeInclusive<usize> {
        let inputs = usize::from(self.has_default);
        inputs..=inputs
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        if let Some(default) = inputs.first() {
            super::expect_dtype(default, self.dtype)?;
            if !default.shape.is_compatible(&self.shape) {
                let message =
                    format!("default of shape {}, declared {}", default.shape, self.shape);
                return Err(Error::shape(message));
            }
        }
        Ok(vec![Fact::new(self.dtype, self.shape.clone())])
    }

    fn evaluate(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        match inputs.first() {
            Some(&default) => Ok(vec![default.clone()]),
            None => Err(Error::not_found("no value was given for this input")),
        }
    }

    fn passes_input(&self) -> bool {
        self.has_default
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        if self.has_default {
            return lowering.forward(0);
        }
        Err(Error::not_found("the outputs need this input: give its shape"))
    }

    /// Only what is not fed is asked: then the default is the value.
    fn effect(&self) -> Effect {
        if self.has_default { Effect::Pure } else { Effect::Feed }
    }
}
