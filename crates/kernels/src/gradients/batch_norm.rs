//! The slopes of batch normalisation with the statistics of the batch: TensorFlow's
//! `FusedBatchNormGradV3` in training mode, with the gate of the activation that follows.

use super::{part, parts};
use crate::error::{Result, check_len};
use crate::isa::Isa;
use crate::normalize::{Normalization, folded, part as part_of, repeat};
use crate::pool::Pool;
use crate::simd::{Body, Simd, call};
use crate::window::Activation;

/// Values of a block: a block of both inputs stays in the first-level cache, and its sums in
/// float32 before they go to float64.
const BLOCK: usize = 4096;

/// Rows of a block.
fn block_rows(channels: usize) -> usize {
    (BLOCK / channels.max(1)).clamp(8, 128)
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
        assert_eq!(x.len(), dx.len(), "x and dx have one shape");
        let Some(task) = self.reduce(isa, pool, [x, dy], slopes, scratch)? else { return Ok(()) };
        let block = 4 * block_rows(task.wide) * task.wide;
        pool.for_each_chunk(dx, block, &|index, dx| {
            let range = index * block..index * block + dx.len();
            task.input_slope(&x[range.clone()], &dy[range], dx);
        });
        Ok(())
    }

    /// The slopes of scale and shift, and what yields `dx` of any rows once they are known; nothing
    /// if there are no values.
    pub(super) fn reduce<'s>(
        &self,
        isa: Isa,
        pool: &Pool,
        [x, dy]: [&[f32]; 2],
        slopes: &mut BatchNormSlopes<'_>,
        scratch: BatchNormGradientScratch<'s>,
    ) -> Result<Option<Task<'s>>> {
        let isa = isa.require()?;
        let channels = self.mean.len();
        for vector in [self.inverse_deviation, self.factor, self.beta, slopes.gamma, slopes.beta] {
            check_len("a vector of batch norm", vector, channels)?;
        }
        assert_eq!(x.len(), dy.len(), "x and dy have one shape");
        if channels == 0 || x.is_empty() {
            slopes.gamma.fill(0.0);
            slopes.beta.fill(0.0);
            return Ok(None);
        }
        let rows = x.len() / channels;
        assert_eq!(x.len(), rows * channels, "whole rows");
        let wide = channels * folded(rows, channels);
        let [sums, factors] = Self::scratch_len(rows, channels);
        let sums = &mut scratch.sums[..sums];
        let factors = &mut scratch.factors[..factors];
        self.spread(wide, factors);
        Task { isa, gate: self.activation, wide, factors }.sum(pool, x, dy, sums);
        finish_slopes((sums, wide), self.inverse_deviation, slopes);
        Ok(Some(self.with_slopes(isa, rows, [slopes.gamma, slopes.beta], factors)))
    }

    /// What yields `dx` of any rows, from the slopes of scale and shift.
    pub(super) fn known<'s>(
        &self,
        isa: Isa,
        rows: usize,
        slopes: [&[f32]; 2],
        scratch: BatchNormGradientScratch<'s>,
    ) -> Result<Task<'s>> {
        let channels = self.mean.len();
        for vector in [self.inverse_deviation, self.factor, self.beta, slopes[0], slopes[1]] {
            check_len("a vector of batch norm", vector, channels)?;
        }
        let wide = channels * folded(rows, channels);
        let factors = &mut scratch.factors[..5 * wide];
        self.spread(wide, factors);
        Ok(self.with_slopes(isa, rows, slopes, factors))
    }

    /// Mean, scale and shift of each channel, for folded rows.
    fn spread(&self, wide: usize, factors: &mut [f32]) {
        let (mean, rest) = factors.split_at_mut(wide);
        let (scale, rest) = rest.split_at_mut(wide);
        repeat(self.mean, mean);
        repeat(self.factor, scale);
        repeat(self.beta, &mut rest[..wide]);
    }

    /// What each channel's slope loses because statistics follow the input: a constant, and a
    /// multiple of the centred input.
    fn with_slopes<'s>(
        &self,
        isa: Isa,
        rows: usize,
        [gamma, beta]: [&[f32]; 2],
        factors: &'s mut [f32],
    ) -> Task<'s> {
        let (channels, wide) = (self.mean.len(), factors.len() / 5);
        // Given statistics do not move with the input.
        let count = if self.of_batch { -1.0 / rows as f32 } else { 0.0 };
        let (constant, centred) = factors[3 * wide..].split_at_mut(wide);
        for c in 0..wide {
            let channel = c % channels;
            constant[c] = beta[channel] * count;
            centred[c] = gamma[channel] * count * self.inverse_deviation[channel];
        }
        Task { isa, gate: self.activation, wide, factors }
    }
}

