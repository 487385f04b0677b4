//! Pooling over height and width; padding counts in no window.

use std::sync::Arc;

use mobilenet_kernels as kernels;
use mobilenet_kernels::{Isa, PoolKind, PoolingSpec};

use super::{Call, Kernel, Recipe, Site, floats, floats_mut, refused};
use crate::error::Result;
use crate::ops;
use crate::program::Value;
use crate::window::Window;

/// Windows of `kernel` that slide as `window` says.
#[derive(Clone, Debug)]
pub(crate) struct Pooling {
    pub(crate) pooling: ops::Pooling,
    pub(crate) kernel: [usize; 2],
    pub(crate) window: Window,
}

impl Recipe for Pooling {
    fn separable(&self, _inputs: &[&Value]) -> bool {
        true
    }

    fn prepare(&self, site: &Site) -> Result<Arc<dyn Kernel>> {
        let input = site.image()?;
        let rows = self.window.extent(0, input[0], self.kernel[0])?;
        let columns = self.window.extent(1, input[1], self.kernel[1])?;
        let is_average = self.pooling == ops::Pooling::Average;
        if is_average && self.kernel == input[..2] && (rows.output, columns.output) == (1, 1) {
            return Ok(Arc::new(GlobalMean::new(site.isa, input)));
        }
        let window = kernels::Window {
            kernel: self.kernel,
            stride: self.window.strides,
            dilation: self.window.dilations,
            padding: kernels::Padding {
                top: rows.before,
                bottom: rows.after,
                left: columns.before,
                right: columns.after,
            },
        };
        let kind = if is_average { PoolKind::Average } else { PoolKind::Max };
        let spec = PoolingSpec { kind, input, window };
        let packed = kernels::Pooling::new(site.isa, spec).map_err(refused)?;
        let name = if is_average { "average_pool" } else { "max_pool" };
        let (image, name) = (input.iter().product(), format!("{name}_f32__{}", site.isa));
        Ok(Arc::new(Prepared { packed, image, name }))
    }
}

#[derive(Debug)]
struct Prepared {
    packed: kernels::Pooling,
    /// Elements of one image.
    image: usize,
    name: String,
}

impl Kernel for Prepared {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let (x, y) = (floats(call.inputs[0])?, floats_mut(call.outputs[0])?);
        self.packed.run(call.pool, x.len() / self.image.max(1), x, y);
        Ok(())
    }
}

/// The mean over all pixels of an image.
#[derive(Debug)]
pub(super) struct GlobalMean {
    isa: Isa,
    pixels: usize,
    channels: usize,
}

impl GlobalMean {
    /// For images of `[height, width, channels]`.
    pub(super) fn new(isa: Isa, [height, width, channels]: [usize; 3]) -> Self {
        Self { isa, pixels: height * width, channels }
    }
}

impl Kernel for GlobalMean {
    fn name(&self) -> String {
        format!("global_mean_f32__{}", self.isa)
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let (x, y) = (floats(call.inputs[0])?, floats_mut(call.outputs[0])?);
        let images = y.len() / self.channels.max(1);
        kernels::global_mean(self.isa, call.pool, [images, self.pixels, self.channels], x, y);
        Ok(())
    }
}
