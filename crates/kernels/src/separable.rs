//! Depthwise and pointwise convolution in one: strips of the depthwise output stay in the
//! nearest cache and are multiplied there.

use crate::depthwise::{Depthwise, DepthwiseSpec};
use crate::error::Result;
use crate::isa::Isa;
use crate::pointwise::{Pointwise, PointwiseSpec};
use crate::pool::Pool;
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
    /// Output rows of a strip.
    strip: usize,
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
        let depthwise = Depthwise::new(isa, spec.depthwise, depthwise.0, depthwise.1)?;
        let [height, width, channels] = depthwise.output();
        let pointwise_spec =
            PointwiseSpec { inputs: channels, outputs: spec.outputs, activation: spec.activation };
        let pointwise = Pointwise::new(isa, pointwise_spec, pointwise.0, pointwise.1)?;
        let strip = strip_rows(height, width, channels, spec.outputs);
        Ok(Self { depthwise, pointwise, strip })
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
        threads * self.strip_len()
    }

    fn strip_len(&self) -> usize {
        let [_, width, channels] = self.depthwise.output();
        (self.strip * width * channels).next_multiple_of(64)
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
        let scratch = (scratch, self.strip_len());
        pool.for_each_chunk_scratch(output, self.strip * row, scratch, &|index, output, strip| {
            let rows = output.len() / row.max(1);
            let first = index * self.strip;
            let strip = &mut strip[..rows * width * channels];
            self.depthwise.run_rows(first..first + rows, input, strip);
            self.pointwise.run_rows(strip, output);
        });
    }
}

/// Rows of a strip: its depthwise output takes about half of the first-level cache.
fn strip_rows(height: usize, width: usize, channels: usize, _outputs: usize) -> usize {
    let row = 4 * width * channels;
    let fit = ((16 << 10) / row.max(1)).clamp(1, height.max(1));
    // Strips of equal height where possible.
    height.max(1).div_ceil(height.max(1).div_ceil(fit))
}
