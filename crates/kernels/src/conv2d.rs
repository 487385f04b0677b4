//! General convolution: patches are gathered into rows (with the input's affine map applied,
//! zeros outside) and multiplied by packed weights.

pub(crate) mod reference;

use crate::depthwise::reference::positions;
use crate::error::{Error, Result, check_len, product};
use crate::isa::Isa;
use crate::pointwise::{Pointwise, PointwiseSpec};
use crate::pool::Pool;
use crate::table::Kernel;
use crate::window::{Activation, Window};

/// `x * scale + offset` on every input pixel, before the zero padding; MobileNet modules
/// begin with `2 x - 1`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// Factor.
    pub scale: f32,
    /// Summand.
    pub offset: f32,
}

/// Geometry of a convolution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv2dSpec {
    /// `[height, width, channels]` of one input image.
    pub input: [usize; 3],
    /// Output channels.
    pub outputs: usize,
    /// Kernel, stride, dilation, padding.
    pub window: Window,
    /// Applied to each input pixel, but not to the padding.
    pub affine: Option<Affine>,
    /// Applied to each output.
    pub activation: Activation,
}

impl Conv2dSpec {
    /// `[height, width, channels]` of one output image.
    ///
    /// # Errors
    /// A window that does not fit; sizes beyond memory.
    pub fn output(&self) -> Result<[usize; 3]> {
        product("convolution input", &self.input)?;
        if self.input[2] == 0 || self.outputs == 0 {
            return Err(Error::geometry("convolution without channels"));
        }
        let [height, width] = self.window.output([self.input[0], self.input[1]])?;
        product("convolution output", &[height, width, self.outputs])?;
        Ok([height, width, self.outputs])
    }
}

/// A convolution with its weights packed.
#[derive(Clone)]
pub struct Conv2d {
    spec: Conv2dSpec,
    output: [usize; 3],
    product: Pointwise,
}

impl Conv2d {
    /// Packs `weights`, `[kernel height, kernel width, channels, outputs]` row-major, and
    /// `bias`, `[outputs]` (zeros if `None`).
    ///
    /// # Errors
    /// An instruction set this CPU lacks; a geometry or slices that do not fit.
    pub fn new(isa: Isa, spec: Conv2dSpec, weights: &[f32], bias: Option<&[f32]>) -> Result<Self> {
        let output = spec.output()?;
        let [ky, kx] = spec.window.kernel;
        let inputs = product("patch", &[ky, kx, spec.input[2]])?;
        let len = product("weights", &[inputs, spec.outputs])?;
        check_len("weights", weights, len)?;
        let pointwise =
            PointwiseSpec { inputs, outputs: spec.outputs, activation: spec.activation };
        let product = Pointwise::new(isa, pointwise, weights, bias)?;
        Ok(Self { spec, output, product })
    }

    /// Its geometry.
    pub fn spec(&self) -> Conv2dSpec {
        self.spec
    }

    /// `[height, width, channels]` of one output image.
    pub fn output(&self) -> [usize; 3] {
        self.output
    }

    /// The kernel it runs.
    pub fn kernel(&self) -> &'static Kernel {
        self.product.kernel()
    }

    /// Floats of scratch memory that [`run`](Self::run) needs for so many threads.
    pub fn scratch_len(&self, threads: usize) -> usize {
        if self.is_plain() { 0 } else { threads * self.patches() }
    }

    /// Computes `output`, `[batch, height, width, outputs]`, from `input`,
    /// `[batch, height, width, channels]`.
    ///
    /// # Panics
    /// If a slice does not fit `batch`.
    pub fn run(
        &self,
        pool: &Pool,
        batch: usize,
        input: &[f32],
        output: &mut [f32],
        scratch: &mut [f32],
    ) {
        let [height, width, outputs] = self.output;
        let image: usize = self.spec.input.iter().product();
        assert_eq!(input.len(), batch * image, "convolution input");
        assert_eq!(output.len(), batch * height * width * outputs, "convolution output");
        if self.is_plain() {
            return self.product.run(pool, batch * height * width, input, output);
        }
        let scratch = (scratch, self.patches());
        pool.for_each_chunk_scratch(output, width * outputs, scratch, &|y, output, patches| {
            self.gather(&input[y / height * image..][..image], y % height, patches);
            self.product.run_rows(patches, output);
        });
    }

    /// Whether the input is already what is multiplied.
    fn is_plain(&self) -> bool {
        self.spec.window.is_pointwise() && self.spec.affine.is_none()
    }

    /// Floats in the patches of one output row.
    fn patches(&self) -> usize {
        self.output[1] * self.product.spec().inputs
    }

    /// Writes the patches of output row `y`: `[width, kernel height, kernel width, channels]`.
    fn gather(&self, image: &[f32], y: usize, patches: &mut [f32]) {
        let [height, width, channels] = self.spec.input;
        let window = &self.spec.window;
        let [kernel_height, kernel_width] = window.kernel;
        let ys = window.taps(0, y, height);
        for (x, patch) in patches.chunks_exact_mut(self.product.spec().inputs).enumerate() {
            let xs = window.taps(1, x, width);
            for (ky, kx, _) in positions([kernel_height, kernel_width, 1]) {
                let to = &mut patch[(ky * kernel_width + kx) * channels..][..channels];
                if !(ys.0..ys.1).contains(&ky) || !(xs.0..xs.1).contains(&kx) {
                    to.fill(0.0);
                    continue;
                }
                let iy = (window.start(0, y) + (ky * window.dilation[0]) as isize) as usize;
                let ix = (window.start(1, x) + (kx * window.dilation[1]) as isize) as usize;
                self.copy(&image[(iy * width + ix) * channels..][..channels], to);
            }
        }
    }

    fn copy(&self, from: &[f32], to: &mut [f32]) {
        let Some(Affine { scale, offset }) = self.spec.affine else {
            return to.copy_from_slice(from);
        };
        for (to, from) in to.iter_mut().zip(from) {
            *to = from * scale + offset;
        }
    }
}
