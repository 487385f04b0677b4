//! Changing a variable: `Assign`, `AssignSub`, `AssignAdd` and their resource forms.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::{Effect, Op};
use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::Fact;
use crate::lower::Lowering;

/// What becomes of the variable `v`, given the value `x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Update {
    /// `x`
    Set,
    /// `v + x`
    Add,
    /// `v - x`
    Subtract,
}

#[derive(Debug)]
pub(super) struct Assign {
    update: Update,
}

impl Assign {
    pub(super) fn set(_attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Self { update: Update::Set }))
    }

    pub(super) fn add(_attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Self { update: Update::Add }))
    }

    pub(super) fn subtract(_attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Self { update: Update::Subtract }))
    }
}

impl Op for Assign {
    fn arity(&self) -> RangeInclusive<usize> {
        2..=2
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        if let Some(variable) = &inputs[0].variable {
            super::expect_dtype(&inputs[1], variable.dtype)?;
            if !variable.shape.is_compatible(&inputs[1].shape) {
                let (shape, value) = (&variable.shape, &inputs[1].shape);
                let message = format!("the variable has shape {shape}, the value {value}");
                return Err(Error::shape(message));
            }
        }
        // The reference forms yield the variable; the resource forms yield nothing that is used.
        Ok(vec![inputs[0].clone()])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        lowering.assign(self.update)
    }

    fn effect(&self) -> Effect {
        Effect::Write
    }
}
