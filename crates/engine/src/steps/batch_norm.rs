//! Batch norm that is not folded: statistics of the batch, or of variables that change.

use super::{Call, Kernel, floats, floats_mut};
use crate::error::Result;
use crate::lower;

#[derive(Debug)]
pub(crate) struct BatchNorm {
    pub(crate) attributes: lower::BatchNorm,
    pub(crate) channels: usize,
}

impl BatchNorm {
    /// Sums in double precision: a batch has tens of thousands of values for each channel.
    fn statistics(x: &[f32], mean: &mut [f64], variance: &mut [f64]) -> f64 {
        let channels = mean.len().max(1);
        let count = (x.len() / channels).max(1) as f64;
        mean.fill(0.0);
        variance.fill(0.0);
        for pixel in x.chunks_exact(channels) {
            mean.iter_mut().zip(pixel).for_each(|(mean, x)| *mean += f64::from(*x));
        }
        mean.iter_mut().for_each(|mean| *mean /= count);
        for pixel in x.chunks_exact(channels) {
            for ((variance, mean), x) in variance.iter_mut().zip(&*mean).zip(pixel) {
                let difference = f64::from(*x) - mean;
                *variance += difference * difference;
            }
        }
        variance.iter_mut().for_each(|variance| *variance /= count);
        count
    }

    /// Turns mean and variance into offset and scale, in place.
    fn to_affine(&self, gamma: &[f32], beta: &[f32], mean: &mut [f64], variance: &mut [f64]) {
        let epsilon = f64::from(self.attributes.epsilon);
        let parameters = gamma.iter().zip(beta);
        for ((mean, variance), (gamma, beta)) in mean.iter_mut().zip(variance).zip(parameters) {
            let scale = f64::from(*gamma) / (*variance + epsilon).sqrt();
            *mean = f64::from(*beta) - *mean * scale;
            *variance = scale;
        }
    }
}

/// `y = x * scale + offset`, channel by channel.
fn apply(x: &[f32], y: &mut [f32], scale: &[f64], offset: &[f64]) {
    let channels = scale.len().max(1);
    for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact_mut(channels)) {
        for ((x, y), (scale, offset)) in x.iter().zip(y).zip(scale.iter().zip(offset)) {
            *y = (f64::from(*x) * scale + offset) as f32;
        }
    }
}

fn widen(from: &[f32], to: &mut [f64]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = f64::from(*from));
}

impl Kernel for BatchNorm {
    fn name(&self) -> String {
        if self.attributes.training { "batch_norm, training" } else { "batch_norm" }.into()
    }

    fn scratch_bytes(&self, _images: usize, _threads: usize) -> usize {
        self.channels.saturating_mul(16)
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let x = floats(call.inputs[0])?;
        let (gamma, beta) = (floats(call.inputs[1])?, floats(call.inputs[2])?);
        let scratch: &mut [f64] = bytemuck::try_cast_slice_mut(call.scratch)
            .map_err(|_| crate::Error::input("scratch memory is not aligned"))?;
        let (mean, variance) = scratch.split_at_mut(self.channels);
        let variance = &mut variance[..self.channels];
        if self.attributes.training {
            let count = Self::statistics(x, mean, variance);
            // Bessel's correction, for the moving average alone.
            let correction = if count > 1.0 { count / (count - 1.0) } else { 1.0 };
            let outputs = floats_mut(call.outputs[1])?.iter_mut().zip(&*mean);
            outputs.for_each(|(out, mean)| *out = *mean as f32);
            let outputs = floats_mut(call.outputs[2])?.iter_mut().zip(&*variance);
            outputs.for_each(|(out, variance)| *out = (*variance * correction) as f32);
        } else {
            widen(floats(call.inputs[3])?, mean);
            widen(floats(call.inputs[4])?, variance);
        }
        self.to_affine(gamma, beta, mean, variance);
        apply(x, floats_mut(call.outputs[0])?, variance, mean);
        Ok(())
    }
}
