//! Batch norm that is not folded: statistics of the batch, or of variables that change.

use std::sync::Arc;

use mobilenet_kernels::{
    Activation, BatchNormOutput, BatchNormSpec, Isa, batch_norm_train, normalize,
};

use super::{Call, Kernel, Recipe, Site, floats, floats_mut, refused};
use crate::error::Result;
use crate::lower;

/// As the attributes say.
#[derive(Clone, Debug)]
pub(crate) struct BatchNorm {
    pub(crate) attributes: lower::BatchNorm,
}

impl Recipe for BatchNorm {
    fn prepare(&self, site: &Site) -> Result<Arc<dyn Kernel>> {
        let (epsilon, channels) = (self.attributes.epsilon, site.channels(0));
        if !self.attributes.training {
            return Ok(Arc::new(Given { isa: site.isa, epsilon, channels }));
        }
        let elements: usize = site.input(0).iter().product();
        let rows = elements / channels.max(1);
        let activation = Activation::None;
        let spec = BatchNormSpec { rows, channels, epsilon, activation };
        Ok(Arc::new(OfBatch { isa: site.isa, spec }))
    }
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
        format!("batch_norm_train_f32__{}", self.isa)
    }

    fn scratch_bytes(&self) -> usize {
        self.spec.scratch_len().saturating_mul(4)
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let parameters = (floats(call.inputs[1])?, floats(call.inputs[2])?);
        let [output, mean, variance, ..] = &mut call.outputs;
        let to = BatchNormOutput {
            output: floats_mut(output)?,
            mean: floats_mut(mean)?,
            variance: floats_mut(variance)?,
        };
        let (x, scratch) = (floats(call.inputs[0])?, floats_mut(call.scratch)?);
        batch_norm_train(self.isa, call.pool, self.spec, x, parameters, to, scratch)
            .map_err(refused)?;
        let [_, mean, variance, kept_mean, kept_variance, ..] = &mut call.outputs;
        kept_mean.copy_from_slice(mean);
        kept_variance.copy_from_slice(variance);
        // Bessel's correction, which TensorFlow feeds to the moving average.
        let rows = self.spec.rows as f64;
        let correction = if rows > 1.0 { rows / (rows - 1.0) } else { 1.0 };
        for variance in floats_mut(call.outputs[2])? {
            *variance = (f64::from(*variance) * correction) as f32;
        }
        Ok(())
    }
}

/// With given statistics, inputs 3 and 4.
#[derive(Debug)]
struct Given {
    isa: Isa,
    epsilon: f32,
    channels: usize,
}

impl Kernel for Given {
    fn name(&self) -> String {
        format!("batch_norm_f32__{}", self.isa)
    }

    fn scratch_bytes(&self) -> usize {
        self.channels.saturating_mul(4)
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let [x, gamma, beta, mean, variance] = [0, 1, 2, 3, 4].map(|i| floats(call.inputs[i]));
        let scale = &mut floats_mut(call.scratch)?[..self.channels];
        let (gamma, beta, mean) = (gamma?, beta?, mean?);
        for ((scale, gamma), variance) in scale.iter_mut().zip(gamma).zip(variance?) {
            let deviation = (f64::from(*variance) + f64::from(self.epsilon)).sqrt();
            *scale = (f64::from(*gamma) / deviation) as f32;
        }
        let y = floats_mut(call.outputs[0])?;
        normalize(self.isa, call.pool, (mean, &*scale, beta), x?, y);
        Ok(())
    }
}
