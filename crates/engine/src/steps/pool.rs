//! Pooling over height and width, and the gradient of averages; padding counts in no window.

use std::sync::Arc;

use mobilenet_kernels as kernels;
use mobilenet_kernels::gradients::AveragePoolGradient;
use mobilenet_kernels::{Isa, PoolKind, PoolingSpec};

use super::{Call, Kernel, Recipe, Site, floats, floats_mut, image, refused};
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

    fn is_global_mean(&self, inputs: &[&Value]) -> bool {
        let input = inputs.first().and_then(|value| image(&value.shape).ok());
        input.is_some_and(|input| self.is_mean_of(input))
    }

    fn prepare(&self, site: &Site) -> Result<Arc<dyn Kernel>> {
        let input = site.image()?;
        if self.is_mean_of(input) {
            return Ok(Arc::new(GlobalMean::new(site.isa, input)));
        }
        let window = sliding(self.kernel, &self.window, input)?;
        let is_average = self.pooling == ops::Pooling::Average;
        let kind = if is_average { PoolKind::Average } else { PoolKind::Max };
        let spec = PoolingSpec { kind, input, window };
        let packed = kernels::Pooling::new(site.isa, spec).map_err(refused)?;
        let name = if is_average { "average_pool" } else { "max_pool" };
        let (image, name) = (input.iter().product(), format!("{name}_f32__{}", site.isa));
        Ok(Arc::new(Prepared { packed, image, name }))
    }
}

impl Pooling {
    /// Whether each image of this shape becomes its mean.
    fn is_mean_of(&self, input: [usize; 3]) -> bool {
        let window = sliding(self.kernel, &self.window, input);
        let outputs =
            window.and_then(|window| window.output([input[0], input[1]]).map_err(refused));
        self.pooling == ops::Pooling::Average
            && self.kernel == input[..2]
            && outputs.is_ok_and(|outputs| outputs == [1, 1])
    }
}

/// A window laid over images of `[height, width, channels]`.
fn sliding(kernel: [usize; 2], window: &Window, input: [usize; 3]) -> Result<kernels::Window> {
    let rows = window.extent(0, input[0], kernel[0])?;
    let columns = window.extent(1, input[1], kernel[1])?;
    Ok(kernels::Window {
        kernel,
        stride: window.strides,
        dilation: window.dilations,
        padding: kernels::Padding {
            top: rows.before,
            bottom: rows.after,
            left: columns.before,
            right: columns.after,
        },
    })
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

/// The slope of what an average pool took, an input of shape `input`, from the slope of its output.
#[derive(Clone, Debug)]
pub(crate) struct AveragePoolGrad {
    pub(crate) input: Vec<usize>,
    pub(crate) kernel: [usize; 2],
    pub(crate) window: Window,
}

impl Recipe for AveragePoolGrad {
    fn prepare(&self, site: &Site) -> Result<Arc<dyn Kernel>> {
        let input = image(&self.input)?;
        let window = sliding(self.kernel, &self.window, input)?;
        let op = AveragePoolGradient::new(site.isa, input, window).map_err(refused)?;
        Ok(Arc::new(Spread { op, images: self.input[0], isa: site.isa }))
    }
}

#[derive(Debug)]
struct Spread {
    op: AveragePoolGradient,
    images: usize,
    isa: Isa,
}

impl Kernel for Spread {
    fn name(&self) -> String {
        format!("average_pool_grad_f32__{}", self.isa)
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let (dy, dx) = (floats(call.inputs[0])?, floats_mut(call.outputs[0])?);
        self.op.run(call.pool, self.images, dy, dx);
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
