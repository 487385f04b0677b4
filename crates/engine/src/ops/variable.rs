//! Variables: `VarHandleOp` with `ReadVariableOp`, and the older `VariableV2` read by `Identity`.
//!
//! Their values are not in the graph: a plan asks for them by name, and either folds them as
//! constants or keeps them as state of its sessions.

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::DType;

use super::{Effect, Op};
use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::{self, Fact, Shape};
use crate::lower::Lowering;

/// A variable; its fact carries name, dtype and shape.
#[derive(Debug)]
pub(super) struct Variable {
    variable: Arc<facts::Variable>,
    is_handle: bool,
}

impl Variable {
    pub(super) fn handle(attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Self::read(attributes, true)
    }

    pub(super) fn reference(attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Self::read(attributes, false)
    }

    fn read(attributes: &Attributes, is_handle: bool) -> Result<Arc<dyn Op>> {
        let variable = facts::Variable {
            name: attributes.string("shared_name", "")?,
            dtype: attributes.dtype("dtype", DType::F32)?,
            shape: attributes.shape("shape")?,
        };
        Ok(Arc::new(Self { variable: Arc::new(variable), is_handle }))
    }
}

impl Op for Variable {
    fn arity(&self) -> RangeInclusive<usize> {
        0..=0
    }

    fn infer(&self, _inputs: &[Fact]) -> Result<Vec<Fact>> {
        let fact = if self.is_handle {
            Fact::new(DType::Resource, Shape::scalar())
        } else {
            Fact::new(self.variable.dtype, self.variable.shape.clone())
        };
        Ok(vec![Fact { variable: Some(Arc::clone(&self.variable)), ..fact }])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        if self.is_handle { Ok(()) } else { lowering.variable() }
    }

    fn effect(&self) -> Effect {
        Effect::Variable
    }
}

/// `ReadVariableOp`.
#[derive(Debug)]
pub(super) struct Read {
    dtype: DType,
}

impl Read {
    pub(super) fn import(attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Self { dtype: attributes.dtype("dtype", DType::F32)? }))
    }
}

impl Op for Read {
    fn arity(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        let Some(variable) = &inputs[0].variable else {
            return Ok(vec![Fact::new(self.dtype, Shape::unknown())]);
        };
        if variable.dtype != self.dtype {
            let message = format!("reads {}, the variable is {}", self.dtype, variable.dtype);
            return Err(Error::dtype(message));
        }
        Ok(vec![Fact::new(self.dtype, variable.shape.clone())])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        lowering.variable()
    }

    fn effect(&self) -> Effect {
        Effect::Read
    }
}

/// `VarIsInitializedOp`: always true, a session has every variable it knows.
#[derive(Debug)]
pub(super) struct IsInitialized;

impl IsInitialized {
    pub(super) fn import(_attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Self))
    }
}

impl Op for IsInitialized {
    fn arity(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, _inputs: &[Fact]) -> Result<Vec<Fact>> {
        Ok(vec![Fact::new(DType::Bool, Shape::scalar())])
    }
}
