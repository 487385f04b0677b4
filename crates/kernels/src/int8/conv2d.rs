//! Convolution of bytes as a product of matrices. Rows of the product are read where they lie:
//! in the image for 1x1, else in a copy of a few image rows with their borders. Only kernels with
//! gaps gather patches.

use super::product::{Layout, Product, Source, check};
use super::rows::Rows;
use super::table::{self, Kernel};
use super::{Rescale, Weights};
use crate::error::{Error, Result, product};
use crate::isa::Isa;
use crate::pool::Pool;
use crate::window::Window;

/// Geometry of a convolution of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2dSpec {
    /// `[height, width, channels]` of one input image.
    pub input: [usize; 3],
    /// Output channels.
    pub outputs: usize,
    /// Kernel, stride, dilation, padding.
    pub window: Window,
    /// The input byte that means 0; what lies around the image.
    pub zero_point: u8,
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
    kernel: &'static Kernel,
    product: Product,
    method: Method,
}

/// How rows of the product are found.
#[derive(Clone)]
enum Method {
    /// They are the pixels.
    Pixels,
    /// In copied rows; each makes `fold` output pixels.
    Copied { rows: Rows, layout: Layout },
    /// Patches are gathered.
    Gathered,
}

impl Conv2d {
    /// Packs `weights`, `[outputs, kernel height, kernel width, channels]`, and `bias`,
    /// `[outputs]` (zeros if `None`), in steps of input scale times weight scale.
    ///
    /// # Errors
    /// An instruction set this CPU lacks; a geometry or slices that do not fit.
    pub fn new(
        isa: Isa,
        spec: Conv2dSpec,
        weights: Weights<'_>,
        bias: Option<&[i32]>,
        rescale: Rescale<'_>,
    ) -> Result<Self> {
        let kernel = table::pick(isa)?;
        let output = spec.output()?;
        let [ky, kx] = spec.window.kernel;
        let patch = product("patch", &[ky, kx, spec.input[2]])?;
        check(weights, bias, [patch, spec.outputs])?;
        let bias = folded(spec, patch, weights, bias);
        let (method, fold) = Method::new(kernel, spec, output)?;
        let product = method.pack(kernel, (spec, fold), weights, &bias, rescale)?;
        Ok(Self { spec, output, kernel, product, method })
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
        self.kernel
    }

    /// Bytes of scratch memory that [`run`](Self::run) needs for so many threads.
    pub fn scratch_len(&self, threads: usize) -> usize {
        threads * self.scratch()
    }

    fn scratch(&self) -> usize {
        match &self.method {
            Method::Pixels => 0,
            Method::Copied { rows, .. } => rows.needed(self.strip()) * rows.row,
            Method::Gathered => self.output[1] * self.product.inputs(),
        }
    }

    /// Output rows of a task.
    fn strip(&self) -> usize {
        let height = self.output[0];
        match &self.method {
            Method::Copied { rows, .. } => {
                let fit = (24 << 10) / (rows.row * self.spec.window.stride[0]).max(1);
                fit.min(height.div_ceil(4)).max(1)
            }
            _ => 1,
        }
    }

    /// Computes `output`, `[batch, height, width, outputs]`, from `input`,
    /// `[batch, height, width, channels]`.
    ///
    /// # Panics
    /// If a slice does not fit `batch`, or `scratch` is shorter than
    /// [`scratch_len`](Self::scratch_len).
    pub fn run(
        &self,
        pool: &Pool,
        batch: usize,
        input: &[u8],
        output: &mut [u8],
        scratch: &mut [u8],
    ) {
        let [height, width, outputs] = self.output;
        let image: usize = self.spec.input.iter().product();
        assert_eq!(input.len(), batch * image, "convolution input");
        assert_eq!(output.len(), batch * height * width * outputs, "convolution output");
        if matches!(self.method, Method::Pixels) {
            return self.product.run(pool, batch * height * width, input, output);
        }
        let (row, strip) = (width * outputs, self.strip());
        let scratch = (scratch, self.scratch());
        pool.for_each_chunk_scratch(output, strip * row, scratch, &|index, output, scratch| {
            let mut first = index * strip;
            let mut rest = output;
            while !rest.is_empty() {
                let (image, y) = (&input[first / height * image..][..image], first % height);
                let count = (rest.len() / row).min(height - y);
                let (lines, after) = rest.split_at_mut(count * row);
                self.lines(image, y, lines, scratch);
                (first, rest) = (first + count, after);
            }
        });
    }

