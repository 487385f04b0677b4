//! The ops of TensorFlow this engine understands: one file per op, one line each in [`OPS`].
//!
//! A file holds the op's attributes, its shape inference, its reference evaluation and how it
//! is lowered. Kernels are elsewhere. An op that is not in the table is opaque: it loads, it is
//! exported unchanged, and compiling what needs it is an error that names it.

mod add_n;
mod assign;
mod bias_add;
mod bias_add_grad;
mod binary;
mod broadcast_to;
mod cast;
mod constant;
mod conv2d;
mod convolution;
mod convolution_backprop;
mod cross_entropy;
mod fake_quant;
mod fill;
mod fused_batch_norm;
mod fused_batch_norm_grad;
mod identity;
mod l2_loss;
mod mat_mul;
mod no_op;
mod opaque;
mod pack;
mod pad;
mod placeholder;
mod pool;
mod random;
mod reduce;
mod relu_grad;
mod reshape;
mod select;
mod shape;
mod softmax;
mod strided_slice;
mod unary;
mod uniform;
mod variable;

pub(crate) use assign::Update;
pub(crate) use binary::Arithmetic;
pub(crate) use convolution::{Attrs as ConvolutionAttributes, Geometry, Kind};
pub(crate) use fake_quant::{Levels, Nudged, Range};
pub(crate) use pad::paddings;
pub(crate) use pool::{Pooling, window as pool_window};
pub(crate) use random::Distribution;
pub(crate) use reduce::{Reduction, reduced_axes};
pub(crate) use unary::Function;
pub(crate) use uniform::Coding;

pub(crate) use convolution_backprop::By;

use std::fmt::Debug;
use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::{DType, Tensor};

use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::Fact;
use crate::lower::Lowering;

/// What running an op does besides yielding its outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing: with constant inputs it can be folded.
    Pure,
    /// It takes a value from outside the graph: a placeholder.
    Feed,
    /// It holds a variable.
    Variable,
    /// It reads the variable behind its first input.
    Read,
    /// It changes the variable behind its first input.
    Write,
    /// It yields other values at each run.
    Random,
}

/// One kind of operation, with its attributes.
pub(crate) trait Op: Debug + Send + Sync {
    /// How many data inputs it takes.
    fn arity(&self) -> RangeInclusive<usize>;

    /// What is known of the outputs, given what is known of the inputs.
    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>>;

    /// The outputs, computed plainly in double precision and rounded once.
    fn evaluate(&self, _inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        Err(Error::unsupported("no reference evaluation of this op"))
    }

    /// Adds the steps that compute it to a program.
    fn lower(&self, _lowering: &mut Lowering<'_>) -> Result<()> {
        Err(Error::unsupported("this op cannot be run"))
    }

    /// Whether constants are computed while compiling: not where that may take long.
    fn folds(&self) -> bool {
        true
    }

    /// Whether output 0 is input 0, unchanged.
    fn passes_input(&self) -> bool {
        false
    }

    /// What it does besides yielding its outputs.
    fn effect(&self) -> Effect {
        Effect::Pure
    }
}

type Import = fn(&Attributes) -> Result<Arc<dyn Op>>;

