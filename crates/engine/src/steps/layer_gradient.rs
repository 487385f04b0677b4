//! Batch norm backwards, alone or in one with the convolution before it.

use std::sync::Arc;

use mobilenet_kernels::gradients as slopes;
use mobilenet_kernels::{Activation, Isa, normal_factor};

use super::batch_norm::{scratch_bytes, split_scratch, suffix};
use super::layer::spec;
use super::{Call, Kernel, MOST_OPERANDS, Site, floats, floats_mut, refused};
use crate::error::Result;
use crate::lower;
use crate::program::{Before, LayerGradient};

/// The kernel of batch norm's slopes, from slope, input, scale, mean and population variance;
/// behind an activation's gate also from the shift.
pub(crate) fn batch_norm_gradient(
    attributes: lower::BatchNorm,
    activation: Activation,
    site: &Site,
) -> Arc<dyn Kernel> {
    Arc::new(Alone { isa: site.isa, norm: Norm::new(attributes, activation, site) })
}

/// The kernel of a layer's slopes.
pub(crate) fn layer_gradient(gradient: LayerGradient, site: &Site) -> Result<Arc<dyn Kernel>> {
    let norm = Norm::new(gradient.norm, gradient.activation, site);
    let op = slopes::LayerGradient::new(site.isa, spec(&gradient.geometry)).map_err(refused)?;
    Ok(Arc::new(Layer { isa: site.isa, norm, op, gradient }))
}

/// What both have in common.
#[derive(Debug)]
struct Norm {
    attributes: lower::BatchNorm,
    activation: Activation,
    rows: usize,
    channels: usize,
}

impl Norm {
    fn new(attributes: lower::BatchNorm, activation: Activation, site: &Site) -> Self {
        let channels = site.channels(2);
        let rows = site.input(1).iter().product::<usize>() / channels.max(1);
        Self { attributes, activation, rows, channels }
    }

    fn is_gated(&self) -> bool {
        self.activation != Activation::None
    }

    /// How many inputs are batch norm's.
    fn operands(&self) -> usize {
        if self.is_gated() { 6 } else { 5 }
    }

    fn scratch_len(&self) -> [usize; 2] {
        let [sums, factors] = slopes::BatchNormGradient::scratch_len(self.rows, self.channels);
        [sums, factors + 2 * self.channels]
    }

    /// What batch norm knew, and its scratch memory with whatever else there is behind it.
    #[allow(clippy::type_complexity, reason = "three views of two arguments")]
    fn of<'a>(
        &self,
        inputs: &[&'a [u8]; MOST_OPERANDS],
        scratch: &'a mut [u8],
    ) -> Result<(slopes::BatchNormGradient<'a>, slopes::BatchNormGradientScratch<'a>, &'a mut [f32])>
    {
        let [gamma, mean, variance] = [2, 3, 4].map(|i| floats(inputs[i]));
        let (gamma, mean, variance) = (gamma?, mean?, variance?);
        let beta = if self.is_gated() { floats(inputs[5])? } else { gamma };
        let [doubles, floats] = self.scratch_len();
        let (sums, own) = split_scratch(scratch, doubles)?;
        let (own, rest) = own.split_at_mut(floats.min(own.len()));
        let (deviation, own) = own.split_at_mut(self.channels.min(own.len()));
        let (factor, factors) = own.split_at_mut(self.channels.min(own.len()));
        let epsilon = self.attributes.epsilon;
        for (c, (variance, gamma)) in variance.iter().zip(gamma).enumerate() {
            deviation[c] = normal_factor(1.0, *variance, epsilon);
            factor[c] = normal_factor(*gamma, *variance, epsilon);
        }
        let gradient = slopes::BatchNormGradient {
            mean,
            inverse_deviation: deviation,
            factor,
            beta,
            activation: self.activation,
            of_batch: self.attributes.training,
        };
        Ok((gradient, slopes::BatchNormGradientScratch { sums, factors }, rest))
    }
}

#[derive(Debug)]
struct Alone {
    isa: Isa,
    norm: Norm,
}

impl Kernel for Alone {
    fn name(&self) -> String {
        format!("batch_norm_grad{}_f32__{}", suffix(self.norm.activation), self.isa)
    }

