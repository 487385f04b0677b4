//! Convolution as a product of matrices. Inside the image the rows of the product are read where
//! they lie; at the border (and for dilated kernels everywhere) patches are gathered first.

mod bytes;
pub(crate) mod first;
pub(crate) mod reference;

use crate::choice::Choice;
use crate::error::{Error, Result, check_len, product};
use crate::isa::Isa;
use crate::pointwise::{Layout, Pointwise, PointwiseSpec};
use crate::pool::Pool;
use crate::table::{self, Kernel};
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

    /// Whether the input is already what is multiplied.
    fn is_product(&self) -> bool {
        self.window.is_pointwise() && self.affine.is_none()
    }
}

/// A convolution with its weights packed.
#[derive(Clone)]
pub struct Conv2d {
    spec: Conv2dSpec,
    output: [usize; 3],
    method: Method,
}

/// How a convolution is computed.
#[derive(Clone)]
enum Method {
    /// Patches gathered into rows, then a product.
    Product(Pointwise),
    /// A product that reads its rows from the image; only patches at the border are gathered.
    /// The affine map is in the weights, padding is what the map takes to zero.
    Direct { product: Pointwise, padding: f32 },
    /// A kernel for first convolutions.
    First(Box<first::First>),
}

impl Conv2d {
    /// Packs `weights`, `[kernel height, kernel width, channels, outputs]` row-major, and
    /// `bias`, `[outputs]` (zeros if `None`).
    ///
    /// # Errors
    /// An instruction set this CPU lacks; a geometry or slices that do not fit.
    pub fn new(isa: Isa, spec: Conv2dSpec, weights: &[f32], bias: Option<&[f32]>) -> Result<Self> {
        Self::with_choice(isa, spec, weights, bias, Choice::default())
    }

    /// As [`new`](Self::new), with the kernel that `choice` names, if it names one.
    ///
    /// # Errors
    /// A kernel that does not fit, and those of [`new`](Self::new).
    pub fn with_choice(
        isa: Isa,
        spec: Conv2dSpec,
        weights: &[f32],
        bias: Option<&[f32]>,
        choice: Choice,
    ) -> Result<Self> {
        let output = spec.output()?;
        let [ky, kx] = spec.window.kernel;
        let inputs = product("patch", &[ky, kx, spec.input[2]])?;
        let len = product("weights", &[inputs, spec.outputs])?;
        check_len("weights", weights, len)?;
        check_len("bias", bias.unwrap_or(&[]), bias.map_or(0, |_| spec.outputs))?;
        let method = Method::new(isa, spec, (weights, bias), choice)?;
        Ok(Self { spec, output, method })
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
        match &self.method {
            Method::Product(product) | Method::Direct { product, .. } => product.kernel(),
            Method::First(first) => first.kernel(),
        }
    }

    /// Floats of scratch memory that [`run`](Self::run) needs for so many threads.
    pub fn scratch_len(&self, threads: usize) -> usize {
        threads * self.patches()
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
        if let Some(product) = self.plain() {
            return product.run(pool, batch * height * width, input, output);
        }
        let scratch = (scratch, self.patches());
        let (row, rows) = (width * outputs, rows_per_task(height));
        pool.for_each_chunk_scratch(output, rows * row, scratch, &|index, output, patches| {
            for (line, output) in output.chunks_exact_mut(row.max(1)).enumerate() {
                let y = index * rows + line;
                let image = Rows { floats: &input[y / height * image..][..image], first: 0 };
                self.row(image, y % height, output, patches);
            }
        });
    }

    /// The product that is all of the convolution.
    fn plain(&self) -> Option<&Pointwise> {
        match &self.method {
            Method::Product(product) if self.spec.is_product() => Some(product),
            _ => None,
        }
    }

    /// Values in a row of an input image.
    fn row_len(&self) -> usize {
        self.spec.input[1] * self.spec.input[2]
    }

