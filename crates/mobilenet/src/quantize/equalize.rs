//! Cross-layer equalisation (arXiv:1906.04721): where one convolution feeds another, each channel
//! between them may be larger by some factor if the weights that read it are smaller by the same.
//! Channels that use little of the range that they share grow, and lose less when they are rounded.
//!
//! Channels only grow, by the root of what would fill the range, and not where relu6 cuts them off
//! already: so the network stays the same up to rounding on all that calibration has seen.

use std::collections::HashMap;

use mobilenet_engine::{Attributes, Graph, Node, NodeId, TensorId};
use mobilenet_formats::{DType, Tensor};

use super::calibrate::Calibration;
use crate::error::Result;

/// Channels that never reached this share of the range stay: nothing is known of them.
const DEAD: f32 = 1e-4;

/// Two convolutions, and what one hands to the other.
struct Pair {
    before: NodeId,
    bias: NodeId,
    between: TensorId,
    /// Whether relu6 stands between them.
    cut: bool,
    after: NodeId,
}

/// The graph with equalised channels; `None` where there is nothing to equalise.
pub(super) fn equalized(graph: &Graph, calibration: &Calibration) -> Result<Option<Graph>> {
    let mut users: HashMap<TensorId, usize> = HashMap::new();
    for (_, node) in graph.nodes() {
        node.inputs.iter().for_each(|&input| *users.entry(input).or_default() += 1);
    }
    let mut values: HashMap<NodeId, Tensor> = HashMap::new();
    for (id, node) in graph.nodes() {
        if let Some(pair) = pair(graph, &users, id, node) {
            scale(graph, calibration, &pair, &mut values)?;
        }
    }
    if values.is_empty() {
        return Ok(None);
    }
    let mut new = Graph::new();
    for (id, node) in graph.nodes() {
        let attributes = match values.get(&id) {
            Some(value) => {
                Attributes::new().with_dtype("dtype", DType::F32).with_tensor("value", value)
            }
            None => node.attributes.clone(),
        };
        new.add(node.name.clone(), &node.op_name, attributes, &node.inputs)?;
    }
    Ok(Some(new))
}

/// The pair that ends in `node`, if nobody else reads what is between.
fn pair(graph: &Graph, users: &HashMap<TensorId, usize>, id: NodeId, node: &Node) -> Option<Pair> {
    let constant = |tensor: TensorId| {
        (graph.node(tensor.node).op_name == "Const" && users.get(&tensor) == Some(&1))
            .then_some(tensor.node)
    };
    let alone = |tensor: TensorId| (users.get(&tensor) == Some(&1)).then_some(tensor);
    let is_product = |node: &Node| ["Conv2D", "DepthwiseConv2dNative"].contains(&&*node.op_name);
    let &[between, weights] = node.inputs.as_slice() else { return None };
    if !is_product(node) {
        return None;
    }
    constant(weights)?;
    alone(between)?;
    let mut source = graph.node(between.node);
    let cut = source.op_name == "Relu6";
    if ["Relu", "Relu6"].contains(&&*source.op_name) {
        source = graph.node(alone(*source.inputs.first()?)?.node);
    }
    let &[product, bias] = source.inputs.as_slice() else { return None };
    let before = graph.node(alone(product)?.node);
    if source.op_name != "BiasAdd" || !is_product(before) {
        return None;
    }
    constant(*before.inputs.get(1)?)?;
    Some(Pair { before: product.node, bias: constant(bias)?, between, cut, after: id })
}

fn scale(
    graph: &Graph,
    calibration: &Calibration,
    pair: &Pair,
    values: &mut HashMap<NodeId, Tensor>,
) -> Result<()> {
    let (before, after) = (graph.node(pair.before), graph.node(pair.after));
    let (Some(from), Some(to)) = (before.inputs.get(1), after.inputs.get(1)) else { return Ok(()) };
    let value = |values: &HashMap<NodeId, Tensor>, id: NodeId| match values.get(&id) {
        Some(value) => Ok(value.clone()),
        None => graph.node(id).attributes.tensor("value"),
    };
    let (from, bias, to) =
        (value(values, from.node)?, value(values, pair.bias)?, value(values, to.node)?);
    let (Some(w), Some(b), Some(v)) = (from.as_f32(), bias.as_f32(), to.as_f32()) else {
        return Ok(());
    };
    let channels = b.len().max(1);
    // Each weight that reads a channel: `[height, width, inputs, outputs]`.
    let outputs = to.shape().get(3).copied().unwrap_or(1).max(1);
    let reads = |i: usize| i / outputs % channels;
    let highs = calibration.highs(pair.between)?;
    if highs.len() != channels || to.shape().get(2) != Some(&channels) || w.len() % channels != 0 {
        return Ok(());
    }
    let mut readers = vec![0.0f32; channels];
    for (i, weight) in v.iter().enumerate() {
        readers[reads(i)] = readers[reads(i)].max(weight.abs());
    }
    // A depthwise convolution rounds each channel's weights by themselves.
    let apart = after.op_name == "DepthwiseConv2dNative";
    let strongest = if apart { 0.0 } else { readers.iter().copied().fold(0.0, f32::max) };
    let highest = highs.iter().copied().fold(0.0, f32::max);
    let factor = |(high, reader): (&f32, &f32)| {
        let is_full = pair.cut && *high >= 5.99;
        if is_full || *high <= DEAD * highest || !highest.is_finite() {
            return 1.0;
        }
        let weights = if apart { 1.0 } else { reader / strongest.max(f32::MIN_POSITIVE) };
        (highest / high * weights).sqrt().max(1.0)
    };
    let factors: Vec<f32> = highs.iter().zip(&readers).map(factor).collect();
    let times = |(i, value): (usize, &f32)| value * factors[i % channels];
    let w = Tensor::new(from.shape().to_vec(), w.iter().enumerate().map(times).collect::<Vec<_>>());
    let b = Tensor::new(bias.shape().to_vec(), b.iter().enumerate().map(times).collect::<Vec<_>>());
    let v = v.iter().enumerate().map(|(i, value)| value / factors[reads(i)]).collect::<Vec<_>>();
    let v = Tensor::new(to.shape().to_vec(), v);
    let (from, to) = (before.inputs.get(1), after.inputs.get(1));
    let places = [from.map(|w| w.node), Some(pair.bias), to.map(|w| w.node)];
    for (place, value) in places.into_iter().zip([w?, b?, v?]) {
        values.extend(place.map(|place| (place, value)));
    }
    Ok(())
}
