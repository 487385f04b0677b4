//! Depthwise convolution: every channel has its own small kernel.

pub(crate) mod body;
mod flat;
pub(crate) mod reference;
mod three;

use crate::aligned::Aligned;
use crate::error::{Error, Result, check_len, product};
use crate::isa::Isa;
use crate::pool::Pool;
use crate::table::{self, Kernel};
use crate::window::{Activation, Window};
use std::ops::Range;

/// Geometry of a depthwise convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DepthwiseSpec {
    /// `[height, width, channels]` of one input image.
    pub input: [usize; 3],
    /// Outputs for each input channel.
    pub multiplier: usize,
    /// Kernel, stride, dilation, padding.
    pub window: Window,
    /// Applied to each output.
    pub activation: Activation,
}

impl DepthwiseSpec {
    /// `[height, width, channels * multiplier]` of one output image.
    ///
    /// # Errors
    /// A window that does not fit; sizes beyond memory.
    pub fn output(&self) -> Result<[usize; 3]> {
        let [height, width, channels] = self.input;
        product("depthwise input", &self.input)?;
        if channels == 0 || self.multiplier == 0 {
            return Err(Error::geometry("depthwise convolution without channels"));
        }
        let [height, width] = self.window.output([height, width])?;
        let channels = product("channels", &[channels, self.multiplier])?;
        product("depthwise output", &[height, width, channels])?;
        Ok([height, width, channels])
    }
}

/// A depthwise convolution with its weights packed.
#[derive(Clone)]
pub struct Depthwise {
    pub(crate) geometry: Geometry,
    function: fn(DepthwiseTask<'_>),
    kernel: &'static Kernel,
}

/// What the kernels read of a depthwise convolution.
#[derive(Clone)]
pub(crate) struct Geometry {
    pub(crate) spec: DepthwiseSpec,
    pub(crate) output: [usize; 3],
    /// `[taps, channels]`, channels padded to whole vectors.
    pub(crate) weights: Aligned,
    pub(crate) bias: Aligned,
    /// Floats between the taps of `weights`.
    pub(crate) stride: usize,
    pub(crate) path: Path,
    /// A row of padding, where the path wants one.
    pub(crate) zeros: Aligned,
}

/// How a geometry is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// Pixel by pixel.
    Any,
    /// 3x3 in tiles of columns.
    Three,
    /// 3x3 with several pixels in a vector.
    Flat,
}

impl Depthwise {
    /// Packs `weights`, `[kernel height, kernel width, channels, multiplier]` row-major, and
    /// `bias`, `[channels * multiplier]` (zeros if `None`).
    ///
    /// # Errors
    /// An instruction set this CPU lacks; a geometry or slices that do not fit.
    pub fn new(
        isa: Isa,
        spec: DepthwiseSpec,
        weights: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self> {
        let kernel = table::pick_depthwise(isa.require()?)?;
        let geometry = Geometry::new(isa.lanes(), spec, weights, bias)?;
        Ok(Self { geometry, function: kernel.depthwise()?, kernel })
    }

    /// Its geometry.
    pub fn spec(&self) -> DepthwiseSpec {
        self.geometry.spec
    }

    /// `[height, width, channels]` of one output image.
    pub fn output(&self) -> [usize; 3] {
        self.geometry.output
    }

    /// The kernel it runs.
    pub fn kernel(&self) -> &'static Kernel {
        self.kernel
    }

    /// Computes `output`, `[batch, height, width, channels]`, from `input` of the same layout.
    ///
    /// # Panics
    /// If a slice does not fit `batch`.
    pub fn run(&self, pool: &Pool, batch: usize, input: &[f32], output: &mut [f32]) {
        let [height, width, channels] = self.geometry.output;
        assert_eq!(input.len(), batch * self.geometry.image(), "depthwise input");
        assert_eq!(output.len(), batch * height * width * channels, "depthwise output");
        let row = width * channels;
        let rows = height.div_ceil(4).min((32 << 10) / (4 * row.max(1))).max(1);
        pool.for_each_chunk(output, rows * row, &|index, output| {
            let first = index * rows;
            self.run_rows(first..first + output.len() / row, input, output);
        });
    }

    /// Output rows, counted over all images, in the calling thread.
    #[inline]
    pub(crate) fn run_rows(&self, rows: Range<usize>, input: &[f32], output: &mut [f32]) {
        (self.function)(DepthwiseTask { geometry: &self.geometry, rows, input, output });
    }
}

impl Geometry {
    fn new(
        lanes: usize,
        spec: DepthwiseSpec,
        weights: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<Self> {
        let output = spec.output()?;
        let channels = output[2];
        let taps = product("taps", &spec.window.kernel)?;
        check_len("weights", weights, product("weights", &[taps, channels])?)?;
        check_len("bias", bias.unwrap_or(&[]), bias.map_or(0, |_| channels))?;
        let stride = channels.next_multiple_of(lanes);
        let zeros = Aligned::zeros(0);
        let mut result = Self {
            spec,
            output,
            weights: Aligned::zeros(product("packed weights", &[taps, stride])?),
            bias: Aligned::padded(bias.unwrap_or(&[]), stride),
            stride,
            path: Path::Any,
            zeros,
        };
        let rows = result.weights.chunks_exact_mut(stride).zip(weights.chunks_exact(channels));
        rows.for_each(|(to, from)| to[..channels].copy_from_slice(from));
        if three::fits(&result, lanes) {
            result.path = Path::Three;
        } else if flat::fits(&result, lanes) {
            result.flatten();
        }
        Ok(result)
    }

    /// Repeats weights and bias over whole vectors.
    fn flatten(&mut self) {
        let channels = self.output[2];
        let stride = self.stride;
        for row in self.weights.chunks_exact_mut(stride).chain([&mut *self.bias]) {
            for lane in channels..stride {
                row[lane] = row[lane - channels];
            }
        }
        self.path = Path::Flat;
        self.zeros = Aligned::zeros(self.output[1] * channels);
    }

    /// Floats of one input image.
    pub(crate) fn image(&self) -> usize {
        self.spec.input.iter().product()
    }
}

/// Some output rows: what one call of a kernel computes.
pub(crate) struct DepthwiseTask<'a> {
    pub(crate) geometry: &'a Geometry,
    /// Output rows, counted over all images.
    pub(crate) rows: Range<usize>,
    /// All images, `[batch, height, width, channels]`.
    pub(crate) input: &'a [f32],
    /// The output rows.
    pub(crate) output: &'a mut [f32],
}
