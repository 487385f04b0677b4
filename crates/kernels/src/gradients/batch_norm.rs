//! The slopes of batch normalisation with the statistics of the batch: TensorFlow's
//! `FusedBatchNormGradV3` in training mode, with the gate of the activation that follows.

use super::{part, parts};
use crate::error::{Result, check_len};
use crate::isa::Isa;
use crate::pool::Pool;
use crate::simd::{Body, Simd, call};
use crate::window::Activation;

/// Rows summed in float32 before the sums go to float64.
const BLOCK_ROWS: usize = 64;

/// What batch norm's forward pass knew, one value a channel.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormGradient<'a> {
    /// Batch mean.
    pub mean: &'a [f32],
    /// `1 / sqrt(batch variance + epsilon)`.
    pub inverse_deviation: &'a [f32],
    /// Scale.
    pub gamma: &'a [f32],
    /// Shift; only looked at where an activation follows.
    pub beta: &'a [f32],
    /// What was applied to the normalised values; its gate is applied to `dy`.
    pub activation: Activation,
    /// The statistics are those of the batch, so they too depend on the input; else they were
    /// given.
    pub of_batch: bool,
}

/// Slopes of scale and shift, one value a channel.
#[derive(Debug)]
pub struct BatchNormSlopes<'a> {
    /// Of the scale.
    pub gamma: &'a mut [f32],
    /// Of the shift.
    pub beta: &'a mut [f32],
}

impl BatchNormGradient<'_> {
    /// Doubles of scratch that `run` wants for `rows` rows.
    pub fn scratch_len(rows: usize, channels: usize) -> usize {
        2 * channels * parts(rows.div_ceil(BLOCK_ROWS))
    }

    /// Computes `dx` and the slopes of scale and shift from the input `x`, `[rows, channels]`,
    /// and the slope `dy` of the output, of the same shape.
    ///
    /// # Errors
    /// An instruction set this CPU lacks; vectors of unequal length.
    ///
    /// # Panics
    /// If a slice does not fit.
    #[allow(clippy::too_many_arguments, reason = "two inputs, two outputs, scratch, where to run")]
    pub fn run(
        &self,
        isa: Isa,
        pool: &Pool,
        x: &[f32],
        dy: &[f32],
        dx: &mut [f32],
        slopes: &mut BatchNormSlopes<'_>,
        scratch: &mut [f64],
    ) -> Result<()> {
        let isa = isa.require()?;
        let channels = self.mean.len();
        for vector in [self.inverse_deviation, self.gamma, self.beta, slopes.gamma, slopes.beta] {
            check_len("a vector of batch norm", vector, channels)?;
        }
        assert!(x.len() == dy.len() && x.len() == dx.len(), "x, dy and dx have one shape");
        if channels == 0 || x.is_empty() {
            slopes.gamma.fill(0.0);
            slopes.beta.fill(0.0);
            return Ok(());
        }
        let rows = x.len() / channels;
        assert_eq!(x.len(), rows * channels, "whole rows");
        let scratch = &mut scratch[..Self::scratch_len(rows, channels)];
        self.sum(isa, pool, x, dy, scratch);
        self.finish_slopes(scratch, slopes);
        self.input_slope(isa, pool, [x, dy], slopes, dx);
        Ok(())
    }

    /// Each part of the rows: sums of `dy` and of `dy * (x - mean)` by channel.
    fn sum(&self, isa: Isa, pool: &Pool, x: &[f32], dy: &[f32], scratch: &mut [f64]) {
        let channels = self.mean.len();
        let blocks = (x.len() / channels).div_ceil(BLOCK_ROWS);
        let parts = parts(blocks);
        pool.for_each_chunk(scratch, 2 * channels, &|index, sums| {
            sums.fill(0.0);
            for block in part(index, parts, blocks) {
                let start = block * BLOCK_ROWS * channels;
                let end = (start + BLOCK_ROWS * channels).min(x.len());
                let (x, dy) = (&x[start..end], &dy[start..end]);
                call(isa, Sums { op: self, x, dy, sums: &mut *sums });
            }
        });
    }

    fn finish_slopes(&self, scratch: &[f64], slopes: &mut BatchNormSlopes<'_>) {
        let channels = self.mean.len();
        for c in 0..channels {
            let total = |offset: usize| -> f64 {
                scratch.iter().skip(offset + c).step_by(2 * channels).sum()
            };
            slopes.beta[c] = total(0) as f32;
            slopes.gamma[c] = (total(channels) * f64::from(self.inverse_deviation[c])) as f32;
        }
    }

    fn input_slope(
        &self,
        isa: Isa,
        pool: &Pool,
        [x, dy]: [&[f32]; 2],
        slopes: &BatchNormSlopes<'_>,
        dx: &mut [f32],
    ) {
        let channels = self.mean.len();
        let rows = x.len() / channels;
        let chunk = rows.div_ceil(16).max(BLOCK_ROWS) * channels;
        // Given statistics do not move with the input.
        let count = if self.of_batch { 1.0 / rows as f32 } else { 0.0 };
        pool.for_each_chunk(dx, chunk, &|index, dx| {
            let range = index * chunk..index * chunk + dx.len();
            let (x, dy) = (&x[range.clone()], &dy[range]);
            call(isa, InputSlope { op: self, x, dy, dx, slopes, count });
        });
    }
}