/// Slopes of scale and shift from the sums of parts, each `[2, wide]` with every row that was
/// folded.
pub(super) fn finish_slopes(
    (sums, wide): (&[f64], usize),
    inverse_deviation: &[f32],
    slopes: &mut BatchNormSlopes<'_>,
) {
    let channels = inverse_deviation.len();
    for (c, inverse_deviation) in inverse_deviation.iter().enumerate() {
        let total = |offset: usize| -> f64 {
            let lanes = || (c..wide).step_by(channels);
            let parts = sums.chunks_exact(2 * wide);
            parts.flat_map(|part| lanes().map(move |lane| part[offset + lane])).sum()
        };
        slopes.beta[c] = total(0) as f32;
        slopes.gamma[c] = (total(wide) * f64::from(*inverse_deviation)) as f32;
    }
}

/// Folded rows and their channels' factors.
#[derive(Clone, Copy)]
pub(super) struct Task<'a> {
    isa: Isa,
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
    fn sum(&self, pool: &Pool, x: &[f32], dy: &[f32], sums: &mut [f64]) {
        let block = block_rows(self.wide) * self.wide;
        let blocks = x.len().div_ceil(block);
        let parts = parts(blocks);
        pool.for_each_chunk(sums, 2 * self.wide, &|index, sums| {
            sums.fill(0.0);
            let blocks = part(index, parts, blocks);
            let range = blocks.start * block..(blocks.end * block).min(x.len());
            self.add(&x[range.clone()], &dy[range], sums);
        });
    }

    /// For the norm before a layer: no slopes yet, so that only [`add`](Self::add) can be called.
    pub(super) fn before<'a>(isa: Isa, norm: &Normalization<'a>) -> Task<'a> {
        let (gate, factors) = norm.factors();
        Task { isa, gate, wide: factors.len() / 3, factors }
    }

    /// Values of a row of sums.
    pub(super) fn wide(&self) -> usize {
        self.wide
    }

    /// Adds the sums of some rows, `[2, wide]`, in the calling thread.
    pub(super) fn add(&self, x: &[f32], dy: &[f32], sums: &mut [f64]) {
        let block = block_rows(self.wide) * self.wide;
        for (x, dy) in x.chunks(block).zip(dy.chunks(block)) {
            call(self.isa, Sums { task: self, x, dy, sums: &mut *sums });
        }
    }

    /// `dx` of some rows, in the calling thread.
    pub(super) fn input_slope(&self, x: &[f32], dy: &[f32], dx: &mut [f32]) {
        call(self.isa, InputSlope { task: self, x, dy, dx });
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
        assert!(self.task.factors.len() >= 3 * wide);
        let rows = self.x.len() / wide;
        // SAFETY: so many rows have `wide` values, and the rest is less than a row.
        unsafe {
            if rows > 0 {
                self.rows(simd, 0, rows, wide);
            }
            self.rows(simd, rows * wide, 1, self.x.len() - rows * wide);
        }
    }
}

/// Vectors of channels summed side by side, so that memory is read in runs.
const GROUP: usize = 4;

