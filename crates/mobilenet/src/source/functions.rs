//! TensorFlow 2's SavedModels as a [`Source`]: the signature `serving_default` calls functions that
//! call functions; all are written out into one graph, and the variables are found through the
//! object graph of the checkpoint.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use mobilenet_formats::DType;
use mobilenet_formats::tensorflow::messages::{
    FunctionDef, GraphDef, MetaGraphDef, NodeDef, SignatureDef, TrackableObjectGraph,
    attr_value::Value,
};
use mobilenet_formats::tensorflow::{HubModule, SavedModel, decode_message};

use super::network::Network;
use super::{Source, Wanted};
use crate::error::{Error, ErrorKind, Result};
use crate::module::missing;

/// Where the checkpoint keeps names and keys of variables.
const OBJECT_GRAPH: &str = "_CHECKPOINTABLE_OBJECT_GRAPH";

/// Whether the meta graph works by functions.
pub(super) fn is(meta_graph: &MetaGraphDef) -> bool {
    let graph = meta_graph.graph_def.as_ref();
    let has_functions = graph.and_then(|graph| graph.library.as_ref());
    meta_graph.object_graph_def.is_some() && has_functions.is_some_and(|l| !l.function.is_empty())
}

/// Reads the signature that serves.
pub(super) fn read(
    wanted: &Wanted<'_>,
    module: &HubModule,
    meta_graph: &MetaGraphDef,
) -> Result<Source> {
    let signature = serving(meta_graph)?;
    let graph = meta_graph.graph_def.clone().unwrap_or_default();
    let node = |info: Option<&str>| info.map(|name| name.trim_end_matches(":0").to_owned());
    let [input] = signature.inputs.values().collect::<Vec<_>>()[..] else {
        return Err(format_error("its signature takes more than one input"));
    };
    let images = node(input.name()).ok_or_else(|| format_error("its input is no plain tensor"))?;
    let output = signature.outputs.values().next().and_then(|info| info.name());
    let output = output.ok_or_else(|| format_error("its signature has no output"))?;
    let mut inliner = Inliner::new(&graph)?;
    let main = Scope { prefix: String::new(), arguments: HashMap::new(), function: false };
    inliner.nodes(&graph.node, &main, 0)?;
    let output = inliner.resolve(&main, output);
    let mut flat = GraphDef { node: inliner.out, versions: graph.versions, ..GraphDef::default() };
    keep_needed(&mut flat, &output);
    let variables = variables(module.saved_model(), &flat, wanted)?;
    let network = Network::new(flat);
    let source = Network { images: Some(images), output: Some(output), variables, ..network }
        .into_source(wanted)?;
    let tag_sets = module.saved_model().meta_graphs().iter().map(|graph| graph.tags().to_vec());
    Ok(Source { tag_sets: tag_sets.collect(), ..source })
}

fn format_error(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Format, message)
}

/// `serving_default`, else the only signature that takes anything.
fn serving(meta_graph: &MetaGraphDef) -> Result<&SignatureDef> {
    let all = &meta_graph.signature_def;
    if let Some(found) = all.get("serving_default") {
        return Ok(found);
    }
    let mut others = all.values().filter(|signature| !signature.inputs.is_empty());
    match (others.next(), others.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(missing("signature", "serving_default", all.keys().map(String::as_str))),
    }
}

/// Functions within functions, at most.
const DEPTH: usize = 32;
/// Nodes of all functions that are looked at, at most, and so of those written out.
const NODES: usize = 1 << 18;

/// Functions by name, and the nodes written out so far.
struct Inliner<'a> {
    functions: HashMap<&'a str, &'a FunctionDef>,
    /// Nodes of the main graph that are calls, and of each function, by scope and name.
    calls: HashSet<String>,
    /// Op of each written node, for the numbers of named outputs.
    ops: HashMap<String, String>,
    /// Nodes looked at: calls write none.
    visited: usize,
    out: Vec<NodeDef>,
}

