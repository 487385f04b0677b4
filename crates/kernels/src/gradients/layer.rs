//! The backward step of a layer: a convolution whose output was batch normalised.
//!
//! What flows back through batch norm is computed strip by strip (an image at a time where the
//! convolution is not pointwise) and stays in the cache for both gradients of the convolution, which
//! are all that read it: it is never written to memory.

use super::batch_norm::{Task, finish_slopes};
use super::depthwise_input::{InputRow, turned};
use super::pointwise::{scatter, transposed};
use super::{
    BatchNormGradient, BatchNormGradientScratch, BatchNormSlopes, DepthwiseFilterGradient,
    FilterGradient, add_parts,
};
use crate::conv2d::Conv2dSpec;
use crate::depthwise::{Depthwise, DepthwiseSpec};
use crate::error::{Error, Result, check_len};
use crate::isa::Isa;
use crate::layer::{Cut, LayerSpec};
use crate::normalize::Normalization;
use crate::pointwise::Pointwise;
use crate::pool::Pool;
use crate::simd::call;

/// The gradients of a convolution and of the batch norm behind it, in one.
#[derive(Clone, Copy, Debug)]
pub struct LayerGradient {
    isa: Isa,
    spec: LayerSpec,
    filter: Filter,
    /// `[height, width, channels]` of the convolution's output.
    output: [usize; 3],
}

/// What the forward step read and wrote, and what comes back.
#[derive(Clone, Copy, Debug)]
pub struct LayerOperands<'a> {
    /// Input of the convolution, `[batch, height, width, channels]`, before what is applied to it.
    pub input: &'a [f32],
    /// What is applied to it, if anything is. The slope of the input is that behind it.
    pub before: Option<Normalization<'a>>,
    /// Its filter; only looked at where the slope of its input is wanted.
    pub filter: &'a [f32],
    /// Its output, which was normalised.
    pub output: &'a [f32],
    /// The slope of what followed, of the output's shape.
    pub dy: &'a [f32],
}

/// What a layer's backward step yields.
#[derive(Debug)]
pub struct LayerSlopes<'a> {
    /// Of the convolution's input, if wanted.
    pub input: Option<&'a mut [f32]>,
    /// Of its filter.
    pub filter: &'a mut [f32],
    /// Of the scale and shift of the batch norm behind it.
    pub norm: NormSlopes<'a>,
    /// Of those of the batch norm before it, if wanted.
    pub before: Option<SlopesBefore<'a>>,
}

/// Slopes of the scale and shift of the batch norm behind a convolution.
#[derive(Debug)]
pub enum NormSlopes<'a> {
    /// They are to be summed first, which reads output and slope once more.
    Wanted(BatchNormSlopes<'a>),
    /// They are known: the layer behind has summed them.
    Known([&'a [f32]; 2]),
}

/// Slopes of the scale and shift of what is applied to a layer's input, summed where the slope of
/// that input is written.
#[derive(Debug)]
pub struct SlopesBefore<'a> {
    /// `1 / sqrt(batch variance + epsilon)` of each channel of the input.
    pub inverse_deviation: &'a [f32],
    /// To be written.
    pub slopes: BatchNormSlopes<'a>,
}

/// Scratch memory of a layer's backward step.
#[derive(Debug)]
pub struct LayerScratch<'a> {
    /// As long as [`BatchNormGradient::scratch_len`] says.
    pub norm: BatchNormGradientScratch<'a>,
    /// As long as the first of [`LayerGradient::scratch_len`] says.
    pub sums: &'a mut [f64],
    /// As long as the second says.
    pub parts: &'a mut [f32],
}

impl LayerGradient {
    /// Checks the geometry.
    ///
    /// # Errors
    /// Those of [`FilterGradient::new`] and [`DepthwiseFilterGradient::new`].
    pub fn new(isa: Isa, spec: LayerSpec) -> Result<Self> {
        let filter = match spec {
            LayerSpec::Full(of) if spec.is_pointwise() => {
                Filter::Pointwise(FilterGradient::new(isa, of)?)
            }
            LayerSpec::Full(of) => Filter::Full(FilterGradient::new(isa, of)?),
            LayerSpec::Depthwise(of) => Filter::Depthwise(DepthwiseFilterGradient::new(isa, of)?),
        };
        Ok(Self { isa, spec, filter, output: spec.output()? })
    }

