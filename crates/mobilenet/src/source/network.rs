//! [`Network`]: a graph from a file that has no signatures of a hub module. What is missing is
//! found in the graph: which node takes images, which tensors are logits, probabilities, features
//! and end points. What cannot be found there is [`conventions`](super::conventions)' business.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use mobilenet_engine::{Attributes, Graph, NodeId, Shape, TensorId};
use mobilenet_formats::tensorflow::messages::{GraphDef, attr_value::Value};
use mobilenet_formats::{DType, Tensor};
use mobilenet_vision::Labels;

use super::conventions::{self, Published};
use super::fused;
use super::{Source, Wanted, Weights};
use crate::error::{Error, ErrorKind, Result};
use crate::normalization::Normalization;
use crate::signature::{Port, Scores, Signature};

/// The attribute of a frozen graph's placeholder that says the usual size of images, `[height, width]` in
/// pixels, where the network takes any: TensorFlow ignores attributes whose names begin like that.
pub(crate) const IMAGE_SIZE: &str = "_image_size";

/// A network as an importer hands it over: NHWC, one image input, float32.
pub(crate) struct Network {
    pub(crate) graph: GraphDef,
    /// The node that takes images; the only placeholder of rank 4 where the file does not say.
    pub(crate) images: Option<String>,
    /// Which values it wants, where the file says it.
    pub(crate) range: Option<Normalization>,
    /// Which values networks from there want, where the file says nothing.
    pub(crate) published: Published,
    /// The tensor the network is for, where the file says it: scores, or features.
    pub(crate) output: Option<String>,
    /// What that tensor holds if no softmax is found in front of it.
    pub(crate) scores: Scores,
    /// Values of the graph's variables.
    pub(crate) variables: BTreeMap<String, Arc<Tensor>>,
    /// Names of the classes, where the file has them.
    pub(crate) labels: Option<Labels>,
    /// End points, key and tensor, where the file names them.
    pub(crate) points: Option<Vec<(String, String)>>,
    /// What was assumed so far.
    pub(crate) notes: Vec<String>,
}

impl Network {
    /// Nothing known but the graph.
    pub(crate) fn new(graph: GraphDef) -> Self {
        Network {
            graph,
            images: None,
            range: None,
            published: Published::Google,
            output: None,
            scores: Scores::Logits,
            variables: BTreeMap::new(),
            labels: None,
            points: None,
            notes: Vec::new(),
        }
    }

    /// The network with normalisation in front and the signatures of a hub module.
    pub(crate) fn into_source(mut self, wanted: &Wanted<'_>) -> Result<Source> {
        fused::write_out(&mut self.graph);
        let name = conventions::normalise(&mut self, wanted.normalization)?;
        let mut graph = Graph::import(&self.graph)?;
        let images = TensorId::from(graph.find(&name).ok_or_else(|| no_images(&name))?);
        let ends = Ends::find(&mut graph, images, &self)?;
        self.labels = wanted.labels.cloned().or(self.labels);
        conventions::describe_classes(&ends, &graph, &mut self);
        let image_size = match graph.fact(images).shape.dims() {
            Some([_, Some(height), Some(width), _]) => Some((*height, *width)),
            _ => noted_size(&self.graph, &name),
        };
        Ok(Source {
            format: "",
            signatures: ends.signatures(&graph, images),
            graphs: graph.into(),
            tag_sets: vec![Vec::new()],
            image_size,
            weights: Box::new(InMemory(self.variables)),
            hub_module: None,
            scores: ends.scores,
            labels: self.labels,
            notes: self.notes,
        })
    }
}

/// `(height, width)` that the attribute [`IMAGE_SIZE`] of the node `images` says.
fn noted_size(graph: &GraphDef, images: &str) -> Option<(usize, usize)> {
    let node = graph.node.iter().find(|node| node.name == images)?;
    let Some(Value::List(sides)) = &node.attr.get(IMAGE_SIZE)?.value else { return None };
    let side = |side: i64| usize::try_from(side).ok().filter(|side| (1..=65536).contains(side));
    match *sides.i.as_slice() {
        [height, width] => Some((side(height)?, side(width)?)),
        _ => None,
    }
}

pub(super) fn no_images(name: &str) -> Error {
    Error::new(ErrorKind::Format, format!("the graph has no input `{name}`"))
}

/// Variables that are in memory.
pub(crate) struct InMemory(pub(crate) BTreeMap<String, Arc<Tensor>>);