    /// Floats of scratch memory for one output row.
    fn patches(&self) -> usize {
        let [kernel_height, kernel_width] = self.spec.window.kernel;
        let patch = kernel_height * kernel_width * self.spec.input[2];
        match &self.method {
            Method::Product(_) if self.spec.is_product() => 0,
            Method::Product(_) | Method::Direct { .. } => self.output[1] * patch,
            Method::First(_) => 0,
        }
    }

    /// Computes output row `y` of an image.
    fn row(&self, image: Rows<'_>, y: usize, output: &mut [f32], patches: &mut [f32]) {
        match &self.method {
            Method::Product(product) if self.spec.is_product() => {
                let row = self.row_len();
                product.run_rows(&image.starting_at(y, row)[..row], output);
            }
            Method::Product(product) => {
                let affine = self.spec.affine.unwrap_or(IDENTITY);
                self.gathered(product, (affine, 0.0), (image, y, 0), output, patches);
            }
            Method::Direct { product, padding } => {
                self.direct(product, *padding, image, y, output, patches);
            }
            Method::First(first) => first.row(image, y, output),
        }
    }

    /// An output row whose inner part is read from the image.
    fn direct(
        &self,
        product: &Pointwise,
        padding: f32,
        image: Rows<'_>,
        y: usize,
        output: &mut [f32],
        patches: &mut [f32],
    ) {
        let Conv2dSpec { input: [_, width, channels], outputs, window, .. } = self.spec;
        let mut gather = |first: usize, output: &mut [f32]| {
            let at = (image, y, first);
            self.gathered(product, (IDENTITY, padding), at, output, patches);
        };
        let (first, last) = self.inner(y);
        let (left, rest) = output.split_at_mut(first * outputs);
        let (inner, right) = rest.split_at_mut((last - first) * outputs);
        gather(0, left);
        gather(last, right);
        if first < last {
            let layout = Layout {
                segments: window.kernel[0],
                segment_stride: width * channels,
                run: window.kernel[1] * channels,
                row_stride: window.stride[1] * channels,
            };
            let row = window.start(0, y) as usize;
            let start = window.start(1, first) as usize * channels;
            let input = &image.starting_at(row, width * channels)[start..];
            product.run_layout(layout, input, inner, &[]);
        }
    }

    /// The output columns `first..last` of row `y` that no padding touches.
    fn inner(&self, y: usize) -> (usize, usize) {
        let window = &self.spec.window;
        let [height, width, _] = self.spec.input;
        let whole = |axis, out, size| window.taps(axis, out, size) == (0, window.kernel[axis]);
        let columns = self.output[1];
        if !whole(0, y, height) {
            return (columns, columns);
        }
        let first = (0..columns).find(|&x| whole(1, x, width)).unwrap_or(columns);
        let last = (first..columns).rfind(|&x| whole(1, x, width)).map_or(first, |x| x + 1);
        (first, last)
    }

    /// Columns `first..` of output row `y`, by a product of gathered patches.
    fn gathered(
        &self,
        product: &Pointwise,
        map: (Affine, f32),
        (image, y, first): (Rows<'_>, usize, usize),
        output: &mut [f32],
        patches: &mut [f32],
    ) {
        let inputs = product.spec().inputs;
        let patches = &mut patches[..output.len() / self.spec.outputs * inputs];
        for (x, patch) in patches.chunks_exact_mut(inputs).enumerate() {
            self.gather(map, image, (y, first + x), patch);
        }
        product.run_rows(patches, output);
    }

    /// Writes the patch under output `(y, x)`: `[kernel height, kernel width, channels]`.
    fn gather(
        &self,
        (affine, padding): (Affine, f32),
        image: Rows<'_>,
        (y, x): (usize, usize),
        patch: &mut [f32],
    ) {
        let [height, width, channels] = self.spec.input;
        let window = &self.spec.window;
        let (ys, xs) = (window.taps(0, y, height), window.taps(1, x, width));
        for (tap, to) in patch.chunks_exact_mut(channels).enumerate() {
            let (ky, kx) = (tap / window.kernel[1], tap % window.kernel[1]);
            if !(ys.0..ys.1).contains(&ky) || !(xs.0..xs.1).contains(&kx) {
                to.fill(padding);
                continue;
            }
            let iy = (window.start(0, y) + (ky * window.dilation[0]) as isize) as usize;
            let ix = (window.start(1, x) + (kx * window.dilation[1]) as isize) as usize;
            let from = &image.starting_at(iy, width * channels)[ix * channels..][..channels];
            for (to, from) in to.iter_mut().zip(from) {
                *to = from * affine.scale + affine.offset;
            }
        }
    }
}

/// Rows of an input image, from row `first` on.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    floats: &'a [f32],
    first: usize,
}

