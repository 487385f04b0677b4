//! Topological order without recursion: hostile graphs may be a million nodes deep.

use super::{Graph, NodeId, TensorId};
use crate::error::{Error, Result, shorten};

#[derive(Clone, Copy, PartialEq)]
enum State {
    New,
    Open,
    Done,
}

/// Depth-first from every node, or from `targets` without looking behind `fed` tensors.
pub(super) fn order(
    graph: &Graph,
    only: Option<(&[TensorId], &[TensorId])>,
) -> Result<Vec<NodeId>> {
    let mut states = vec![State::New; graph.len()];
    let mut order = Vec::new();
    let (roots, fed): (Vec<NodeId>, &[TensorId]) = match only {
        Some((targets, fed)) => {
            let roots = targets.iter().filter(|target| !fed.contains(target));
            (roots.map(|target| target.node).collect(), fed)
        }
        None => ((0..graph.len()).map(NodeId).collect(), &[]),
    };
    for root in roots {
        visit(graph, root, fed, &mut states, &mut order)?;
    }
    Ok(order)
}

fn visit(
    graph: &Graph,
    root: NodeId,
    fed: &[TensorId],
    states: &mut [State],
    order: &mut Vec<NodeId>,
) -> Result<()> {
    let mut stack = vec![root];
    while let Some(&id) = stack.last() {
        match states[id.0] {
            State::New => {
                states[id.0] = State::Open;
                for before in predecessors(graph, id, fed) {
                    match states[before.0] {
                        State::New => stack.push(before),
                        State::Open => return Err(cycle(graph, before)),
                        State::Done => {}
                    }
                }
            }
            State::Open => {
                states[id.0] = State::Done;
                order.push(id);
                stack.pop();
            }
            State::Done => {
                stack.pop();
            }
        }
    }
    Ok(())
}

/// What must run before `id`: last input first, so that the stack yields the first one first.
fn predecessors<'a>(
    graph: &'a Graph,
    id: NodeId,
    fed: &'a [TensorId],
) -> impl Iterator<Item = NodeId> + 'a {
    let node = graph.node(id);
    let inputs = node.inputs.iter().rev().filter(move |tensor| !fed.contains(tensor));
    node.controls.iter().rev().copied().chain(inputs.map(|tensor| tensor.node))
}

fn cycle(graph: &Graph, on: NodeId) -> Error {
    let node = graph.node(on);
    let message = format!("the graph has a cycle through '{}'", shorten(&node.name));
    Error::invalid(message).at(&node.name, &node.op_name, "")
}
