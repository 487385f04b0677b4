//! Depthwise and pointwise convolution in one: strips of the depthwise output stay in a near
//! cache and are multiplied there, while the rows of the next strip are fetched.

use crate::choice::Choice;
use crate::depthwise::{Depthwise, DepthwiseSpec};
use crate::error::Result;
use crate::isa::Isa;
use crate::pointwise::{Layout, Pointwise, PointwiseSpec};
use crate::pool::Pool;
use crate::precision::Precision;
use crate::window::Activation;

/// Geometry of a separable convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeparableSpec {
    /// The depthwise half, with its activation.
    pub depthwise: DepthwiseSpec,
    /// Output channels of the pointwise half.
    pub outputs: usize,
    /// Applied to each output of the pointwise half.
    pub activation: Activation,
}

/// A separable convolution with its weights packed.
#[derive(Clone)]
pub struct Separable {
    depthwise: Depthwise,
    pointwise: Pointwise,
    /// Output rows of a strip, where they are chosen.
    rows: Option<usize>,
}

impl Separable {
    /// Packs both halves; each is a pair of weights and bias (zeros if `None`), laid out as for
    /// [`Depthwise::new`] and [`Pointwise::new`].
    ///
    /// # Errors
    /// Those of the halves.
    pub fn new(
        isa: Isa,
        spec: SeparableSpec,
        depthwise: (&[f32], Option<&[f32]>),
        pointwise: (&[f32], Option<&[f32]>),
    ) -> Result<Self> {
        Self::with_choice((isa, Choice::default()), spec, depthwise, pointwise)
    }

    /// As [`new`](Self::new), with the kernel of the pointwise half and the strips that are chosen.
    ///
    /// # Errors
    /// Those of the halves.
    pub fn with_choice(
        (isa, choice): (Isa, Choice),
        spec: SeparableSpec,
        depthwise: (&[f32], Option<&[f32]>),
        pointwise: (&[f32], Option<&[f32]>),
    ) -> Result<Self> {
        Self::with_precision((isa, Precision::F32, choice), spec, depthwise, pointwise)
    }

    /// As [`with_choice`](Self::with_choice), the pointwise half in a precision.
    ///
    /// # Errors
    /// Those of the halves.
    pub fn with_precision(
        (isa, precision, choice): (Isa, Precision, Choice),
        spec: SeparableSpec,
        depthwise: (&[f32], Option<&[f32]>),
        pointwise: (&[f32], Option<&[f32]>),
    ) -> Result<Self> {
        let depthwise = Depthwise::new(isa, spec.depthwise, depthwise.0, depthwise.1)?;
        let [_, _, channels] = depthwise.output();
        let pointwise_spec =
            PointwiseSpec { inputs: channels, outputs: spec.outputs, activation: spec.activation };
        let (weights, bias) = pointwise;
        let how = (isa, precision, choice);
        let pointwise = Pointwise::with_precision(how, pointwise_spec, weights, bias)?;
        Ok(Self { depthwise, pointwise, rows: choice.rows })
    }

    /// Its geometry.
    pub fn spec(&self) -> SeparableSpec {
        let PointwiseSpec { outputs, activation, .. } = self.pointwise.spec();
        SeparableSpec { depthwise: self.depthwise.spec(), outputs, activation }
    }

    /// `[height, width, channels]` of one output image.
    pub fn output(&self) -> [usize; 3] {
        let [height, width, _] = self.depthwise.output();
        [height, width, self.pointwise.spec().outputs]
    }

    /// The halves.
    pub fn parts(&self) -> (&Depthwise, &Pointwise) {
        (&self.depthwise, &self.pointwise)
    }

    /// Floats of scratch memory that [`run`](Self::run) needs for so many threads.
    pub fn scratch_len(&self, threads: usize) -> usize {
        threads * self.strip_len(self.strip_rows(threads))
    }

    /// Floats of the depthwise output of a strip of so many rows.
    fn strip_len(&self, rows: usize) -> usize {
        let [_, width, channels] = self.depthwise.output();
        (rows * width * channels).next_multiple_of(64)
    }

    /// Output rows of a strip: its depthwise output takes about half of the first-level cache, or
    /// more where the weights come from farther away, so that they come less often.
    fn strip_rows(&self, threads: usize) -> usize {
        let [height, width, channels] = self.depthwise.output();
        let weights = 4 * channels * self.pointwise.spec().outputs;
        let pixels: usize = match weights >> 10 {
            0..64 => 1,
            64..256 => 24,
            256..1024 => 48,
            _ => 112,
        };
        let near = (16 << 10) / (4 * width * channels).max(1);
        let rows = near.max(pixels.div_ceil(width.max(1))).clamp(1, height.max(1));
        let rows = if rows > 4 { rows / 4 * 4 } else { rows };
        let rows = self.rows.map_or(rows, |rows| rows.clamp(1, height.max(1)));
        // Strips of equal height, at least one for each thread.
        let strips = height.max(1).div_ceil(rows).max(threads.min(height.max(1)));
        height.max(1).div_ceil(strips)
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
        let [height, width, outputs] = self.output();
        let channels = self.pointwise.spec().inputs;
        assert_eq!(input.len(), batch * self.depthwise.geometry.image(), "separable input");
        assert_eq!(output.len(), batch * height * width * outputs, "separable output");
        let row = width * outputs;
        let height = self.strip_rows(pool.threads());
        let scratch = (scratch, self.strip_len(height));
        pool.for_each_chunk_scratch(output, height * row, scratch, &|index, output, strip| {
            let rows = output.len() / row.max(1);
            let first = index * height;
            let strip = &mut strip[..rows * width * channels];
            self.depthwise.run_rows(first..first + rows, input, strip);
            let ahead = self.rows_after(first + rows, height, input);
            self.pointwise.run_layout(Layout::dense(channels), strip, output, ahead);
        });
    }

    /// The input rows that output rows `first..first + rows` read and those before do not; output
    /// rows are counted over all images.
    fn rows_after<'a>(&self, first: usize, rows: usize, input: &'a [f32]) -> &'a [f32] {
        let spec = self.depthwise.spec();
        let [height, width, channels] = spec.input;
        let (image, row) = (first / self.output()[0].max(1), first % self.output()[0].max(1));
        let reach = (spec.window.kernel[0] - 1) * spec.window.dilation[0] + 1;
        let stride = spec.window.stride[0];
        let last = spec.window.start(0, row) + reach as isize;
        let end = usize::try_from(last + ((rows - 1) * stride) as isize).unwrap_or(0).min(height);
        let begin = usize::try_from(last - stride as isize).unwrap_or(0).min(end);
        let line = |line: usize| ((image * height + line) * width * channels).min(input.len());
        &input[line(begin)..line(end)]
    }
}