impl<'a> Rows<'a> {
    /// What there is from row `y` on, which must be there; rows have `len` floats.
    #[inline(always)]
    fn starting_at(self, y: usize, len: usize) -> &'a [f32] {
        &self.floats[(y - self.first) * len..]
    }
}

const IDENTITY: Affine = Affine { scale: 1.0, offset: 0.0 };

/// Output rows in a task: enough tasks for a few threads, whatever their number.
fn rows_per_task(height: usize) -> usize {
    height.div_ceil(16).max(1)
}

impl Method {
    fn new(
        isa: Isa,
        spec: Conv2dSpec,
        (weights, bias): (&[f32], Option<&[f32]>),
        choice: Choice,
    ) -> Result<Self> {
        let chosen = choice.kernel.map(|name| table::by_name_for(name, isa)).transpose()?;
        let is_first = chosen.is_some_and(|kernel| kernel.op() == "first");
        let inputs = weights.len() / spec.outputs;
        let pointwise =
            PointwiseSpec { inputs, outputs: spec.outputs, activation: spec.activation };
        let affine = spec.affine.unwrap_or(IDENTITY);
        let direct = spec.window.dilation == [1, 1] && affine.scale != 0.0;
        if (spec.is_product() || !direct) && !is_first {
            let product = Pointwise::with_choice(isa, pointwise, weights, bias, choice)?;
            return Ok(Self::Product(product));
        }
        let folded = Folded::new(spec, affine, weights, bias);
        if direct
            && (is_first || chosen.is_none())
            && let Some(first) = first::First::new(isa, spec, &folded, chosen)
        {
            return Ok(Self::First(Box::new(first)));
        }
        let (weights, bias) = (&folded.weights, Some(&folded.bias[..]));
        let product = Pointwise::with_choice(isa, pointwise, weights, bias, choice)?;
        Ok(Self::Direct { product, padding: folded.padding })
    }
}

/// Weights and bias that have taken in the affine map of the input.
pub(crate) struct Folded {
    weights: Vec<f32>,
    bias: Vec<f32>,
    /// The pixel that the map takes to zero: what lies around the image.
    padding: f32,
}

impl Folded {
    /// `w (s x + o) = (w s) x + w o`, and the padding `-o / s` makes it zero.
    fn new(spec: Conv2dSpec, affine: Affine, weights: &[f32], bias: Option<&[f32]>) -> Self {
        let mut sums: Vec<f64> = bias.map_or_else(
            || vec![0.0; spec.outputs],
            |bias| bias.iter().map(|&x| f64::from(x)).collect(),
        );
        for row in weights.chunks_exact(spec.outputs) {
            for (sum, weight) in sums.iter_mut().zip(row) {
                *sum += f64::from(affine.offset) * f64::from(*weight);
            }
        }
        Self {
            weights: weights.iter().map(|weight| weight * affine.scale).collect(),
            bias: sums.into_iter().map(|sum| sum as f32).collect(),
            padding: -affine.offset / affine.scale,
        }
    }
}