    /// Values of the filter.
    pub fn filter_len(&self) -> usize {
        match &self.filter {
            Filter::Pointwise(op) | Filter::Full(op) => op.filter_len(),
            Filter::Depthwise(op) => op.filter_len(),
        }
    }

    /// Doubles and floats of scratch that `run` wants for its parts: fewer where nothing is applied
    /// to the input, or where no slopes of that are summed.
    pub fn scratch_len(&self, batch: usize, before: bool, sums_before: bool) -> [usize; 2] {
        let cut = self.spec.cut(self.output, batch);
        let wide = Normalization::scratch_len(self.spec.input()[2]) / 3;
        let sums = if sums_before { 2 * wide } else { 0 };
        let parts = self.part_len(&cut, before);
        [cut.count.saturating_mul(sums), cut.count.saturating_mul(parts)]
    }

    /// Floats of a part's scratch: sums, a strip of slopes and one of inputs.
    fn part_len(&self, cut: &Cut, before: bool) -> usize {
        let read = if before { cut.read } else { 0 };
        self.filter_len() + cut.block * (cut.written + read)
    }

    /// Computes all slopes of a batch.
    ///
    /// # Errors
    /// Vectors of batch norm that are of unequal length.
    ///
    /// # Panics
    /// If a slice does not fit `batch`.
    pub fn run(
        &self,
        pool: &Pool,
        batch: usize,
        norm: &BatchNormGradient<'_>,
        of: LayerOperands<'_>,
        to: LayerSlopes<'_>,
        scratch: LayerScratch<'_>,
    ) -> Result<()> {
        let LayerSlopes { input: dx, filter: slopes, norm: norm_slopes, before } = to;
        let cut = self.spec.cut(self.output, batch);
        assert_eq!(of.input.len(), cut.units * cut.read, "input");
        assert_eq!(of.output.len(), cut.units * cut.written, "output");
        assert!(dx.as_ref().is_none_or(|dx| dx.len() == of.input.len()), "dx");
        assert!(dx.is_none() || of.filter.len() == self.filter_len(), "filter");
        assert_eq!(slopes.len(), self.filter_len(), "slopes of the filter");
        let task = match norm_slopes {
            NormSlopes::Wanted(mut to) => {
                norm.reduce(self.isa, pool, [of.output, of.dy], &mut to, scratch.norm)?
            }
            NormSlopes::Known(slopes) if !of.output.is_empty() => {
                let rows = of.output.len() / self.output[2];
                Some(norm.known(self.isa, rows, slopes, scratch.norm)?)
            }
            NormSlopes::Known(_) => None,
        };
        let Some(task) = task else {
            slopes.fill(0.0);
            dx.into_iter().for_each(|dx| dx.fill(0.0));
            if let Some(SlopesBefore { slopes, .. }) = before {
                slopes.gamma.fill(0.0);
                slopes.beta.fill(0.0);
            }
            return Ok(());
        };
        let back = dx.as_ref().map(|_| self.filter.back(self.isa, self.output, of.filter));
        let back = back.transpose()?;
        let summed = match (&before, &of.before, &back) {
            (None, ..) => None,
            (Some(to), Some(norm), Some(_)) => {
                let channels = self.spec.input()[2];
                check_len("deviations of the norm before", to.inverse_deviation, channels)?;
                check_len("slopes of the scale before", to.slopes.gamma, channels)?;
                check_len("slopes of the shift before", to.slopes.beta, channels)?;
                Some(Task::before(self.isa, norm))
            }
            _ => return Err(Error::geometry("slopes of a norm that no slope goes back to")),
        };
        let wide = summed.map_or(0, |task| task.wide());
        let stride = self.part_len(&cut, of.before.is_some());
        let parts = &mut scratch.parts[..cut.count * stride];
        let sums = &mut scratch.sums[..cut.count * 2 * wide];
        let dx = dx.unwrap_or_default();
        pool.for_each_triple(
            (dx, cut.each * cut.read),
            (&mut *sums, 2 * wide),
            (&mut *parts, stride),
            &|index, dx, sums, part| {
                let range = cut.part(index);
                let written = range.start * cut.written..range.end * cut.written;
                let of = LayerOperands {
                    input: &of.input[range.start * cut.read..range.end * cut.read],
                    output: &of.output[written.clone()],
                    dy: &of.dy[written],
                    ..of
                };
                sums.fill(0.0);
                let back = back.as_ref().map(|back| (back, dx));
                self.part(&cut, &task, of, back, part, summed.as_ref().map(|task| (task, sums)));
            },
        );
        add_parts(self.isa, pool, parts, stride, slopes);
        if let Some(SlopesBefore { inverse_deviation, mut slopes }) = before {
            finish_slopes((sums, wide), inverse_deviation, &mut slopes);
        }
        Ok(())
    }

