//! Scale and shift of each channel, and batch normalisation in training mode.

use crate::error::Error;
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

/// `output = (input - mean[c]) * scale[c] + shift[c]`: as [`scale_shift`], but exact where mean
/// and input nearly cancel.
///
/// # Panics
/// If the slices do not fit each other.
pub fn normalize(
    isa: Isa,
    pool: &Pool,
    (mean, scale, shift): (&[f32], &[f32], &[f32]),
    input: &[f32],
    output: &mut [f32],
) {
    assert_eq!(mean.len(), scale.len(), "mean");
    scale_rows(isa, pool, (Some(mean), scale, shift), Activation::None, input, output);
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
    fn run<S: Simd>(self, _: S) {
        let channels = self.scale.len();
        let (low, high) = self.activation.bounds();
        let rows = self.output.chunks_exact_mut(channels).zip(self.input.chunks_exact(channels));
        for (to, from) in rows {
            let values = to.iter_mut().zip(from).zip(self.scale.iter().zip(self.shift));
            match self.center {
                None => {
                    for ((to, x), (scale, shift)) in values {
                        *to = crate::window::clamp(x * scale + shift, low, high);
                    }
                }
                Some(center) => {
                    for (((to, x), (scale, shift)), center) in values.zip(center) {
                        *to = crate::window::clamp((x - center) * scale + shift, low, high);
                    }
                }
            }
        }
    }
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

impl BatchNormSpec {
    /// Floats of scratch memory that [`batch_norm_train`] needs.
    pub fn scratch_len(&self) -> usize {
        (2 * PARTS + 1) * self.channels
    }

    fn check(&self) -> Result<(), Error> {
        if self.rows == 0 || self.channels == 0 {
            return Err(Error::geometry("batch normalisation of nothing"));
        }
        Ok(())
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

/// Normalises `input`, `[rows, channels]`, by its own mean and variance:
/// `activation((x - mean) / sqrt(variance + epsilon) * gamma + beta)`.
/// Statistics are combined from a fixed number of parts, each taken in two passes.
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
    scratch: &mut [f32],
) -> Result<(), Error> {
    spec.check()?;
    let BatchNormSpec { rows, channels, epsilon, activation } = spec;
    assert_eq!(input.len(), rows * channels, "batch norm input");
    assert_eq!(to.output.len(), input.len(), "batch norm output");
    assert!([gamma.len(), beta.len(), to.mean.len(), to.variance.len()] == [channels; 4]);
    let (parts, rest) = scratch.split_at_mut(2 * PARTS * channels);
    let scale = &mut rest[..channels];
    let part_rows = rows.div_ceil(PARTS);
    pool.for_each_chunk(parts, 2 * channels, &|index, moments| {
        let range = (index * part_rows).min(rows)..((index + 1) * part_rows).min(rows);
        let input = &input[range.start * channels..range.end * channels];
        simd::call(isa, Moments { input, moments });
    });
    combine(spec, parts, to.mean, to.variance);
    for ((scale, gamma), variance) in scale.iter_mut().zip(gamma).zip(&*to.variance) {
        *scale = gamma / (variance + epsilon).sqrt();
    }
    let (scale, mean) = (&*scale, &*to.mean);
    let chunk = rows_per_chunk(channels) * channels;
    pool.for_each_chunk(to.output, chunk, &|index, output| {
        let input = &input[index * chunk..][..output.len()];
        let center = Some(mean);
        simd::call(isa, ScaleShift { scale, shift: beta, center, activation, input, output });
    });
    Ok(())
}

/// Mean and sum of squared differences from it, of some rows.
struct Moments<'a> {
    input: &'a [f32],
    /// `[2, channels]`.
    moments: &'a mut [f32],
}

impl Body for Moments<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let channels = self.moments.len() / 2;
        let (means, squares) = self.moments.split_at_mut(channels);
        let rows = self.input.len() / channels;
        means.fill(0.0);
        squares.fill(0.0);
        if rows == 0 {
            return;
        }
        for first in (0..channels).step_by(64) {
            let count = 64.min(channels - first);
            let block = |row: usize| &self.input[row * channels + first..][..count];
            let mean = &mut means[first..first + count];
            // Sums are about the first row, so that a large common value does no harm.
            let center: [f32; 64] =
                std::array::from_fn(|i| if i < count { block(0)[i] } else { 0.0 });
            for row in 0..rows {
                let values = mean.iter_mut().zip(block(row)).zip(&center);
                values.for_each(|((sum, x), center)| *sum += x - center);
            }
            let values = mean.iter_mut().zip(&center);
            values.for_each(|(sum, center)| *sum = *sum / rows as f32 + center);
            let square = &mut squares[first..first + count];
            for row in 0..rows {
                let values = square.iter_mut().zip(block(row)).zip(&*mean);
                values.for_each(|((sum, x), mean)| *sum += (x - mean) * (x - mean));
            }
        }
    }
}

/// Mean and population variance of all rows from those of the parts.
fn combine(spec: BatchNormSpec, parts: &[f32], mean: &mut [f32], variance: &mut [f32]) {
    let BatchNormSpec { rows, channels, .. } = spec;
    let part_rows = rows.div_ceil(PARTS);
    let sizes = (0..PARTS).map(|i| ((i + 1) * part_rows).min(rows) - (i * part_rows).min(rows));
    for c in 0..channels {
        let part = |i: usize, which: usize| f64::from(parts[(2 * i + which) * channels + c]);
        let sized = || sizes.clone().map(|size| size as f64).enumerate();
        let total = sized().map(|(i, size)| size * part(i, 0)).sum::<f64>() / rows as f64;
        let squares = sized().map(|(i, size)| part(i, 1) + size * (part(i, 0) - total).powi(2));
        mean[c] = total as f32;
        variance[c] = (squares.sum::<f64>() / rows as f64) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_mode_agrees_with_double_precision() {
        for (rows, channels) in [(1, 3), (5, 1), (31, 8), (1000, 17), (97, 130)] {
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
                let mut scratch = vec![f32::NAN; spec.scratch_len()];
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
                    &mut scratch,
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
