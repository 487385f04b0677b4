//! Convolutions: what was folded goes into the weights in double precision, is rounded once,
//! and is packed for the kernel.

use std::borrow::Cow;
use std::sync::Arc;

use mobilenet_formats::Tensor;
use mobilenet_kernels as kernels;
use mobilenet_kernels::{Activation, Choice, Padding, Precision, Tunable, Window};

use super::{Call, Kernel, Site, floats, floats_mut, refused};
use crate::error::{Error, Result};
use crate::ops::{Geometry, Kind};
use crate::passes::separable::is_pointwise;
use crate::program::Convolution;
use crate::reference;

/// A convolution with packed weights.
#[derive(Clone)]
enum Packed {
    Full(kernels::Conv2d),
    /// Of bytes, each times this.
    OfBytes(kernels::Conv2d, f32),
    Pointwise(kernels::Pointwise),
    Depthwise(kernels::Depthwise),
    Separable(kernels::Separable),
    Pooled(kernels::Pooled),
}

struct Step {
    packed: Packed,
    tunable: Option<Tunable>,
    multiply_adds: u64,
    /// Elements of one input image.
    image: usize,
    scratch_bytes: usize,
}

/// The kernel of a convolution.
pub(crate) fn convolution(convolution: &mut Convolution, site: &Site) -> Result<Arc<dyn Kernel>> {
    scale_in_place(convolution);
    let convolution = &*convolution;
    let geometry = &convolution.geometry;
    let packed = match geometry.kind {
        Kind::Depthwise => Packed::Depthwise(depthwise(convolution, site)?),
        Kind::Full if is_pointwise(convolution) => {
            Packed::Pointwise(pointwise(convolution, site, site.rows())?)
        }
        Kind::Full => match (full(convolution, site)?, convolution.bytes) {
            (packed, None) => Packed::Full(packed),
            (packed, Some(factor)) => Packed::OfBytes(packed, factor),
        },
    };
    Ok(Arc::new(Step {
        scratch_bytes: packed.scratch_bytes(site.threads),
        tunable: packed.tunable(site, site.rows()),
        packed,
        multiply_adds: geometry.multiply_adds(),
        image: geometry.input.iter().product(),
    }))
}

/// The kernel of a depthwise convolution and the pointwise one that follows.
pub(crate) fn separable(pair: &mut [Convolution; 2], site: &Site) -> Result<Arc<dyn Kernel>> {
    pair.iter_mut().for_each(scale_in_place);
    let [depthwise, pointwise] = &*pair;
    let spec = kernels::SeparableSpec {
        depthwise: depthwise_spec(&depthwise.geometry, depthwise.activation),
        outputs: pointwise.geometry.output[2],
        activation: pointwise.activation,
    };
    let (first, second) = (folded(depthwise)?, folded(pointwise)?);
    let packed = fitting(site.choice(&Tunable::Separable(spec)), |choice| {
        kernels::Separable::with_precision(
            (site.isa, site.precision, choice),
            spec,
            (&first.0, Some(&first.1)),
            (&second.0, Some(&second.1)),
        )
    });
    let packed = Packed::Separable(packed?);
    Ok(Arc::new(Step {
        scratch_bytes: packed.scratch_bytes(site.threads),
        tunable: packed.tunable(site, site.rows()),
        packed,
        multiply_adds: depthwise.geometry.multiply_adds() + pointwise.geometry.multiply_adds(),
        image: depthwise.geometry.input.iter().product(),
    }))
}

/// The kernel of a mean over images and the pointwise convolution of it.
pub(crate) fn pooled(convolution: &mut Convolution, site: &Site) -> Result<Arc<dyn Kernel>> {
    scale_in_place(convolution);
    let [height, width, channels] = site.image()?;
    let images = site.rows() / (height * width).max(1);
    let product = pointwise(convolution, site, images)?;
    let packed = Packed::Pooled(kernels::Pooled::new(site.isa, height * width, product));
    Ok(Arc::new(Step {
        scratch_bytes: packed.scratch_bytes(site.threads),
        tunable: packed.tunable(site, images),
        packed,
        multiply_adds: convolution.geometry.multiply_adds(),
        image: height * width * channels,
    }))
}

