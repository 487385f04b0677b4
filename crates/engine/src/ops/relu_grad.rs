//! `ReluGrad` and `Relu6Grad`: the slope where the activation let the value through, else 0.
//! Its second input may be what went into the activation or what came out.

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::Tensor;
use mobilenet_kernels::Activation;

use super::{Op, expect_same_dtype};
use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::Fact;
use crate::lower::Lowering;
use crate::reference;

#[derive(Debug)]
pub(super) struct ReluGrad {
    activation: Activation,
}

impl ReluGrad {
    pub(super) fn relu(_: &Attributes) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Self { activation: Activation::Relu }))
    }

    pub(super) fn relu6(_: &Attributes) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Self { activation: Activation::Relu6 }))
    }
}

impl Op for ReluGrad {
    fn arity(&self) -> RangeInclusive<usize> {
        2..=2
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        let dtype = expect_same_dtype(&inputs[0], &inputs[1])?;
        let shape = inputs[0].shape.merge(&inputs[1].shape);
        let shape = shape.ok_or_else(|| Error::shape("slope and features must have one shape"))?;
        Ok(vec![Fact { dtype, shape, ..Fact::unknown() }])
    }

    fn evaluate(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let (dy, x) = (reference::reals(inputs[0])?, reference::reals(inputs[1])?);
        let (low, high) = self.activation.bounds();
        let (low, high) = (f64::from(low), f64::from(high));
        let gated = dy.iter().zip(&x).map(|(dy, x)| if *x > low && *x < high { *dy } else { 0.0 });
        Ok(vec![reference::real(inputs[0].dtype(), inputs[0].shape(), gated.collect())?])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        lowering.relu_grad(self.activation)
    }
}
