//! The slopes of batch normalisation with the statistics of the batch: TensorFlow's
//! `FusedBatchNormGradV3` in training mode, with the gate of the activation that follows.

use super::{part, parts};
use crate::error::{Result, check_len};
use crate::isa::Isa;
use crate::normalize::{folded, part as part_of, repeat};
use crate::pool::Pool;
use crate::simd::{Body, Simd, call};
use crate::window::Activation;

/// Values of a block: a block of both inputs stays in the first-level cache, and its sums in
/// float32 before they go to float64.
const BLOCK: usize = 4096;

/// Rows of a block.
fn block_rows(channels: usize) -> usize {
    (BLOCK / channels.max(1)).clamp(8, 256)
}

/// What batch norm's forward pass knew, one value a channel.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormGradient<'a> {
    /// Batch mean.
    pub mean: &'a [f32],
    /// `1 / sqrt(batch variance + epsilon)`.
    pub inverse_deviation: &'a [f32],
    /// What centred values are multiplied by: [`crate::normal_factor`] of the scale.
    pub factor: &'a [f32],
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

/// Scratch memory, as long as [`BatchNormGradient::scratch_len`] says.
#[derive(Debug)]
pub struct BatchNormGradientScratch<'a> {
    /// For sums of parts.
    pub sums: &'a mut [f64],
    /// For factors of channels.
    pub factors: &'a mut [f32],
}

impl BatchNormGradient<'_> {
    /// Lengths of the two slices of scratch that `run` wants for `rows` rows.
    pub fn scratch_len(rows: usize, channels: usize) -> [usize; 2] {
        let folds = folded(rows, channels);
        let wide = channels * folds;
        [2 * wide * parts((rows / folds).div_ceil(block_rows(wide))), 5 * wide]
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
        scratch: BatchNormGradientScratch<'_>,
    ) -> Result<()> {
        let isa = isa.require()?;
        let channels = self.mean.len();
        for vector in [self.inverse_deviation, self.factor, self.beta, slopes.gamma, slopes.beta] {
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
        let wide = channels * folded(rows, channels);
        let [sums, factors] = Self::scratch_len(rows, channels);
        let sums = &mut scratch.sums[..sums];
        let factors = &mut scratch.factors[..factors];
        self.spread(wide, factors);
        let task = Task { gate: self.activation, wide, factors };
        task.sum(isa, pool, x, dy, sums);
        self.finish_slopes(wide, sums, slopes);
        self.spread_slopes(rows, wide, slopes, factors);
        Task { gate: self.activation, wide, factors }.input_slope(isa, pool, [x, dy], dx);
        Ok(())
    }

    /// Mean, scale and shift of each channel, for folded rows.
    fn spread(&self, wide: usize, factors: &mut [f32]) {
        let (mean, rest) = factors.split_at_mut(wide);
        let (scale, rest) = rest.split_at_mut(wide);
        repeat(self.mean, mean);
        repeat(self.factor, scale);
        repeat(self.beta, &mut rest[..wide]);
    }

    fn finish_slopes(&self, wide: usize, sums: &[f64], slopes: &mut BatchNormSlopes<'_>) {
        let channels = self.mean.len();
        for c in 0..channels {
            // Of every part, and of every row that was folded.
            let total = |offset: usize| -> f64 {
                let lanes = || (c..wide).step_by(channels);
                let parts = sums.chunks_exact(2 * wide);
                parts.flat_map(|part| lanes().map(move |lane| part[offset + lane])).sum()
            };
            slopes.beta[c] = total(0) as f32;
            slopes.gamma[c] = (total(wide) * f64::from(self.inverse_deviation[c])) as f32;
        }
    }

    /// What each channel's slope loses because statistics follow the input: a constant, and a
    /// multiple of the centred input.
    fn spread_slopes(
        &self,
        rows: usize,
        wide: usize,
        slopes: &BatchNormSlopes<'_>,
        factors: &mut [f32],
    ) {
        let channels = self.mean.len();
        // Given statistics do not move with the input.
        let count = if self.of_batch { -1.0 / rows as f32 } else { 0.0 };
        let (constant, centred) = factors[3 * wide..].split_at_mut(wide);
        for c in 0..wide {
            let channel = c % channels;
            constant[c] = slopes.beta[channel] * count;
            centred[c] = slopes.gamma[channel] * count * self.inverse_deviation[channel];
        }
    }
}

