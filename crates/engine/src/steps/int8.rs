//! Steps on bytes: the kernels of `mobilenet_kernels::int8`, each prepared for its place.
//!
//! A quantised tensor is a tensor of bytes whatever its integers were: those of int8 have 128
//! added. What they mean ([`Bytes`]) is known when a plan is made and not held beside them.

use std::fmt;
use std::sync::Arc;

use mobilenet_kernels as kernels;
use mobilenet_kernels::int8::{self, Affine, Multiplier, Quantization};
use mobilenet_kernels::{Padding, Pool};

use super::{Call, Kernel, Recipe, Site, floats, floats_mut, refused};
use crate::error::{Error, Result};
use crate::ops::{Geometry, Kind};
use crate::program::Value;
use crate::window::Window;

/// What the bytes of a tensor mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bytes {
    pub(crate) quantization: Quantization,
    /// They are those of an int8 tensor.
    pub(crate) signed: bool,
}

/// A step on bytes: its name, its work, and what it does on a pool with inputs and output.
struct Step<F> {
    name: String,
    multiply_adds: u64,
    scratch_bytes: usize,
    run: F,
}

impl<F> fmt::Debug for Step<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Step").field(&self.name).finish()
    }
}

impl<F: Fn(&mut Call<'_>) -> Result<()> + Send + Sync> Kernel for Step<F> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn scratch_bytes(&self) -> usize {
        self.scratch_bytes
    }

    fn multiply_adds(&self) -> u64 {
        self.multiply_adds
    }

    fn on_bytes(&self) -> bool {
        true
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        (self.run)(call)
    }
}

