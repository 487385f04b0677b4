//! Scale and shift of each channel, and batch normalisation in training mode.

use crate::error::{Error, Result, check_len};
use crate::isa::Isa;
use crate::pool::Pool;
use crate::simd::{self, Body, Simd};
use crate::window::Activation;

/// `output = activation(input * scale[c] + shift[c])`; slices are `[rows, channels]`,
/// `scale` and `shift` `[channels]`.
///
/// # Panics
/// If the slices do not fit each other.
pub fn scale_shift(
    isa: Isa,
    pool: &Pool,
    (scale, shift): (&[f32], &[f32]),
    activation: Activation,
    input: &[f32],
    output: &mut [f32],
) {
    scale_rows(isa, pool, (None, scale, shift), activation, input, output);
}

/// `output = activation((input - mean[c]) * scale[c] + shift[c])`: as [`scale_shift`], but exact
/// where mean and input nearly cancel.
///
/// # Panics
/// If the slices do not fit each other.
pub fn normalize(
    isa: Isa,
    pool: &Pool,
    (mean, scale, shift): (&[f32], &[f32], &[f32]),
    activation: Activation,
    input: &[f32],
    output: &mut [f32],
) {
    assert_eq!(mean.len(), scale.len(), "mean");
    scale_rows(isa, pool, (Some(mean), scale, shift), activation, input, output);
}

fn scale_rows(
    isa: Isa,
    pool: &Pool,
    (center, scale, shift): (Option<&[f32]>, &[f32], &[f32]),
    activation: Activation,
    input: &[f32],
    output: &mut [f32],
) {
    let channels = scale.len();
    assert_eq!(shift.len(), channels, "shift");
    assert_eq!(input.len(), output.len(), "scaled slices");
    assert!(input.is_empty() || channels > 0 && input.len().is_multiple_of(channels), "channels");
    let uniform = |values: &[f32]| values.iter().all(|value| *value == values[0]);
    if center.is_none() && !input.is_empty() && channels < 16 && uniform(scale) && uniform(shift) {
        // One factor for all: rows as long as a vector.
        let (whole, rest) = (input.len() / 16 * 16, input.len() % 16);
        let factors = ([scale[0]; 16], [shift[0]; 16]);
        let (first, last) = output.split_at_mut(whole);
        let wide = (None, &factors.0[..], &factors.1[..]);
        scale_rows_as_they_are(isa, pool, wide, activation, &input[..whole], first);
        let factors = (None, &factors.0[..rest], &factors.1[..rest]);
        return scale_rows_as_they_are(isa, pool, factors, activation, &input[whole..], last);
    }
    scale_rows_as_they_are(isa, pool, (center, scale, shift), activation, input, output);
}

fn scale_rows_as_they_are(
    isa: Isa,
    pool: &Pool,
    (center, scale, shift): (Option<&[f32]>, &[f32], &[f32]),
    activation: Activation,
    input: &[f32],
    output: &mut [f32],
) {
    let channels = scale.len();
    if input.is_empty() {
        return;
    }
    let chunk = rows_per_chunk(channels) * channels;
    pool.for_each_chunk(output, chunk, &|index, output| {
        let input = &input[index * chunk..][..output.len()];
        simd::call(isa, ScaleShift { scale, shift, center, activation, input, output });
    });
}

fn rows_per_chunk(channels: usize) -> usize {
    (crate::elementwise::CHUNK / channels.max(1)).max(1)
}

struct ScaleShift<'a> {
    scale: &'a [f32],
    shift: &'a [f32],
    /// Subtracted before scaling.
    center: Option<&'a [f32]>,
    activation: Activation,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl Body for ScaleShift<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let channels = self.scale.len();
        let (low, high) = self.activation.bounds();
        let (low, high) = (simd.splat(low), simd.splat(high));
        let minus = simd.splat(-1.0);
        assert!(self.input.len() == self.output.len() && self.shift.len() == channels);
        assert!(self.center.is_none_or(|center| center.len() == channels));
        // The last may be part of a row: factors that repeat are as good for it.
        let rows = self.output.chunks_mut(channels).zip(self.input.chunks(channels));
        for (to, from) in rows {
            let width = to.len();
            for c in (0..width).step_by(S::LANES) {
                let count = (width - c).min(S::LANES);
                // SAFETY: `c + count <= width`, the length of both rows and at most that of the
                // factors.
                unsafe {
                    let mut x = part(simd, from.as_ptr().add(c), count);
                    if let Some(center) = self.center {
                        let center = part(simd, center.as_ptr().add(c), count);
                        x = simd.fma(center, minus, x);
                    }
                    let scale = part(simd, self.scale.as_ptr().add(c), count);
                    let shift = part(simd, self.shift.as_ptr().add(c), count);
                    let y = simd.clamp(simd.fma(x, scale, shift), low, high);
                    if count == S::LANES {
                        simd.store(to.as_mut_ptr().add(c), y);
                    } else {
                        simd.store_part(to.as_mut_ptr().add(c), y, count);
                    }
                }
            }
        }
    }
}