impl Sums<'_, '_> {
    /// Rows that begin at `start`, the first `width` values of each.
    ///
    /// # Safety
    /// They exist; `width` is at most `wide`.
    #[inline(always)]
    unsafe fn rows<S: Simd>(&mut self, simd: S, start: usize, rows: usize, width: usize) {
        let gated = self.task.gate != Activation::None;
        let mut c = 0;
        while c < width {
            let left = width - c;
            // SAFETY: so many channels are left.
            unsafe {
                match (left >= GROUP * S::LANES, gated) {
                    (true, true) => {
                        self.columns::<S, GROUP, true>(simd, [start + c, rows], c, S::LANES)
                    }
                    (true, false) => {
                        self.columns::<S, GROUP, false>(simd, [start + c, rows], c, S::LANES)
                    }
                    (false, true) => {
                        let count = left.min(S::LANES);
                        self.columns::<S, 1, true>(simd, [start + c, rows], c, count)
                    }
                    (false, false) => {
                        let count = left.min(S::LANES);
                        self.columns::<S, 1, false>(simd, [start + c, rows], c, count)
                    }
                }
            }
            c += if left >= GROUP * S::LANES { GROUP * S::LANES } else { S::LANES };
        }
    }

    /// # Safety
    /// Channels `c..c + NV * LANES` exist, of a single vector `c..c + count`, in `rows` rows the
    /// first of which has them at `start`.
    #[inline(always)]
    unsafe fn columns<S: Simd, const NV: usize, const GATED: bool>(
        &mut self,
        simd: S,
        [start, rows]: [usize; 2],
        c: usize,
        count: usize,
    ) {
        let wide = self.task.wide;
        let (mut shifts, mut scales) = ([simd.splat(0.0); NV], [simd.splat(0.0); NV]);
        // SAFETY: the caller's promise; no vector is longer than 16 lanes.
        unsafe {
            let channels: [Channel<S::V>; NV] = std::array::from_fn(|vector| {
                Channel::load(simd, self.task, c + vector * S::LANES, count)
            });
            let (x, dy) = (self.x.as_ptr().add(start), self.dy.as_ptr().add(start));
            for row in 0..rows {
                for vector in 0..NV {
                    let at = row * wide + vector * S::LANES;
                    let x = part_of(simd, x.add(at), count);
                    let dy = part_of(simd, dy.add(at), count);
                    let (centred, dy) = channels[vector].centre(simd, x, dy, GATED);
                    shifts[vector] = simd.add(shifts[vector], dy);
                    scales[vector] = simd.fma(dy, centred, scales[vector]);
                }
            }
        }
        for (vector, (shift, scale)) in shifts.into_iter().zip(scales).enumerate() {
            let c = c + vector * S::LANES;
            let mut lanes = [0.0; 16];
            for (sums, vector) in [(0, shift), (wide, scale)] {
                // SAFETY: no vector is longer than 16 lanes.
                unsafe { simd.store(lanes.as_mut_ptr(), vector) };
                for (sum, lane) in self.sums[sums + c..][..count].iter_mut().zip(lanes) {
                    *sum += f64::from(lane);
                }
            }
        }
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

    /// `dx = scale * (dy - mean(dy) - normalised * mean(dy * normalised))`, along the memory.
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let wide = self.task.wide;
        let len = self.dx.len();
        let gated = self.task.gate != Activation::None;
        assert!(self.x.len() == len && self.dy.len() == len);
        assert!(self.task.factors.len() >= 5 * wide);
        for row in (0..len).step_by(wide) {
            // Factors repeat within a folded row, so that part of one is as good.
            let width = (len - row).min(wide);
            for c in (0..width).step_by(S::LANES) {
                let (at, count) = (row + c, (width - c).min(S::LANES));
                // SAFETY: `at + count <= len`, the length of all three; `c + count <= wide`.
                unsafe {
                    let channel = Channel::load(simd, self.task, c, count);
                    let constant = self.task.factor(simd, 3, c, count);
                    let by_centred = self.task.factor(simd, 4, c, count);
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
