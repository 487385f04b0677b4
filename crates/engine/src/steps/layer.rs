//! A convolution between two batch norms in training: the one before it is applied on the way in,
//! the statistics for the one behind it are taken on the way out.

use std::sync::Arc;

use mobilenet_kernels as kernels;
use mobilenet_kernels::{Isa, LayerSpec, Normalization};

use super::batch_norm::{keep, scratch_bytes, split_scratch};
use super::gradients::{depthwise, full};
use super::{Call, Kernel, MOST_OPERANDS, Site, floats, floats_mut, refused};
use crate::error::{Error, Result};
use crate::ops::{Geometry, Kind};
use crate::program::{Before, Layer};

/// The kernel of a layer.
pub(crate) fn layer(layer: Layer, site: &Site) -> Result<Arc<dyn Kernel>> {
    let op = kernels::Layer::new(site.isa, spec(&layer.geometry)).map_err(refused)?;
    Ok(Arc::new(Forward { isa: site.isa, layer, op }))
}

/// What the kernels call a geometry.
pub(super) fn spec(geometry: &Geometry) -> LayerSpec {
    match geometry.kind {
        Kind::Full => LayerSpec::Full(full(geometry)),
        Kind::Depthwise => LayerSpec::Depthwise(depthwise(geometry)),
    }
}

impl Before {
    /// Floats of scratch.
    pub(super) fn scratch_len(before: Option<Self>, geometry: &Geometry) -> usize {
        before.map_or(0, |_| Normalization::scratch_len(geometry.input[2]))
    }

    /// From the four inputs that begin at `first`.
    pub(super) fn of<'a>(
        self,
        inputs: &[&'a [u8]; MOST_OPERANDS],
        first: usize,
        factors: &'a mut [f32],
    ) -> Result<Normalization<'a>> {
        let [mean, variance, gamma, beta] =
            [0, 1, 2, 3].map(|i| inputs.get(first + i).map_or(Ok(&[][..]), |bytes| floats(bytes)));
        let vectors = [mean?, variance?, gamma?, beta?];
        Normalization::new((self.activation, self.epsilon), vectors, factors).map_err(refused)
    }
}

#[derive(Debug)]
struct Forward {
    isa: Isa,
    layer: Layer,
    op: kernels::Layer,
}

impl Kernel for Forward {
    fn name(&self) -> String {
        format!("{:?}_layer_f32__{}", self.layer.geometry.kind, self.isa).to_lowercase()
    }

    fn scratch_bytes(&self) -> usize {
        let geometry = &self.layer.geometry;
        let before = self.layer.before;
        let [doubles, floats] = self.op.scratch_len(geometry.images, before.is_some());
        scratch_bytes([doubles, floats.saturating_add(Before::scratch_len(before, geometry))])
    }

    fn multiply_adds(&self) -> u64 {
        self.layer.geometry.multiply_adds() * self.layer.geometry.images as u64
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let Layer { geometry, before, statistics } = self.layer;
        let images = geometry.images;
        let [doubles, _] = self.op.scratch_len(images, before.is_some());
        let (moments, floats_of) = split_scratch(call.scratch, doubles)?;
        let factors = Before::scratch_len(before, &geometry);
        let (factors, strips) = floats_of
            .split_at_mut_checked(factors)
            .ok_or_else(|| Error::input("scratch memory is too short"))?;
        let before = before.map(|before| before.of(&call.inputs, 2, factors)).transpose()?;
        let (input, filter) = (floats(call.inputs[0])?, floats(call.inputs[1])?);
        let from = kernels::LayerInput { input, before, filter };
        let [output, mean, variance, ..] = &mut call.outputs;
        let wanted = statistics.then(|| Ok([floats_mut(mean)?, floats_mut(variance)?]));
        let to =
            kernels::LayerOutput { output: floats_mut(output)?, statistics: wanted.transpose()? };
        self.op.run(call.pool, images, from, to, (moments, strips)).map_err(refused)?;
        if statistics {
            let [height, width, _] = geometry.output;
            keep(images * height * width, &mut call.outputs[1..5])?;
        }
        Ok(())
    }
}
