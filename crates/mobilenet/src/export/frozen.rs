//! The graph of a module with its variables as constants, and nothing that the answers do not need.

use std::collections::{HashMap, HashSet};

use mobilenet_formats::tensorflow::messages::{
    AttrValue, GraphDef, NodeDef, TensorProto, VersionDef,
    attr_value::{ListValue, Value},
};

use crate::error::Result;
use crate::module::Module;
use crate::signature::Port;
use crate::source::IMAGE_SIZE;

/// Producer version of graphs that come from other formats: TensorFlow 1.15's.
const PRODUCER: i32 = 134;

/// What the graph must still answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// Every output of every signature.
    Every,
    /// The output `default` of the signature that says most.
    First,
}

/// What graphs that were not TensorFlow's say of their version.
pub(super) fn versions() -> VersionDef {
    VersionDef { producer: PRODUCER, ..VersionDef::default() }
}

/// The graph, its nodes in the order they had.
pub(super) fn graph(module: &Module, keep: Keep) -> Result<GraphDef> {
    let mut graph = module.graph()?.to_graph_def();
    graph.library = None;
    graph.debug_info = None;
    graph.versions.get_or_insert(versions());
    let first = module.first_signature()?;
    let mut outputs = Vec::new();
    for signature in module.signatures() {
        let wanted = |key: &str| keep == Keep::Every || signature.name == first && key == "default";
        let ports = signature.outputs.iter().filter(|port| wanted(&port.key));
        outputs.extend(ports.map(|port| node_of(&port.tensor)));
        if keep == Keep::Every {
            outputs.extend(signature.inputs.iter().map(|port| node_of(&port.tensor)));
        }
    }
    freeze(&mut graph, module)?;
    prune(&mut graph, outputs);
    note_size(&mut graph, module)?;
    Ok(graph)
}

/// Says the usual size of images at a placeholder that takes any: a graph has no other place for it.
fn note_size(graph: &mut GraphDef, module: &Module) -> Result<()> {
    let Ok((height, width)) = module.expected_image_size() else { return Ok(()) };
    let of_any_size =
        |port: &&Port| matches!(port.shape.as_deref(), Some([_, None, _, _] | [_, _, None, _]));
    let first = module.signature(module.first_signature()?)?;
    for port in first.inputs.iter().filter(of_any_size) {
        let name = node_of(&port.tensor);
        let sides = ListValue { i: vec![height as i64, width as i64], ..ListValue::default() };
        let value = AttrValue { value: Some(Value::List(Box::new(sides))) };
        let nodes = graph.node.iter_mut().filter(|node| node.name == name);
        nodes.for_each(|node| {
            node.attr.insert(IMAGE_SIZE.to_owned(), value.clone());
        });
    }
    Ok(())
}

/// The node of `node:port` or `^node`.
pub(super) fn node_of(tensor: &str) -> String {
    tensor.trim_start_matches('^').split(':').next().unwrap_or_default().to_owned()
}

/// Reads of variables become constants.
fn freeze(graph: &mut GraphDef, module: &Module) -> Result<()> {
    let handles: HashMap<String, String> = graph
        .node
        .iter()
        .filter(|node| ["VarHandleOp", "VariableV2", "Variable"].contains(&node.op.as_str()))
        .map(|node| (node.name.clone(), variable(node)))
        .collect();
    for node in &mut graph.node {
        let handle = match node.op.as_str() {
            "ReadVariableOp" => node.input.first().map(|input| node_of(input)),
            "VariableV2" | "Variable" => Some(node.name.clone()),
            _ => None,
        };
        let Some(name) = handle.and_then(|handle| handles.get(&handle)) else { continue };
        let value = TensorProto::from(&*module.variable(name)?);
        let dtype = Value::Type(value.dtype);
        node.op = "Const".into();
        node.input.clear();
        node.attr.clear();
        for (key, value) in [("dtype", dtype), ("value", Value::Tensor(Box::new(value)))] {
            node.attr.insert(key.into(), AttrValue { value: Some(value) });
        }
    }
    Ok(())
}

/// The name of the variable behind a handle.
pub(super) fn variable(node: &NodeDef) -> String {
    match node.attr.get("shared_name").and_then(|attr| attr.value.as_ref()) {
        Some(Value::S(name)) if !name.is_empty() => String::from_utf8_lossy(name).into_owned(),
        _ => node.name.clone(),
    }
}

/// Leaves only what `outputs` need.
fn prune(graph: &mut GraphDef, mut open: Vec<String>) {
    let inputs: HashMap<&str, &[String]> =
        graph.node.iter().map(|node| (node.name.as_str(), node.input.as_slice())).collect();
    let mut needed = HashSet::new();
    while let Some(name) = open.pop() {
        if let Some(inputs) = inputs.get(name.as_str())
            && needed.insert(name.clone())
        {
            open.extend(inputs.iter().map(|input| node_of(input)));
        }
    }
    graph.node.retain(|node| needed.contains(&node.name));
}