impl Weights for InMemory {
    fn read(&self, name: &str) -> Result<Arc<Tensor>> {
        let there = self.0.keys().map(String::as_str);
        self.0.get(name).cloned().ok_or_else(|| crate::module::missing("variable", name, there))
    }

    fn list(&self) -> Vec<(String, Vec<usize>)> {
        self.0.iter().map(|(name, value)| (name.clone(), value.shape().to_vec())).collect()
    }
}

/// The tensors that a hub module's signatures would name.
pub(super) struct Ends {
    /// `[n, classes]`.
    pub(super) classification: Option<TensorId>,
    pub(super) scores: Scores,
    /// `[n, features]`.
    features: Option<TensorId>,
    /// By key.
    others: Vec<(String, TensorId)>,
}

/// Activations of MobileNet V1.
const SLIM_ACTIVATIONS: usize = 27;
/// Ops that only move or name values.
const PASSING: [&str; 5] = ["Identity", "Reshape", "Squeeze", "ExpandDims", "StopGradient"];
/// Ops that round values to those of 8 bits.
const ROUNDING: [&str; 4] =
    ["UniformQuantize", "UniformDequantize", "FakeQuantWithMinMaxArgs", "FakeQuantWithMinMaxVars"];

impl Ends {
    fn find(graph: &mut Graph, images: TensorId, network: &Network) -> Result<Ends> {
        let reachable = downstream(graph, images)?;
        let output = match &network.output {
            Some(name) => graph.tensor(name)?,
            None => last(graph, &reachable)?,
        };
        let softmax = softmax_before(graph, output);
        // Each class by itself: no softmax makes that of scores.
        let sigmoid = found_before(graph, output, "Sigmoid");
        let (scored, scores) = match (softmax, sigmoid) {
            (Some(softmax), _) => (input(graph, softmax), Scores::Logits),
            (None, Some(_)) => (Some(output), Scores::Probabilities),
            (None, None) => (Some(output), network.scores),
        };
        let weighed = sigmoid.map_or(scored, |sigmoid| input(graph, sigmoid));
        let head = weighed.and_then(|weighed| head_before(graph, weighed));
        let mut ends = Ends { classification: None, scores, features: None, others: Vec::new() };
        match &network.points {
            Some(points) => {
                ends.name_points(graph, points)?;
                ends.name_slim_s(graph, &reachable, output);
            }
            None => ends.name_activations(graph, &reachable, output),
        }
        match (scored, head) {
            (Some(scored), Some(head)) => {
                let features = back_over(graph, input(graph, head).unwrap_or(scored), &PASSING);
                ends.features = rows(graph, features, "feature_vector")?;
                ends.classification = rows(graph, scored, "logits")?;
            }
            // Scores all the same, by other means than a product with weights.
            (Some(scored), None) if softmax.or(sigmoid).is_some() => {
                ends.classification = rows(graph, scored, "logits")?;
            }
            _ => ends.features = pooled(graph, output)?,
        }
        if softmax.is_some() {
            let predictions = rows(graph, output, "predictions")?;
            ends.add("MobilenetV1/Predictions", predictions);
        }
        ends.add("MobilenetV1/Logits", ends.classification.filter(|_| scores == Scores::Logits));
        if ends.classification.is_none() && ends.features.is_none() {
            let name = graph.tensor_name(output);
            let shape = &graph.fact(output).shape;
            let message =
                format!("the graph's output `{name}` {shape} is neither scores nor features");
            return Err(Error::new(ErrorKind::Format, message));
        }
        Ok(ends)
    }

    fn add(&mut self, key: &str, tensor: Option<TensorId>) {
        self.others.extend(tensor.map(|tensor| (key.to_owned(), tensor)));
    }

    fn name_points(&mut self, graph: &Graph, points: &[(String, String)]) -> Result<()> {
        for (key, name) in points {
            self.others.push((key.clone(), graph.tensor(name)?));
        }
        Ok(())
    }

    /// The end points of a network of floats that is slim's, besides those the file names.
    fn name_slim_s(&mut self, graph: &Graph, reachable: &[NodeId], output: TensorId) {
        let op = |id: &NodeId| graph.node(*id).op_name.as_str();
        let rounded = reachable.iter().any(|id| ROUNDING.contains(&op(id)));
        let activations = reachable.iter().filter(|id| op(id) == "Relu6").count();
        if !rounded && activations == SLIM_ACTIVATIONS {
            self.name_activations(graph, reachable, output);
        }
    }

