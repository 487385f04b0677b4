//! The slope of an average pooling's input: TensorFlow's `AvgPoolGrad`. Each pixel gets its share
//! of the slope of every window it is in: one over the pixels of that window inside the image.

use crate::error::Result;
use crate::isa::Isa;
use crate::pool::Pool;
use crate::pooling::{PoolKind, Pooling, PoolingSpec};
use crate::simd::{self, Body, Simd};
use crate::window::Window;

/// The slope of an average pooling's input.
#[derive(Clone, Debug)]
pub struct AveragePoolGradient {
    isa: Isa,
    /// `[height, width, channels]` of one input image.
    input: [usize; 3],
    window: Window,
    output: [usize; 3],
}

impl AveragePoolGradient {
    /// For a pooling of images of `[height, width, channels]`.
    ///
    /// # Errors
    /// A window that does not fit; an instruction set this CPU lacks.
    pub fn new(isa: Isa, input: [usize; 3], window: Window) -> Result<Self> {
        let forward = Pooling::new(isa, PoolingSpec { kind: PoolKind::Average, input, window })?;
        Ok(Self { isa, input, window, output: forward.output() })
    }

    /// Computes `dx`, `[batch, height, width, channels]`, from the slope `dy` of the output.
    ///
    /// # Panics
    /// If a slice does not fit `batch`.
    pub fn run(&self, pool: &Pool, batch: usize, dy: &[f32], dx: &mut [f32]) {
        let [height, width, channels] = self.input;
        let image: usize = self.output.iter().product();
        assert_eq!(dy.len(), batch * image, "dy");
        assert_eq!(dx.len(), batch * height * width * channels, "dx");
        pool.for_each_chunk(dx, width * channels, &|y, dx| {
            let dy = &dy[y / height * image..][..image];
            simd::call(self.isa, Row { op: self, y: y % height, dy, dx });
        });
    }
}

/// One row of `dx`: every row of windows that reaches it.
struct Row<'a> {
    op: &'a AveragePoolGradient,
    y: usize,
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl Body for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let AveragePoolGradient { input: [height, width, _], window, output, .. } = *self.op;
        let [rows, columns, channels] = output;
        self.dx.fill(0.0);
        // Rows and not taps, of which a window may have far more than there are rows.
        for row in (0..rows).rev() {
            let reach = (self.y + window.padding.top).checked_sub(row * window.stride[0]);
            let dilation = window.dilation[0];
            let reaches =
                |by: &usize| by.is_multiple_of(dilation) && by / dilation < window.kernel[0];
            if reach.filter(reaches).is_none() {
                continue;
            }
            let ys = window.taps(0, row, height);
            let line = &self.dy[row * columns * channels..][..columns * channels];
            for (x, dy) in line.chunks_exact(channels).enumerate() {
                let xs = window.taps(1, x, width);
                let share = 1.0 / ((ys.1 - ys.0) * (xs.1 - xs.0)) as f32;
                for kx in xs.0..xs.1 {
                    let ix = (window.start(1, x) + (kx * window.dilation[1]) as isize) as usize;
                    let dx = &mut self.dx[ix * channels..][..channels];
                    dx.iter_mut().zip(dy).for_each(|(dx, dy)| *dx += dy * share);
                }
            }
        }
    }
}
