//! Steps of training: gradients, and convolutions whose weights change from run to run.
//!
//! Where weights change they are packed anew in every run, which allocates as much as the
//! weights are long; nothing of the size of activations is.

use std::sync::Arc;

use mobilenet_kernels as kernels;
use mobilenet_kernels::gradients as slopes;
use mobilenet_kernels::{Activation, Isa};

use super::convolution::window;
use super::walk::Walk;
use super::{Call, Kernel, MOST_OPERANDS, Recipe, Site, floats, floats_mut, refused};
use crate::error::Result;
use crate::ops::{By, Geometry, Kind};
use crate::program::{ConvolutionAtRun, ConvolutionGradient};

/// The kernel of a convolution whose weights change.
pub(crate) fn convolution_at_run(recipe: ConvolutionAtRun, site: &Site) -> Arc<dyn Kernel> {
    Arc::new(At { isa: site.isa, recipe })
}

/// The kernel of a convolution's gradient.
pub(crate) fn convolution(gradient: ConvolutionGradient, site: &Site) -> Result<Arc<dyn Kernel>> {
    let ConvolutionGradient { geometry, by } = gradient;
    Ok(match (by, geometry.kind) {
        (By::Input, _) => Arc::new(At { isa: site.isa, recipe: gradient }),
        (By::Filter, Kind::Full) => {
            let op = slopes::FilterGradient::new(site.isa, full(&geometry)).map_err(refused)?;
            Arc::new(FullFilter { op, geometry })
        }
        (By::Filter, Kind::Depthwise) => {
            let op = slopes::DepthwiseFilterGradient::new(site.isa, depthwise(&geometry));
            Arc::new(DepthwiseFilter { op: op.map_err(refused)?, geometry })
        }
    })
}

/// A recipe that needs only an instruction set to run.
#[derive(Debug)]
struct At<R> {
    isa: Isa,
    recipe: R,
}

pub(super) fn full(geometry: &Geometry) -> kernels::Conv2dSpec {
    kernels::Conv2dSpec {
        input: geometry.input,
        outputs: geometry.output[2],
        window: window(geometry),
        affine: None,
        activation: Activation::None,
    }
}

pub(super) fn depthwise(geometry: &Geometry) -> kernels::DepthwiseSpec {
    kernels::DepthwiseSpec {
        input: geometry.input,
        multiplier: geometry.output[2] / geometry.input[2].max(1),
        window: window(geometry),
        activation: Activation::None,
    }
}

impl Kernel for At<ConvolutionAtRun> {
    fn name(&self) -> String {
        format!("{:?}_convolution_at_run_f32__{}", self.recipe.geometry.kind, self.isa)
            .to_lowercase()
    }

    fn multiply_adds(&self) -> u64 {
        self.recipe.geometry.multiply_adds() * self.recipe.geometry.images as u64
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let (x, w) = (floats(call.inputs[0])?, floats(call.inputs[1])?);
        let y = floats_mut(call.outputs[0])?;
        let geometry = &self.recipe.geometry;
        if self.recipe.transposed {
            // The input gradient of the convolution that goes the other way.
            let [_, _, inputs] = geometry.input;
            let spec = kernels::Conv2dSpec {
                input: [1, 1, geometry.output[2]],
                outputs: inputs,
                ..full(geometry)
            };
            return slopes::conv2d_input_gradient(self.isa, call.pool, spec, w, x, y)
                .map_err(refused);
        }
        let images = geometry.images;
        match geometry.kind {
            Kind::Depthwise => {
                let op = kernels::Depthwise::new(self.isa, depthwise(geometry), w, None);
                op.map_err(refused)?.run(call.pool, images, x, y);
            }
            Kind::Full if window(geometry).is_pointwise() => {
                let spec = kernels::PointwiseSpec {
                    inputs: geometry.input[2],
                    outputs: geometry.output[2],
                    activation: Activation::None,
                };
                let op = kernels::Pointwise::new(self.isa, spec, w, None).map_err(refused)?;
                op.run(call.pool, images * geometry.input[0] * geometry.input[1], x, y);
            }
            Kind::Full => {
                let op =
                    kernels::Conv2d::new(self.isa, full(geometry), w, None).map_err(refused)?;
                let mut scratch = vec![0.0; op.scratch_len(call.pool.threads())];
                op.run(call.pool, images, x, y, &mut scratch);
            }
        }
        Ok(())
    }
}

impl Kernel for At<ConvolutionGradient> {
    fn name(&self) -> String {
        format!("{:?}_backprop_input_f32__{}", self.recipe.geometry.kind, self.isa).to_lowercase()
    }

    fn multiply_adds(&self) -> u64 {
        self.recipe.geometry.multiply_adds() * self.recipe.geometry.images as u64
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let (w, dy) = (floats(call.inputs[0])?, floats(call.inputs[1])?);
        let dx = floats_mut(call.outputs[0])?;
        let geometry = &self.recipe.geometry;
        match geometry.kind {
            Kind::Full => {
                slopes::conv2d_input_gradient(self.isa, call.pool, full(geometry), w, dy, dx)
            }
            Kind::Depthwise => slopes::depthwise_input_gradient(
                self.isa,
                call.pool,
                depthwise(geometry),
                w,
                dy,
                dx,
            ),
        }
        .map_err(refused)
    }
}