    /// Some units; `part` is a part's scratch, and begins with the sums of the filter's slope.
    fn part(
        &self,
        cut: &Cut,
        task: &Task<'_>,
        of: LayerOperands<'_>,
        mut back: Option<(&Back<'_>, &mut [f32])>,
        part: &mut [f32],
        mut summed: Option<(&Task<'_>, &mut [f64])>,
    ) {
        let (sums, strips) = part.split_at_mut(self.filter_len());
        let (strip, read) = strips.split_at_mut(cut.block * cut.written);
        sums.fill(0.0);
        let units = of.output.len() / cut.written;
        for first in (0..units).step_by(cut.block) {
            let last = units.min(first + cut.block);
            let inside = first * cut.read..last * cut.read;
            let outside = first * cut.written..last * cut.written;
            let strip = &mut strip[..outside.len()];
            task.input_slope(&of.output[outside.clone()], &of.dy[outside], strip);
            let mut input = &of.input[inside.clone()];
            if let Some(before) = &of.before {
                before.apply(self.isa, input, &mut read[..input.len()]);
                input = &read[..input.len()];
            }
            self.filter.add(input, strip, sums);
            if let Some((back, dx)) = &mut back {
                let dx = &mut dx[inside.clone()];
                back.run(self.isa, strip, dx);
                if let Some((task, sums)) = &mut summed {
                    task.add(&of.input[inside], dx, sums);
                }
            }
        }
    }
}

/// The gradient by the filter.
#[derive(Clone, Copy, Debug)]
enum Filter {
    Pointwise(FilterGradient),
    Full(FilterGradient),
    Depthwise(DepthwiseFilterGradient),
}

impl Filter {
    /// Adds what a block of pixels, or an image, gives.
    fn add(&self, input: &[f32], dy: &[f32], sums: &mut [f32]) {
        match self {
            Self::Pointwise(op) => op.add_pixels(input, dy, sums),
            Self::Full(op) => op.add_image(input, dy, sums),
            Self::Depthwise(op) => op.add_rows(0..op.rows(), input, dy, sums),
        }
    }

    /// The gradient by the input that belongs to it.
    fn back<'a>(&self, isa: Isa, output: [usize; 3], weights: &'a [f32]) -> Result<Back<'a>> {
        Ok(match self {
            Self::Pointwise(op) => Back::Product(transposed(isa, op.spec(), weights)?),
            Self::Full(op) => Back::Scatter(op.spec(), output, weights),
            Self::Depthwise(op) if op.spec().window.stride == [1, 1] => {
                Back::Turned(turned(isa, op.spec(), output, weights)?)
            }
            Self::Depthwise(op) => Back::Rows(op.spec(), output, weights),
        })
    }
}

/// The gradient by the input.
enum Back<'a> {
    Product(Pointwise),
    Scatter(Conv2dSpec, [usize; 3], &'a [f32]),
    Turned(Depthwise),
    Rows(DepthwiseSpec, [usize; 3], &'a [f32]),
}

impl Back<'_> {
    /// Of a block of pixels, or of an image.
    fn run(&self, isa: Isa, dy: &[f32], dx: &mut [f32]) {
        match self {
            Self::Product(product) => product.run_rows(dy, dx),
            Self::Scatter(spec, output, weights) => scatter(spec, *output, weights, dy, dx),
            Self::Turned(op) => op.run_rows(0..op.output()[0], dy, dx),
            &Self::Rows(ref spec, output, weights) => {
                let line = spec.input[1] * spec.input[2];
                for (row, dx) in dx.chunks_mut(line.max(1)).enumerate() {
                    call(isa, InputRow { spec, output, row, weights, dy, dx });
                }
            }
        }
    }
}
