//! `NoOp`: nothing but control inputs; how TensorFlow groups what must run together.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::Op;
use crate::attributes::Attributes;
use crate::error::Result;
use crate::facts::Fact;
use crate::lower::Lowering;

#[derive(Debug)]
pub(super) struct NoOp;

impl NoOp {
    pub(super) fn import(_attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Self))
    }
}

impl Op for NoOp {
    fn arity(&self) -> RangeInclusive<usize> {
        0..=0
    }

    fn infer(&self, _inputs: &[Fact]) -> Result<Vec<Fact>> {
        Ok(Vec::new())
    }

    fn lower(&self, _lowering: &mut Lowering<'_>) -> Result<()> {
        Ok(())
    }
}