    fn scratch_bytes(&self) -> usize {
        scratch_bytes(self.norm.scratch_len())
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let (dy, x) = (floats(call.inputs[0])?, floats(call.inputs[1])?);
        let (gradient, scratch, _) = self.norm.of(&call.inputs, call.scratch)?;
        let [dx, gamma, beta, ..] = &mut call.outputs;
        let dx = floats_mut(dx)?;
        let mut by = slopes::BatchNormSlopes { gamma: floats_mut(gamma)?, beta: floats_mut(beta)? };
        gradient.run(self.isa, call.pool, x, dy, dx, &mut by, scratch).map_err(refused)
    }
}

#[derive(Debug)]
struct Layer {
    isa: Isa,
    norm: Norm,
    op: slopes::LayerGradient,
    gradient: LayerGradient,
}

impl Layer {
    /// Doubles and floats for the parts of a batch.
    fn parts_len(&self) -> [usize; 2] {
        let LayerGradient { geometry, before, sums_before, .. } = self.gradient;
        self.op.scratch_len(geometry.images, before.is_some(), sums_before)
    }

    /// Floats for what is applied to the input: its factors and deviations.
    fn before_len(&self) -> usize {
        let LayerGradient { geometry, before, .. } = self.gradient;
        Before::scratch_len(before, &geometry) + before.map_or(0, |_| geometry.input[2])
    }
}

impl Kernel for Layer {
    fn name(&self) -> String {
        let (kind, suffix) = (self.gradient.geometry.kind, suffix(self.norm.activation));
        let known = if self.gradient.known { "_known" } else { "" };
        format!("{kind:?}_layer_grad{suffix}{known}_f32__{}", self.isa).to_lowercase()
    }

    fn scratch_bytes(&self) -> usize {
        let [doubles, floats] = self.norm.scratch_len();
        let [sums, parts] = self.parts_len();
        let before = self.before_len();
        scratch_bytes([
            doubles.saturating_add(sums),
            floats.saturating_add(parts).saturating_add(before),
        ])
    }

    fn multiply_adds(&self) -> u64 {
        let LayerGradient { geometry, wants_input, .. } = self.gradient;
        let products = if wants_input { 2 } else { 1 };
        products * geometry.multiply_adds() * geometry.images as u64
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let LayerGradient { geometry, wants_input, before, known, sums_before, .. } = self.gradient;
        let inputs = &call.inputs;
        let own = self.norm.operands();
        let (dy, output, input) = (floats(inputs[0])?, floats(inputs[1])?, floats(inputs[own])?);
        let filter = if wants_input { floats(inputs[own + 1])? } else { &[] };
        let [sums, _] = self.parts_len();
        let (sums, scratch) = call.scratch.split_at_mut((8 * sums).min(call.scratch.len()));
        let (sums, _) = split_scratch(sums, sums.len() / 8)?;
        let (gradient, norm, rest) = self.norm.of(inputs, scratch)?;
        let (of_before, parts) = rest.split_at_mut(self.before_len().min(rest.len()));
        let factors = Before::scratch_len(before, &geometry).min(of_before.len());
        let (factors, deviations) = of_before.split_at_mut(factors);
        let first = own + 1 + usize::from(wants_input);
        let epsilon = before.map_or(0.0, |before| before.epsilon);
        let before = before.map(|before| before.of(inputs, first, factors)).transpose()?;
        let mut outputs = call.outputs.iter_mut().map(|output| floats_mut(output));
        let mut next = || outputs.next().unwrap_or_else(|| Ok(&mut []));
        let norm_slopes = if known {
            let first = first + if before.is_some() { 4 } else { 0 };
            slopes::NormSlopes::Known([floats(inputs[first])?, floats(inputs[first + 1])?])
        } else {
            slopes::NormSlopes::Wanted(slopes::BatchNormSlopes { gamma: next()?, beta: next()? })
        };
        let filter_slope = next()?;
        let input_slope = if wants_input { Some(next()?) } else { None };
        let slopes_before = if sums_before {
            let variances = floats(inputs[first + 1])?;
            for (deviation, variance) in deviations.iter_mut().zip(variances) {
                *deviation = normal_factor(1.0, *variance, epsilon);
            }
            let slopes = slopes::BatchNormSlopes { gamma: next()?, beta: next()? };
            Some(slopes::SlopesBefore { inverse_deviation: deviations, slopes })
        } else {
            None
        };
        let to = slopes::LayerSlopes {
            input: input_slope,
            filter: filter_slope,
            norm: norm_slopes,
            before: slopes_before,
        };
        let of = slopes::LayerOperands { input, before, filter, output, dy };
        let scratch = slopes::LayerScratch { norm, sums, parts };
        self.op.run(call.pool, geometry.images, &gradient, of, to, scratch).map_err(refused)
    }
}
