//! `Identity` and its kin, which differ only in gradients; also the read of a `VariableV2`.

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::Tensor;

use super::Op;
use crate::attributes::Attributes;
use crate::error::Result;
use crate::facts::Fact;
use crate::lower::Lowering;

#[derive(Debug)]
pub(super) struct Identity;

impl Identity {
    pub(super) fn import(_attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Self))
    }
}

impl Op for Identity {
    fn arity(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        Ok(vec![Fact { variable: None, ..inputs[0].clone() }])
    }

    fn evaluate(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        Ok(vec![inputs[0].clone()])
    }

    fn passes_input(&self) -> bool {
        true
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        lowering.forward(0)
    }
}