/// Where names are looked up: the main graph, or the body of one call.
struct Scope {
    prefix: String,
    /// Tensors of the written graph, by the function's argument.
    arguments: HashMap<String, String>,
    function: bool,
}

impl<'a> Inliner<'a> {
    fn new(graph: &'a GraphDef) -> Result<Self> {
        let library = graph.library.iter().flat_map(|library| &library.function);
        let named = library.filter_map(|f| Some((f.signature.as_ref()?.name.as_str(), f)));
        let functions = named.collect();
        let (calls, ops) = (HashSet::new(), HashMap::new());
        Ok(Inliner { functions, calls, ops, visited: 0, out: Vec::new() })
    }

    /// Writes out the nodes of one scope, and those of the functions they call.
    fn nodes(&mut self, nodes: &[NodeDef], scope: &Scope, depth: usize) -> Result<()> {
        // One for the call itself, so that empty functions count as well.
        self.visited = self.visited.saturating_add(nodes.len() + 1);
        if depth > DEPTH || self.visited > NODES {
            let message = format!("its functions nest more than {DEPTH} deep or are too large");
            return Err(format_error(message));
        }
        for node in nodes {
            let name = format!("{}{}", scope.prefix, node.name);
            if called(node).is_some() {
                self.calls.insert(name);
            } else {
                self.ops.insert(name, node.op.clone());
            }
        }
        for node in nodes {
            match called(node) {
                Some(function) => self.call(node, function, scope, depth)?,
                None => self.copy(node, scope),
            }
        }
        Ok(())
    }

    fn copy(&mut self, node: &NodeDef, scope: &Scope) {
        let data = node.input.iter().filter(|input| !input.starts_with('^'));
        let input = data.map(|input| self.resolve(scope, input)).collect();
        let name = format!("{}{}", scope.prefix, node.name);
        let plain = NodeDef { name, input, device: String::new(), ..node.clone() };
        self.out.push(NodeDef { experimental_debug_info: None, ..plain });
    }

    fn call(&mut self, node: &NodeDef, name: &str, scope: &Scope, depth: usize) -> Result<()> {
        let Some(&function) = self.functions.get(name) else {
            return Err(format_error(format!(
                "node `{}` calls `{name}`, which is not there",
                node.name
            )));
        };
        let signature = function.signature.clone().unwrap_or_default();
        let data: Vec<String> = node
            .input
            .iter()
            .filter(|input| !input.starts_with('^'))
            .map(|input| self.resolve(scope, input))
            .collect();
        if data.len() != signature.input_arg.len() {
            let wanted = signature.input_arg.len();
            let message = format!(
                "node `{}` calls `{name}` with {} of {wanted} inputs",
                node.name,
                data.len()
            );
            return Err(format_error(message));
        }
        let arguments = signature.input_arg.iter().map(|arg| arg.name.clone()).zip(data).collect();
        let prefix = format!("{}{}/", scope.prefix, node.name);
        let inner = Scope { prefix: prefix.clone(), arguments, function: true };
        self.nodes(&function.node_def, &inner, depth + 1)?;
        for (port, argument) in signature.output_arg.iter().enumerate() {
            let Some(tensor) = function.ret.get(&argument.name) else { continue };
            let dtype = match node.attr.get("Tout").and_then(|attr| attr.value.as_ref()) {
                Some(Value::List(list)) => list.r#type.get(port).copied(),
                _ => None,
            };
            let dtype = dtype.unwrap_or_else(|| DType::F32.to_tensorflow());
            let attr = BTreeMap::from([("T".to_owned(), Value::Type(dtype))]);
            let attr = attr.into_iter().map(|(key, value)| {
                (key, mobilenet_formats::tensorflow::messages::AttrValue { value: Some(value) })
            });
            self.out.push(NodeDef {
                name: format!("{prefix}output_{port}"),
                op: "Identity".into(),
                input: vec![self.resolve(&inner, tensor)],
                attr: attr.collect(),
                ..NodeDef::default()
            });
        }
        Ok(())
    }

