//! The gradient of a loss as more graph: TensorFlow's own gradient ops, so that what is trained
//! compiles, runs and exports like any other graph.
//!
//! Walks from the loss back to the variables; [`rules`] has one line for each op.

mod rules;
mod scope;

use std::collections::HashMap;

use mobilenet_formats::Tensor;

use crate::attributes::Attributes;
use crate::error::{Error, Result, shorten};
use crate::graph::{Graph, NodeId, TensorId};
use scope::Scope;

/// Adds to `graph` the nodes that compute the slope of `loss`, a scalar, by each of `targets`,
/// and returns the slopes' tensors, `None` where the loss does not depend on the target.
///
/// A target is a tensor name: that of a variable's handle (`VarHandleOp`) or reference
/// (`VariableV2`) stands for the variable's value, any other for itself.
///
/// # Errors
/// `NotFound` for names that do not exist, `Shape` where the loss is no scalar, `Unsupported`
/// with node and op for an op on the way that has no gradient here.
///
/// ```
/// use mobilenet_engine::{Attributes, Graph, Shape, differentiate};
/// use mobilenet_formats::DType;
///
/// let mut graph = Graph::new();
/// let shape = Attributes::new().with_dtype("dtype", DType::F32).with_shape("shape", &Shape::known(&[3]));
/// let x = graph.add("x", "Placeholder", shape, &[])?;
/// graph.add("loss", "L2Loss", Attributes::new(), &[x.into()])?;
/// let slopes = differentiate(&mut graph, "loss", &["x"])?;
/// assert_eq!(graph.node(slopes[0].unwrap().node).op_name, "Mul");
/// # Ok::<(), mobilenet_engine::Error>(())
/// ```
pub fn differentiate(
    graph: &mut Graph,
    loss: &str,
    targets: &[&str],
) -> Result<Vec<Option<TensorId>>> {
    let loss = graph.tensor(loss)?;
    if graph.fact(loss).shape.rank().is_some_and(|rank| rank != 0) {
        let name = graph.tensor_name(loss);
        return Err(Error::shape(format!("the loss '{}' must be a scalar", shorten(&name))));
    }
    let targets = targets.iter().map(|name| graph.tensor(name)).collect::<Result<Vec<_>>>()?;
    let order = graph.needed(&[loss], &[])?;
    let reaches = reaching(graph, &order, &targets);
    let mut slopes = Slopes::default();
    slopes.add(loss, one(graph)?);
    for &id in order.iter().rev().filter(|id| reaches[id.0]) {
        backward(graph, id, &mut slopes, &reaches, &targets)?;
    }
    targets.iter().map(|&target| slopes.total(graph, target)).collect()
}

/// TensorFlow's names of the ops that [`differentiate`] has a rule for, sorted; some rules let
/// nothing through.
///
/// ```
/// assert!(mobilenet_engine::differentiable_ops().any(|op| op == "Conv2D"));
/// ```
pub fn differentiable_ops() -> impl Iterator<Item = &'static str> {
    rules::names()
}

/// Which nodes' outputs depend on a target.
fn reaching(graph: &Graph, order: &[NodeId], targets: &[TensorId]) -> Vec<bool> {
    let mut reaches = vec![false; graph.len()];
    for target in targets {
        reaches[target.node.0] = true;
    }
    for &id in order {
        let inputs = &graph.node(id).inputs;
        reaches[id.0] |= inputs.iter().any(|input| reaches[input.node.0]);
    }
    reaches
}

/// Hands the slopes of a node's outputs on to its inputs.
fn backward(
    graph: &mut Graph,
    id: NodeId,
    slopes: &mut Slopes,
    reaches: &[bool],
    targets: &[TensorId],
) -> Result<()> {
    if targets.contains(&TensorId::from(id)) || graph.node(id).inputs.is_empty() {
        return Ok(());
    }
    let ports = graph.node(id).outputs.len();
    let outputs = (0..ports)
        .map(|port| slopes.total(graph, TensorId { node: id, port }))
        .collect::<Result<Vec<_>>>()?;
    if outputs.iter().all(Option::is_none) {
        return Ok(());
    }
    let (name, op) = (graph.node(id).name.clone(), graph.node(id).op_name.clone());
    let inputs = graph.node(id).inputs.clone();
    let wanted = inputs.iter().map(|input| reaches[input.node.0]).collect();
    let mut scope = Scope::new(graph, id, wanted);
    let found = rules::find(&op).and_then(|rule| rule(&mut scope, &outputs));
    let found = found.map_err(|error| error.at(&name, &op, ""))?;
    for ((input, slope), reaches) in inputs.into_iter().zip(found).zip(scope.wanted()) {
        if let (Some(slope), true) = (slope, reaches) {
            slopes.add(input, slope);
        }
    }
    Ok(())
}

/// The slopes found so far of each tensor.
#[derive(Default)]
struct Slopes(HashMap<TensorId, Vec<TensorId>>);

impl Slopes {
    fn add(&mut self, tensor: TensorId, slope: TensorId) {
        self.0.entry(tensor).or_default().push(slope);
    }

    /// Their sum.
    fn total(&mut self, graph: &mut Graph, tensor: TensorId) -> Result<Option<TensorId>> {
        let Some(parts) = self.0.get_mut(&tensor) else { return Ok(None) };
        if let [first, .., _] = parts.as_slice() {
            let name = scope::fresh(
                graph,
                &format!("gradients/{}_{}/AddN", graph.node(tensor.node).name, tensor.port),
            );
            let dtype = graph.fact(*first).dtype.unwrap_or(mobilenet_formats::DType::F32);
            let attributes =
                Attributes::new().with_int("N", parts.len() as i64).with_dtype("T", dtype);
            let sum = graph.add(name, "AddN", attributes, parts)?;
            *parts = vec![sum.into()];
        }
        Ok(parts.first().copied())
    }
}

/// The slope of the loss by itself.
fn one(graph: &mut Graph) -> Result<TensorId> {
    let value = Tensor::new([], vec![1.0_f32])
        .map_err(|error| Error::shape("a scalar").with_source(error))?;
    let attributes = Attributes::new()
        .with_dtype("dtype", mobilenet_formats::DType::F32)
        .with_tensor("value", &value);
    let name = scope::fresh(graph, "gradients/grad_ys_0");
    Ok(graph.add(name, "Const", attributes, &[])?.into())
}
