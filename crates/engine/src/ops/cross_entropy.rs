//! `SoftmaxCrossEntropyWithLogits`: the loss of each row, and its slope by the logits.

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::Tensor;

use super::{Op, expect_same_dtype};
use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::{Fact, Shape};
use crate::lower::Lowering;
use crate::reference;

#[derive(Debug)]
pub(super) struct CrossEntropy;

impl CrossEntropy {
    pub(super) fn import(_: &Attributes) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Self))
    }
}

impl Op for CrossEntropy {
    fn arity(&self) -> RangeInclusive<usize> {
        2..=2
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        let dtype = expect_same_dtype(&inputs[0], &inputs[1])?;
        let shape = inputs[0].shape.merge(&inputs[1].shape);
        let shape = shape.and_then(|shape| shape.merge(&Shape::of_rank(2)));
        let shape = shape.ok_or_else(|| Error::shape("logits and labels must be [n, classes]"))?;
        let rows = Shape::new(vec![shape.dim(0)]);
        Ok(vec![
            Fact { dtype, shape: rows, ..Fact::unknown() },
            Fact { dtype, shape, ..Fact::unknown() },
        ])
    }

    fn evaluate(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let (x, labels) = (reference::reals(inputs[0])?, reference::reals(inputs[1])?);
        let classes = inputs[0].shape().last().copied().unwrap_or(1).max(1);
        let (mut losses, mut slopes) = (Vec::new(), Vec::new());
        for (x, labels) in x.chunks_exact(classes).zip(labels.chunks_exact(classes)) {
            let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let log_sum = x.iter().map(|x| (x - max).exp()).sum::<f64>().ln() + max;
            losses.push(x.iter().zip(labels).map(|(x, label)| label * (log_sum - x)).sum());
            slopes.extend(x.iter().zip(labels).map(|(x, label)| (x - log_sum).exp() - label));
        }
        let dtype = inputs[0].dtype();
        Ok(vec![
            reference::real(dtype, &[losses.len()], losses)?,
            reference::real(dtype, inputs[0].shape(), slopes)?,
        ])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        lowering.cross_entropy()
    }
}
