//! Bytes as floats, where no convolution reads the bytes themselves.

use std::sync::Arc;

use mobilenet_kernels as kernels;
use mobilenet_kernels::Isa;

use super::{Call, Kernel, Site, floats_mut};
use crate::error::Result;

/// The kernel for one factor.
pub(crate) fn widen(factor: f32, site: &Site) -> Arc<dyn Kernel> {
    Arc::new(Widen { isa: site.isa, factor })
}

#[derive(Debug)]
struct Widen {
    isa: Isa,
    factor: f32,
}

impl Kernel for Widen {
    fn name(&self) -> String {
        format!("widen_u8__{}", self.isa)
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let output = floats_mut(call.outputs[0])?;
        kernels::widen(self.isa, call.pool, self.factor, call.inputs[0], output);
        Ok(())
    }
}
