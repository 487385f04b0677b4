//! Batch norm that is not folded: statistics of the batch, or of variables that change.

use std::sync::Arc;

use mobilenet_kernels::{
    Activation, BatchNormOutput, BatchNormScratch, BatchNormSpec, Isa, batch_norm_train,
    batch_statistics as batch_statistics_of, normal_factor, normalize,
};

use super::{Call, Kernel, Site, floats, floats_mut, refused};
use crate::error::{Error, Result};
use crate::lower;

/// The kernel of a batch norm as the attributes say, and of the activation that follows.
pub(crate) fn batch_norm(
    attributes: lower::BatchNorm,
    activation: Activation,
    site: &Site,
) -> Arc<dyn Kernel> {
    let (isa, epsilon, channels) = (site.isa, attributes.epsilon, site.channels(0));
    if !attributes.training {
        return Arc::new(Given { isa, epsilon, channels, activation });
    }
    let elements: usize = site.input(0).iter().product();
    let rows = elements / channels.max(1);
    Arc::new(OfBatch { isa, spec: BatchNormSpec { rows, channels, epsilon, activation } })
}

/// The scratch memory of a step that wants `doubles`, and floats behind them.
pub(super) fn split_scratch(bytes: &mut [u8], doubles: usize) -> Result<(&mut [f64], &mut [f32])> {
    let short = || Error::input("scratch memory is too short or not aligned");
    let (first, rest) = bytes.split_at_mut_checked(doubles.saturating_mul(8)).ok_or_else(short)?;
    let doubles = bytemuck::try_cast_slice_mut(first).map_err(|_| short())?;
    Ok((doubles, floats_mut(rest)?))
}

/// Bytes of so many doubles and floats.
pub(super) fn scratch_bytes([doubles, floats]: [usize; 2]) -> usize {
    doubles.saturating_mul(8).saturating_add(floats.saturating_mul(4))
}

/// With the statistics of the batch: outputs 1 and 2 for the moving averages, 3 and 4 for the
/// gradient.
#[derive(Debug)]
struct OfBatch {
    isa: Isa,
    spec: BatchNormSpec,
}

impl Kernel for OfBatch {
    fn name(&self) -> String {
        format!("batch_norm_train{}_f32__{}", suffix(self.spec.activation), self.isa)
    }

    fn scratch_bytes(&self) -> usize {
        scratch_bytes(self.spec.scratch_len())
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let parameters = (floats(call.inputs[1])?, floats(call.inputs[2])?);
        let [output, mean, variance, ..] = &mut call.outputs;
        let to = BatchNormOutput {
            output: floats_mut(output)?,
            mean: floats_mut(mean)?,
            variance: floats_mut(variance)?,
        };
        let x = floats(call.inputs[0])?;
        let (moments, factors) = split_scratch(call.scratch, self.spec.scratch_len()[0])?;
        let scratch = BatchNormScratch { moments, factors };
        batch_norm_train(self.isa, call.pool, self.spec, x, parameters, to, scratch)
            .map_err(refused)?;
        keep(self.spec.rows, &mut call.outputs[1..5])
    }
}

/// From mean and population variance, the first two of four: copies of both for the gradient, and
/// Bessel's correction, which TensorFlow feeds to the moving average.
pub(super) fn keep(rows: usize, statistics: &mut [&mut [u8]]) -> Result<()> {
    let [mean, variance, kept_mean, kept_variance] = statistics else {
        return Err(Error::input("batch norm has four outputs for its statistics"));
    };
    kept_mean.copy_from_slice(mean);
    kept_variance.copy_from_slice(variance);
    let rows = rows as f64;
    let correction = if rows > 1.0 { rows / (rows - 1.0) } else { 1.0 };
    for variance in floats_mut(variance)? {
        *variance = (f64::from(*variance) * correction) as f32;
    }
    Ok(())
}

/// The kernel of the statistics alone.
pub(crate) fn batch_statistics(attributes: lower::BatchNorm, site: &Site) -> Arc<dyn Kernel> {
    let (epsilon, channels, activation) = (attributes.epsilon, site.channels(0), Activation::None);
    let rows = site.input(0).iter().product::<usize>() / channels.max(1);
    let spec = BatchNormSpec { rows, channels, epsilon, activation };
    Arc::new(Statistics { isa: site.isa, spec })
}

#[derive(Debug)]
struct Statistics {
    isa: Isa,
    spec: BatchNormSpec,
}

impl Kernel for Statistics {
    fn name(&self) -> String {
        format!("batch_statistics_f32__{}", self.isa)
    }

    fn scratch_bytes(&self) -> usize {
        scratch_bytes([self.spec.scratch_len()[0], 0])
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let (moments, _) = split_scratch(call.scratch, self.spec.scratch_len()[0])?;
        let [mean, variance, ..] = &mut call.outputs;
        let to = [floats_mut(mean)?, floats_mut(variance)?];
        let x = floats(call.inputs[0])?;
        batch_statistics_of(self.isa, call.pool, self.spec, x, to, moments).map_err(refused)?;
        keep(self.spec.rows, &mut call.outputs[..4])
    }
}

/// With given statistics, inputs 3 and 4.
#[derive(Debug)]
struct Given {
    isa: Isa,
    epsilon: f32,
    channels: usize,
    activation: Activation,
}

impl Kernel for Given {
    fn name(&self) -> String {
        format!("batch_norm{}_f32__{}", suffix(self.activation), self.isa)
    }

    fn scratch_bytes(&self) -> usize {
        self.channels.saturating_mul(4)
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let [x, gamma, beta, mean, variance] = [0, 1, 2, 3, 4].map(|i| floats(call.inputs[i]));
        let scale = &mut floats_mut(call.scratch)?[..self.channels];
        let (gamma, beta, mean) = (gamma?, beta?, mean?);
        for ((scale, gamma), variance) in scale.iter_mut().zip(gamma).zip(variance?) {
            *scale = normal_factor(*gamma, *variance, self.epsilon);
        }
        let y = floats_mut(call.outputs[0])?;
        normalize(self.isa, call.pool, (mean, &*scale, beta), self.activation, x?, y);
        Ok(())
    }
}

/// The activation in a kernel's name.
pub(super) fn suffix(activation: Activation) -> &'static str {
    match activation {
        Activation::None => "",
        Activation::Relu => "_relu",
        Activation::Relu6 => "_relu6",
    }
}