    /// End points: slim's names where there are as many activations as MobileNet V1 has, else those
    /// of the nodes.
    fn name_activations(&mut self, graph: &Graph, reachable: &[NodeId], output: TensorId) {
        let needed: HashSet<NodeId> =
            graph.needed(&[output], &[]).unwrap_or_default().into_iter().collect();
        let is_activation = |id: &&NodeId| {
            ["Relu", "Relu6"].contains(&graph.node(**id).op_name.as_str())
                && **id != output.node
                && needed.contains(*id)
        };
        let all: Vec<NodeId> = reachable.iter().filter(is_activation).copied().collect();
        let slim = |place: usize| match (place, place % 2) {
            (0, _) => "MobilenetV1/Conv2d_0".to_owned(),
            (_, 1) => format!("MobilenetV1/Conv2d_{}_depthwise", place.div_ceil(2)),
            _ => format!("MobilenetV1/Conv2d_{}_pointwise", place / 2),
        };
        let named = all.iter().enumerate().map(|(place, &id)| {
            let key = if all.len() == SLIM_ACTIVATIONS {
                slim(place)
            } else {
                graph.node(id).name.clone()
            };
            (key, TensorId::from(id))
        });
        self.others.extend(named);
    }

    fn signatures(&self, graph: &Graph, images: TensorId) -> Vec<Signature> {
        let input = || vec![port(graph, "images", images)];
        let output = |tensor| port(graph, "default", tensor);
        let all = |tensor| {
            let others = self.others.iter().map(|(key, tensor)| port(graph, key, *tensor));
            let mut outputs: Vec<Port> = others.chain([output(tensor)]).collect();
            outputs.sort_by(|a, b| a.key.cmp(&b.key));
            outputs.dedup_by(|a, b| a.key == b.key);
            outputs
        };
        let signature =
            |name: &str, outputs| Signature { name: name.into(), inputs: input(), outputs };
        let default = self.classification.or(self.features);
        let default = default.map(|tensor| signature("default", vec![output(tensor)]));
        let scores = self.classification.map(|t| signature("image_classification", all(t)));
        let features = self.features.map(|t| signature("image_feature_vector", all(t)));
        [default, scores, features].into_iter().flatten().collect()
    }
}

fn port(graph: &Graph, key: &str, tensor: TensorId) -> Port {
    let fact = graph.fact(tensor);
    Port {
        key: key.to_owned(),
        tensor: graph.tensor_name(tensor),
        dtype: fact.dtype.unwrap_or(DType::F32),
        shape: fact.shape.dims().map(<[_]>::to_vec),
    }
}

/// Every node that depends on `images`, inputs first.
fn downstream(graph: &Graph, images: TensorId) -> Result<Vec<NodeId>> {
    let mut seen = HashSet::from([images.node]);
    let mut nodes = Vec::new();
    for id in graph.order()? {
        if graph.node(id).inputs.iter().any(|input| seen.contains(&input.node)) && seen.insert(id) {
            nodes.push(id);
        }
    }
    Ok(nodes)
}

/// The output of the last softmax, else of the last node that nobody uses and that may be an answer.
fn last(graph: &Graph, reachable: &[NodeId]) -> Result<TensorId> {
    let used: HashSet<NodeId> =
        reachable.iter().flat_map(|id| &graph.node(*id).inputs).map(|input| input.node).collect();
    let float = |id: &&NodeId| {
        let fact = graph.node(**id).outputs.first();
        fact.is_some_and(|fact| {
            fact.dtype == Some(DType::F32) && matches!(fact.shape.rank(), Some(2 | 4))
        })
    };
    let softmax = |id: &&NodeId| graph.node(**id).op_name == "Softmax";
    let found = reachable.iter().rev().find(softmax);
    let found =
        found.or_else(|| reachable.iter().rev().filter(float).find(|id| !used.contains(id)));
    found.map(|&id| id.into()).ok_or_else(|| {
        Error::new(
            ErrorKind::Format,
            "nothing in the graph that depends on the images is an answer",
        )
    })
}

fn input(graph: &Graph, id: NodeId) -> Option<TensorId> {
    graph.node(id).inputs.first().copied()
}

/// The tensor behind nodes that only pass it on, rounded or not.
fn skip(graph: &Graph, tensor: TensorId) -> TensorId {
    let all: Vec<&str> = PASSING.iter().chain(&ROUNDING).copied().collect();
    back_over(graph, tensor, &all)
}

