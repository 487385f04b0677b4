//! How each op hands slopes back: one line in [`RULES`], one function.
//!
//! A rule gets the slopes of the node's outputs (`None` where the loss does not depend on one)
//! and returns those of its inputs. The forms are TensorFlow's (`python/ops/*_grad.py`).

use mobilenet_formats::DType;

use super::scope::Scope;
use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::graph::TensorId;

type Slopes = Vec<Option<TensorId>>;
type Rule = fn(&mut Scope<'_>, &[Option<TensorId>]) -> Result<Slopes>;

/// Sorted by name.
const RULES: &[(&str, Rule)] = &[
    ("Add", add),
    ("AddN", add_n),
    ("AddV2", add),
    ("AvgPool", avg_pool),
    ("BiasAdd", bias_add),
    ("Conv2D", conv2d),
    ("DepthwiseConv2dNative", depthwise),
    ("Exp", exp),
    ("ExpandDims", reshape),
    ("FakeQuantWithMinMaxArgs", fake_quant),
    ("FakeQuantWithMinMaxVars", fake_quant),
    ("FakeQuantWithMinMaxVarsPerChannel", fake_quant),
    ("Floor", stop),
    ("FusedBatchNorm", batch_norm),
    ("FusedBatchNormV2", batch_norm),
    ("FusedBatchNormV3", batch_norm),
    ("Identity", pass),
    ("L2Loss", l2_loss),
    ("Log", log),
    ("MatMul", mat_mul),
    ("Mean", mean),
    ("Mul", multiply),
    ("Neg", negate),
    ("ReadVariableOp", pass),
    ("RealDiv", divide),
    ("Relu", relu),
    ("Relu6", relu6),
    ("Reshape", reshape),
    ("Rsqrt", rsqrt),
    ("SelectV2", select),
    ("Sigmoid", sigmoid),
    ("Snapshot", pass),
    ("Softmax", softmax),
    ("SoftmaxCrossEntropyWithLogits", cross_entropy),
    ("Sqrt", sqrt),
    ("Square", square),
    ("SquaredDifference", squared_difference),
    ("Squeeze", reshape),
    ("StopGradient", stop),
    ("Sub", subtract),
    ("Sum", sum),
];

/// The rule of an op.
pub(super) fn find(op: &str) -> Result<Rule> {
    match RULES.binary_search_by_key(&op, |(name, _)| name) {
        Ok(found) => Ok(RULES[found].1),
        Err(_) => Err(Error::unsupported("this op has no gradient")),
    }
}

/// The ops with a rule, sorted.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|(name, _)| *name)
}

/// The slope of output 0.
fn first(slopes: &[Option<TensorId>]) -> Result<TensorId> {
    slopes
        .first()
        .copied()
        .flatten()
        .ok_or_else(|| Error::unsupported("the gradient by another output than the first"))
}

fn pass(_: &mut Scope<'_>, dy: &[Option<TensorId>]) -> Result<Slopes> {
    Ok(vec![Some(first(dy)?)])
}

/// Nothing passes: as the op says, or because the slope is 0 wherever there is one.
fn stop(_: &mut Scope<'_>, _: &[Option<TensorId>]) -> Result<Slopes> {
    Ok(vec![None])
}

fn add_n(scope: &mut Scope<'_>, dy: &[Option<TensorId>]) -> Result<Slopes> {
    Ok(vec![Some(first(dy)?); scope.node().inputs.len()])
}

fn reshape(scope: &mut Scope<'_>, dy: &[Option<TensorId>]) -> Result<Slopes> {
    let x = scope.input(0)?;
    Ok(vec![Some(scope.reshape_like(first(dy)?, x)?), None])
}

