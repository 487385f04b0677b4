//! `GraphDef` → [`Graph`]: names resolved, attributes typed, facts inferred.
//!
//! Errors name the node and op. Ops the table does not know become opaque nodes.

use std::collections::HashMap;
use std::sync::Arc;

use mobilenet_formats::tensorflow::messages::{GraphDef, NodeDef};

use super::{Graph, Node, NodeId, TensorId, infer, split_tensor_name};
use crate::attributes::Attributes;
use crate::error::{Error, Result, shorten};
use crate::facts::Fact;
use crate::ops;

/// No graph has more nodes than this: a guard against hostile files.
const MAX_NODES: usize = 1 << 20;

/// What a `GraphDef` holds besides nodes, kept for export.
#[derive(Clone, Default)]
pub(crate) struct GraphExtras {
    /// The message without its nodes.
    pub(crate) rest: GraphDef,
}

impl Graph {
    /// Reads a graph.
    ///
    /// # Errors
    /// `InvalidGraph` for doubled names, missing inputs, cycles and malformed attributes,
    /// `Shape` and `DType` where inputs do not fit an op, `Limit` for more than a million nodes.
    ///
    /// ```
    /// use mobilenet_engine::Graph;
    /// use mobilenet_formats::tensorflow::messages::{GraphDef, NodeDef};
    ///
    /// let node = NodeDef { name: "nothing".into(), op: "NoOp".into(), ..Default::default() };
    /// let definition = GraphDef { node: vec![node], ..Default::default() };
    /// let graph = Graph::import(&definition)?;
    /// assert_eq!(graph.to_graph_def(), definition);
    /// # Ok::<(), mobilenet_engine::Error>(())
    /// ```
    pub fn import(definition: &GraphDef) -> Result<Graph> {
        Self::from_graph_def(definition.clone())
    }

    /// As [`import`](Self::import), with the message's own attributes instead of copies.
    ///
    /// # Errors
    /// As [`import`](Self::import).
    pub fn from_graph_def(mut definition: GraphDef) -> Result<Graph> {
        let nodes = std::mem::take(&mut definition.node);
        let count = nodes.len();
        if count > MAX_NODES {
            let message = format!("the graph has {count} nodes, more than {MAX_NODES}");
            return Err(Error::new(crate::ErrorKind::Limit, message));
        }
        let mut graph = Graph::new();
        let ports = ports(&nodes);
        let mut inputs = Vec::with_capacity(count);
        for (mut node, ports) in nodes.into_iter().zip(ports) {
            inputs.push(std::mem::take(&mut node.input));
            graph.insert(read_node(node, ports)?)?;
        }
        for (i, inputs) in inputs.iter().enumerate() {
            graph.connect(NodeId(i), inputs)?;
        }
        graph.infer_all()?;
        graph.extras.rest = definition;
        Ok(graph)
    }

    fn connect(&mut self, id: NodeId, inputs: &[String]) -> Result<()> {
        for input in inputs {
            let (name, port) = match input.strip_prefix('^') {
                Some(name) => (name, None),
                None => {
                    let (name, port) = split_tensor_name(input);
                    (name, Some(port))
                }
            };
            let Some(source) = self.find(name) else {
                let node = self.node(id);
                let message = format!("input '{}' does not exist", shorten(input));
                return Err(Error::invalid(message).at(&node.name, &node.op_name, ""));
            };
            let node = &mut self.nodes[id.0];
            match port {
                Some(port) => node.inputs.push(TensorId { node: source, port }),
                None => node.controls.push(source),
            }
        }
        Ok(())
    }

    /// Infers the facts of every node from those before it.
    fn infer_all(&mut self) -> Result<()> {
        for id in self.order()? {
            let facts = self.input_facts(id)?;
            self.nodes[id.0].outputs = infer(&self.nodes[id.0], &facts)?;
        }
        Ok(())
    }

    fn input_facts(&self, id: NodeId) -> Result<Vec<Fact>> {
        let node = self.node(id);
        let facts = node.inputs.iter().map(|tensor| {
            let source = self.node(tensor.node);
            source.outputs.get(tensor.port).cloned().ok_or_else(|| {
                let (name, count) = (shorten(&source.name), source.outputs.len());
                let message =
                    format!("'{name}' has {count} outputs, not an output {}", tensor.port);
                Error::invalid(message).at(&node.name, &node.op_name, "")
            })
        });
        facts.collect()
    }
}

/// The node without its inputs.
fn read_node(mut definition: NodeDef, ports: usize) -> Result<Node> {
    let attributes = Attributes::from(std::mem::take(&mut definition.attr));
    let op = ops::import(&definition.op, &attributes, ports)
        .map_err(|error| error.at(&definition.name, &definition.op, ""))?;
    Ok(Node {
        name: std::mem::take(&mut definition.name),
        op_name: std::mem::take(&mut definition.op),
        op,
        inputs: Vec::new(),
        controls: Vec::new(),
        outputs: Vec::new(),
        attributes,
        extras: Arc::new(definition),
    })
}

/// How many outputs of each node somebody uses: as many as an opaque node has.
fn ports(nodes: &[NodeDef]) -> Vec<usize> {
    const MOST: usize = 1 << 10;
    let mut ports = HashMap::new();
    for input in nodes.iter().flat_map(|node| &node.input) {
        let (name, port) = split_tensor_name(input);
        // Almost all inputs are output 0, which every node has.
        if port > 0 {
            let count = ports.entry(name).or_insert(1);
            *count = (*count).max(port.saturating_add(1).min(MOST));
        }
    }
    nodes.iter().map(|node| ports.get(node.name.as_str()).copied().unwrap_or(1)).collect()
}
