//! The slope of a convolution's filter: TensorFlow's `Conv2DBackpropFilter`.

use super::outer::Outer;
use super::{add_parts, part, parts};
use crate::conv2d::Conv2dSpec;
use crate::error::Result;
use crate::isa::Isa;
use crate::pool::Pool;
use crate::simd::call;

/// Rows summed before the next tile of the filter: so many of both inputs stay in the
/// first-level cache.
const BLOCK_BYTES: usize = 24 << 10;

/// The filter gradient of a convolution; pointwise ones are the case of a 1x1 kernel.
///
/// The spec's affine and activation are not looked at: `input` is what the convolution saw.
#[derive(Clone, Copy, Debug)]
pub struct FilterGradient {
    isa: Isa,
    spec: Conv2dSpec,
    output: [usize; 3],
}

impl FilterGradient {
    /// Checks the geometry.
    ///
    /// # Errors
    /// An instruction set this CPU lacks; a window that does not fit.
    pub fn new(isa: Isa, spec: Conv2dSpec) -> Result<Self> {
        Ok(Self { isa: isa.require()?, spec, output: spec.output()? })
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
        let block = self.block();
        for first in pixels.clone().step_by(block) {
            let last = pixels.end.min(first + block);
            self.add_pixels(&input[first * k..last * k], &dy[first * n..last * n], sums);
        }
    }

    /// Pixels of a pointwise convolution that are summed at a time.
    pub(super) fn block(&self) -> usize {
        (BLOCK_BYTES / (4 * (self.spec.input[2] + self.spec.outputs)).max(1)).clamp(16, 512)
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
        let whole = |x: usize| window.taps(1, x, width) == (0, window.kernel[1]);
        let mut x = 0;
        while x < columns {
            let inside = if window.dilation[1] == 1 {
                (x..columns).take_while(|&x| whole(x)).count()
            } else {
                0
            };
            if inside > 0 {
                let start = window.start(1, x) as usize * channels;
                let outer = Outer {
                    x: &line[start..],
                    x_stride: window.stride[1] * channels,
                    k: window.kernel[1] * channels,
                    dy: &dy[x * n..],
                    dy_stride: n,
                    n,
                    rows: inside,
                    out: sums,
                };
                call(self.isa, outer);
                x += inside;
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