/// Folded rows and their channels' factors.
#[derive(Clone, Copy)]
struct Task<'a> {
    gate: Activation,
    /// Values of a folded row.
    wide: usize,
    /// `[5, wide]`: mean, scale, shift, and what the slope loses.
    factors: &'a [f32],
}

impl Task<'_> {
    /// Factor `which` of channels `c..c + count`.
    ///
    /// # Safety
    /// They exist, and are at most a vector.
    #[inline(always)]
    unsafe fn factor<S: Simd>(&self, simd: S, which: usize, c: usize, count: usize) -> S::V {
        // SAFETY: the caller's promise.
        unsafe { part_of(simd, self.factors.as_ptr().add(which * self.wide + c), count) }
    }

    /// Each part of the rows: sums of `dy` and of `dy * (x - mean)` by channel.
    fn sum(&self, isa: Isa, pool: &Pool, x: &[f32], dy: &[f32], sums: &mut [f64]) {
        let block = block_rows(self.wide) * self.wide;
        let blocks = x.len().div_ceil(block);
        let parts = parts(blocks);
        pool.for_each_chunk(sums, 2 * self.wide, &|index, sums| {
            sums.fill(0.0);
            for at in part(index, parts, blocks) {
                let range = at * block..((at + 1) * block).min(x.len());
                let (x, dy) = (&x[range.clone()], &dy[range]);
                call(isa, Sums { task: self, x, dy, sums: &mut *sums });
            }
        });
    }

    fn input_slope(&self, isa: Isa, pool: &Pool, [x, dy]: [&[f32]; 2], dx: &mut [f32]) {
        let block = block_rows(self.wide) * self.wide;
        pool.for_each_chunk(dx, 4 * block, &|index, dx| {
            let start = index * 4 * block;
            for (at, dx) in dx.chunks_mut(block).enumerate() {
                let range = start + at * block..start + at * block + dx.len();
                let (x, dy) = (&x[range.clone()], &dy[range]);
                call(isa, InputSlope { task: self, x, dy, dx });
            }
        });
    }
}

/// One channel vector's constants: `centred = x - mean`, `y = centred * scale + shift`.
#[derive(Clone, Copy)]
struct Channel<V> {
    mean: V,
    scale: V,
    shift: V,
    low: V,
    high: V,
}

impl<V: Copy> Channel<V> {
    /// # Safety
    /// The factors of `c..c + count` exist.
    #[inline(always)]
    unsafe fn load<S: Simd<V = V>>(simd: S, task: &Task<'_>, c: usize, count: usize) -> Self {
        let (low, high) = task.gate.bounds();
        // SAFETY: the caller's promise.
        unsafe {
            Self {
                mean: simd.mul(task.factor(simd, 0, c, count), simd.splat(-1.0)),
                scale: task.factor(simd, 1, c, count),
                shift: task.factor(simd, 2, c, count),
                low: simd.splat(low),
                high: simd.splat(high),
            }
        }
    }

    /// `x - mean`, and `dy` where the activation let the value through.
    #[inline(always)]
    fn centre<S: Simd<V = V>>(&self, simd: S, x: V, dy: V, gated: bool) -> (V, V) {
        let centred = simd.add(x, self.mean);
        let y = simd.fma(centred, self.scale, self.shift);
        (centred, if gated { simd.gate(dy, y, self.low, self.high) } else { dy })
    }
}

struct Sums<'a, 'b> {
    task: &'a Task<'b>,
    x: &'a [f32],
    dy: &'a [f32],
    /// `[2, wide]`.
    sums: &'a mut [f64],
}

impl Body for Sums<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let wide = self.task.wide;
        assert!(self.dy.len() == self.x.len() && self.sums.len() == 2 * wide);
        assert!(self.task.factors.len() >= 5 * wide);
        for c in (0..wide).step_by(S::LANES) {
            let count = (wide - c).min(S::LANES);
            // SAFETY: `c + count <= wide`, every row has `wide` values.
            unsafe {
                if self.task.gate == Activation::None {
                    self.columns::<S, false>(simd, c, count);
                } else {
                    self.columns::<S, true>(simd, c, count);
                }
            }
        }
    }
}

