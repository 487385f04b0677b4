//! Images of bytes. The output is computed strip by strip: the input rows that a strip reads become
//! floats, which stay in the near cache, and the kernels of floats run on those.

use super::{Conv2d, Rows, rows_per_task};
use crate::elementwise::Widen;
use crate::pool::Pool;
use crate::simd;
use std::ops::Range;

/// Floats that a strip reads, as long as it has more than one row: 32 KiB.
const STRIP: usize = 8 << 10;

/// Floats in a cache line: every thread's scratch memory begins at one.
const LINE: usize = 16;

impl Conv2d {
    /// Floats of scratch memory that [`run_bytes`](Self::run_bytes) needs for so many threads.
    pub fn bytes_scratch_len(&self, threads: usize) -> usize {
        threads * (self.strip_len() + self.patches().next_multiple_of(LINE))
    }

    /// Computes `output`, `[batch, height, width, outputs]`, from `input`,
    /// `[batch, height, width, channels]`: bit for bit what [`run`](Self::run) computes from the
    /// floats `f32::from(byte) * factor`, which are never there all at once.
    ///
    /// # Panics
    /// If a slice does not fit `batch`.
    pub fn run_bytes(
        &self,
        pool: &Pool,
        batch: usize,
        (input, factor): (&[u8], f32),
        output: &mut [f32],
        scratch: &mut [f32],
    ) {
        let [height, width, outputs] = self.output;
        let image: usize = self.spec.input.iter().product();
        assert_eq!(input.len(), batch * image, "convolution input");
        assert_eq!(output.len(), batch * height * width * outputs, "convolution output");
        let (row, rows) = ((width * outputs).max(1), rows_per_task(height));
        let (strip, floats) = (self.strip(), self.strip_len());
        let scratch = (scratch, self.bytes_scratch_len(1));
        pool.for_each_chunk_scratch(output, rows * row, scratch, &|index, output, scratch| {
            let (floats, patches) = scratch.split_at_mut(floats);
            let (mut y, mut rest) = (index * rows, output);
            while !rest.is_empty() {
                let first = y % height;
                let lines = strip.min(height - first).min(rest.len() / row);
                let (own, later) = rest.split_at_mut(lines * row);
                let image = &input[y / height * image..][..image];
                let image = self.widened(image, factor, first..first + lines, floats);
                for (line, output) in own.chunks_exact_mut(row).enumerate() {
                    self.row(image, first + line, output, patches);
                }
                (y, rest) = (y + lines, later);
            }
        });
    }

    /// The rows of `image` that the output rows `lines` read, as floats.
    fn widened<'a>(
        &self,
        image: &[u8],
        factor: f32,
        lines: Range<usize>,
        floats: &'a mut [f32],
    ) -> Rows<'a> {
        let (rows, len) = (self.reads(lines), self.row_len());
        let input = &image[rows.start * len..rows.end * len];
        let output = &mut floats[..input.len()];
        simd::call(self.kernel().isa, Widen { factor, input, output });
        Rows { floats, first: rows.start }
    }

    /// The input rows that the output rows `lines` read.
    fn reads(&self, lines: Range<usize>) -> Range<usize> {
        let window = &self.spec.window;
        let inside = |row: isize| (row.max(0) as usize).min(self.spec.input[0]);
        let last = window.start(0, lines.end.saturating_sub(1));
        inside(window.start(0, lines.start))..inside(last + self.reach() as isize)
    }

    /// Input rows from the first to the last under the kernel.
    fn reach(&self) -> usize {
        let window = &self.spec.window;
        (window.kernel[0] - 1) * window.dilation[0] + 1
    }

    /// Output rows in a strip.
    fn strip(&self) -> usize {
        let rows = STRIP / self.row_len().max(1);
        let more = rows.saturating_sub(self.reach()) / self.spec.window.stride[0];
        rows_per_task(self.output[0]).min(more + 1)
    }

    /// Floats that a strip reads at most, in whole cache lines.
    fn strip_len(&self) -> usize {
        let rows = (self.strip() - 1) * self.spec.window.stride[0] + self.reach();
        (rows.min(self.spec.input[0]) * self.row_len()).next_multiple_of(LINE)
    }
}
