//! The forward step of a layer in training: the batch norm and activation before a convolution,
//! the convolution, and the statistics of what it yields, for the batch norm behind it.
//!
//! All three are done strip by strip, so that what is normalised is never written to memory and
//! what the convolution yields is written once and not read again for its statistics.

use crate::conv2d::Conv2dSpec;
use crate::depthwise::{Depthwise, DepthwiseSpec};
use crate::error::{Error, Result, check_len};
use crate::isa::Isa;
use crate::normalize::{Moments, Normalization, combine, folded};
use crate::pointwise::{Pointwise, PointwiseSpec};
use crate::pool::Pool;
use crate::simd::call;
use crate::window::Activation;

/// The convolution of a layer; affine and activation of its spec are not looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LayerSpec {
    /// Pointwise ones too.
    Full(Conv2dSpec),
    /// One filter for each channel.
    Depthwise(DepthwiseSpec),
}

impl LayerSpec {
    /// `[height, width, channels]` of the input.
    pub fn input(&self) -> [usize; 3] {
        match self {
            Self::Full(spec) => spec.input,
            Self::Depthwise(spec) => spec.input,
        }
    }

    /// `[height, width, channels]` of the output.
    ///
    /// # Errors
    /// A window that does not fit.
    pub fn output(&self) -> Result<[usize; 3]> {
        match self {
            Self::Full(spec) => spec.output(),
            Self::Depthwise(spec) => spec.output(),
        }
    }

    /// Whether one pixel in is one pixel out.
    pub fn is_pointwise(&self) -> bool {
        matches!(self, Self::Full(spec) if spec.window.is_pointwise())
    }

    /// How a batch is cut.
    pub(crate) fn cut(&self, output: [usize; 3], batch: usize) -> Cut {
        let input = self.input();
        let ([units, block], [read, written]) = if self.is_pointwise() {
            let block = pixels_at_once(input[2], output[2]);
            ([batch * output[0] * output[1], block], [input[2], output[2]])
        } else {
            ([batch, 1], [input.iter().product(), output.iter().product()])
        };
        // Whole blocks but for the last part.
        let each = units.div_ceil(PARTS).next_multiple_of(block).max(1);
        Cut { units, each, count: units.div_ceil(each), block, read, written }
    }
}

/// Most parts a batch is cut into, whatever the number of threads.
const PARTS: usize = 8;

/// Pixels of a pointwise convolution taken at a time: so many of inputs and outputs stay in the
/// first-level cache. A multiple of any number of pixels that a vector holds.
pub(crate) fn pixels_at_once(inputs: usize, outputs: usize) -> usize {
    const BYTES: usize = 24 << 10;
    (BYTES / (4 * (inputs + outputs)).max(1)).clamp(16, 512).next_multiple_of(16)
}

/// A batch in parts, a part in blocks; the unit is a pixel of a pointwise convolution, else an
/// image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub(crate) units: usize,
    /// Units of a part; the last may have fewer.
    pub(crate) each: usize,
    /// Parts.
    pub(crate) count: usize,
    /// Units of a block.
    pub(crate) block: usize,
    /// Floats of input in a unit.
    pub(crate) read: usize,
    /// Floats of output in a unit.
    pub(crate) written: usize,
}

impl Cut {
    /// Units of part `index`.
    pub(crate) fn part(&self, index: usize) -> std::ops::Range<usize> {
        (index * self.each).min(self.units)..((index + 1) * self.each).min(self.units)
    }
}

/// A pointwise or depthwise convolution between two batch norms.
#[derive(Clone, Copy, Debug)]
pub struct Layer {
    isa: Isa,
    spec: LayerSpec,
    output: [usize; 3],
}

/// What a layer reads.
#[derive(Clone, Copy, Debug)]
pub struct LayerInput<'a> {
    /// `[batch, height, width, channels]`.
    pub input: &'a [f32],
    /// Applied to it, if anything is.
    pub before: Option<Normalization<'a>>,
    /// The filter.
    pub filter: &'a [f32],
}

/// What a layer writes.
#[derive(Debug)]
pub struct LayerOutput<'a> {
    /// `[batch, height, width, channels]`.
    pub output: &'a mut [f32],
    /// Mean and population variance of each channel of it, if wanted.
    pub statistics: Option<[&'a mut [f32]; 2]>,
}