/// TensorFlow's name of each op, and what reads its attributes.
const OPS: &[(&str, Import)] = &[
    ("Add", binary::Binary::add),
    ("AddN", add_n::AddN::import),
    ("AddV2", binary::Binary::add),
    ("Assign", assign::Assign::set),
    ("AssignAdd", assign::Assign::add),
    ("AssignAddVariableOp", assign::Assign::add),
    ("AssignSub", assign::Assign::subtract),
    ("AssignSubVariableOp", assign::Assign::subtract),
    ("AssignVariableOp", assign::Assign::set),
    ("AvgPool", pool::Pool::average),
    ("AvgPoolGrad", pool::AvgPoolGrad::import),
    ("BiasAdd", bias_add::BiasAdd::import),
    ("BiasAddGrad", bias_add_grad::BiasAddGrad::import),
    ("BroadcastTo", broadcast_to::BroadcastTo::import),
    ("Cast", cast::Cast::import),
    ("Const", constant::Const::import),
    ("Conv2D", conv2d::conv2d),
    ("Conv2DBackpropFilter", convolution_backprop::conv2d_filter),
    ("Conv2DBackpropInput", convolution_backprop::conv2d_input),
    ("DepthwiseConv2dNative", conv2d::depthwise),
    ("DepthwiseConv2dNativeBackpropFilter", convolution_backprop::depthwise_filter),
    ("DepthwiseConv2dNativeBackpropInput", convolution_backprop::depthwise_input),
    ("Exp", unary::Unary::exp),
    ("ExpandDims", reshape::Reshape::expand_dims),
    ("FakeQuantWithMinMaxArgs", fake_quant::FakeQuant::args),
    ("FakeQuantWithMinMaxArgsGradient", fake_quant::FakeQuant::args_gradient),
    ("FakeQuantWithMinMaxVars", fake_quant::FakeQuant::vars),
    ("FakeQuantWithMinMaxVarsGradient", fake_quant::FakeQuant::vars_gradient),
    ("FakeQuantWithMinMaxVarsPerChannel", fake_quant::FakeQuant::per_channel),
    ("FakeQuantWithMinMaxVarsPerChannelGradient", fake_quant::FakeQuant::per_channel_gradient),
    ("Fill", fill::Fill::import),
    ("Floor", unary::Unary::floor),
    ("FusedBatchNorm", fused_batch_norm::FusedBatchNorm::import),
    ("FusedBatchNormGrad", fused_batch_norm_grad::FusedBatchNormGrad::import),
    ("FusedBatchNormGradV2", fused_batch_norm_grad::FusedBatchNormGrad::import),
    ("FusedBatchNormGradV3", fused_batch_norm_grad::FusedBatchNormGrad::import),
    ("FusedBatchNormV2", fused_batch_norm::FusedBatchNorm::import),
    ("FusedBatchNormV3", fused_batch_norm::FusedBatchNorm::import_v3),
    ("Greater", binary::Binary::greater),
    ("GreaterEqual", binary::Binary::greater_equal),
    ("Identity", identity::Identity::import),
    ("L2Loss", l2_loss::L2Loss::import),
    ("Log", unary::Unary::log),
    ("MatMul", mat_mul::MatMul::import),
    ("Max", reduce::Reduce::max),
    ("MaxPool", pool::Pool::max),
    ("Maximum", binary::Binary::maximum),
    ("Mean", reduce::Reduce::mean),
    ("Minimum", binary::Binary::minimum),
    ("Mul", binary::Binary::multiply),
    ("Neg", unary::Unary::negate),
    ("NoOp", no_op::NoOp::import),
    ("Pack", pack::Pack::import),
    ("Pad", pad::Pad::import),
    ("Placeholder", placeholder::Placeholder::import),
    ("PlaceholderWithDefault", placeholder::Placeholder::with_default),
    ("PreventGradient", identity::Identity::import),
    ("Prod", reduce::Reduce::product),
    ("RandomUniform", random::Random::uniform),
    ("ReadVariableOp", variable::Read::import),
    ("RealDiv", binary::Binary::divide),
    ("Relu", unary::Unary::relu),
    ("Relu6", unary::Unary::relu6),
    ("Relu6Grad", relu_grad::ReluGrad::relu6),
    ("ReluGrad", relu_grad::ReluGrad::relu),
    ("Reshape", reshape::Reshape::import),
    ("Rsqrt", unary::Unary::rsqrt),
    ("SelectV2", select::Select::import),
    ("Shape", shape::ShapeOf::import),
    ("Sigmoid", unary::Unary::sigmoid),
    ("Snapshot", identity::Identity::import),
    ("Softmax", softmax::Softmax::import),
    ("SoftmaxCrossEntropyWithLogits", cross_entropy::CrossEntropy::import),
    ("Sqrt", unary::Unary::sqrt),
    ("Square", unary::Unary::square),
    ("SquaredDifference", binary::Binary::squared_difference),
    ("Squeeze", reshape::Reshape::squeeze),
    ("StopGradient", identity::Identity::import),
    ("StridedSlice", strided_slice::StridedSlice::import),
    ("Sub", binary::Binary::subtract),
    ("Sum", reduce::Reduce::sum),
    ("TruncatedNormal", random::Random::truncated_normal),
    ("UniformDequantize", uniform::Dequantize::import),
    ("UniformQuantize", uniform::Quantize::import),
    ("VarHandleOp", variable::Variable::handle),
    ("VarIsInitializedOp", variable::IsInitialized::import),
    ("Variable", variable::Variable::reference),
    ("VariableV2", variable::Variable::reference),
];

/// The op `name` with these attributes; opaque, with `ports` outputs, if the table lacks it.
pub(crate) fn import(name: &str, attributes: &Attributes, ports: usize) -> Result<Arc<dyn Op>> {
    match OPS.binary_search_by_key(&name, |(name, _)| name) {
        Ok(found) => OPS[found].1(attributes),
        Err(_) => Ok(opaque::Opaque::with_ports(ports)),
    }
}

/// Fails unless `fact` is, or may be, of `dtype`.
fn expect_dtype(fact: &Fact, dtype: DType) -> Result<()> {
    match fact.dtype {
        Some(own) if own != dtype => Err(Error::dtype(format!("{dtype} wanted, got {own}"))),
        _ => Ok(()),
    }
}

/// The dtype both have; fails where they differ.
fn expect_same_dtype(a: &Fact, b: &Fact) -> Result<Option<DType>> {
    match (a.dtype, b.dtype) {
        (Some(x), Some(y)) if x != y => Err(Error::dtype(format!("{x} and {y} do not mix"))),
        (x, y) => Ok(x.or(y)),
    }
}

/// An axis that may count from the end, as an index below `rank`.
pub(crate) fn axis(axis: i64, rank: usize) -> Result<usize> {
    let signed = i64::try_from(rank).unwrap_or(i64::MAX);
    let index = if axis < 0 { axis.checked_add(signed) } else { Some(axis) };
    index
        .and_then(|index| usize::try_from(index).ok())
        .filter(|&index| index < rank)
        .ok_or_else(|| Error::shape(format!("axis {axis} of a tensor of rank {rank}")))
}

/// Fails unless channels come last.
fn only_nhwc(data_format: &str) -> Result<()> {
    if data_format == "NHWC" {
        return Ok(());
    }
    let shown = crate::error::shorten(data_format);
    Err(Error::unsupported(format!("data_format '{shown}': only NHWC runs on this engine")))
}

/// TensorFlow's names of the ops this engine runs, sorted.
///
/// ```
/// assert!(mobilenet_engine::known_ops().any(|op| op == "FusedBatchNormV3"));
/// ```
pub fn known_ops() -> impl Iterator<Item = &'static str> {
    OPS.iter().map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(OPS.is_sorted_by(|a, b| a.0 < b.0));
    }
}
