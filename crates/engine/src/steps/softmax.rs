//! Softmax over the last axis.

use std::sync::Arc;

use mobilenet_kernels::{Isa, softmax};

use super::{Call, Kernel, Recipe, Site, floats, floats_mut};
use crate::error::Result;
use crate::program::Value;

#[derive(Debug)]
pub(crate) struct Softmax;

impl Recipe for Softmax {
    fn separable(&self, inputs: &[&Value]) -> bool {
        inputs.iter().all(|value| value.shape.len() > 1)
    }

    fn prepare(&self, site: &Site) -> Result<Arc<dyn Kernel>> {
        Ok(Arc::new(Prepared { isa: site.isa, classes: site.channels(0) }))
    }
}

#[derive(Debug)]
struct Prepared {
    isa: Isa,
    classes: usize,
}

impl Kernel for Prepared {
    fn name(&self) -> String {
        format!("softmax_f32__{}", self.isa)
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let (x, y) = (floats(call.inputs[0])?, floats_mut(call.outputs[0])?);
        softmax(self.isa, call.pool, self.classes, x, y);
        Ok(())
    }
}
