//! `FusedBatchNormGrad`, V2 and V3: slopes of input, scale and offset from the slope of the
//! output, the input, the scale, and the mean and (population) variance that normalised it.

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::{DType, Tensor};

use super::{Op, only_nhwc};
use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::{Fact, Shape};
use crate::lower::{BatchNorm, Lowering};
use crate::reference;

#[derive(Debug)]
pub(super) struct FusedBatchNormGrad {
    epsilon: f32,
    is_training: bool,
    data_format: String,
}

impl FusedBatchNormGrad {
    pub(super) fn import(attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Self {
            epsilon: attributes.float("epsilon", 0.0001)?,
            is_training: attributes.bool("is_training", true)?,
            data_format: attributes.string("data_format", "NHWC")?,
        }))
    }
}

impl Op for FusedBatchNormGrad {
    fn arity(&self) -> RangeInclusive<usize> {
        5..=6
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        if !inputs[0].shape.is_compatible(&inputs[1].shape) {
            let (dy, x) = (&inputs[0].shape, &inputs[1].shape);
            return Err(Error::shape(format!(
                "a slope {dy} of an output as large as the input {x}"
            )));
        }
        let channels = if self.data_format == "NHWC" { inputs[1].shape.last() } else { None };
        let vector = Shape::new(vec![channels]);
        if !inputs[2..5].iter().all(|fact| fact.shape.is_compatible(&vector)) {
            return Err(Error::shape("scale, mean and variance: one per channel"));
        }
        let slope = Fact { value: None, ..inputs[1].clone() };
        let channel = Fact { value: None, variable: None, ..inputs[2].clone() };
        let empty = Fact::new(DType::F32, Shape::known(&[0]));
        Ok(vec![slope, channel.clone(), channel, empty.clone(), empty])
    }

    fn evaluate(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        only_nhwc(&self.data_format)?;
        let [dy, x, gamma, mean, variance] = [0, 1, 2, 3, 4].map(|i| reference::reals(inputs[i]));
        let (dy, x, gamma, mean, variance) = (dy?, x?, gamma?, mean?, variance?);
        let channels = gamma.len();
        let count = (x.len() / channels.max(1)).max(1) as f64;
        let deviation: Vec<f64> =
            variance.iter().map(|v| 1.0 / (v + f64::from(self.epsilon)).sqrt()).collect();
        let normal = |i: usize| (x[i] - mean[i % channels]) * deviation[i % channels];
        let (mut dgamma, mut dbeta) = (vec![0.0; channels], vec![0.0; channels]);
        for (i, dy) in dy.iter().enumerate() {
            dgamma[i % channels] += dy * normal(i);
            dbeta[i % channels] += dy;
        }
        let dx = dy.iter().enumerate().map(|(i, dy)| {
            let c = i % channels;
            let of_statistics = match self.is_training {
                true => (dbeta[c] + normal(i) * dgamma[c]) / count,
                false => 0.0,
            };
            gamma[c] * deviation[c] * (dy - of_statistics)
        });
        let dtype = inputs[1].dtype();
        let dx = reference::real(dtype, inputs[1].shape(), dx.collect())?;
        let each = |values| reference::real(dtype, &[channels], values);
        let empty = || reference::real(dtype, &[0], Vec::new());
        Ok(vec![dx, each(dgamma)?, each(dbeta)?, empty()?, empty()?])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        only_nhwc(&self.data_format)?;
        lowering.batch_norm_grad(BatchNorm { epsilon: self.epsilon, training: self.is_training })
    }
}