/// One channel vector's constants: `centred = x - mean`, `y = centred * scale + beta`.
struct Channel<V> {
    mean: V,
    scale: V,
    beta: V,
    low: V,
    high: V,
}

impl<V: Copy> Channel<V> {
    /// # Safety
    /// `c + count` channels exist.
    #[inline(always)]
    unsafe fn load<S: Simd<V = V>>(
        simd: S,
        op: &BatchNormGradient<'_>,
        c: usize,
        count: usize,
    ) -> Self {
        let (low, high) = op.activation.bounds();
        // SAFETY: the caller's promise.
        unsafe {
            let deviation = simd.load_part(op.inverse_deviation.as_ptr().add(c), count);
            let gamma = simd.load_part(op.gamma.as_ptr().add(c), count);
            Self {
                mean: simd.mul(simd.load_part(op.mean.as_ptr().add(c), count), simd.splat(-1.0)),
                scale: simd.mul(deviation, gamma),
                beta: simd.load_part(op.beta.as_ptr().add(c), count),
                low: simd.splat(low),
                high: simd.splat(high),
            }
        }
    }

    /// `x - mean`, and `dy` where the activation let the value through.
    #[inline(always)]
    fn centre<S: Simd<V = V>>(&self, simd: S, x: V, dy: V, gated: bool) -> (V, V) {
        let centred = simd.add(x, self.mean);
        let y = simd.fma(centred, self.scale, self.beta);
        (centred, if gated { simd.gate(dy, y, self.low, self.high) } else { dy })
    }
}

struct Sums<'a, 'b> {
    op: &'a BatchNormGradient<'b>,
    x: &'a [f32],
    dy: &'a [f32],
    /// `[2, channels]`.
    sums: &'a mut [f64],
}

impl Body for Sums<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let channels = self.op.mean.len();
        let rows = self.x.len() / channels;
        let gated = self.op.activation != Activation::None;
        assert!(self.dy.len() >= rows * channels && self.sums.len() >= 2 * channels);
        for c in (0..channels).step_by(S::LANES) {
            let count = (channels - c).min(S::LANES);
            let mut shift = [0.0; 16];
            let mut scale = [0.0; 16];
            // SAFETY: `c + count <= channels`, every row has `channels` values; no vector is
            // longer than 16 lanes.
            unsafe {
                let channel = Channel::load(simd, self.op, c, count);
                let mut shifts = simd.splat(0.0);
                let mut scales = simd.splat(0.0);
                for row in 0..rows {
                    let at = row * channels + c;
                    let x = simd.load_part(self.x.as_ptr().add(at), count);
                    let dy = simd.load_part(self.dy.as_ptr().add(at), count);
                    let (centred, dy) = channel.centre(simd, x, dy, gated);
                    shifts = simd.add(shifts, dy);
                    scales = simd.fma(dy, centred, scales);
                }
                simd.store_part(shift.as_mut_ptr(), shifts, count);
                simd.store_part(scale.as_mut_ptr(), scales, count);
            }
            for lane in 0..count {
                self.sums[c + lane] += f64::from(shift[lane]);
                self.sums[channels + c + lane] += f64::from(scale[lane]);
            }
        }
    }
}

struct InputSlope<'a, 'b, 'c> {
    op: &'a BatchNormGradient<'b>,
    x: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
    slopes: &'a BatchNormSlopes<'c>,
    /// One over the number of rows of the whole batch.
    count: f32,
}

impl Body for InputSlope<'_, '_, '_> {
    type Output = ();

    /// `dx = scale * (dy - mean(dy) - normalised * mean(dy * normalised))`.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let channels = self.op.mean.len();
        let rows = self.dx.len() / channels;
        let gated = self.op.activation != Activation::None;
        assert!(self.x.len() >= rows * channels && self.dy.len() >= rows * channels);
        for c in (0..channels).step_by(S::LANES) {
            let count = (channels - c).min(S::LANES);
            // SAFETY: `c + count <= channels`, every row has `channels` values, and the slopes
            // are as long as the mean (checked by `run`).
            unsafe {
                let channel = Channel::load(simd, self.op, c, count);
                let part = simd.splat(-self.count);
                let shift = simd.load_part(self.slopes.beta.as_ptr().add(c), count);
                let slope = simd.load_part(self.slopes.gamma.as_ptr().add(c), count);
                let deviation = simd.load_part(self.op.inverse_deviation.as_ptr().add(c), count);
                let shift = simd.mul(shift, part);
                let slope = simd.mul(simd.mul(slope, part), deviation);
                for row in 0..rows {
                    let at = row * channels + c;
                    let x = simd.load_part(self.x.as_ptr().add(at), count);
                    let dy = simd.load_part(self.dy.as_ptr().add(at), count);
                    let (centred, dy) = channel.centre(simd, x, dy, gated);
                    let inner = simd.fma(centred, slope, simd.add(dy, shift));
                    let dx = simd.mul(inner, channel.scale);
                    simd.store_part(self.dx.as_mut_ptr().add(at), dx, count);
                }
            }
        }
    }
}