    /// Output rows `y..` of an image.
    fn lines(&self, image: &[u8], y: usize, output: &mut [u8], scratch: &mut [u8]) {
        let row = self.output[1] * self.spec.outputs;
        let lines = output.chunks_exact_mut(row).enumerate();
        match &self.method {
            Method::Copied { rows, layout } => {
                let copy = &mut scratch[..rows.needed(lines.len()) * rows.row];
                rows.fill(image, y, copy);
                for (line, output) in lines {
                    let from = line * self.spec.window.stride[0] * rows.row;
                    self.product.run_rows(*layout, &copy[from..], output);
                }
            }
            _ => {
                let inputs = self.product.inputs();
                for (line, output) in lines {
                    let patches = &mut scratch[..self.output[1] * inputs];
                    for (x, patch) in patches.chunks_exact_mut(inputs).enumerate() {
                        self.gather(image, (y + line, x), patch);
                    }
                    self.product.run_rows(Layout::dense(inputs), patches, output);
                }
            }
        }
    }

    /// Writes the patch under output `(y, x)`: `[kernel height, kernel width, channels]`.
    fn gather(&self, image: &[u8], (y, x): (usize, usize), patch: &mut [u8]) {
        let Conv2dSpec { input: [height, width, channels], window, zero_point, .. } = self.spec;
        let (ys, xs) = (window.taps(0, y, height), window.taps(1, x, width));
        for (tap, to) in patch.chunks_exact_mut(channels).enumerate() {
            let (ky, kx) = (tap / window.kernel[1], tap % window.kernel[1]);
            if !(ys.0..ys.1).contains(&ky) || !(xs.0..xs.1).contains(&kx) {
                to.fill(zero_point);
                continue;
            }
            let iy = (window.start(0, y) + (ky * window.dilation[0]) as isize) as usize;
            let ix = (window.start(1, x) + (kx * window.dilation[1]) as isize) as usize;
            to.copy_from_slice(&image[(iy * width + ix) * channels..][..channels]);
        }
    }
}

/// The bias with the zero point of the inputs taken in.
fn folded(spec: Conv2dSpec, patch: usize, weights: Weights<'_>, bias: Option<&[i32]>) -> Vec<i32> {
    let fold = |output: usize| {
        let taps = output * patch..(output + 1) * patch;
        let sum = taps.fold(0i32, |sum, tap| sum.wrapping_add(weights.at(tap)));
        let bias = bias.map_or(0, |bias| bias[output]);
        bias.wrapping_sub(sum.wrapping_mul(i32::from(spec.zero_point)))
    };
    (0..spec.outputs).map(fold).collect()
}

impl Method {
    /// The method, and output pixels of a row of the product.
    fn new(
        kernel: &Kernel,
        spec: Conv2dSpec,
        [_, width, outputs]: [usize; 3],
    ) -> Result<(Self, usize)> {
        let Conv2dSpec { input, window, zero_point, .. } = spec;
        if window.is_pointwise() {
            return Ok((Self::Pixels, 1));
        }
        if window.dilation[1] != 1 {
            return Ok((Self::Gathered, 1));
        }
        // With few outputs a row makes several pixels, so that vectors are full.
        let fits = |&fold: &usize| fold * outputs <= kernel.lanes && width.is_multiple_of(fold);
        let fold = [4, 2].into_iter().find(fits).unwrap_or(1);
        let [_, stride] = window.stride;
        let columns = (fold - 1) * stride + window.kernel[1];
        let rows = Rows::new(input, window, (1, 1), (width, 4), zero_point)?;
        let layout = Layout {
            segments: window.kernel[0],
            segment_stride: window.dilation[0] * rows.row,
            run: (columns * input[2]).next_multiple_of(4),
            row_stride: fold * stride * input[2],
        };
        Ok((Self::Copied { rows, layout }, fold))
    }

    /// Packs the weights as the method reads them.
    fn pack(
        &self,
        kernel: &'static Kernel,
        (spec, fold): (Conv2dSpec, usize),
        weights: Weights<'_>,
        bias: &[i32],
        rescale: Rescale<'_>,
    ) -> Result<Product> {
        let multipliers = rescale.each(spec.outputs)?;
        let [height, width] = spec.window.kernel;
        let channels = spec.input[2];
        let (segments, run) = match self {
            Self::Copied { layout, .. } => (layout.segments, layout.run),
            _ => (1, height * width * channels),
        };
        let own = height * width * channels / segments;
        let source = Source {
            outputs: fold * spec.outputs,
            segments,
            run,
            weight: &|output, segment, at| {
                // Later pixels of a fold begin a stride further on.
                let skipped = output / spec.outputs * spec.window.stride[1] * channels;
                let at = at.wrapping_sub(skipped);
                let row = (output % spec.outputs * segments + segment) * own;
                if at < own { weights.at(row + at) } else { 0 }
            },
            bias: &|output| bias[output % spec.outputs],
            multiplier: &|output| multipliers[output % spec.outputs],
        };
        Product::new(kernel, &source, &rescale)
    }
}