impl Packed {
    /// What was packed, if it is one of those that are chosen among; a product has so many rows.
    fn tunable(&self, site: &Site, rows: usize) -> Option<Tunable> {
        let op = match self {
            Self::Full(packed) | Self::OfBytes(packed, _) => Tunable::Conv2d(packed.spec()),
            Self::Pointwise(packed) => Tunable::Pointwise(packed.spec(), rows),
            Self::Depthwise(packed) => Tunable::Depthwise(packed.spec()),
            Self::Separable(packed) => Tunable::Separable(packed.spec()),
            Self::Pooled(packed) => Tunable::Pointwise(packed.product().spec(), rows),
        };
        (site.precision == Precision::F32).then_some(op)
    }

    fn scratch_bytes(&self, threads: usize) -> usize {
        let floats = match self {
            Self::Full(packed) => packed.scratch_len(threads),
            Self::OfBytes(packed, _) => packed.bytes_scratch_len(threads),
            Self::Separable(packed) => packed.scratch_len(threads),
            Self::Pooled(packed) => packed.scratch_len(threads),
            Self::Pointwise(_) | Self::Depthwise(_) => 0,
        };
        floats.saturating_mul(4)
    }
}

/// What `pack` makes of a choice. Choices are kept from build to build: one that does not fit any
/// more is as good as none.
fn fitting<T>(choice: Choice, pack: impl Fn(Choice) -> kernels::Result<T>) -> Result<T> {
    let packed = match pack(choice) {
        Err(_) if choice != Choice::default() => pack(Choice::default()),
        packed => packed,
    };
    packed.map_err(refused)
}

fn full(convolution: &Convolution, site: &Site) -> Result<kernels::Conv2d> {
    let geometry = &convolution.geometry;
    let affine = convolution.pre.as_ref().map(|affine| kernels::Affine {
        scale: affine.scale.first().copied().unwrap_or(1.0) as f32,
        offset: affine.offset.first().copied().unwrap_or(0.0) as f32,
    });
    let spec = kernels::Conv2dSpec {
        input: geometry.input,
        outputs: geometry.output[2],
        window: window(geometry),
        affine,
        activation: convolution.activation,
    };
    let (weights, bias) = folded(convolution)?;
    fitting(site.choice(&Tunable::Conv2d(spec)), |choice| {
        kernels::Conv2d::with_choice(site.isa, spec, &weights, Some(&bias), choice)
    })
}

/// A product of so many rows.
fn pointwise(convolution: &Convolution, site: &Site, rows: usize) -> Result<kernels::Pointwise> {
    let spec = kernels::PointwiseSpec {
        inputs: convolution.geometry.input[2],
        outputs: convolution.geometry.output[2],
        activation: convolution.activation,
    };
    let (weights, bias) = folded(convolution)?;
    let bias = Some(bias.as_slice());
    fitting(site.choice(&Tunable::Pointwise(spec, rows)), |choice| {
        kernels::Pointwise::with_precision((site.isa, site.precision, choice), spec, &weights, bias)
    })
}

fn depthwise(convolution: &Convolution, site: &Site) -> Result<kernels::Depthwise> {
    if convolution.pre.is_some() {
        return Err(Error::unsupported("an affine before a depthwise convolution"));
    }
    let spec = depthwise_spec(&convolution.geometry, convolution.activation);
    let (weights, bias) = folded(convolution)?;
    kernels::Depthwise::new(site.isa, spec, &weights, Some(&bias)).map_err(refused)
}

fn depthwise_spec(geometry: &Geometry, activation: Activation) -> kernels::DepthwiseSpec {
    kernels::DepthwiseSpec {
        input: geometry.input,
        multiplier: geometry.output[2] / geometry.input[2].max(1),
        window: window(geometry),
        activation,
    }
}

pub(super) fn window(geometry: &Geometry) -> Window {
    let [[top, bottom], [left, right]] = geometry.pads;
    Window {
        kernel: geometry.kernel,
        stride: geometry.strides,
        dilation: geometry.dilations,
        padding: Padding { top, bottom, left, right },
    }
}