/// Hands `slope(scope, operand)` to each operand of a broadcast op that wants it.
fn both(
    scope: &mut Scope<'_>,
    slope: impl Fn(&mut Scope<'_>, usize) -> Result<TensorId>,
) -> Result<Slopes> {
    let mut slopes = vec![None, None];
    for (index, found) in slopes.iter_mut().enumerate() {
        if scope.wants(index) {
            let full = slope(scope, index)?;
            let operand = scope.input(index)?;
            *found = Some(scope.unbroadcast(full, operand)?);
        }
    }
    Ok(slopes)
}

fn add(scope: &mut Scope<'_>, dy: &[Option<TensorId>]) -> Result<Slopes> {
    let dy = first(dy)?;
    both(scope, |_, _| Ok(dy))
}

fn subtract(scope: &mut Scope<'_>, dy: &[Option<TensorId>]) -> Result<Slopes> {
    let dy = first(dy)?;
    both(scope, |scope, index| if index == 0 { Ok(dy) } else { scope.add("Neg", &[dy]) })
}

fn multiply(scope: &mut Scope<'_>, dy: &[Option<TensorId>]) -> Result<Slopes> {
    let dy = first(dy)?;
    both(scope, |scope, index| {
        let other = scope.input(1 - index)?;
        scope.add("Mul", &[dy, other])
    })
}

fn divide(scope: &mut Scope<'_>, dy: &[Option<TensorId>]) -> Result<Slopes> {
    let dy = first(dy)?;
    both(scope, |scope, index| {
        let (y, b) = (scope.output(0), scope.input(1)?);
        let slope = scope.add("RealDiv", &[dy, b])?;
        if index == 0 {
            return Ok(slope);
        }
        let slope = scope.add("Mul", &[slope, y])?;
        scope.add("Neg", &[slope])
    })
}

fn squared_difference(scope: &mut Scope<'_>, dy: &[Option<TensorId>]) -> Result<Slopes> {
    let dy = first(dy)?;
    both(scope, |scope, index| {
        let (a, b) = (scope.input(0)?, scope.input(1)?);
        let gap = scope.add("Sub", &[a, b])?;
        let factor = scope.scalar(if index == 0 { 2.0 } else { -2.0 })?;
        let slope = scope.add("Mul", &[gap, factor])?;
        scope.add("Mul", &[dy, slope])
    })
}

fn negate(scope: &mut Scope<'_>, dy: &[Option<TensorId>]) -> Result<Slopes> {
    Ok(vec![Some(scope.add("Neg", &[first(dy)?])?)])
}

fn exp(scope: &mut Scope<'_>, dy: &[Option<TensorId>]) -> Result<Slopes> {
    let y = scope.output(0);
    Ok(vec![Some(scope.add("Mul", &[first(dy)?, y])?)])
}

fn log(scope: &mut Scope<'_>, dy: &[Option<TensorId>]) -> Result<Slopes> {
    let x = scope.input(0)?;
    Ok(vec![Some(scope.add("RealDiv", &[first(dy)?, x])?)])
}

fn square(scope: &mut Scope<'_>, dy: &[Option<TensorId>]) -> Result<Slopes> {
    let (x, two) = (scope.input(0)?, scope.scalar(2.0)?);
    let slope = scope.add("Mul", &[x, two])?;
    Ok(vec![Some(scope.add("Mul", &[first(dy)?, slope])?)])
}

/// `dy / (2 y)`.
fn sqrt(scope: &mut Scope<'_>, dy: &[Option<TensorId>]) -> Result<Slopes> {
    let (y, half) = (scope.output(0), scope.scalar(0.5)?);
    let slope = scope.add("Mul", &[first(dy)?, half])?;
    Ok(vec![Some(scope.add("RealDiv", &[slope, y])?)])
}

/// `-dy / 2 * y^3`.
fn rsqrt(scope: &mut Scope<'_>, dy: &[Option<TensorId>]) -> Result<Slopes> {
    let (y, half) = (scope.output(0), scope.scalar(-0.5)?);
    let square = scope.add("Square", &[y])?;
    let cube = scope.add("Mul", &[square, y])?;
    let slope = scope.add("Mul", &[first(dy)?, half])?;
    Ok(vec![Some(scope.add("Mul", &[slope, cube])?)])
}

/// `dy * y * (1 - y)`.
fn sigmoid(scope: &mut Scope<'_>, dy: &[Option<TensorId>]) -> Result<Slopes> {
    let (y, one) = (scope.output(0), scope.scalar(1.0)?);
    let rest = scope.add("Sub", &[one, y])?;
    let slope = scope.add("Mul", &[y, rest])?;
    Ok(vec![Some(scope.add("Mul", &[first(dy)?, slope])?)])
}

fn relu(scope: &mut Scope<'_>, dy: &[Option<TensorId>]) -> Result<Slopes> {
    let y = scope.output(0);
    Ok(vec![Some(scope.add("ReluGrad", &[first(dy)?, y])?)])
}

fn relu6(scope: &mut Scope<'_>, dy: &[Option<TensorId>]) -> Result<Slopes> {
    let y = scope.output(0);
    Ok(vec![Some(scope.add("Relu6Grad", &[first(dy)?, y])?)])
}

/// The slope of values, and of the ends that are inputs.
fn fake_quant(scope: &mut Scope<'_>, dy: &[Option<TensorId>]) -> Result<Slopes> {
    let (op, count) = (format!("{}Gradient", scope.node().op_name), scope.node().inputs.len());
    let attributes = scope.node().attributes.only(&["min", "max", "num_bits", "narrow_range"]);
    let mut inputs = vec![first(dy)?];
    for index in 0..count {
        inputs.push(scope.input(index)?);
    }
    let dx = scope.add_with(&op, attributes, &inputs)?;
    Ok((0..count).map(|port| Some(TensorId { node: dx.node, port })).collect())
}

fn l2_loss(scope: &mut Scope<'_>, dy: &[Option<TensorId>]) -> Result<Slopes> {
    let x = scope.input(0)?;
    Ok(vec![Some(scope.add("Mul", &[x, first(dy)?])?)])
}

/// `(dy - sum(dy * y)) * y` over the last axis.
fn softmax(scope: &mut Scope<'_>, dy: &[Option<TensorId>]) -> Result<Slopes> {
    let (dy, y) = (first(dy)?, scope.output(0));
    let Some(rank) = scope.fact(y).shape.rank() else {
        return Err(Error::unsupported("the gradient of a softmax of unknown rank"));
    };
    let product = scope.add("Mul", &[dy, y])?;
    let sum = scope.sum(product, &[rank.saturating_sub(1)], true)?;
    let centred = scope.add("Sub", &[dy, sum])?;
    Ok(vec![Some(scope.add("Mul", &[centred, y])?)])
}

/// Labels are given, not learnt.
fn cross_entropy(scope: &mut Scope<'_>, dy: &[Option<TensorId>]) -> Result<Slopes> {
    let axis = scope.ints(&[1])?;
    let attributes = Attributes::new().with_dtype("T", DType::F32).with_dtype("Tdim", DType::I32);
    let column = scope.add_with("ExpandDims", attributes, &[first(dy)?, axis])?;
    let slope = scope.output(1);
    Ok(vec![Some(scope.add("Mul", &[column, slope])?), None])
}

fn select(scope: &mut Scope<'_>, dy: &[Option<TensorId>]) -> Result<Slopes> {
    let (dy, condition, zero) = (first(dy)?, scope.input(0)?, scope.scalar(0.0)?);
    let mut slopes = vec![None];
    for (index, operands) in [(1, [condition, dy, zero]), (2, [condition, zero, dy])] {
        slopes.push(if scope.wants(index) {
            let full = scope.add("SelectV2", &operands)?;
            let operand = scope.input(index)?;
            Some(scope.unbroadcast(full, operand)?)
        } else {
            None
        });
    }
    Ok(slopes)
}

fn bias_add(scope: &mut Scope<'_>, dy: &[Option<TensorId>]) -> Result<Slopes> {
    let dy = first(dy)?;
    let attributes = scope.node().attributes.only(&["T", "data_format"]);
    let bias =
        if scope.wants(1) { Some(scope.add_with("BiasAddGrad", attributes, &[dy])?) } else { None };
    Ok(vec![Some(dy), bias])
}

const WINDOW: &[&str] =
    &["T", "strides", "padding", "explicit_paddings", "data_format", "dilations"];

fn conv2d(scope: &mut Scope<'_>, dy: &[Option<TensorId>]) -> Result<Slopes> {
    convolution(scope, first(dy)?, "Conv2DBackpropInput", "Conv2DBackpropFilter")
}

fn depthwise(scope: &mut Scope<'_>, dy: &[Option<TensorId>]) -> Result<Slopes> {
    let (input, filter) =
        ("DepthwiseConv2dNativeBackpropInput", "DepthwiseConv2dNativeBackpropFilter");
    convolution(scope, first(dy)?, input, filter)
}

fn convolution(
    scope: &mut Scope<'_>,
    dy: TensorId,
    by_input: &str,
    by_filter: &str,
) -> Result<Slopes> {
    let (x, w) = (scope.input(0)?, scope.input(1)?);
    let attributes = scope.node().attributes.only(WINDOW);
    let mut slopes = vec![None, None];
    if scope.wants(0) {
        let sizes = scope.shape_of(x)?;
        slopes[0] = Some(scope.add_with(by_input, attributes.clone(), &[sizes, w, dy])?);
    }
    if scope.wants(1) {
        let sizes = scope.shape_of(w)?;
        slopes[1] = Some(scope.add_with(by_filter, attributes, &[x, sizes, dy])?);
    }
    Ok(slopes)
}

fn avg_pool(scope: &mut Scope<'_>, dy: &[Option<TensorId>]) -> Result<Slopes> {
    let x = scope.input(0)?;
    let sizes = scope.shape_of(x)?;
    let attributes =
        scope.node().attributes.only(&["T", "ksize", "strides", "padding", "data_format"]);
    Ok(vec![Some(scope.add_with("AvgPoolGrad", attributes, &[sizes, first(dy)?])?)])
}

fn batch_norm(scope: &mut Scope<'_>, dy: &[Option<TensorId>]) -> Result<Slopes> {
    let v1 = scope.node().op_name == "FusedBatchNorm";
    let v3 = scope.node().op_name == "FusedBatchNormV3";
    let training = scope.node().attributes.bool("is_training", true)?;
    let mut attributes =
        scope.node().attributes.only(&["T", "epsilon", "data_format", "is_training"]);
    if !v1 {
        attributes = attributes.with_dtype("U", DType::F32);
    }
    let op = ["FusedBatchNormGradV3", "FusedBatchNormGradV2", "FusedBatchNormGrad"]
        [usize::from(!v3) + usize::from(v1)];
    // What the forward pass keeps for this: statistics of the batch, or those that were given.
    let statistics = match training {
        true => [scope.output(3), scope.output(4)],
        false => [scope.input(3)?, scope.input(4)?],
    };
    let mut inputs =
        vec![first(dy)?, scope.input(0)?, scope.input(1)?, statistics[0], statistics[1]];
    if v3 {
        inputs.push(scope.output(5));
    }
    let dx = scope.add_with(op, attributes, &inputs)?;
    let port = |port| Some(TensorId { node: dx.node, port });
    Ok(vec![port(0), port(1), port(2), None, None])
}

fn mat_mul(scope: &mut Scope<'_>, dy: &[Option<TensorId>]) -> Result<Slopes> {
    let (dy, a, b) = (first(dy)?, scope.input(0)?, scope.input(1)?);
    let attributes = &scope.node().attributes;
    if attributes.bool("transpose_a", false)? || attributes.bool("transpose_b", false)? {
        return Err(Error::unsupported("the gradient of a product of transposed matrices"));
    }
    let transposed =
        |name: &str| Attributes::new().with_dtype("T", DType::F32).with_bool(name, true);
    let mut slopes = vec![None, None];
    if scope.wants(0) {
        slopes[0] = Some(scope.add_with("MatMul", transposed("transpose_b"), &[dy, b])?);
    }
    if scope.wants(1) {
        slopes[1] = Some(scope.add_with("MatMul", transposed("transpose_a"), &[a, dy])?);
    }
    Ok(slopes)
}

/// `dy` with the reduced axes back, as large as the input.
fn spread(scope: &mut Scope<'_>, dy: TensorId) -> Result<TensorId> {
    let x = scope.input(0)?;
    let axes = scope.input(1)?;
    let (Some(rank), Some(axes)) = (scope.fact(x).shape.rank(), scope.fact(axes).integers()) else {
        return Err(Error::unsupported("the gradient of a reduction over unknown axes"));
    };
    let mut dy = dy;
    if !scope.node().attributes.bool("keep_dims", false)? {
        let mut axes: Vec<usize> =
            axes.iter().map(|&axis| crate::ops::axis(axis, rank)).collect::<Result<_>>()?;
        axes.sort_unstable();
        for axis in axes {
            let axis = scope.ints(&[axis])?;
            let attributes =
                Attributes::new().with_dtype("T", DType::F32).with_dtype("Tdim", DType::I32);
            dy = scope.add_with("ExpandDims", attributes, &[dy, axis])?;
        }
    }
    let shape = scope.shape_of(x)?;
    let attributes = Attributes::new().with_dtype("T", DType::F32).with_dtype("Tidx", DType::I32);
    scope.add_with("BroadcastTo", attributes, &[dy, shape])
}

fn sum(scope: &mut Scope<'_>, dy: &[Option<TensorId>]) -> Result<Slopes> {
    Ok(vec![Some(spread(scope, first(dy)?)?), None])
}

/// The slope of the sum over how many values each mean is of.
fn mean(scope: &mut Scope<'_>, dy: &[Option<TensorId>]) -> Result<Slopes> {
    let (x, y) = (scope.input(0)?, scope.output(0));
    let counts = [x, y].map(|tensor| count(scope, tensor));
    let [inputs, outputs] = counts;
    let factor = scope.add("RealDiv", &[outputs?, inputs?])?;
    let scaled = scope.add("Mul", &[first(dy)?, factor])?;
    Ok(vec![Some(spread(scope, scaled)?), None])
}

/// How many values a tensor has, as float32.
fn count(scope: &mut Scope<'_>, tensor: TensorId) -> Result<TensorId> {
    let (shape, axis) = (scope.shape_of(tensor)?, scope.ints(&[0])?);
    let attributes = Attributes::new().with_dtype("T", DType::I32).with_dtype("Tidx", DType::I32);
    let product = scope.add_with("Prod", attributes, &[shape, axis])?;
    let attributes =
        Attributes::new().with_dtype("SrcT", DType::I32).with_dtype("DstT", DType::F32);
    scope.add_with("Cast", attributes, &[product])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(RULES.is_sorted_by(|a, b| a.0 < b.0));
    }
}
