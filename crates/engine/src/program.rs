//! A lowered graph: steps over values of known shapes, before kernels are chosen.
//!
//! Fusion happens here and never in the graph, so that what is exported stays TensorFlow's.
//! [`crate::lower`] builds a program, [`crate::passes`] make it smaller, [`crate::plan`] gives
//! each step a kernel and each value a place.

use std::sync::Arc;

use mobilenet_formats::{DType, Tensor};
use mobilenet_kernels::Activation;

use crate::graph::NodeId;
use crate::lower::BatchNorm;
use crate::ops::{By, Geometry};
use crate::steps::Recipe;

/// A value of one program, by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ValueId(pub(crate) usize);

/// Where a value's bytes are.
#[derive(Clone, Debug)]
pub(crate) enum Storage {
    /// In the session's arena.
    Arena,
    /// Where another value's are: the same bytes under another shape.
    Alias(ValueId),
    /// In the plan.
    Constant(Arc<Tensor>),
    /// With the caller: input `i`.
    Input(usize),
    /// In the session, from run to run: variable `i`.
    State(usize),
}

/// A tensor that a program reads or writes.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    /// TensorFlow's name of it.
    pub(crate) name: String,
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<usize>,
    pub(crate) storage: Storage,
    /// Dimension 0 counts images, and each image's part depends on that image alone.
    pub(crate) per_image: bool,
}

/// `y = x * scale + offset`, each with one value per channel (last axis) or one for all.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Affine {
    pub(crate) scale: Vec<f64>,
    pub(crate) offset: Vec<f64>,
}

/// A convolution with constant weights and what was fused into it:
/// `activation(post(conv(pre(x))))`; zeros pad what `pre` yields. With `bytes`, the input is of
/// bytes, and `x` is each of them times this, rounded to single precision.
#[derive(Clone, Debug)]
pub(crate) struct Convolution {
    pub(crate) geometry: Geometry,
    pub(crate) weights: Arc<Tensor>,
    pub(crate) bytes: Option<f32>,
    pub(crate) pre: Option<Affine>,
    pub(crate) post: Affine,
    pub(crate) activation: Activation,
    /// The `FakeQuant…` node with one range that made the weights, if one did.
    pub(crate) rounded_by: Option<NodeId>,
}

/// The gradient of a convolution: by its input from filter and slope, or by its filter from input
/// and slope.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConvolutionGradient {
    pub(crate) geometry: Geometry,
    pub(crate) by: By,
}

/// A convolution of input 0 by the weights in input 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConvolutionAtRun {
    pub(crate) geometry: Geometry,
    /// The weights are a matrix `[outputs, inputs]`.
    pub(crate) transposed: bool,
}

/// A batch norm, and the activation behind it, that whoever reads it applies. Mean, variance,
/// scale and shift are four inputs behind those of the convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before {
    pub(crate) epsilon: f32,
    pub(crate) activation: Activation,
}

/// A convolution of input 0 by the weights in input 1, behind a batch norm if there is one.
/// Outputs are its own and, if wanted, those of batch norm for its statistics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layer {
    pub(crate) geometry: Geometry,
    pub(crate) before: Option<Before>,
    pub(crate) statistics: bool,
}

/// Inputs are those of batch norm's gradient, then the convolution's input, its filter where the
/// slope of that input is wanted, and those of what is applied to that input. Outputs are the
/// slopes of batch norm's scale and shift, unless they are known, of the filter, if wanted of the
/// input, and those of `before` where they are summed here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LayerGradient {
    pub(crate) norm: BatchNorm,
    pub(crate) activation: Activation,
    pub(crate) geometry: Geometry,
    pub(crate) wants_input: bool,
    pub(crate) before: Option<Before>,
    /// The slopes of batch norm's scale and shift are the last two inputs, no outputs.
    pub(crate) known: bool,
    /// Those of `before` are the last two outputs.
    pub(crate) sums_before: bool,
}

/// What a step does; the passes know all but the last, which speaks for itself.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Convolution(Box<Convolution>),
    /// A depthwise convolution and the pointwise one that follows.
    Separable(Box<[Convolution; 2]>),
    /// The mean of each channel over an image, and a pointwise convolution of it.
    Pooled(Box<Convolution>),
    Affine(Affine, Activation),
    /// Bytes as floats, each times this.
    Widen(f32),
    /// `[[top, bottom], [left, right]]` zeros around each image.
    Pad([[usize; 2]; 2]),
    /// Batch norm that is not folded, and the activation that follows.
    BatchNorm(BatchNorm, Activation),
    /// Its gradient, behind the gate of that activation: then shifts are the last input.
    BatchNormGradient(BatchNorm, Activation),
    /// The slope of an activation's input from that of its output and the output.
    Gate(Activation),
    /// A gradient of a convolution.
    ConvolutionGradient(ConvolutionGradient),
    /// Mean and variance of the batch alone, for a batch norm that is applied where it is read.
    BatchStatistics(BatchNorm),
    /// A convolution whose weights change.
    ConvolutionAtRun(ConvolutionAtRun),
    /// The same between two batch norms.
    Layer(Layer),
    /// Both gradients of a convolution behind that of the batch norm that follows it.
    LayerGradient(LayerGradient),
    Other(Arc<dyn Recipe>),
}