    /// The name in the written graph of a tensor as `scope` names it: `node`, `node:port`, or in a
    /// function an argument or `node:output:index`.
    fn resolve(&self, scope: &Scope, tensor: &str) -> String {
        if let Some(argument) = scope.arguments.get(tensor) {
            return argument.clone();
        }
        let mut parts = tensor.split(':');
        let name = format!("{}{}", scope.prefix, parts.next().unwrap_or_default());
        let (first, second) = (parts.next(), parts.next());
        let number = |text: Option<&str>| text.and_then(|text| text.parse().ok()).unwrap_or(0usize);
        let port = match (scope.function, first) {
            (true, Some(output)) => self.first_port(&name, output).saturating_add(number(second)),
            (_, port) => number(port),
        };
        if self.calls.contains(&name) {
            return format!("{name}/output_{port}");
        }
        if port == 0 { name } else { format!("{name}:{port}") }
    }

    /// The number of the first tensor of a named output.
    fn first_port(&self, node: &str, output: &str) -> usize {
        let batch_norm =
            ["y", "batch_mean", "batch_variance", "reserve_space_1", "reserve_space_2"];
        match self.ops.get(node) {
            Some(op) if op.starts_with("FusedBatchNorm") => {
                batch_norm.iter().position(|name| *name == output).unwrap_or(0)
            }
            _ => 0,
        }
    }
}

/// The function a node calls.
fn called(node: &NodeDef) -> Option<&str> {
    if !["PartitionedCall", "StatefulPartitionedCall"].contains(&node.op.as_str()) {
        return None;
    }
    match node.attr.get("f")?.value.as_ref()? {
        Value::Func(function) => Some(&function.name),
        _ => None,
    }
}

/// Leaves only what `output` needs.
fn keep_needed(graph: &mut GraphDef, output: &str) {
    let node_of = |tensor: &str| tensor.split(':').next().unwrap_or_default().to_owned();
    let inputs: HashMap<&str, &[String]> =
        graph.node.iter().map(|node| (node.name.as_str(), node.input.as_slice())).collect();
    let mut needed = HashSet::new();
    let mut open = vec![node_of(output)];
    while let Some(name) = open.pop() {
        if let Some(inputs) = inputs.get(name.as_str())
            && needed.insert(name.clone())
        {
            open.extend(inputs.iter().map(|input| node_of(input)));
        }
    }
    graph.node.retain(|node| needed.contains(&node.name));
}

/// The values of the graph's variables, by the names their handles have.
fn variables(
    model: &SavedModel,
    graph: &GraphDef,
    wanted: &Wanted<'_>,
) -> Result<BTreeMap<String, Arc<mobilenet_formats::Tensor>>> {
    let keys = checkpoint_keys(model, wanted)?;
    let mut variables = BTreeMap::new();
    for node in graph.node.iter().filter(|node| node.op == "VarHandleOp") {
        let name = match node.attr.get("shared_name").and_then(|attr| attr.value.as_ref()) {
            Some(Value::S(name)) if !name.is_empty() => String::from_utf8_lossy(name).into_owned(),
            _ => node.name.clone(),
        };
        let there = || keys.keys().map(String::as_str);
        let key =
            keys.get(&name).ok_or_else(|| missing("variable in the checkpoint", &name, there()))?;
        variables.insert(name, Arc::new(model.variable(key)?));
    }
    Ok(variables)
}

/// The checkpoint's key of each variable, by its full name.
fn checkpoint_keys(model: &SavedModel, wanted: &Wanted<'_>) -> Result<BTreeMap<String, String>> {
    let stored = model.variable(OBJECT_GRAPH)?;
    let bytes = stored.as_strings().and_then(|strings| strings.first()).cloned();
    let objects: TrackableObjectGraph = decode_message(bytes.unwrap_or_default(), wanted.limits)?;
    let attributes = objects.nodes.into_iter().flat_map(|node| node.attributes);
    Ok(attributes.map(|attribute| (attribute.full_name, attribute.checkpoint_key)).collect())
}