/// A whole vector, or the first lanes of one.
///
/// # Safety
/// `count <= LANES` floats must be readable at `from`.
#[inline(always)]
pub(crate) unsafe fn part<S: Simd>(simd: S, from: *const f32, count: usize) -> S::V {
    // SAFETY: the caller's promise.
    unsafe { if count == S::LANES { simd.load(from) } else { simd.load_part(from, count) } }
}

/// How many neighbouring rows are taken as one, so that few channels fill a vector.
pub(crate) fn folded(rows: usize, channels: usize) -> usize {
    const LANES: usize = 16;
    let folds = if channels == 0 || channels >= LANES { 1 } else { LANES / channels };
    if channels * folds == LANES && rows.is_multiple_of(folds) { folds } else { 1 }
}

/// `to` filled with `from` again and again.
pub(crate) fn repeat(from: &[f32], to: &mut [f32]) {
    to.chunks_mut(from.len().max(1)).for_each(|to| to.copy_from_slice(&from[..to.len()]));
}

/// Batch normalisation of `[rows, channels]` in training mode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormSpec {
    /// Values per channel: batch times height times width.
    pub rows: usize,
    /// Channels.
    pub channels: usize,
    /// Added to the variance.
    pub epsilon: f32,
    /// Applied to each output.
    pub activation: Activation,
}

/// Parts that statistics are taken of, whatever the number of threads.
const PARTS: usize = 32;

/// Rows summed in float32 before the sums go to float64.
const BLOCK_ROWS: usize = 64;

/// Scratch memory of [`batch_norm_train`], as long as [`BatchNormSpec::scratch_len`] says.
pub struct BatchNormScratch<'a> {
    /// For statistics of parts.
    pub moments: &'a mut [f64],
    /// For factors of channels.
    pub factors: &'a mut [f32],
}

impl BatchNormSpec {
    /// Lengths of the two slices of [`BatchNormScratch`].
    pub fn scratch_len(&self) -> [usize; 2] {
        let wide = self.channels * self.folds();
        [2 * PARTS * wide, 3 * wide.max(self.channels)]
    }

    fn folds(&self) -> usize {
        folded(self.rows, self.channels)
    }

    /// Rows of each part, in rows that were folded.
    fn part_rows(&self) -> usize {
        (self.rows / self.folds()).div_ceil(PARTS)
    }

    /// The folded rows of part `index`.
    fn part(&self, index: usize) -> std::ops::Range<usize> {
        let (rows, each) = (self.rows / self.folds(), self.part_rows());
        (index * each).min(rows)..((index + 1) * each).min(rows)
    }

    fn check(&self) -> Result<()> {
        if self.rows == 0 || self.channels == 0 {
            return Err(Error::geometry("batch normalisation of nothing"));
        }
        Ok(())
    }
}

/// Batch norm whose statistics are known and the activation behind it, for strips of rows.
#[derive(Clone, Copy, Debug)]
pub struct Normalization<'a> {
    activation: Activation,
    /// `[3, wide]`: mean, scale and shift, again and again where a vector holds several pixels.
    factors: &'a [f32],
}

impl<'a> Normalization<'a> {
    /// Floats of scratch that its factors take.
    pub fn scratch_len(channels: usize) -> usize {
        3 * channels * folded(0, channels)
    }