impl Sums<'_, '_> {
    /// # Safety
    /// Channels `c..c + count`, at most a vector, exist.
    #[inline(always)]
    unsafe fn columns<S: Simd, const GATED: bool>(&mut self, simd: S, c: usize, count: usize) {
        let wide = self.task.wide;
        let rows = self.x.len() / wide;
        let (mut shift, mut scale) = ([0.0; 16], [0.0; 16]);
        // SAFETY: the caller's promise; no vector is longer than 16 lanes.
        unsafe {
            let channel = Channel::load(simd, self.task, c, count);
            let (x, dy) = (self.x.as_ptr().add(c), self.dy.as_ptr().add(c));
            let mut sums = TwoSums { shifts: [simd.splat(0.0); 2], scales: [simd.splat(0.0); 2] };
            for pair in 0..rows / 2 {
                let at = 2 * pair * wide;
                sums.add::<S, GATED>(simd, 0, &channel, [x.add(at), dy.add(at)], count);
                let at = at + wide;
                sums.add::<S, GATED>(simd, 1, &channel, [x.add(at), dy.add(at)], count);
            }
            if rows % 2 == 1 {
                let at = (rows - 1) * wide;
                sums.add::<S, GATED>(simd, 0, &channel, [x.add(at), dy.add(at)], count);
            }
            simd.store(shift.as_mut_ptr(), simd.add(sums.shifts[0], sums.shifts[1]));
            simd.store(scale.as_mut_ptr(), simd.add(sums.scales[0], sums.scales[1]));
        }
        for lane in 0..count {
            self.sums[c + lane] += f64::from(shift[lane]);
            self.sums[wide + c + lane] += f64::from(scale[lane]);
        }
    }
}

/// Two sums each, so that additions do not wait for each other.
struct TwoSums<V> {
    shifts: [V; 2],
    scales: [V; 2],
}

impl<V: Copy> TwoSums<V> {
    /// # Safety
    /// `count` floats, at most a vector, must be readable at both pointers.
    #[inline(always)]
    unsafe fn add<S: Simd<V = V>, const GATED: bool>(
        &mut self,
        simd: S,
        which: usize,
        channel: &Channel<V>,
        [x, dy]: [*const f32; 2],
        count: usize,
    ) {
        // SAFETY: the caller's promise.
        let (x, dy) = unsafe { (part_of(simd, x, count), part_of(simd, dy, count)) };
        let (centred, dy) = channel.centre(simd, x, dy, GATED);
        self.shifts[which] = simd.add(self.shifts[which], dy);
        self.scales[which] = simd.fma(dy, centred, self.scales[which]);
    }
}

struct InputSlope<'a, 'b> {
    task: &'a Task<'b>,
    x: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl Body for InputSlope<'_, '_> {
    type Output = ();

    /// `dx = scale * (dy - mean(dy) - normalised * mean(dy * normalised))`.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let wide = self.task.wide;
        let rows = self.dx.len() / wide;
        let gated = self.task.gate != Activation::None;
        assert!(self.x.len() == self.dx.len() && self.dy.len() == self.dx.len());
        assert!(self.task.factors.len() >= 5 * wide);
        for c in (0..wide).step_by(S::LANES) {
            let count = (wide - c).min(S::LANES);
            // SAFETY: `c + count <= wide`, every row has `wide` values, every factor too.
            unsafe {
                let channel = Channel::load(simd, self.task, c, count);
                let constant = self.task.factor(simd, 3, c, count);
                let by_centred = self.task.factor(simd, 4, c, count);
                for row in 0..rows {
                    let at = row * wide + c;
                    let x = part_of(simd, self.x.as_ptr().add(at), count);
                    let dy = part_of(simd, self.dy.as_ptr().add(at), count);
                    let (centred, dy) = channel.centre(simd, x, dy, gated);
                    let inner = simd.fma(centred, by_centred, simd.add(dy, constant));
                    let dx = simd.mul(inner, channel.scale);
                    if count == S::LANES {
                        simd.store(self.dx.as_mut_ptr().add(at), dx);
                    } else {
                        simd.store_part(self.dx.as_mut_ptr().add(at), dx, count);
                    }
                }
            }
        }
    }
}
