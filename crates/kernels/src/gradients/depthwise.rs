//! The slope of a depthwise convolution's filter: TensorFlow's
//! `DepthwiseConv2dNativeBackpropFilter`.

use std::ops::Range;

use super::depthwise_three::{self, Rows};
use super::{add_parts, part, parts};
use crate::depthwise::DepthwiseSpec;
use crate::error::{Error, Result};
use crate::isa::Isa;
use crate::pool::Pool;
use crate::simd::{Body, Simd, call};

/// Most taps of a kernel: their sums stay in registers for one vector of channels.
const MAX_TAPS: usize = 49;

/// The filter gradient of a depthwise convolution with multiplier 1.
#[derive(Clone, Copy, Debug)]
pub struct DepthwiseFilterGradient {
    isa: Isa,
    spec: DepthwiseSpec,
    output: [usize; 3],
}

impl DepthwiseFilterGradient {
    /// Checks the geometry.
    ///
    /// # Errors
    /// An instruction set this CPU lacks; a window that does not fit or is larger than 7x7; a
    /// multiplier other than 1.
    pub fn new(isa: Isa, spec: DepthwiseSpec) -> Result<Self> {
        let output = spec.output()?;
        let [ky, kx] = spec.window.kernel;
        if spec.multiplier != 1 || ky * kx > MAX_TAPS {
            let message =
                "gradients of depthwise convolutions want multiplier 1 and at most 49 taps";
            return Err(Error::geometry(message));
        }
        Ok(Self { isa: isa.require()?, spec, output })
    }

    /// Values of the filter, `[kernel height, kernel width, channels, 1]`.
    pub fn filter_len(&self) -> usize {
        self.spec.window.kernel.iter().product::<usize>() * self.spec.input[2]
    }

    /// Floats of scratch that `run` wants.
    pub fn scratch_len(&self, batch: usize) -> usize {
        parts(batch * self.output[0]) * self.filter_len()
    }

    /// Computes the slope of the filter from `input`, `[batch, height, width, channels]`, and
    /// the slope `dy` of the output.
    ///
    /// # Panics
    /// If a slice does not fit `batch`.
    pub fn run(
        &self,
        pool: &Pool,
        batch: usize,
        input: &[f32],
        dy: &[f32],
        filter: &mut [f32],
        scratch: &mut [f32],
    ) {
        let [rows, columns, channels] = self.output;
        assert_eq!(input.len(), batch * self.spec.input.iter().product::<usize>(), "input");
        assert_eq!(dy.len(), batch * rows * columns * channels, "dy");
        assert_eq!(filter.len(), self.filter_len(), "filter");
        let units = batch * rows;
        let parts = parts(units);
        let scratch = &mut scratch[..self.scratch_len(batch)];
        pool.for_each_chunk(scratch, filter.len().max(1), &|index, sums| {
            sums.fill(0.0);
            self.add_rows(part(index, parts, units), input, dy, sums);
        });
        add_parts(self.isa, pool, scratch, filter.len(), filter);
    }

    /// Adds what rows of output give, counted over all images.
    pub(super) fn add_rows(&self, rows: Range<usize>, input: &[f32], dy: &[f32], sums: &mut [f32]) {
        if depthwise_three::fits(self.isa, &self.spec, self.output) {
            return self.images(rows, input, dy, sums);
        }
        for row in rows {
            call(self.isa, FilterRow { op: self, row, input, dy, sums: &mut *sums });
        }
    }

    pub(super) fn spec(&self) -> DepthwiseSpec {
        self.spec
    }

    /// Rows of an image's output.
    pub(super) fn rows(&self) -> usize {
        self.output[0]
    }

    /// Rows of output, counted over all images, image by image.
    fn images(&self, rows: Range<usize>, input: &[f32], dy: &[f32], sums: &mut [f32]) {
        let [height, width, channels] = self.output;
        let (image, slopes) =
            (self.spec.input.iter().product::<usize>(), height * width * channels);
        let mut row = rows.start;
        while row < rows.end {
            let (index, first) = (row / height, row % height);
            let last = (first + rows.end - row).min(height);
            let rows = Rows {
                spec: &self.spec,
                output: self.output,
                rows: first..last,
                input: &input[index * image..(index + 1) * image],
                dy: &dy[index * slopes..(index + 1) * slopes],
                sums: &mut *sums,
            };
            call(self.isa, rows);
            row += last - first;
        }
    }
}