fn step<F>(name: &str, site: &Site, run: F) -> Arc<dyn Kernel>
where
    F: Fn(&mut Call<'_>) -> Result<()> + Send + Sync + 'static,
{
    let name = format!("{name}__{}", site.isa);
    Arc::new(Step { name, multiply_adds: 0, scratch_bytes: 0, run })
}

/// A step that reads one tensor of bytes and writes another.
fn on_bytes<F>(name: &str, site: &Site, run: F) -> Arc<dyn Kernel>
where
    F: Fn(&Pool, &[u8], &mut [u8]) + Send + Sync + 'static,
{
    step(name, site, move |call| {
        run(call.pool, call.inputs[0], call.outputs[0]);
        Ok(())
    })
}

macro_rules! per_image {
    () => {
        fn separable(&self, _inputs: &[&Value]) -> bool {
            true
        }
    };
}

/// Floats, changed by the affine, to bytes.
#[derive(Debug)]
pub(crate) struct Quantize {
    pub(crate) affine: Affine,
    pub(crate) to: Bytes,
}

impl Recipe for Quantize {
    per_image!();

    fn prepare(&self, site: &Site) -> Result<Arc<dyn Kernel>> {
        let op = int8::Quantize::new(site.isa, self.affine, self.to.quantization);
        let op = op.map_err(refused)?;
        Ok(step("quantize_u8", site, move |call| {
            op.run(call.pool, floats(call.inputs[0])?, call.outputs[0]);
            Ok(())
        }))
    }
}

/// Bytes to floats.
#[derive(Debug)]
pub(crate) struct Dequantize {
    pub(crate) from: Bytes,
}

impl Recipe for Dequantize {
    per_image!();

    fn prepare(&self, site: &Site) -> Result<Arc<dyn Kernel>> {
        let from = self.from.quantization;
        Ok(step("dequantize_u8", site, move |call| {
            int8::dequantize(call.pool, from, call.inputs[0], floats_mut(call.outputs[0])?);
            Ok(())
        }))
    }
}

/// Bytes to bytes of another meaning.
#[derive(Debug)]
pub(crate) struct Requantize {
    pub(crate) from: Bytes,
    pub(crate) to: Bytes,
}

impl Recipe for Requantize {
    per_image!();

    fn prepare(&self, site: &Site) -> Result<Arc<dyn Kernel>> {
        if self.from.quantization == self.to.quantization {
            return Ok(on_bytes("copy_u8", site, |_, x, y| y.copy_from_slice(x)));
        }
        let op = int8::Requantize::new(self.from.quantization, self.to.quantization);
        let op = op.map_err(refused)?;
        Ok(on_bytes("requantize_u8", site, move |pool, x, y| op.run(pool, x, y)))
    }
}

/// The sum of two tensors of one shape.
#[derive(Debug)]
pub(crate) struct Add {
    pub(crate) inputs: [Bytes; 2],
    pub(crate) to: Bytes,
    pub(crate) range: [u8; 2],
}

impl Recipe for Add {
    fn separable(&self, inputs: &[&Value]) -> bool {
        inputs.iter().all(|value| value.per_image)
    }

    fn prepare(&self, site: &Site) -> Result<Arc<dyn Kernel>> {
        let inputs = self.inputs.map(|input| input.quantization);
        let op = int8::Add::new(inputs, self.to.quantization, self.range).map_err(refused)?;
        Ok(step("add_u8", site, move |call| {
            op.run(call.pool, [call.inputs[0], call.inputs[1]], call.outputs[0]);
            Ok(())
        }))
    }
}

/// The mean of windows; scale and zero point stay.
#[derive(Debug)]
pub(crate) struct AveragePool {
    pub(crate) kernel: [usize; 2],
    pub(crate) window: Window,
    pub(crate) signed: bool,
    pub(crate) range: [u8; 2],
}

impl Recipe for AveragePool {
    per_image!();

    fn prepare(&self, site: &Site) -> Result<Arc<dyn Kernel>> {
        let input = site.image()?;
        let rows = self.window.extent(0, input[0], self.kernel[0])?;
        let columns = self.window.extent(1, input[1], self.kernel[1])?;
        let window = kernels::Window {
            kernel: self.kernel,
            stride: self.window.strides,
            dilation: self.window.dilations,
            padding: Padding {
                top: rows.before,
                bottom: rows.after,
                left: columns.before,
                right: columns.after,
            },
        };
        let spec = int8::AveragePoolSpec { input, window, signed: self.signed, range: self.range };
        let op = int8::AveragePool::new(spec).map_err(refused)?;
        let image: usize = input.iter().product();
        Ok(on_bytes("average_pool_u8", site, move |pool, x, y| {
            op.run(pool, x.len() / image.max(1), x, y);
        }))
    }
}

/// The mean over height and width.
#[derive(Debug)]
pub(crate) struct Mean {
    pub(crate) from: Bytes,
    pub(crate) to: Bytes,
}

impl Recipe for Mean {
    per_image!();

    fn prepare(&self, site: &Site) -> Result<Arc<dyn Kernel>> {
        let [height, width, channels] = site.image()?;
        let pixels = height.saturating_mul(width);
        let op = int8::Mean::new(pixels, self.from.quantization, self.to.quantization);
        let op = op.map_err(refused)?;
        Ok(on_bytes("mean_u8", site, move |pool, x, y| op.run(pool, channels, x, y)))
    }
}

/// The softmax of rows, in steps of 1/256.
#[derive(Debug)]
pub(crate) struct Softmax {
    pub(crate) from: Bytes,
}

impl Softmax {
    /// Whether the kernel can tell the steps of this scale apart.
    pub(crate) fn fits(&self) -> bool {
        int8::Softmax::new(self.from.quantization.scale, 1.0).is_ok()
    }
}

impl Recipe for Softmax {
    per_image!();

    fn prepare(&self, site: &Site) -> Result<Arc<dyn Kernel>> {
        let op = int8::Softmax::new(self.from.quantization.scale, 1.0).map_err(refused)?;
        let columns = site.channels(0);
        Ok(on_bytes("softmax_u8", site, move |pool, x, y| op.run(pool, columns, x, y)))
    }
}

/// A convolution, depthwise convolution or matrix product with constant weights.
pub(crate) struct Product {
    pub(crate) geometry: Geometry,
    pub(crate) is_matrix: bool,
    /// As the kernels want them: see [`outputs_first`].
    pub(crate) weights: Vec<i8>,
    /// One, or one for each output channel.
    pub(crate) scales: Vec<f32>,
    pub(crate) zero_point: i8,
    pub(crate) bias: Option<Vec<i32>>,
    pub(crate) from: Bytes,
    pub(crate) to: Bytes,
    pub(crate) range: [u8; 2],
}

impl fmt::Debug for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Product").field("geometry", &self.geometry).finish_non_exhaustive()
    }
}

