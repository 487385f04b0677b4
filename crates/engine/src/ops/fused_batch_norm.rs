//! `FusedBatchNorm`, V2 and V3: with given statistics (inference) or those of the batch.
//!
//! In training, outputs 1 and 2 are the batch mean and the Bessel-corrected batch variance,
//! as TensorFlow feeds them to the moving averages; normalisation uses the population variance.

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::{DType, Tensor};

use super::{Op, expect_dtype, only_nhwc};
use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::{Fact, Shape};
use crate::lower::{Affine, BatchNorm, Lowering};
use crate::reference;

#[derive(Debug)]
pub(super) struct FusedBatchNorm {
    epsilon: f32,
    is_training: bool,
    exponential_avg_factor: f32,
    data_format: String,
    outputs: usize,
}

impl FusedBatchNorm {
    pub(super) fn import(attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Self::read(attributes, 5)
    }

    pub(super) fn import_v3(attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Self::read(attributes, 6)
    }

    fn read(attributes: &Attributes, outputs: usize) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Self {
            epsilon: attributes.float("epsilon", 0.0001)?,
            is_training: attributes.bool("is_training", true)?,
            exponential_avg_factor: attributes.float("exponential_avg_factor", 1.0)?,
            data_format: attributes.string("data_format", "NHWC")?,
            outputs,
        }))
    }

    fn check(&self) -> Result<()> {
        only_nhwc(&self.data_format)?;
        if self.exponential_avg_factor != 1.0 {
            let factor = self.exponential_avg_factor;
            return Err(Error::unsupported(format!("exponential_avg_factor {factor}: only 1")));
        }
        Ok(())
    }

    /// `y = x * scale + offset` for given statistics, in double precision.
    fn affine(&self, gamma: &[f64], beta: &[f64], mean: &[f64], variance: &[f64]) -> Affine {
        let epsilon = f64::from(self.epsilon);
        let scale: Vec<f64> =
            gamma.iter().zip(variance).map(|(g, v)| g / (v + epsilon).sqrt()).collect();
        let offset = beta.iter().zip(mean).zip(&scale).map(|((b, m), s)| b - m * s).collect();
        Affine { scale, offset }
    }

    /// Mean and population variance of each channel, in double precision.
    fn statistics(x: &[f64], channels: usize) -> (Vec<f64>, Vec<f64>) {
        let count = (x.len() / channels.max(1)).max(1) as f64;
        let mut mean = vec![0.0; channels];
        for pixel in x.chunks_exact(channels.max(1)) {
            mean.iter_mut().zip(pixel).for_each(|(mean, x)| *mean += x / count);
        }
        let mut variance = vec![0.0; channels];
        for pixel in x.chunks_exact(channels.max(1)) {
            for ((variance, mean), x) in variance.iter_mut().zip(&mean).zip(pixel) {
                *variance += (x - mean) * (x - mean) / count;
            }
        }
        (mean, variance)
    }
}

impl Op for FusedBatchNorm {
    fn arity(&self) -> RangeInclusive<usize> {
        5..=5
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        if inputs[0].shape.rank().is_some_and(|rank| rank != 4) {
            return Err(Error::shape("the input must have rank 4"));
        }
        let mut channels = if self.data_format == "NHWC" { inputs[0].shape.last() } else { None };
        // In training the given statistics may be empty: the batch has its own.
        let given = if self.is_training { 3 } else { 5 };
        for fact in &inputs[1..given] {
            expect_dtype(fact, DType::F32)?;
            if fact.shape.rank().is_some_and(|rank| rank != 1) {
                return Err(Error::shape("scale, offset, mean and variance must have rank 1"));
            }
            let own = fact.shape.dim(0);
            if channels.zip(own).is_some_and(|(a, b)| a != b) {
                return Err(Error::shape("scale, offset, mean and variance: one per channel"));
            }
            channels = channels.or(own);
        }
        let statistic = Fact::new(DType::F32, Shape::new(vec![channels]));
        let mut outputs = vec![Fact { value: None, variable: None, ..inputs[0].clone() }];
        outputs.resize(self.outputs, statistic);
        if let Some(reserved) = outputs.get_mut(5) {
            // As TensorFlow on a CPU: nothing.
            reserved.shape = Shape::known(&[0]);
        }
        Ok(outputs)
    }

    fn evaluate(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        self.check()?;
        let [x, gamma, beta, mean, variance] = [0, 1, 2, 3, 4].map(|i| reference::reals(inputs[i]));
        let (x, gamma, beta, given) = (x?, gamma?, beta?, (mean?, variance?));
        let channels = gamma.len();
        let (mean, variance) =
            if self.is_training { Self::statistics(&x, channels) } else { given };
        let affine = self.affine(&gamma, &beta, &mean, &variance);
        let y = x.iter().enumerate().map(|(i, x)| {
            let c = i % channels.max(1);
            x * affine.scale[c] + affine.offset[c]
        });
        let (dtype, y) = (inputs[0].dtype(), y.collect());
        let y = reference::real(dtype, inputs[0].shape(), y)?;
        let count = (x.len() / channels.max(1)) as f64;
        let corrected = if self.is_training && count > 1.0 {
            variance.iter().map(|v| v * count / (count - 1.0)).collect()
        } else {
            variance.clone()
        };
        let each =
            |values: &[f64]| reference::real(inputs[1].dtype(), &[channels], values.to_vec());
        let mut outputs = vec![y, each(&mean)?, each(&corrected)?, each(&mean)?, each(&variance)?];
        if self.outputs > 5 {
            outputs.push(reference::real(inputs[1].dtype(), &[0], Vec::new())?);
        }
        Ok(outputs)
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        self.check()?;
        if self.is_training {
            return lowering.batch_norm(BatchNorm { epsilon: self.epsilon, training: true });
        }
        let constants: Option<Vec<Vec<f64>>> =
            (1..5).map(|i| lowering.constant_reals(i)).collect::<Result<_>>()?;
        match constants.as_deref() {
            Some([gamma, beta, mean, variance]) => {
                lowering.affine(0, self.affine(gamma, beta, mean, variance))
            }
            _ => lowering.batch_norm(BatchNorm { epsilon: self.epsilon, training: false }),
        }
    }
}
