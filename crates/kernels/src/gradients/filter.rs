//! The slope of a convolution's filter: TensorFlow's `Conv2DBackpropFilter`.

use super::outer::Outer;
use super::{add_parts, part, parts};
use crate::conv2d::Conv2dSpec;
use crate::error::Result;
use crate::isa::Isa;
use crate::layer::pixels_at_once;
use crate::pool::Pool;
use crate::simd::call;

/// The filter gradient of a convolution; pointwise ones are the case of a 1x1 kernel.
///
/// The spec's affine and activation are not looked at: `input` is what the convolution saw.
#[derive(Clone, Copy, Debug)]
pub struct FilterGradient {
    isa: Isa,
    spec: Conv2dSpec,
    output: [usize; 3],
    /// Columns of output, from and to, whose taps all lie side by side in the image.
    inside: (usize, usize),
}

impl FilterGradient {
    /// Checks the geometry.
    ///
    /// # Errors
    /// An instruction set this CPU lacks; a window that does not fit.
    pub fn new(isa: Isa, spec: Conv2dSpec) -> Result<Self> {
        let output = spec.output()?;
        let window = &spec.window;
        let whole = |x: &usize| {
            window.dilation[1] == 1 && window.taps(1, *x, spec.input[1]) == (0, window.kernel[1])
        };
        let begin = (0..output[1]).find(whole).unwrap_or(output[1]);
        let end = (begin..output[1]).find(|x| !whole(x)).unwrap_or(output[1]);
        Ok(Self { isa: isa.require()?, spec, output, inside: (begin, end) })
    }

    /// Values of the filter, `[kernel height, kernel width, channels, outputs]`.
    pub fn filter_len(&self) -> usize {
        let [ky, kx] = self.spec.window.kernel;
        ky * kx * self.spec.input[2] * self.spec.outputs
    }

    /// Floats of scratch that `run` wants.
    pub fn scratch_len(&self, batch: usize) -> usize {
        parts(self.units(batch)) * self.filter_len()
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
        let [height, width, channels] = self.spec.input;
        assert_eq!(input.len(), batch * height * width * channels, "input");
        assert_eq!(dy.len(), batch * self.output.iter().product::<usize>(), "dy");
        assert_eq!(filter.len(), self.filter_len(), "filter");
        let scratch = &mut scratch[..self.scratch_len(batch)];
        if filter.is_empty() {
            return;
        }
        let units = self.units(batch);
        let parts = parts(units);
        pool.for_each_chunk(scratch, filter.len(), &|index, sums| {
            sums.fill(0.0);
            let units = part(index, parts, units);
            if self.spec.window.is_pointwise() {
                self.pixels(units, input, dy, sums);
            } else {
                units.for_each(|row| self.output_row(row, input, dy, sums));
            }
        });
        add_parts(self.isa, pool, scratch, filter.len(), filter);
    }

    /// What the sum is cut along: pixels of a pointwise convolution, else rows of output.
    fn units(&self, batch: usize) -> usize {
        let [rows, columns, _] = self.output;
        if self.spec.window.is_pointwise() { batch * rows * columns } else { batch * rows }
    }

    fn pixels(&self, pixels: std::ops::Range<usize>, input: &[f32], dy: &[f32], sums: &mut [f32]) {
        let (k, n) = (self.spec.input[2], self.spec.outputs);
        let block = pixels_at_once(k, n);
        for first in pixels.clone().step_by(block) {
            let last = pixels.end.min(first + block);
            self.add_pixels(&input[first * k..last * k], &dy[first * n..last * n], sums);
        }
    }

    /// Adds what some pixels of a pointwise convolution give.
    pub(super) fn add_pixels(&self, x: &[f32], dy: &[f32], sums: &mut [f32]) {
        let (k, n) = (self.spec.input[2], self.spec.outputs);
        let rows = x.len() / k.max(1);
        call(self.isa, Outer { x, x_stride: k, k, dy, dy_stride: n, n, rows, out: sums });
    }

    /// Adds what an image gives.
    pub(super) fn add_image(&self, input: &[f32], dy: &[f32], sums: &mut [f32]) {
        (0..self.output[0]).for_each(|row| self.output_row(row, input, dy, sums));
    }

    pub(super) fn spec(&self) -> Conv2dSpec {
        self.spec
    }

    /// One row of output, row by row of the kernel.
    fn output_row(&self, row: usize, input: &[f32], dy: &[f32], sums: &mut [f32]) {
        let [rows, columns, n] = self.output;
        let [height, width, channels] = self.spec.input;
        let (image, y) = (row / rows, row % rows);
        let dy = &dy[row * columns * n..(row + 1) * columns * n];
        let window = self.spec.window;
        let (first, last) = window.taps(0, y, height);
        for ky in first..last {
            let top = window.start(0, y) + (ky * window.dilation[0]) as isize;
            let line = (image * height + top as usize) * width * channels;
            let line = &input[line..line + width * channels];
            let taps = window.kernel[1] * channels * n;
            self.kernel_row(line, dy, columns, &mut sums[ky * taps..(ky + 1) * taps]);
        }
    }

    /// One line of input under one row of the kernel.
    fn kernel_row(&self, line: &[f32], dy: &[f32], columns: usize, sums: &mut [f32]) {
        let window = self.spec.window;
        let [_, width, channels] = self.spec.input;
        let n = self.spec.outputs;
        let (begin, end) = self.inside;
        let mut x = 0;
        while x < columns {
            if x == begin && begin < end {
                let start = window.start(1, x) as usize * channels;
                let outer = Outer {
                    x: &line[start..],
                    x_stride: window.stride[1] * channels,
                    k: window.kernel[1] * channels,
                    dy: &dy[x * n..],
                    dy_stride: n,
                    n,
                    rows: end - begin,
                    out: sums,
                };
                call(self.isa, outer);
                x = end;
                continue;
            }
            let (first, last) = window.taps(1, x, width);
            for kx in first..last {
                let left = window.start(1, x) + (kx * window.dilation[1]) as isize;
                let outer = Outer {
                    x: &line[left as usize * channels..],
                    x_stride: 0,
                    k: channels,
                    dy: &dy[x * n..],
                    dy_stride: 0,
                    n,
                    rows: 1,
                    out: &mut sums[kx * channels * n..],
                };
                call(self.isa, outer);
            }
            x += 1;
        }
    }
}
