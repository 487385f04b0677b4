//! `Const`: a tensor held in the graph.

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::Tensor;

use super::Op;
use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::Fact;

#[derive(Debug)]
pub(super) struct Const {
    value: Arc<Tensor>,
}

impl Const {
    pub(super) fn import(attributes: &Attributes) -> Result<Arc<dyn Op>> {
        let value = attributes.tensor("value")?;
        let dtype = attributes.dtype("dtype", value.dtype())?;
        if dtype != value.dtype() {
            let message = format!("dtype {dtype}, but the value is {}", value.dtype());
            return Err(Error::dtype(message));
        }
        Ok(Arc::new(Self { value: Arc::new(value) }))
    }
}

impl Op for Const {
    fn arity(&self) -> RangeInclusive<usize> {
        0..=0
    }

    fn infer(&self, _inputs: &[Fact]) -> Result<Vec<Fact>> {
        Ok(vec![Fact::constant(Arc::clone(&self.value))])
    }

    fn evaluate(&self, _inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        Ok(vec![(*self.value).clone()])
    }
}