impl Product {
    /// Whether the factors between its scales are ones that the kernels have.
    pub(crate) fn fits(&self) -> bool {
        self.multipliers().is_ok()
    }

    /// Input times weight over output, for each scale of the weights, computed as TensorFlow Lite
    /// computes it: in single precision first for uint8 and for matrices with one scale.
    fn multipliers(&self) -> Result<Vec<Multiplier>> {
        let [from, to] = [self.from, self.to].map(|bytes| bytes.quantization.scale);
        let single = !self.from.signed || self.is_matrix && self.scales.len() == 1;
        let multiplier = if single { Multiplier::for_uint8 } else { Multiplier::for_int8 };
        let all = self.scales.iter().map(|&scale| multiplier(from, scale, to).map_err(refused));
        all.collect()
    }

    fn window(&self) -> kernels::Window {
        let Geometry { kernel, strides: stride, dilations: dilation, pads, .. } = self.geometry;
        let [[top, bottom], [left, right]] = pads;
        let padding = Padding { top, bottom, left, right };
        kernels::Window { kernel, stride, dilation, padding }
    }

    fn prepared(&self, site: &Site) -> Result<Prepared> {
        let Geometry { input, output, kind, .. } = self.geometry;
        let (window, zero_point) = (self.window(), self.from.quantization.zero_point);
        let weights = int8::Weights { values: &self.weights, zero_point: self.zero_point };
        let multipliers = self.multipliers()?;
        let rescale = int8::Rescale {
            multipliers: &multipliers,
            zero_point: self.to.quantization.zero_point,
            range: self.range,
        };
        let bias = self.bias.as_deref();
        let prepared = match kind {
            Kind::Full => {
                let spec = int8::Conv2dSpec { input, outputs: output[2], window, zero_point };
                int8::Conv2d::new(site.isa, spec, weights, bias, rescale).map(Prepared::Full)
            }
            Kind::Depthwise => {
                let multiplier = output[2] / input[2].max(1);
                let spec = int8::DepthwiseSpec { input, multiplier, window, zero_point };
                int8::Depthwise::new(site.isa, spec, weights, bias, rescale)
                    .map(Prepared::Depthwise)
            }
        };
        prepared.map_err(refused)
    }
}

/// A product with its weights packed.
enum Prepared {
    Full(int8::Conv2d),
    Depthwise(int8::Depthwise),
}

impl Recipe for Product {
    per_image!();

    fn prepare(&self, site: &Site) -> Result<Arc<dyn Kernel>> {
        let prepared = self.prepared(site)?;
        let image: usize = self.geometry.input.iter().product();
        if image == 0 {
            return Err(Error::shape("an empty image"));
        }
        let (kind, scratch_bytes) = match &prepared {
            Prepared::Full(op) => {
                let kind = if self.geometry.kernel == [1, 1] { "pointwise" } else { "conv2d" };
                (kind, op.scratch_len(site.threads))
            }
            Prepared::Depthwise(op) => ("depthwise", op.scratch_len(site.threads)),
        };
        let run = move |call: &mut Call<'_>| {
            let (x, y) = (call.inputs[0], &mut *call.outputs[0]);
            match &prepared {
                Prepared::Full(op) => op.run(call.pool, x.len() / image, x, y, call.scratch),
                Prepared::Depthwise(op) => op.run(call.pool, x.len() / image, x, y, call.scratch),
            }
            Ok(())
        };
        let name = format!("{kind}_u8__{}", site.isa);
        let multiply_adds = self.geometry.multiply_adds();
        Ok(Arc::new(Step { name, multiply_adds, scratch_bytes, run }))
    }
}

/// Weights as the kernels want them: `[height, width, in, out]` becomes
/// `[out, height, width, in]`; those of depthwise convolutions stay.
pub(crate) fn outputs_first(kind: Kind, outputs: usize, weights: &[i8]) -> Vec<i8> {
    match kind {
        Kind::Depthwise => weights.to_vec(),
        Kind::Full => (0..outputs)
            .flat_map(|output| weights.iter().skip(output).step_by(outputs.max(1)).copied())
            .collect(),
    }
}