    /// From mean, population variance, scale and shift of each channel.
    ///
    /// # Errors
    /// Vectors of unequal length.
    ///
    /// # Panics
    /// If `factors` is shorter than [`scratch_len`](Self::scratch_len) says.
    pub fn new(
        (activation, epsilon): (Activation, f32),
        [mean, variance, gamma, beta]: [&[f32]; 4],
        factors: &'a mut [f32],
    ) -> Result<Self> {
        let channels = mean.len();
        for vector in [variance, gamma, beta] {
            check_len("a vector of batch norm", vector, channels)?;
        }
        let factors = &mut factors[..Self::scratch_len(channels)];
        let (to_mean, rest) = factors.split_at_mut(factors.len() / 3);
        let (scale, shift) = rest.split_at_mut(rest.len() / 2);
        for (scale, (gamma, variance)) in scale.iter_mut().zip(gamma.iter().zip(variance)) {
            *scale = normal_factor(*gamma, *variance, epsilon);
        }
        let (first, rest) = scale.split_at_mut(channels);
        repeat(first, rest);
        repeat(mean, to_mean);
        repeat(beta, shift);
        Ok(Self { activation, factors })
    }

    /// The activation, and `[3, wide]` factors.
    pub(crate) fn factors(&self) -> (Activation, &'a [f32]) {
        (self.activation, self.factors)
    }

    /// Whole rows, in the calling thread.
    pub(crate) fn apply(&self, isa: Isa, input: &[f32], output: &mut [f32]) {
        let wide = self.factors.len() / 3;
        if wide == 0 {
            return;
        }
        let (center, rest) = self.factors.split_at(wide);
        let (scale, shift) = rest.split_at(wide);
        let (center, activation) = (Some(center), self.activation);
        simd::call(isa, ScaleShift { scale, shift, center, activation, input, output });
    }
}

/// What batch normalisation in training mode writes.
pub struct BatchNormOutput<'a> {
    /// `[rows, channels]`: normalised, scaled, shifted, activated.
    pub output: &'a mut [f32],
    /// `[channels]`: mean of the batch.
    pub mean: &'a mut [f32],
    /// `[channels]`: population variance of the batch (no Bessel correction).
    pub variance: &'a mut [f32],
}

/// The factor of centred values, `gamma / sqrt(variance + epsilon)`, in double precision, rounded
/// once; forward and backward use it alike, so that both see the same values at the edge of an
/// activation.
pub fn normal_factor(gamma: f32, variance: f32, epsilon: f32) -> f32 {
    (f64::from(gamma) / (f64::from(variance) + f64::from(epsilon)).sqrt()) as f32
}

/// Normalises `input`, `[rows, channels]`, by its own mean and variance:
/// `activation((x - mean) / sqrt(variance + epsilon) * gamma + beta)`.
/// Statistics are combined from a fixed number of parts; each is read once.
///
/// # Errors
/// No rows or no channels.
///
/// # Panics
/// If a slice does not fit `spec`.
pub fn batch_norm_train(
    isa: Isa,
    pool: &Pool,
    spec: BatchNormSpec,
    input: &[f32],
    (gamma, beta): (&[f32], &[f32]),
    to: BatchNormOutput<'_>,
    scratch: BatchNormScratch<'_>,
) -> Result<()> {
    spec.check()?;
    let BatchNormSpec { rows, channels, epsilon, activation } = spec;
    assert_eq!(input.len(), rows * channels, "batch norm input");
    assert_eq!(to.output.len(), input.len(), "batch norm output");
    assert!([gamma.len(), beta.len(), to.mean.len(), to.variance.len()] == [channels; 4]);
    let wide = channels * spec.folds();
    batch_statistics(isa, pool, spec, input, [to.mean, to.variance], scratch.moments)?;
    let (mean, rest) = scratch.factors.split_at_mut(wide);
    let (scale, rest) = rest.split_at_mut(wide);
    let shift = &mut rest[..wide];
    for (c, scale) in scale[..channels].iter_mut().enumerate() {
        *scale = normal_factor(gamma[c], to.variance[c], epsilon);
    }
    let (first, rest) = scale.split_at_mut(channels);
    repeat(first, rest);
    repeat(to.mean, mean);
    repeat(beta, shift);
    scale_rows(isa, pool, (Some(mean), scale, shift), activation, input, to.output);
    Ok(())
}