/// One row of output.
struct FilterRow<'a> {
    op: &'a DepthwiseFilterGradient,
    row: usize,
    input: &'a [f32],
    dy: &'a [f32],
    sums: &'a mut [f32],
}

impl Body for FilterRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (spec, [rows, columns, channels]) = (self.op.spec, self.op.output);
        let [height, width, _] = spec.input;
        let (image, y) = (self.row / rows, self.row % rows);
        let dy = &self.dy[self.row * columns * channels..(self.row + 1) * columns * channels];
        let (first, last) = spec.window.taps(0, y, height);
        for ky in first..last {
            let top = spec.window.start(0, y) + (ky * spec.window.dilation[0]) as isize;
            let line = (image * height + top as usize) * width * channels;
            let line = &self.input[line..line + width * channels];
            let taps = spec.window.kernel[1] * channels;
            let sums = &mut self.sums[ky * taps..(ky + 1) * taps];
            match spec.window.kernel[1] {
                3 => kernel_row::<S, 3>(simd, &spec, line, dy, sums),
                _ => any_kernel_row(&spec, line, dy, sums),
            }
        }
    }
}

/// One line of input under one row of a kernel `K` wide, channels by vectors.
#[inline(always)]
fn kernel_row<S: Simd, const K: usize>(
    simd: S,
    spec: &DepthwiseSpec,
    line: &[f32],
    dy: &[f32],
    sums: &mut [f32],
) {
    let channels = spec.input[2];
    let width = line.len() / channels;
    let columns = dy.len() / channels;
    let window = spec.window;
    assert!(sums.len() >= K * channels);
    // Outputs whose taps all lie inside stand together.
    let whole = |x: &usize| window.taps(1, *x, width) == (0, K);
    let begin = (0..columns).find(whole).unwrap_or(columns);
    let end = (begin..columns).find(|x| !whole(x)).unwrap_or(columns);
    for c in (0..channels).step_by(S::LANES) {
        let count = (channels - c).min(S::LANES);
        // SAFETY: `c + count <= channels`; outputs `begin..end` have every tap inside `line`,
        // and `window.start` of them is not negative.
        unsafe {
            let mut totals = [simd.splat(0.0); K];
            for (tap, total) in totals.iter_mut().enumerate() {
                *total = simd.load_part(sums.as_ptr().add(tap * channels + c), count);
            }
            for x in begin..end {
                let slope = simd.load_part(dy.as_ptr().add(x * channels + c), count);
                let start = window.start(1, x) as usize;
                for (tap, total) in totals.iter_mut().enumerate() {
                    let at = (start + tap * window.dilation[1]) * channels + c;
                    let value = simd.load_part(line.as_ptr().add(at), count);
                    *total = simd.fma(value, slope, *total);
                }
            }
            for (tap, total) in totals.into_iter().enumerate() {
                simd.store_part(sums.as_mut_ptr().add(tap * channels + c), total, count);
            }
        }
    }
    for x in (0..begin).chain(end..columns) {
        taps_of(spec, x, line, dy, sums);
    }
}

fn any_kernel_row(spec: &DepthwiseSpec, line: &[f32], dy: &[f32], sums: &mut [f32]) {
    for x in 0..dy.len() / spec.input[2] {
        taps_of(spec, x, line, dy, sums);
    }
}

/// One output, tap by tap, those outside left out.
#[inline(always)]
fn taps_of(spec: &DepthwiseSpec, x: usize, line: &[f32], dy: &[f32], sums: &mut [f32]) {
    let channels = spec.input[2];
    let (first, last) = spec.window.taps(1, x, line.len() / channels);
    let dy = &dy[x * channels..(x + 1) * channels];
    for tap in first..last {
        let at = spec.window.start(1, x) + (tap * spec.window.dilation[1]) as isize;
        let input = &line[at as usize * channels..(at as usize + 1) * channels];
        let sums = &mut sums[tap * channels..(tap + 1) * channels];
        for ((sum, value), slope) in sums.iter_mut().zip(input).zip(dy) {
            *sum += value * slope;
        }
    }
}
