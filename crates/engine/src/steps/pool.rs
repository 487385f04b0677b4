//! Pooling over height and width; padding counts in no window.

use std::sync::Arc;

use super::{Call, Kernel, floats, floats_mut};
use crate::error::Result;
use crate::ops::Pooling;
use crate::program::Value;
use crate::window::{Extent, Window};

/// The kernel that pools images of `[height, width, channels]` with windows of `kernel`.
pub(crate) fn pool(
    pooling: Pooling,
    input: [usize; 3],
    kernel: [usize; 2],
    window: Window,
) -> Result<Arc<dyn Kernel>> {
    let [rows, columns] =
        [window.extent(0, input[0], kernel[0])?, window.extent(1, input[1], kernel[1])?];
    Ok(Arc::new(Pool { pooling, input, kernel, strides: window.strides, rows, columns }))
}

#[derive(Debug)]
struct Pool {
    pooling: Pooling,
    input: [usize; 3],
    kernel: [usize; 2],
    strides: [usize; 2],
    rows: Extent,
    columns: Extent,
}

impl Pool {
    fn is_global(&self) -> bool {
        self.rows.output == 1 && self.columns.output == 1 && self.kernel == self.input[..2]
    }

    /// One output pixel.
    fn window(&self, x: &[f32], at: [usize; 2], out: &mut [f32]) {
        let clip = |axis: usize, before: usize| {
            let start = at[axis] * self.strides[axis];
            let end = (start + self.kernel[axis]).saturating_sub(before);
            start.saturating_sub(before)..end.min(self.input[axis])
        };
        let (rows, columns) = (clip(0, self.rows.before), clip(1, self.columns.before));
        let count = rows.len() * columns.len();
        let channels = out.len();
        out.fill(if self.pooling == Pooling::Max { f32::NEG_INFINITY } else { 0.0 });
        for row in rows {
            let line = &x[row * self.input[1] * channels..][..self.input[1] * channels];
            for pixel in
                line[columns.start * channels..columns.end * channels].chunks_exact(channels)
            {
                self.add(pixel, out);
            }
        }
        if self.pooling == Pooling::Average {
            let scale = 1.0 / count as f32;
            out.iter_mut().for_each(|out| *out *= scale);
        }
    }

    fn add(&self, pixel: &[f32], out: &mut [f32]) {
        match self.pooling {
            Pooling::Average => out.iter_mut().zip(pixel).for_each(|(out, x)| *out += x),
            Pooling::Max => out.iter_mut().zip(pixel).for_each(|(out, &x)| {
                *out = if x > *out || x.is_nan() { x } else { *out };
            }),
        }
    }
}

impl Kernel for Pool {
    fn name(&self) -> String {
        let pooling = format!("{:?}", self.pooling).to_lowercase();
        if self.is_global() { format!("global {pooling} pool") } else { format!("{pooling} pool") }
    }

    fn separable(&self, _inputs: &[&Value]) -> bool {
        true
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let (x, y) = (floats(call.inputs[0])?, floats_mut(call.outputs[0])?);
        let channels = self.input[2].max(1);
        let image: usize = self.input.iter().product();
        let positions = self.rows.output * self.columns.output;
        for (i, out) in y.chunks_exact_mut(channels).enumerate() {
            let (n, i) = (i / positions, i % positions);
            let at = [i / self.columns.output, i % self.columns.output];
            self.window(&x[n * image..][..image], at, out);
        }
        Ok(())
    }
}
