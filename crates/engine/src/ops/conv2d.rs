//! `Conv2D` and `DepthwiseConv2dNative`: NHWC input, filter `[height, width, in, out]` or
//! `[height, width, in, multiplier]`.

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::Tensor;

use super::Op;
use super::convolution::{Attrs, Kind, expect_float};
use crate::attributes::Attributes;
use crate::error::Result;
use crate::facts::Fact;
use crate::lower::Lowering;

#[derive(Debug)]
struct Convolve {
    kind: Kind,
    attrs: Attrs,
}

pub(super) fn conv2d(attributes: &Attributes) -> Result<Arc<dyn Op>> {
    Ok(Arc::new(Convolve { kind: Kind::Full, attrs: Attrs::import(attributes)? }))
}

pub(super) fn depthwise(attributes: &Attributes) -> Result<Arc<dyn Op>> {
    Ok(Arc::new(Convolve { kind: Kind::Depthwise, attrs: Attrs::import(attributes)? }))
}

impl Op for Convolve {
    fn arity(&self) -> RangeInclusive<usize> {
        2..=2
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        expect_float(&inputs[0])?;
        self.attrs.infer(self.kind, inputs)
    }

    fn evaluate(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        self.attrs.evaluate(self.kind, inputs)
    }

    fn folds(&self) -> bool {
        false
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        let (input, filter) = (lowering.shape(0)?, lowering.shape(1)?);
        lowering.convolution(self.attrs.geometry(self.kind, &input, &filter)?)
    }
}
