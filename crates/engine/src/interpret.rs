//! A slow, plain interpreter: every op by its reference evaluation. It is what plans are held
//! against in tests, and nothing users run.

use std::collections::HashMap;
use std::sync::Arc;

use mobilenet_formats::Tensor;

use crate::error::{Error, Result};
use crate::facts::{self, Fact};
use crate::fold::Variables;
use crate::graph::{Graph, TensorId};
use crate::ops::Effect;
use crate::reference;

/// Computes `outputs` in double precision from `inputs`; floating-point outputs are `float64`.
///
/// # Errors
/// As [`crate::Plan::compile`], and `Unsupported` for random ops and changes of variables.
pub fn interpret(
    graph: &Graph,
    variables: &Variables<'_>,
    inputs: &[(&str, &Tensor)],
    outputs: &[&str],
) -> Result<Vec<Arc<Tensor>>> {
    let mut values: HashMap<TensorId, Arc<Tensor>> = HashMap::new();
    let mut fed = Vec::new();
    for (name, tensor) in inputs {
        let id = graph.tensor(name)?;
        values.insert(id, reference::widened(&Arc::new((*tensor).clone()))?);
        fed.push(id);
    }
    let wanted = outputs.iter().map(|name| graph.tensor(name)).collect::<Result<Vec<_>>>()?;
    for id in graph.needed(&wanted, &fed)? {
        let node = graph.node(id);
        let results = evaluate(graph, variables, &values, id).map_err(|error| {
            let facts: Vec<Fact> = node
                .inputs
                .iter()
                .filter_map(|tensor| values.get(tensor).map(|t| Fact::constant(Arc::clone(t))))
                .collect();
            error.at(&node.name, &node.op_name, facts::list(&facts))
        })?;
        for (port, result) in results.into_iter().enumerate() {
            values.entry(TensorId { node: id, port }).or_insert(result);
        }
    }
    let missing = || Error::not_found("an output was not computed");
    wanted.iter().map(|id| values.get(id).cloned().ok_or_else(missing)).collect()
}

fn evaluate(
    graph: &Graph,
    variables: &Variables<'_>,
    values: &HashMap<TensorId, Arc<Tensor>>,
    id: crate::graph::NodeId,
) -> Result<Vec<Arc<Tensor>>> {
    let node = graph.node(id);
    let variable = match node.op.effect() {
        Effect::Read => node.inputs.first().and_then(|&handle| graph.fact(handle).variable.clone()),
        Effect::Variable => node.outputs.first().and_then(|fact| fact.variable.clone()),
        _ => None,
    };
    if let Some(variable) = variable {
        return Ok(vec![reference::widened(&variables(&variable.name)?)?]);
    }
    let inputs: Option<Vec<&Tensor>> =
        node.inputs.iter().map(|tensor| values.get(tensor).map(Arc::as_ref)).collect();
    let inputs = inputs.ok_or_else(|| Error::not_found("an input was not computed"))?;
    let results = node.op.evaluate(&inputs)?;
    results.into_iter().map(|tensor| reference::widened(&Arc::new(tensor))).collect()
}