/// Weights with what follows folded in, and the bias that makes. The output channel is the
/// innermost index of every weight layout, so weight `i` belongs to channel `i % channels` (for
/// depthwise: `in * multiplier + m`).
pub(crate) fn folded(convolution: &Convolution) -> Result<(Cow<'_, [f32]>, Vec<f32>)> {
    let channels = convolution.geometry.output[2];
    let (scale, offset) = convolution.post.spread(channels);
    if scale.len() != channels || offset.len() != channels {
        return Err(Error::shape(format!("one value for each of {channels} channels wanted")));
    }
    let weights = if convolution.post.scale == [1.0] {
        reference::singles(&convolution.weights)?
    } else if let Some(weights) = convolution.weights.as_f32() {
        scaled(weights, &scale)
    } else {
        scaled(&reference::reals(&convolution.weights)?, &scale)
    };
    Ok((weights, offset.into_iter().map(|value| value as f32).collect()))
}

/// Scales weights that nobody else holds where they are: they need no second place in memory.
fn scale_in_place(convolution: &mut Convolution) {
    if convolution.post.scale == [1.0] {
        return;
    }
    let channels = convolution.geometry.output[2];
    let (scale, _) = convolution.post.spread(channels);
    let weights = Arc::get_mut(&mut convolution.weights).and_then(Tensor::as_f32_mut);
    let (Some(weights), true) = (weights, scale.len() == channels) else { return };
    for row in weights.chunks_mut(channels.max(1)) {
        row.iter_mut().zip(&scale).for_each(|(w, s)| *w = (f64::from(*w) * s) as f32);
    }
    convolution.post.scale = vec![1.0];
}

/// Weights times the scale of their channel, rounded once.
fn scaled<'a, T: Copy + Into<f64>>(weights: &[T], scale: &[f64]) -> Cow<'a, [f32]> {
    let mut scaled = Vec::with_capacity(weights.len());
    for row in weights.chunks(scale.len().max(1)) {
        scaled.extend(row.iter().zip(scale).map(|(&w, s)| (w.into() * s) as f32));
    }
    Cow::Owned(scaled)
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}

impl Kernel for Step {
    fn name(&self) -> String {
        match &self.packed {
            Packed::Full(packed) => format!("conv2d: {}", packed.kernel().name),
            Packed::OfBytes(packed, _) => format!("conv2d of bytes: {}", packed.kernel().name),
            Packed::Pointwise(packed) => packed.kernel().name.into(),
            Packed::Depthwise(packed) => packed.kernel().name.into(),
            Packed::Pooled(packed) => format!("global_mean + {}", packed.product().kernel().name),
            Packed::Separable(packed) => {
                let (depthwise, pointwise) = packed.parts();
                format!("separable: {} + {}", depthwise.kernel().name, pointwise.kernel().name)
            }
        }
    }

    fn scratch_bytes(&self) -> usize {
        self.scratch_bytes
    }

    fn multiply_adds(&self) -> u64 {
        self.multiply_adds
    }

    fn tunable(&self) -> Option<Tunable> {
        self.tunable
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let (pool, input, scratch) = (call.pool, call.inputs[0], floats_mut(call.scratch)?);
        let y = floats_mut(call.outputs[0])?;
        let images = |bytes: usize| input.len() / (self.image * bytes).max(1);
        match &self.packed {
            Packed::Full(packed) => packed.run(pool, images(4), floats(input)?, y, scratch),
            Packed::OfBytes(packed, factor) => {
                packed.run_bytes(pool, images(1), (input, *factor), y, scratch);
            }
            Packed::Pointwise(packed) => {
                let x = floats(input)?;
                packed.run(pool, x.len() / packed.spec().inputs.max(1), x, y);
            }
            Packed::Depthwise(packed) => packed.run(pool, images(4), floats(input)?, y),
            Packed::Separable(packed) => packed.run(pool, images(4), floats(input)?, y, scratch),
            Packed::Pooled(packed) => packed.run(pool, images(4), floats(input)?, y, scratch),
        }
        Ok(())
    }
}