impl Default for Body {
    /// Nothing is done.
    fn default() -> Self {
        Self::Affine(Affine::identity(), Activation::None)
    }
}

/// One thing to do.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) body: Body,
    pub(crate) inputs: Vec<ValueId>,
    pub(crate) outputs: Vec<ValueId>,
    /// The nodes it computes, in order.
    pub(crate) sources: Vec<String>,
}

/// Steps in the order they run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program {
    pub(crate) values: Vec<Value>,
    pub(crate) steps: Vec<Step>,
    pub(crate) outputs: Vec<ValueId>,
    /// A folded constant depends on the number of images.
    pub(crate) bakes_batch: bool,
}

impl Affine {
    pub(crate) fn identity() -> Self {
        Self { scale: vec![1.0], offset: vec![0.0] }
    }

    pub(crate) fn scale(scale: Vec<f64>) -> Self {
        Self { scale, offset: vec![0.0] }
    }

    pub(crate) fn offset(offset: Vec<f64>) -> Self {
        Self { scale: vec![1.0], offset }
    }

    /// This one, then `next`.
    pub(crate) fn then(&self, next: &Affine) -> Self {
        Self {
            scale: zip(&self.scale, &next.scale, |a, b| a * b),
            offset: zip(&zip(&self.offset, &next.scale, |a, b| a * b), &next.offset, |a, b| a + b),
        }
    }

    /// One scale and one offset for each of `channels`.
    pub(crate) fn spread(&self, channels: usize) -> (Vec<f64>, Vec<f64>) {
        (spread(&self.scale, channels), spread(&self.offset, channels))
    }
}

fn spread(values: &[f64], channels: usize) -> Vec<f64> {
    match values {
        &[value] => vec![value; channels],
        _ => values.to_vec(),
    }
}

fn zip(a: &[f64], b: &[f64], f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    match (a, b) {
        (&[a], b) => b.iter().map(|&b| f(a, b)).collect(),
        (a, &[b]) => a.iter().map(|&a| f(a, b)).collect(),
        (a, b) => a.iter().zip(b).map(|(&a, &b)| f(a, b)).collect(),
    }
}

impl Body {
    /// Whether each image can be computed alone; see [`Recipe::separable`].
    pub(crate) fn separable(&self, inputs: &[&Value]) -> bool {
        match self {
            Self::Other(recipe) => recipe.separable(inputs),
            Self::BatchNorm(..)
            | Self::BatchNormGradient(..)
            | Self::Gate(_)
            | Self::BatchStatistics(_)
            | Self::ConvolutionAtRun(_)
            | Self::ConvolutionGradient(_)
            | Self::Layer(_)
            | Self::LayerGradient(_) => false,
            _ => inputs.iter().all(|value| value.per_image),
        }
    }
}

impl Program {
    /// Whether a variable that `value` is would be another one read at step `from` than at `to`,
    /// because a step on the way changes it.
    pub(crate) fn changes(&self, value: ValueId, from: usize, to: usize) -> bool {
        let Storage::State(state) = self.value(self.root(value)).storage else { return false };
        let writes =
            |id: &ValueId| matches!(self.value(*id).storage, Storage::State(i) if i == state);
        self.steps[from.min(to)..=from.max(to)].iter().flat_map(|step| &step.outputs).any(writes)
    }

    pub(crate) fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0]
    }

    /// Adds a value.
    pub(crate) fn add(&mut self, value: Value) -> ValueId {
        self.values.push(value);
        ValueId(self.values.len() - 1)
    }

    /// The value whose storage `id` shares.
    pub(crate) fn root(&self, mut id: ValueId) -> ValueId {
        while let Storage::Alias(of) = self.value(id).storage {
            id = of;
        }
        id
    }

    /// How often each value is used: by steps, through aliases, and as an output.
    pub(crate) fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.values.len()];
        let read = self.steps.iter().flat_map(|step| &step.inputs);
        for &id in read.chain(&self.outputs) {
            uses[id.0] += 1;
        }
        // An alias that is used counts as one use of what it aliases.
        for (i, value) in self.values.iter().enumerate().rev() {
            if let (Storage::Alias(of), true) = (&value.storage, uses[i] > 0) {
                uses[of.0] += 1;
            }
        }
        uses
    }

    /// For each value, the step that yields it.
    pub(crate) fn producers(&self) -> Vec<Option<usize>> {
        let mut producers = vec![None; self.values.len()];
        for (i, step) in self.steps.iter().enumerate() {
            for output in &step.outputs {
                producers[output.0] = Some(i);
            }
        }
        producers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn affines_compose_in_order() {
        let double = Affine::scale(vec![2.0]);
        let minus = Affine::offset(vec![-1.0, -3.0]);
        let both = double.then(&minus);
        assert_eq!(both.scale, [2.0]);
        assert_eq!(both.offset, [-1.0, -3.0]);
        assert_eq!(minus.then(&double).offset, [-2.0, -6.0]);
        assert_eq!(Affine::identity().then(&minus), minus);
    }
}
