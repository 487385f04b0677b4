//! `Const`: a tensor held in the graph.

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::{DType, Tensor};

use super::Op;
use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::Fact;

#[derive(Debug)]
pub(super) struct Const {
    value: Arc<Tensor>,
    /// That of the value, or the quantised type whose integers the value holds.
    dtype: DType,
}

impl Const {
    pub(super) fn import(attributes: &Attributes) -> Result<Arc<dyn Op>> {
        let value = attributes.tensor("value")?;
        let dtype = attributes.dtype("dtype", value.dtype())?;
        if plain(dtype) != value.dtype() {
            let message = format!("dtype {dtype}, but the value is {}", value.dtype());
            return Err(Error::dtype(message));
        }
        Ok(Arc::new(Self { value: Arc::new(value), dtype }))
    }
}

impl Op for Const {
    fn arity(&self) -> RangeInclusive<usize> {
        0..=0
    }

    fn infer(&self, _inputs: &[Fact]) -> Result<Vec<Fact>> {
        let fact = Fact::constant(Arc::clone(&self.value));
        Ok(vec![Fact { dtype: Some(self.dtype), ..fact }])
    }

    fn evaluate(&self, _inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        Ok(vec![(*self.value).clone()])
    }
}

/// How the host holds integers of a quantised type.
fn plain(dtype: DType) -> DType {
    match dtype {
        DType::QI8 => DType::I8,
        DType::QU8 => DType::U8,
        DType::QI16 => DType::I16,
        DType::QU16 => DType::U16,
        DType::QI32 => DType::I32,
        other => other,
    }
}
