//! Ranges that a graph carries itself: `FakeQuant…` nodes, as training with quantisation leaves
//! them. They are taken out of the graph of floats; what they round to stays.

use std::collections::HashMap;

use mobilenet_engine::{Graph, Node, TensorId};

use super::insert::Steps;
use crate::error::{Error, ErrorKind, Result};
use crate::export::Bare;

/// The 256 values of some tensors.
#[derive(Debug, Default)]
pub(super) struct Given(HashMap<TensorId, Steps>);

impl Given {
    /// Takes the nodes out of `bare`.
    ///
    /// # Errors
    /// [`ErrorKind::Graph`] for a range that is not constant or not of 8 bits, by name.
    pub(super) fn take(bare: &mut Bare) -> Result<Self> {
        let old = &bare.graph;
        let is_rounding = |node: &Node| node.op_name.starts_with("FakeQuant");
        if !old.nodes().any(|(_, node)| is_rounding(node)) {
            return Ok(Self::default());
        }
        let (mut new, mut made, mut given) = (Graph::new(), HashMap::new(), HashMap::new());
        for (id, node) in old.nodes() {
            let inputs = node.inputs.iter().map(|input| made.get(input).copied());
            let inputs: Option<Vec<TensorId>> = inputs.collect();
            let inputs = inputs.ok_or_else(|| wrong(node, "inputs that come after it"))?;
            if is_rounding(node) {
                let Some(&of) = inputs.first() else { return Err(wrong(node, "no input")) };
                let steps = steps(&new, node, &inputs)?;
                if given.insert(of, steps).is_some_and(|other| other != steps) {
                    return Err(wrong(node, "another range than its input has already"));
                }
                made.insert(TensorId::from(id), of);
                continue;
            }
            let copy =
                new.add(node.name.clone(), &node.op_name, node.attributes.clone(), &inputs)?;
            made.extend(
                (0..node.outputs.len())
                    .map(|port| (TensorId { node: id, port }, TensorId { node: copy, port })),
            );
        }
        let output = old.tensor(&bare.output)?;
        if let Some(&output) = made.get(&output) {
            bare.output = new.tensor_name(output);
        }
        bare.graph = new;
        Ok(Self(given))
    }

    /// Whether the graph carries none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What `tensor` is rounded to.
    pub(super) fn of(&self, tensor: TensorId) -> Option<Steps> {
        self.0.get(&tensor).copied()
    }
}

/// What a node rounds to.
fn steps(graph: &Graph, node: &Node, inputs: &[TensorId]) -> Result<Steps> {
    let bits = node.attributes.int("num_bits", 8)?;
    if bits != 8 {
        return Err(wrong(node, &format!("{bits} bits, where 8 are wanted")));
    }
    let (min, max) = match (node.op_name.as_str(), inputs) {
        ("FakeQuantWithMinMaxArgs", _) => {
            (node.attributes.float("min", -6.0)?, node.attributes.float("max", 6.0)?)
        }
        ("FakeQuantWithMinMaxVars", &[_, min, max]) => {
            (scalar(graph, node, min)?, scalar(graph, node, max)?)
        }
        _ => return Err(wrong(node, "a range for each channel of what is computed")),
    };
    let levels = if node.attributes.bool("narrow_range", false)? { 254.0 } else { 255.0 };
    if !(min.is_finite() && max.is_finite() && min <= max) {
        return Err(wrong(node, &format!("a range from {min} to {max}")));
    }
    Ok(Steps::between(min, max, levels))
}

fn scalar(graph: &Graph, node: &Node, tensor: TensorId) -> Result<f32> {
    let of = graph.node(tensor.node);
    let value = (of.op_name == "Const").then(|| of.attributes.tensor("value")).transpose()?;
    let value = value.and_then(|value| value.as_f32()?.first().copied());
    value.ok_or_else(|| wrong(node, "a range that is computed"))
}

fn wrong(node: &Node, what: &str) -> Error {
    let message = format!("`{}`: {} with {what} cannot be quantised", node.name, node.op_name);
    Error::new(ErrorKind::Graph, message)
}