impl Layer {
    /// Checks the geometry.
    ///
    /// # Errors
    /// An instruction set this CPU lacks; a window that does not fit; a full convolution that is
    /// not pointwise.
    pub fn new(isa: Isa, spec: LayerSpec) -> Result<Self> {
        if matches!(spec, LayerSpec::Full(_)) && !spec.is_pointwise() {
            return Err(Error::geometry("a layer's convolution is pointwise or depthwise"));
        }
        Ok(Self { isa: isa.require()?, spec, output: spec.output()? })
    }

    /// Doubles and floats of scratch that `run` wants; fewer where nothing comes before.
    pub fn scratch_len(&self, batch: usize, before: bool) -> [usize; 2] {
        let cut = self.spec.cut(self.output, batch);
        let moments = 2 * self.wide(batch);
        let strip = if before { cut.block * cut.read } else { 0 };
        [cut.count.saturating_mul(moments), cut.count.saturating_mul(strip)]
    }

    /// Channels of rows that were folded for statistics.
    fn wide(&self, batch: usize) -> usize {
        let [height, width, channels] = self.output;
        let images = if self.spec.is_pointwise() { batch } else { 1 };
        channels * folded(images * height * width, channels)
    }

    /// Computes the output of a batch and its statistics.
    ///
    /// # Errors
    /// A filter or statistics of another length.
    ///
    /// # Panics
    /// If another slice does not fit `batch`.
    pub fn run(
        &self,
        pool: &Pool,
        batch: usize,
        from: LayerInput<'_>,
        to: LayerOutput<'_>,
        (moments, strips): (&mut [f64], &mut [f32]),
    ) -> Result<()> {
        let LayerOutput { output, statistics } = to;
        let cut = self.spec.cut(self.output, batch);
        assert_eq!(from.input.len(), cut.units * cut.read, "input of a layer");
        assert_eq!(output.len(), cut.units * cut.written, "output of a layer");
        let channels = self.output[2];
        for values in statistics.iter().flatten() {
            check_len("statistics", values, channels)?;
        }
        if statistics.is_some() && output.is_empty() {
            return Err(Error::geometry("batch normalisation of nothing"));
        }
        let op = match self.spec {
            LayerSpec::Full(spec) => Op::Pointwise(pointwise(self.isa, spec, from.filter)?),
            LayerSpec::Depthwise(spec) => {
                let spec = DepthwiseSpec { activation: Activation::None, ..spec };
                Op::Depthwise(Depthwise::new(self.isa, spec, from.filter, None)?)
            }
        };
        let [doubles, floats] = self.scratch_len(batch, from.before.is_some());
        let (moments, strips) = (&mut moments[..doubles], &mut strips[..floats]);
        let wide = self.wide(batch);
        pool.for_each_triple(
            (&mut *output, cut.each * cut.written),
            (strips, floats.checked_div(cut.count).unwrap_or(0)),
            (&mut *moments, 2 * wide),
            &|index, output, strip, moments| {
                let range = cut.part(index);
                let input = &from.input[range.start * cut.read..range.end * cut.read];
                for (block, output) in
                    output.chunks_mut((cut.block * cut.written).max(1)).enumerate()
                {
                    let start = block * cut.block;
                    let read = output.len() / cut.written * cut.read;
                    let input = &input[start * cut.read..][..read];
                    match &from.before {
                        Some(before) => {
                            before.apply(self.isa, input, &mut strip[..read]);
                            op.run(&strip[..read], output);
                        }
                        None => op.run(input, output),
                    }
                    if statistics.is_some() {
                        let known = start * cut.written / wide;
                        call(self.isa, Moments { input: output, known, moments: &mut *moments });
                    }
                }
            },
        );
        if let Some([mean, variance]) = statistics {
            let rows = |part: usize| cut.part(part).len() * cut.written / wide;
            combine(moments, wide, rows, [mean, variance]);
        }
        Ok(())
    }
}

fn pointwise(isa: Isa, spec: Conv2dSpec, filter: &[f32]) -> Result<Pointwise> {
    let (inputs, outputs) = (spec.input[2], spec.outputs);
    let spec = PointwiseSpec { inputs, outputs, activation: Activation::None };
    Pointwise::new(isa, spec, filter, None)
}

enum Op {
    Pointwise(Pointwise),
    Depthwise(Depthwise),
}

impl Op {
    /// A block of pixels, or an image.
    fn run(&self, input: &[f32], output: &mut [f32]) {
        match self {
            Self::Pointwise(op) => op.run_rows(input, output),
            Self::Depthwise(op) => op.run_rows(0..op.output()[0], input, output),
        }
    }
}
