//! `Softmax` over the last axis.

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::Tensor;

use super::Op;
use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::Fact;
use crate::lower::Lowering;
use crate::reference;

#[derive(Debug)]
pub(super) struct Softmax;

impl Softmax {
    pub(super) fn import(_attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Self))
    }
}

impl Op for Softmax {
    fn arity(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        super::convolution::expect_float(&inputs[0])?;
        if inputs[0].shape.rank() == Some(0) {
            return Err(Error::shape("a scalar has no last axis"));
        }
        Ok(vec![Fact { value: None, variable: None, ..inputs[0].clone() }])
    }

    fn evaluate(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let mut x = reference::reals(inputs[0])?;
        let classes = inputs[0].shape().last().copied().unwrap_or(1).max(1);
        for row in x.chunks_exact_mut(classes) {
            let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            row.iter_mut().for_each(|x| *x = (*x - max).exp());
            let sum: f64 = row.iter().sum();
            row.iter_mut().for_each(|x| *x /= sum);
        }
        Ok(vec![reference::real(inputs[0].dtype(), inputs[0].shape(), x)?])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        lowering.softmax()
    }
}