/// The two filter gradients run alike.
macro_rules! filter_kernel {
    ($name:ident, $op:ty, $label:literal) => {
        #[derive(Debug)]
        struct $name {
            op: $op,
            geometry: Geometry,
        }

        impl Kernel for $name {
            fn name(&self) -> String {
                $label.into()
            }

            fn scratch_bytes(&self) -> usize {
                self.op.scratch_len(self.geometry.images).saturating_mul(4)
            }

            fn multiply_adds(&self) -> u64 {
                self.geometry.multiply_adds() * self.geometry.images as u64
            }

            fn run(&self, call: &mut Call<'_>) -> Result<()> {
                let (x, dy) = (floats(call.inputs[0])?, floats(call.inputs[1])?);
                let (dw, scratch) = (floats_mut(call.outputs[0])?, floats_mut(call.scratch)?);
                self.op.run(call.pool, self.geometry.images, x, dy, dw, scratch);
                Ok(())
            }
        }
    };
}

filter_kernel!(FullFilter, slopes::FilterGradient, "full_backprop_filter_f32");
filter_kernel!(DepthwiseFilter, slopes::DepthwiseFilterGradient, "depthwise_backprop_filter_f32");

/// The kernel of an activation's gradient.
pub(crate) fn gate(activation: Activation, site: &Site) -> Arc<dyn Kernel> {
    Arc::new(At { isa: site.isa, recipe: Gate { activation } })
}

/// Where an activation let values through.
#[derive(Clone, Copy, Debug)]
struct Gate {
    activation: Activation,
}

impl Kernel for At<Gate> {
    fn name(&self) -> String {
        format!("{:?}_grad_f32__{}", self.recipe.activation, self.isa).to_lowercase()
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let (dy, features) = (floats(call.inputs[0])?, floats(call.inputs[1])?);
        let dx = floats_mut(call.outputs[0])?;
        slopes::activation_gradient(self.isa, call.pool, self.recipe.activation, features, dy, dx);
        Ok(())
    }
}

/// Loss of each row and its slope by the logits.
#[derive(Debug)]
pub(crate) struct CrossEntropy;

impl Recipe for CrossEntropy {
    fn prepare(&self, site: &Site) -> Result<Arc<dyn Kernel>> {
        Ok(Arc::new(RowLosses { classes: site.channels(0) }))
    }
}

#[derive(Debug)]
struct RowLosses {
    classes: usize,
}

impl Kernel for RowLosses {
    fn name(&self) -> String {
        "softmax_cross_entropy_f32".into()
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let (x, labels) = (floats(call.inputs[0])?, floats(call.inputs[1])?);
        let [losses, slopes, ..] = &mut call.outputs;
        let (losses, slopes) = (floats_mut(losses)?, floats_mut(slopes)?);
        let classes = self.classes.max(1);
        let rows = x.chunks_exact(classes).zip(labels.chunks_exact(classes));
        for ((x, labels), (loss, slopes)) in
            rows.zip(losses.iter_mut().zip(slopes.chunks_exact_mut(classes)))
        {
            *loss = row_loss(x, labels, slopes);
        }
        Ok(())
    }
}

/// Shifted by the largest logit; sums in double precision.
fn row_loss(x: &[f32], labels: &[f32], slopes: &mut [f32]) -> f32 {
    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for (slope, x) in slopes.iter_mut().zip(x) {
        *slope = (x - max).exp();
        sum += f64::from(*slope);
    }
    let log_sum = sum.ln();
    let scale = (1.0 / sum) as f32;
    let mut loss = 0.0;
    for ((slope, x), label) in slopes.iter_mut().zip(x).zip(labels) {
        *slope = *slope * scale - label;
        loss += f64::from(*label) * (log_sum - f64::from(x - max));
    }
    loss as f32
}

/// The sum of tensors of one shape.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AddN {
    pub(crate) count: usize,
}

impl Recipe for AddN {
    fn prepare(&self, _site: &Site) -> Result<Arc<dyn Kernel>> {
        Ok(Arc::new(*self))
    }
}

impl Kernel for AddN {
    fn name(&self) -> String {
        "add_n_f32".into()
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let sum = floats_mut(call.outputs[0])?;
        sum.copy_from_slice(floats(call.inputs[0])?);
        for input in &call.inputs[1..self.count.min(MOST_OPERANDS)] {
            sum.iter_mut().zip(floats(input)?).for_each(|(sum, value)| *sum += value);
        }
        Ok(())
    }
}

/// Input 0 stretched to a shape.
#[derive(Clone, Debug)]
pub(crate) struct Broadcast {
    pub(crate) shape: Vec<usize>,
}

impl Recipe for Broadcast {
    fn prepare(&self, site: &Site) -> Result<Arc<dyn Kernel>> {
        Ok(Arc::new(Stretch { walk: Walk::new([site.input(0), &self.shape])? }))
    }
}

#[derive(Debug)]
struct Stretch {
    walk: Walk<2>,
}

impl Kernel for Stretch {
    fn name(&self) -> String {
        "broadcast_f32".into()
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let x = floats(call.inputs[0])?;
        self.walk.each(floats_mut(call.outputs[0])?, |y, [at, _]| *y = x[at]);
        Ok(())
    }
}