/// The tensor behind nodes of some ops.
fn back_over(graph: &Graph, mut tensor: TensorId, ops: &[&str]) -> TensorId {
    while ops.contains(&graph.node(tensor.node).op_name.as_str()) {
        match input(graph, tensor.node) {
            Some(next) => tensor = next,
            None => break,
        }
    }
    tensor
}

fn softmax_before(graph: &Graph, output: TensorId) -> Option<NodeId> {
    found_before(graph, output, "Softmax")
}

/// The node of that op that `output` is made by.
fn found_before(graph: &Graph, output: TensorId, op: &str) -> Option<NodeId> {
    let node = skip(graph, output).node;
    (graph.node(node).op_name == op).then_some(node)
}

/// Whether `output` holds probabilities: of classes that exclude each other, or of each by itself.
pub(super) fn is_probable(graph: &Graph, output: TensorId) -> bool {
    ["Softmax", "Sigmoid"].iter().any(|op| found_before(graph, output, op).is_some())
}

/// The product with weights that `scored` is made by, biases aside, if there is one of features.
fn head_before(graph: &Graph, scored: TensorId) -> Option<NodeId> {
    let mut tensor = skip(graph, scored);
    if ["BiasAdd", "Add", "AddV2"].contains(&graph.node(tensor.node).op_name.as_str()) {
        tensor = skip(graph, input(graph, tensor.node)?);
    }
    let one = |axis| graph.fact(tensor).shape.dim(axis) == Some(1);
    match graph.node(tensor.node).op_name.as_str() {
        "MatMul" => Some(tensor.node),
        "Conv2D" if one(1) && one(2) => Some(tensor.node),
        // Before images of any size have one: the mean over height and width comes first.
        "Conv2D" if is_pooled(graph, skip(graph, input(graph, tensor.node)?)) => Some(tensor.node),
        _ => None,
    }
}

fn is_pooled(graph: &Graph, tensor: TensorId) -> bool {
    ["Mean", "AvgPool"].contains(&graph.node(tensor.node).op_name.as_str())
}

/// `tensor` as `[n, values]`: `[n, 1, 1, values]` is squeezed by a new node.
fn rows(graph: &mut Graph, tensor: TensorId, name: &str) -> Result<Option<TensorId>> {
    match graph.fact(tensor).shape.dims() {
        Some([_, _]) => Ok(Some(tensor)),
        Some([_, Some(1), Some(1), _]) => {
            let attributes =
                Attributes::new().with_dtype("T", DType::F32).with_ints("squeeze_dims", &[1, 2]);
            let name = free_name(graph, &format!("hub_output/{name}/SpatialSqueeze"));
            Ok(Some(graph.add(name, "Squeeze", attributes, &[tensor])?.into()))
        }
        _ => Ok(None),
    }
}

/// The features of a network without a classifier: its output, averaged over height and width.
fn pooled(graph: &mut Graph, output: TensorId) -> Result<Option<TensorId>> {
    if let Some(rows) = rows(graph, output, "feature_vector")? {
        return Ok(Some(rows));
    }
    if graph.fact(output).shape.rank() != Some(4) {
        return Ok(None);
    }
    let axes = Tensor::new([2], vec![1i32, 2])?;
    let attributes = Attributes::new().with_dtype("dtype", DType::I32).with_tensor("value", &axes);
    let name = free_name(graph, "hub_output/feature_vector/axes");
    let axes = graph.add(name, "Const", attributes, &[])?;
    let attributes = Attributes::new().with_dtype("T", DType::F32).with_dtype("Tidx", DType::I32);
    let name = free_name(graph, "hub_output/feature_vector/Mean");
    Ok(Some(graph.add(name, "Mean", attributes, &[output, axes.into()])?.into()))
}

/// `name`, or with a number where a node is called so already.
pub(super) fn free_name(graph: &Graph, name: &str) -> String {
    let numbered = (1..).map(|n| format!("{name}_{n}"));
    std::iter::once(name.to_owned())
        .chain(numbered)
        .find(|name| graph.find(name).is_none())
        .unwrap_or_default()
}

/// What is known of the shape of `tensor`, for messages.
pub(super) fn classes(graph: &Graph, ends: &Ends) -> Option<usize> {
    ends.classification.and_then(|tensor| Shape::last(&graph.fact(tensor).shape))
}
