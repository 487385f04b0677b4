//! `L2Loss`: half the sum of squares.

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::Tensor;

use super::Op;
use crate::attributes::Attributes;
use crate::error::Result;
use crate::facts::{Fact, Shape};
use crate::lower::Lowering;
use crate::reference;

#[derive(Debug)]
pub(super) struct L2Loss;

impl L2Loss {
    pub(super) fn import(_attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Self))
    }
}

impl Op for L2Loss {
    fn arity(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        super::convolution::expect_float(&inputs[0])?;
        Ok(vec![Fact { dtype: inputs[0].dtype, shape: Shape::scalar(), ..Fact::unknown() }])
    }

    fn evaluate(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let sum: f64 = reference::reals(inputs[0])?.iter().map(|x| x * x).sum();
        Ok(vec![reference::real(inputs[0].dtype(), &[], vec![sum / 2.0])?])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        lowering.l2_loss()
    }
}