/// Mean and population variance of each channel of `input`, `[rows, channels]`; `moments` is the
/// first slice of [`BatchNormSpec::scratch_len`].
///
/// # Errors
/// No rows or no channels.
///
/// # Panics
/// If a slice does not fit `spec`.
pub fn batch_statistics(
    isa: Isa,
    pool: &Pool,
    spec: BatchNormSpec,
    input: &[f32],
    [mean, variance]: [&mut [f32]; 2],
    moments: &mut [f64],
) -> Result<()> {
    spec.check()?;
    assert_eq!(input.len(), spec.rows * spec.channels, "batch norm input");
    let wide = spec.channels * spec.folds();
    let moments = &mut moments[..2 * PARTS * wide];
    pool.for_each_chunk(moments, 2 * wide, &|index, moments| {
        let rows = spec.part(index);
        let input = &input[rows.start * wide..rows.end * wide];
        simd::call(isa, Moments { input, known: 0, moments });
    });
    combine(moments, wide, |part| spec.part(part).len(), [mean, variance]);
    Ok(())
}

/// Mean and sum of squared differences from it, of some rows, block by block.
pub(crate) struct Moments<'a> {
    pub(crate) input: &'a [f32],
    /// Rows before these that `moments` are of; where there are none, it is not read.
    pub(crate) known: usize,
    /// `[2, channels]`.
    pub(crate) moments: &'a mut [f64],
}

impl Body for Moments<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let channels = self.moments.len() / 2;
        let (means, squares) = self.moments.split_at_mut(channels);
        let rows = self.input.len() / channels;
        if self.known == 0 {
            means.fill(0.0);
            squares.fill(0.0);
            let Some(first) = self.input.get(..channels) else { return };
            means.iter_mut().zip(first).for_each(|(mean, x)| *mean = f64::from(*x));
        }
        for start in (0..rows).step_by(BLOCK_ROWS) {
            let end = (start + BLOCK_ROWS).min(rows);
            let block = &self.input[start * channels..end * channels];
            for c in (0..channels).step_by(S::LANES) {
                let count = (channels - c).min(S::LANES);
                let known = (&mut means[c..c + count], &mut squares[c..c + count]);
                // SAFETY: every row of the block has `c + count` values.
                unsafe { add_block(simd, block, channels, c, self.known + start, known) };
            }
        }
    }
}

/// Takes a block of rows into the moments of the `known` rows before it, one vector of channels.
/// Values are summed about the mean so far, which loses nothing where they have much in common.
///
/// # Safety
/// The channels from `c` on, as many as there are moments (at most a vector), exist.
#[inline(always)]
unsafe fn add_block<S: Simd>(
    simd: S,
    block: &[f32],
    channels: usize,
    c: usize,
    known: usize,
    (means, squares): (&mut [f64], &mut [f64]),
) {
    let count = means.len();
    let mut center = [0.0; 16];
    center.iter_mut().zip(&*means).for_each(|(center, mean)| *center = *mean as f32);
    let (mut sum, mut square) = ([0.0; 16], [0.0; 16]);
    let rows = block.len() / channels;
    // SAFETY: the caller's promise; no vector has more than 16 lanes.
    unsafe {
        let from = block.as_ptr().add(c);
        let minus = simd.mul(simd.load(center.as_ptr()), simd.splat(-1.0));
        let mut sums = [simd.splat(0.0); 2];
        let mut squared = [simd.splat(0.0); 2];
        for pair in 0..rows / 2 {
            for (i, (sum, square)) in sums.iter_mut().zip(&mut squared).enumerate() {
                let x = part(simd, from.add((2 * pair + i) * channels), count);
                let x = simd.add(x, minus);
                *sum = simd.add(*sum, x);
                *square = simd.fma(x, x, *square);
            }
        }
        if rows % 2 == 1 {
            let x = simd.add(part(simd, from.add((rows - 1) * channels), count), minus);
            sums[0] = simd.add(sums[0], x);
            squared[0] = simd.fma(x, x, squared[0]);
        }
        simd.store(sum.as_mut_ptr(), simd.add(sums[0], sums[1]));
        simd.store(square.as_mut_ptr(), simd.add(squared[0], squared[1]));
    }
    let (before, own) = (known as f64, rows as f64);
    for (lane, (mean, total)) in means.iter_mut().zip(squares).enumerate() {
        let (sum, center) = (f64::from(sum[lane]), f64::from(center[lane]));
        let mine = center + sum / own;
        let gap = mine - *mean;
        let inner = f64::from(square[lane]) - sum * sum / own;
        *total += inner.max(0.0) + gap * gap * before * own / (before + own);
        *mean += gap * own / (before + own);
    }
}

