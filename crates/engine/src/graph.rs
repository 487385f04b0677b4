//! The graph: nodes in TensorFlow's vocabulary, what feeds them, and what is known of what
//! they yield.
//!
//! Holds no weights of variables and computes nothing. [`Graph::import`] reads a `GraphDef`,
//! [`Graph::to_graph_def`] writes it back; [`crate::Plan::compile`] makes it run.

mod export;
mod import;
mod order;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use mobilenet_formats::tensorflow::messages::NodeDef;

use crate::attributes::Attributes;
use crate::error::{Error, Result, shorten};
use crate::facts::{self, Fact, Variable};
use crate::ops::{self, Effect, Op};

pub(crate) use import::GraphExtras;

/// A node of one graph, by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) usize);

/// Output `port` of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TensorId {
    /// The node that yields it.
    pub node: NodeId,
    /// Which of its outputs.
    pub port: usize,
}

impl From<NodeId> for TensorId {
    fn from(node: NodeId) -> Self {
        Self { node, port: 0 }
    }
}

/// One operation of a graph.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name, unique in the graph.
    pub name: String,
    /// TensorFlow's name of its op, such as `Conv2D`.
    pub op_name: String,
    /// Its op, as the table of ops understands it.
    pub(crate) op: Arc<dyn Op>,
    /// Its data inputs, in order.
    pub inputs: Vec<TensorId>,
    /// Nodes that must have run before it.
    pub controls: Vec<NodeId>,
    /// What is known of its outputs.
    pub outputs: Vec<Fact>,
    /// Its attributes as a file holds them.
    pub attributes: Attributes,
    /// Everything else a file said of it; name, op, inputs and attributes here are ignored.
    pub(crate) extras: Arc<NodeDef>,
}

/// A graph of TensorFlow operations and what feeds them.
#[derive(Clone, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    names: HashMap<String, NodeId>,
    extras: GraphExtras,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every node, in the order of the file; inputs need not come before their users.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = (NodeId, &Node)> {
        self.nodes.iter().enumerate().map(|(i, node)| (NodeId(i), node))
    }

    /// The number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The node `id` of this graph.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The node called `name`, if there is one.
    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.names.get(name).copied()
    }

    /// The tensor called `name`: `node` or `node:port`.
    ///
    /// # Errors
    /// `NotFound` where there is no such node or port.
    pub fn tensor(&self, name: &str) -> Result<TensorId> {
        let (node, port) = split_tensor_name(name);
        let id = self.find(node).ok_or_else(|| {
            Error::not_found(format!("the graph has no node '{}'", shorten(node)))
        })?;
        let outputs = self.node(id).outputs.len();
        if port >= outputs {
            let message =
                format!("'{}' has {outputs} outputs, not an output {port}", shorten(node));
            return Err(Error::not_found(message));
        }
        Ok(TensorId { node: id, port })
    }

    /// What is known of `tensor`.
    pub fn fact(&self, tensor: TensorId) -> &Fact {
        &self.nodes[tensor.node.0].outputs[tensor.port]
    }

    /// The name of `tensor` in TensorFlow's form, `node:port`.
    pub fn tensor_name(&self, tensor: TensorId) -> String {
        format!("{}:{}", self.node(tensor.node).name, tensor.port)
    }

    /// Adds a node of TensorFlow's op `op_name` and infers what it yields.
    ///
    /// # Errors
    /// `InvalidGraph` where the name is taken or an attribute is malformed; what the op's
    /// shape inference refuses.
    ///
    /// ```
    /// use mobilenet_engine::{Attributes, Graph, Shape};
    /// use mobilenet_formats::DType;
    ///
    /// let mut graph = Graph::new();
    /// let shape = Shape::new(vec![None, Some(3)]);
    /// let attributes = Attributes::new().with_dtype("dtype", DType::F32).with_shape("shape", &shape);
    /// let x = graph.add("x", "Placeholder", attributes, &[])?;
    /// let y = graph.add("y", "Relu6", Attributes::new().with_dtype("T", DType::F32), &[x.into()])?;
    /// assert_eq!(graph.fact(y.into()).to_string(), "float32[?,3]");
    /// # Ok::<(), mobilenet_engine::Error>(())
    /// ```
    pub fn add(
        &mut self,
        name: impl Into<String>,
        op_name: &str,
        attributes: Attributes,
        inputs: &[TensorId],
    ) -> Result<NodeId> {
        let name = name.into();
        let op = ops::import(op_name, &attributes, 1).map_err(|e| e.at(&name, op_name, ""))?;
        let mut node = Node {
            name,
            op_name: op_name.into(),
            op,
            inputs: inputs.to_vec(),
            controls: Vec::new(),
            outputs: Vec::new(),
            attributes,
            extras: Arc::default(),
        };
        let facts: Vec<Fact> = inputs.iter().map(|&tensor| self.fact(tensor).clone()).collect();
        node.outputs = infer(&node, &facts)?;
        self.insert(node)
    }

    /// Adds a control input: `node` runs only after `before`.
    pub fn add_control(&mut self, node: NodeId, before: NodeId) {
        let controls = &mut self.nodes[node.0].controls;
        if !controls.contains(&before) {
            controls.push(before);
        }
    }

    fn insert(&mut self, node: Node) -> Result<NodeId> {
        let id = NodeId(self.nodes.len());
        if self.names.insert(node.name.clone(), id).is_some() {
            let message = format!("two nodes are called '{}'", shorten(&node.name));
            return Err(Error::invalid(message));
        }
        self.nodes.push(node);
        Ok(id)
    }

    /// Nodes in an order in which every input and control input comes first.
    ///
    /// # Errors
    /// `InvalidGraph` where the graph has a cycle, naming a node on it.
    pub fn order(&self) -> Result<Vec<NodeId>> {
        order::order(self, None)
    }

    /// The nodes that `targets` need, in an order in which inputs come first. What `fed`
    /// tensors are made of is not needed.
    ///
    /// # Errors
    /// `InvalidGraph` where what they need has a cycle.
    pub fn needed(&self, targets: &[TensorId], fed: &[TensorId]) -> Result<Vec<NodeId>> {
        order::order(self, Some((targets, fed)))
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph").field("nodes", &self.nodes.len()).finish_non_exhaustive()
    }
}

/// Runs the op's shape inference and names the node in its errors.
pub(crate) fn infer(node: &Node, inputs: &[Fact]) -> Result<Vec<Fact>> {
    let arity = node.op.arity();
    let result = if arity.contains(&inputs.len()) {
        node.op.infer(inputs)
    } else {
        let (least, most) = (arity.start(), arity.end());
        Err(Error::invalid(format!("{} inputs, {least} to {most} wanted", inputs.len())))
    };
    let mut outputs =
        result.map_err(|error| error.at(&node.name, &node.op_name, facts::list(inputs)))?;
    if node.op.effect() == Effect::Variable {
        name_variable(&mut outputs, &node.name);
    }
    Ok(outputs)
}

/// A variable without a shared name is called as its node.
fn name_variable(outputs: &mut [Fact], name: &str) {
    for variable in outputs.iter_mut().filter_map(|fact| fact.variable.as_mut()) {
        if variable.name.is_empty() {
            *variable = Arc::new(Variable { name: name.into(), ..(**variable).clone() });
        }
    }
}

/// Splits `node:port`; without a port it is 0.
pub(crate) fn split_tensor_name(name: &str) -> (&str, usize) {
    match name.rsplit_once(':') {
        Some((node, port)) => match port.parse() {
            Ok(port) => (node, port),
            Err(_) => (name, 0),
        },
        None => (name, 0),
    }
}
