//! `activation(x * scale + offset)` on its own, where no convolution took it.

use std::sync::Arc;

use mobilenet_kernels::{Activation, Isa, scale_shift};

use super::{Call, Kernel, Site, floats, floats_mut};
use crate::error::{Error, Result};
use crate::program::Affine;

/// The kernel for one value for each channel, the last axis.
pub(crate) fn affine(
    affine: &Affine,
    activation: Activation,
    site: &Site,
) -> Result<Arc<dyn Kernel>> {
    let channels = site.channels(0);
    let (scale, offset) = affine.spread(channels);
    if scale.len() != channels || offset.len() != channels {
        return Err(Error::shape(format!("one value for each of {channels} channels wanted")));
    }
    let single = |values: Vec<f64>| values.into_iter().map(|value| value as f32).collect();
    let (scale, offset) = (single(scale), single(offset));
    Ok(Arc::new(ScaleShift { isa: site.isa, scale, offset, activation }))
}

#[derive(Debug)]
struct ScaleShift {
    isa: Isa,
    scale: Vec<f32>,
    offset: Vec<f32>,
    activation: Activation,
}

impl Kernel for ScaleShift {
    fn name(&self) -> String {
        format!("scale_shift_f32__{}", self.isa)
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let (x, y) = (floats(call.inputs[0])?, floats_mut(call.outputs[0])?);
        let factors = (self.scale.as_slice(), self.offset.as_slice());
        scale_shift(self.isa, call.pool, factors, self.activation, x, y);
        Ok(())
    }
}