/// Mean and population variance of all rows from the moments of parts, each `[2, wide]` of so many
/// folded rows.
pub(crate) fn combine(
    moments: &[f64],
    wide: usize,
    rows_of: impl Fn(usize) -> usize,
    [mean, variance]: [&mut [f32]; 2],
) {
    let channels = mean.len();
    let parts = || moments.chunks_exact((2 * wide).max(1)).enumerate();
    let rows = parts().map(|(i, _)| rows_of(i)).sum::<usize>() * (wide / channels.max(1));
    let rows = rows as f64;
    for c in 0..channels {
        let pieces = || {
            parts().flat_map(|(i, moments)| {
                let size = rows_of(i) as f64;
                let lanes = (c..wide).step_by(channels);
                lanes.map(move |lane| (size, moments[lane], moments[wide + lane]))
            })
        };
        let total = pieces().map(|(size, mean, _)| size * mean).sum::<f64>() / rows;
        let squares = pieces().map(|(size, mean, inner)| inner + size * (mean - total).powi(2));
        mean[c] = total as f32;
        variance[c] = (squares.sum::<f64>() / rows) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_mode_agrees_with_double_precision() {
        for (rows, channels) in [(1, 3), (5, 1), (31, 8), (4000, 8), (1000, 17), (97, 130)] {
            let spec =
                BatchNormSpec { rows, channels, epsilon: 1e-3, activation: Activation::None };
            let input: Vec<f32> =
                (0..rows * channels).map(|i| ((i * 7919) % 1013) as f32 / 100.0 + 500.0).collect();
            let gamma: Vec<f32> = (0..channels).map(|c| 0.5 + c as f32 / 100.0).collect();
            let beta: Vec<f32> = (0..channels).map(|c| c as f32 / 10.0 - 1.0).collect();
            let mut results = Vec::new();
            for threads in [1, 2] {
                let mut output = vec![0.0; input.len()];
                let (mut mean, mut variance) = (vec![0.0; channels], vec![0.0; channels]);
                let [moments, factors] = spec.scratch_len();
                let (mut moments, mut factors) = (vec![f64::NAN; moments], vec![f32::NAN; factors]);
                let to = BatchNormOutput {
                    output: &mut output,
                    mean: &mut mean,
                    variance: &mut variance,
                };
                let pool = Pool::new(threads);
                batch_norm_train(
                    Isa::detect(),
                    &pool,
                    spec,
                    &input,
                    (&gamma, &beta),
                    to,
                    BatchNormScratch { moments: &mut moments, factors: &mut factors },
                )
                .expect("some rows");
                results.push((output, mean, variance));
            }
            assert_eq!(results[0], results[1], "one and two threads");
            for c in 0..channels {
                let column = || (0..rows).map(|r| f64::from(input[r * channels + c]));
                let mean = column().sum::<f64>() / rows as f64;
                let variance = column().map(|x| (x - mean).powi(2)).sum::<f64>() / rows as f64;
                assert!((f64::from(results[0].1[c]) - mean).abs() < 1e-6 * mean);
                assert!((f64::from(results[0].2[c]) - variance).abs() <= 1e-5 * variance + 1e-7);
                for (r, x) in column().enumerate() {
                    let exact = (x - mean) / (variance + 1e-3).sqrt() * f64::from(gamma[c])
                        + f64::from(beta[c]);
                    let error = (f64::from(results[0].0[r * channels + c]) - exact).abs();
                    assert!(error < 2e-3, "{rows} {channels}: {error}");
                }
            }
        }
    }

    #[test]
    fn scale_and_shift() {
        let mut output = [0.0; 6];
        let input = [1.0, -1.0, 3.0, f32::NAN, 2.0, 2.0];
        scale_shift(
            Isa::detect(),
            &Pool::single(),
            (&[1.0, 2.0, 3.0], &[0.0, 1.0, 0.5]),
            Activation::Relu6,
            &input,
            &mut output,
        );
        assert_eq!((output[0], output[1], output[2]), (1.0, 0.0, 6.0));
        assert!(output[3].is_nan());
    }
}
