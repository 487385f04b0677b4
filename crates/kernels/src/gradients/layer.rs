//! The backward step of a layer: a convolution whose output was batch normalised.
//!
//! What flows back through batch norm is computed strip by strip and stays in the cache for both
//! gradients of the convolution, which are all that read it: it is never written to memory.

use super::batch_norm::Task;
use super::depthwise_input::{InputRow, turned};
use super::pointwise::{scatter, transposed};
use super::{
    BatchNormGradient, BatchNormGradientScratch, BatchNormSlopes, DepthwiseFilterGradient,
    FilterGradient, add_parts, parts,
};
use crate::conv2d::Conv2dSpec;
use crate::depthwise::{Depthwise, DepthwiseSpec};
use crate::error::Result;
use crate::isa::Isa;
use crate::pointwise::Pointwise;
use crate::pool::Pool;
use crate::simd::call;

/// The convolution of a layer; affine and activation of its spec are not looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LayerSpec {
    /// Pointwise ones too.
    Full(Conv2dSpec),
    /// With multiplier 1.
    Depthwise(DepthwiseSpec),
}

/// The gradients of a convolution and of the batch norm behind it, in one.
#[derive(Clone, Copy, Debug)]
pub struct LayerGradient {
    isa: Isa,
    filter: Filter,
    /// `[height, width, channels]` of the convolution's output.
    output: [usize; 3],
}

/// What the forward step read and wrote, and what comes back.
#[derive(Clone, Copy, Debug)]
pub struct LayerOperands<'a> {
    /// Input of the convolution, `[batch, height, width, channels]`.
    pub input: &'a [f32],
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
    /// Of batch norm's scale and shift.
    pub norm: BatchNormSlopes<'a>,
}

/// Scratch memory of a layer's backward step.
#[derive(Debug)]
pub struct LayerScratch<'a> {
    /// As long as [`BatchNormGradient::scratch_len`] says.
    pub norm: BatchNormGradientScratch<'a>,
    /// As long as [`LayerGradient::scratch_len`] says.
    pub parts: &'a mut [f32],
}

impl LayerGradient {
    /// Checks the geometry.
    ///
    /// # Errors
    /// Those of [`FilterGradient::new`] and [`DepthwiseFilterGradient::new`].
    pub fn new(isa: Isa, spec: LayerSpec) -> Result<Self> {
        Ok(match spec {
            LayerSpec::Full(spec) => {
                let op = FilterGradient::new(isa, spec)?;
                let pointwise = spec.window.is_pointwise();
                let filter = if pointwise { Filter::Pointwise(op) } else { Filter::Full(op) };
                Self { isa, filter, output: spec.output()? }
            }
            LayerSpec::Depthwise(spec) => {
                let op = DepthwiseFilterGradient::new(isa, spec)?;
                Self { isa, filter: Filter::Depthwise(op), output: spec.output()? }
            }
        })
    }

    /// Values of the filter.
    pub fn filter_len(&self) -> usize {
        match &self.filter {
            Filter::Pointwise(op) | Filter::Full(op) => op.filter_len(),
            Filter::Depthwise(op) => op.filter_len(),
        }
    }

    /// Floats of scratch that `run` wants for its parts.
    pub fn scratch_len(&self, batch: usize) -> usize {
        let (count, _) = self.cut(batch);
        count * (self.filter_len() + self.strip_len())
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
        let LayerSlopes { input: mut dx, filter: slopes, norm: mut norm_slopes } = to;
        let ([read, written], units) = (self.unit(), self.units(batch));
        assert_eq!(of.input.len(), units * read, "input");
        assert_eq!(of.output.len(), units * written, "output");
        assert!(dx.as_ref().is_none_or(|dx| dx.len() == of.input.len()), "dx");
        assert!(dx.is_none() || of.filter.len() == self.filter_len(), "filter");
        assert_eq!(slopes.len(), self.filter_len(), "slopes of the filter");
        let values = [of.output, of.dy];
        let reduced = norm.reduce(self.isa, pool, values, &mut norm_slopes, scratch.norm)?;
        let Some(task) = reduced else {
            slopes.fill(0.0);
            dx.into_iter().for_each(|dx| dx.fill(0.0));
            return Ok(());
        };
        let back = dx.as_ref().map(|_| self.filter.back(self.isa, self.output, of.filter));
        let back = back.transpose()?;
        let (count, each) = self.cut(batch);
        let stride = slopes.len() + self.strip_len();
        let parts = &mut scratch.parts[..count * stride];
        let dx = dx.as_deref_mut().unwrap_or_default();
        pool.for_each_pair((dx, each * read), (parts, stride), &|index, dx, part| {
            let (first, last) = (index * each, units.min((index + 1) * each));
            let of = LayerOperands {
                input: &of.input[first * read..last * read],
                output: &of.output[first * written..last * written],
                dy: &of.dy[first * written..last * written],
                ..of
            };
            self.part(&task, back.as_ref(), of, dx, part);
        });
        add_parts(self.isa, pool, parts, stride, slopes);
        Ok(())
    }

    /// Some units; `part` holds sums of the filter's slope and a strip.
    fn part(
        &self,
        task: &Task<'_>,
        back: Option<&Back<'_>>,
        of: LayerOperands<'_>,
        dx: &mut [f32],
        part: &mut [f32],
    ) {
        let [read, written] = self.unit();
        let (sums, strip) = part.split_at_mut(self.filter_len());
        sums.fill(0.0);
        let units = of.output.len() / written;
        for first in (0..units).step_by(self.block()) {
            let last = units.min(first + self.block());
            let (inside, outside) = (first * read..last * read, first * written..last * written);
            let strip = &mut strip[..outside.len()];
            task.input_slope(&of.output[outside.clone()], &of.dy[outside], strip);
            self.filter.add(&of.input[inside.clone()], strip, sums);
            if let Some(back) = back {
                back.run(self.isa, strip, &mut dx[inside]);
            }
        }
    }

    /// What the work is cut along: pixels of a pointwise convolution, else images. How many floats
    /// of input and output each has.
    fn unit(&self) -> [usize; 2] {
        match &self.filter {
            Filter::Pointwise(op) => [op.spec().input[2], op.spec().outputs],
            Filter::Full(op) => [op.spec().input.iter().product(), self.output.iter().product()],
            Filter::Depthwise(op) => {
                [op.spec().input.iter().product(), self.output.iter().product()]
            }
        }
    }

    fn units(&self, batch: usize) -> usize {
        match &self.filter {
            Filter::Pointwise(_) => batch * self.output[0] * self.output[1],
            _ => batch,
        }
    }

    /// Units whose slopes a strip holds.
    fn block(&self) -> usize {
        match &self.filter {
            Filter::Pointwise(op) => op.block(),
            _ => 1,
        }
    }

    fn strip_len(&self) -> usize {
        self.block() * self.unit()[1]
    }

    /// How many parts there are, and the units of each.
    fn cut(&self, batch: usize) -> (usize, usize) {
        let units = self.units(batch);
        let each = units.div_ceil(parts(units)).max(1);
        (units.div_ceil(each), each)
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
