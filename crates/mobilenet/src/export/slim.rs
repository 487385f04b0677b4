//! A module as the weights of a MobileNet V1 under slim's names: what checkpoints, safetensors and
//! NumPy archives hold, and what a hub module that trains on is made of.
//!
//! Files of constants have batch norm folded into their convolutions. Such a convolution becomes
//! one with a batch norm that changes nothing: scale 1, its bias as the shift, mean 0, and the
//! variance that is 1 once [`BATCH_NORM_EPSILON`] is added. Whatever is not slim's network is
//! refused by node: these formats have no place to say it. Training starts from them too.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use mobilenet_engine::{Graph, Node, NodeId, Shape, TensorId};
use mobilenet_formats::Tensor;
use mobilenet_formats::tensorflow::SavedModel;
use mobilenet_formats::tensorflow::messages::MetaGraphDef;

use crate::builder::{BATCH_NORM_EPSILON, Layer, LayerKind, MobilenetV1, depth_multiplier};
use crate::error::{Error, ErrorKind, Result};
use crate::module::Module;
use crate::normalization::Normalization;
use crate::source::replace_normalization;

/// A MobileNet V1 and its weights.
pub(crate) struct Slim {
    pub(crate) network: MobilenetV1,
    /// By slim's names.
    pub(crate) values: BTreeMap<String, Arc<Tensor>>,
    /// Which values the network wants to see.
    pub(crate) normalization: Normalization,
}

/// Relative difference of weights that float32 rounding of a folded batch norm explains.
const ROUNDING: f32 = 1e-4;

impl Slim {
    /// The weights of `module`: its variables if they are what its graph computes with under slim's
    /// names, else those folded into the graph.
    ///
    /// # Errors
    /// [`ErrorKind::Graph`] for any other network, naming the first node that is not slim's.
    pub(crate) fn of(module: &Module) -> Result<Slim> {
        let chain = Chain::of(module)?;
        let widths = chain.convolutions.iter().filter(|found| found.op == "Conv2D");
        let widths = widths.take(14).filter_map(|found| found.kernel.shape().last().copied());
        let network = MobilenetV1 {
            classes: chain.head.as_ref().map(|head| head.bias.len()),
            ..MobilenetV1::new(depth_multiplier(widths), chain.size)
        };
        let layers = network.layers();
        let found: Vec<&Convolution> = chain.convolutions.iter().chain(&chain.head).collect();
        if found.len() != layers.len() {
            let message =
                format!("{} convolutions where a MobileNet V1 has {}", found.len(), layers.len());
            return Err(Error::new(ErrorKind::Graph, message));
        }
        let mut values = BTreeMap::new();
        for (layer, found) in layers.iter().zip(&found) {
            found.check(layer)?;
            let own = variables(module, layer).filter(|own| folds_to(own, found));
            let own = own.map_or_else(|| found.neutral(layer), Ok)?;
            let names = layer.variables().into_iter().map(|variable| variable.name);
            values.extend(names.zip(own));
        }
        Ok(Slim { network, values, normalization: chain.normalization })
    }

    /// The graphs of the network: for inference, and for training.
    pub(super) fn graphs(&self) -> [MetaGraphDef; 2] {
        let mut graphs = [self.network.inference_graph(), self.network.training_graph()];
        if self.normalization != Normalization::SIGNED {
            let graphs = graphs.iter_mut().filter_map(|graph| graph.graph_def.as_mut());
            graphs.for_each(|graph| replace_normalization(graph, self.normalization));
        }
        graphs
    }

    /// The hub module of these weights: both graphs, every end point, trainable.
    pub(super) fn hub_module(&self) -> SavedModel {
        let mut model = SavedModel::default();
        self.graphs().into_iter().for_each(|graph| model.push_meta_graph(graph));
        for (name, value) in &self.values {
            model.set_variable(name.clone(), (**value).clone());
        }
        model
    }
}

/// The module's own variables of a layer in slim's order, if it has them all in the right shapes.
fn variables(module: &Module, layer: &Layer) -> Option<Vec<Arc<Tensor>>> {
    let all = layer.variables().into_iter().map(|variable| {
        let value = module.variable(&variable.name).ok()?;
        (value.shape() == variable.shape && value.as_f32().is_some()).then_some(value)
    });
    all.collect()
}

/// Whether the graph computes with what slim's batch norm makes of these variables.
fn folds_to(own: &[Arc<Tensor>], found: &Convolution) -> bool {
    let all: Option<Vec<&[f32]>> = own.iter().map(|value| value.as_f32()).collect();
    let (kernel, scale, shift): (&[f32], Vec<f32>, Vec<f32>) = match all.as_deref() {
        Some(&[kernel, gamma, beta, mean, variance]) => {
            let deviations = variance.iter().map(|by| (by + BATCH_NORM_EPSILON).sqrt());
            let scale: Vec<f32> = gamma.iter().zip(deviations).map(|(g, by)| g / by).collect();
            let moved = beta.iter().zip(mean.iter().zip(&scale));
            (
                kernel,
                scale.clone(),
                moved.map(|(beta, (mean, scale))| beta - mean * scale).collect(),
            )
        }
        Some(&[kernel, bias]) => (kernel, vec![1.0; bias.len()], bias.to_vec()),
        _ => return false,
    };
    let near = |a: f32, b: f32, most: f32| (a - b).abs() <= ROUNDING * most.max(1e-6);
    let most = |values: &[f32]| values.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    let (Some(folded), Some(bias)) = (found.kernel.as_f32(), found.bias.as_f32()) else {
        return false;
    };
    // Channels are the fastest axis; of depthwise kernels all but one that is 1 long.
    let (most_kernel, most_bias) = (most(folded), most(bias));
    let scales = scale.iter().cycle();
    let kernels = folded.len() == kernel.len()
        && folded
            .iter()
            .zip(kernel.iter().zip(scales))
            .all(|(folded, (kernel, scale))| near(*folded, kernel * scale, most_kernel));
    kernels && bias.iter().zip(&shift).all(|(bias, shift)| near(*bias, *shift, most_bias))
}

/// A convolution, its bias and its activation, as [`mobilenet_engine::freeze`] leaves them.
struct Convolution {
    name: String,
    op: String,
    kernel: Tensor,
    bias: Tensor,
    strides: Vec<i64>,
    dilations: Vec<i64>,
    padding: String,
    /// The op after it.
    activation: String,
}

impl Convolution {
    /// Refuses what `layer` of slim's network is not.
    fn check(&self, layer: &Layer) -> Result<()> {
        let stride = layer.stride as i64;
        let (op, activation) = match layer.kind {
            LayerKind::Depthwise => ("DepthwiseConv2dNative", "Relu6"),
            LayerKind::Classifier => (self.op.as_str(), ""),
            LayerKind::Convolution | LayerKind::Pointwise => ("Conv2D", "Relu6"),
        };
        let place = format!("`{}` ({}), slim's `{}`", self.name, self.op, layer.name);
        let kernel = layer.kernel_shape();
        let shape = match (self.op.as_str(), self.kernel.shape()) {
            ("MatMul", &[inputs, outputs]) => vec![1, 1, inputs, outputs],
            (_, shape) => shape.to_vec(),
        };
        let unlike = |what: &str, has: String, wants: String| {
            Err(not_slim(&format!("{place}: its {what} is {has}, not {wants}")))
        };
        if self.op != op {
            return unlike("op", self.op.clone(), op.to_owned());
        }
        if shape != kernel {
            return unlike("kernel", format!("{shape:?}"), format!("{kernel:?}"));
        }
        if self.activation != activation {
            return unlike(
                "activation",
                format!("`{}`", self.activation),
                format!("`{activation}`"),
            );
        }
        if layer.kind == LayerKind::Classifier {
            return Ok(());
        }
        if self.strides != [1, stride, stride, 1] || self.dilations != [1; 4] {
            let has = format!("{:?}, dilated by {:?}", self.strides, self.dilations);
            return unlike("stride", has, stride.to_string());
        }
        match self.padding.as_str() {
            "SAME" => Ok(()),
            _ => {
                let wants =
                    "SAME: use weights trained with SAME borders, such as slim's or Keras's";
                unlike("padding", self.padding.clone(), wants.to_owned())
            }
        }
    }

    /// Its values in the order of slim's variables, with a batch norm that changes nothing.
    fn neutral(&self, layer: &Layer) -> Result<Vec<Arc<Tensor>>> {
        let kernel = self.kernel.clone().reshape(layer.kernel_shape())?;
        let constant = |value: f32| Tensor::vector(vec![value; self.bias.len()]);
        let own = match layer.kind {
            LayerKind::Classifier => vec![kernel, self.bias.clone()],
            _ => {
                let variance = constant(1.0 - BATCH_NORM_EPSILON);
                vec![kernel, constant(1.0), self.bias.clone(), constant(0.0), variance]
            }
        };
        Ok(own.into_iter().map(Arc::new).collect())
    }
}

/// A network of one branch, from images to logits or features.
struct Chain {
    size: [usize; 2],
    normalization: Normalization,
    /// Those before the global pool.
    convolutions: Vec<Convolution>,
    /// The one after it.
    head: Option<Convolution>,
}

fn not_slim(what: &str) -> Error {
    Error::new(ErrorKind::Graph, what)
}

impl Chain {
    fn of(module: &Module) -> Result<Chain> {
        let signature = module.signature(module.first_signature()?)?;
        let images = signature.inputs.iter().find(|port| port.key == "images");
        let (Some(images), Some(output)) = (images, signature.output("default")) else {
            return Err(not_slim("the module takes no images, or has no default output"));
        };
        let (height, width) = module.expected_image_size()?;
        let shape = Shape::new(vec![None, Some(height), Some(width), Some(3)]);
        let graph = module.frozen((&images.tensor, shape), &output.tensor).map_err(|error| {
            let text = format!("the graph cannot be folded into convolutions: {error}");
            Error::because(ErrorKind::Graph, text, error)
        })?;
        let start = graph.tensor(&images.tensor)?;
        Walk::new(&graph, start).chain([height, width])
    }
}

/// Where in the frozen graph a walk from the images is.
struct Walk<'a> {
    graph: &'a Graph,
    users: HashMap<NodeId, Vec<NodeId>>,
    at: TensorId,
}

impl<'a> Walk<'a> {
    fn new(graph: &'a Graph, at: TensorId) -> Self {
        let mut users: HashMap<NodeId, Vec<NodeId>> = HashMap::new();
        for (id, node) in graph.nodes() {
            node.inputs.iter().for_each(|input| users.entry(input.node).or_default().push(id));
        }
        Walk { graph, users, at }
    }

    /// The only node that uses what is here; `None` at the end.
    fn peek(&self) -> Result<Option<NodeId>> {
        match self.users.get(&self.at.node).map(Vec::as_slice) {
            None | Some([]) => Ok(None),
            Some(&[next]) => Ok(Some(next)),
            Some(_) => Err(not_slim(&format!("{} has two branches", self.describe(self.at.node)))),
        }
    }

    /// A node, for messages.
    fn describe(&self, id: NodeId) -> String {
        let node = self.graph.node(id);
        format!("`{}` ({})", node.name, node.op_name)
    }

    /// Steps to the next node if it is one of `ops`.
    fn step(&mut self, ops: &[&str]) -> Result<Option<&'a Node>> {
        let Some(id) = self.peek()? else { return Ok(None) };
        let node = self.graph.node(id);
        if !ops.contains(&node.op_name.as_str()) {
            return Ok(None);
        }
        self.at = id.into();
        Ok(Some(node))
    }

    /// The constant that `node` takes as its input `place`.
    fn constant(&self, node: &Node, place: usize) -> Result<Tensor> {
        let input = node.inputs.get(place).map(|input| self.graph.node(input.node));
        match input.filter(|input| input.op_name == "Const") {
            Some(constant) => Ok(constant.attributes.tensor("value")?),
            None => {
                let node = format!("`{}` ({})", node.name, node.op_name);
                Err(not_slim(&format!("{node} takes no constant as its input {place}")))
            }
        }
    }

    fn chain(mut self, size: [usize; 2]) -> Result<Chain> {
        let normalization = self.normalization()?;
        let mut convolutions = Vec::new();
        while let Some(found) = self.convolution(&["Conv2D", "DepthwiseConv2dNative"])? {
            convolutions.push(found);
        }
        self.pool()?;
        let head = self.convolution(&["Conv2D", "MatMul"])?;
        while self.step(&["Reshape", "Squeeze", "Identity", "Softmax"])?.is_some() {}
        match self.peek()? {
            None => Ok(Chain { size, normalization, convolutions, head }),
            Some(id) => Err(not_slim(&format!("{} behind the logits", self.describe(id)))),
        }
    }

    /// The affine of the images in front of the first convolution.
    fn normalization(&mut self) -> Result<Normalization> {
        let (mut scale, mut offset) = ([1.0f64; 3], [0.0f64; 3]);
        while let Some(node) = self.step(&["Mul", "Sub", "Identity"])? {
            if node.op_name == "Identity" {
                continue;
            }
            let value = self.constant(node, 1)?;
            let by: [f64; 3] = match value.as_f32() {
                Some(&[all]) => [f64::from(all); 3],
                Some(&[red, green, blue]) => [red, green, blue].map(f64::from),
                _ => {
                    let place = self.describe(self.at.node);
                    return Err(not_slim(&format!("{place} of {:?} values", value.shape())));
                }
            };
            for ((scale, offset), by) in scale.iter_mut().zip(&mut offset).zip(by) {
                match node.op_name.as_str() {
                    "Mul" => (*scale, *offset) = (*scale * by, *offset * by),
                    _ => *offset += by,
                }
            }
        }
        Normalization::from_affine(scale, offset)
    }

    fn convolution(&mut self, ops: &[&str]) -> Result<Option<Convolution>> {
        let Some(node) = self.step(ops)? else { return Ok(None) };
        let kernel = self.constant(node, 1)?;
        let Some(sum) = self.step(&["BiasAdd"])? else {
            return Err(not_slim(&format!("{} has no bias", self.describe(self.at.node))));
        };
        let bias = self.constant(sum, 1)?;
        let activation = self.step(&["Relu6", "Relu"])?;
        let ints = |name: &str, default: &[i64]| -> Result<Vec<i64>> {
            let found = node.attributes.ints(name)?;
            Ok(if found.is_empty() { default.to_vec() } else { found })
        };
        let padding = match node.attributes.string("padding", "SAME")?.as_str() {
            "EXPLICIT" => format!("{:?}", node.attributes.ints("explicit_paddings")?),
            padding => padding.to_owned(),
        };
        Ok(Some(Convolution {
            name: node.name.clone(),
            op: node.op_name.clone(),
            kernel,
            bias,
            strides: ints("strides", &[1; 4])?,
            dilations: ints("dilations", &[1; 4])?,
            padding,
            activation: activation.map(|node| node.op_name.clone()).unwrap_or_default(),
        }))
    }

    /// The mean over height and width.
    fn pool(&mut self) -> Result<()> {
        let before = self.at;
        let Some(node) = self.step(&["Mean", "AvgPool"])? else {
            let next = self.peek()?.map_or("nothing".to_owned(), |id| self.describe(id));
            return Err(not_slim(&format!("{next} where the global mean is expected")));
        };
        let shape = &self.graph.fact(before).shape;
        let whole = match node.op_name.as_str() {
            "AvgPool" => {
                let sides =
                    [1, 2].map(|axis| shape.dim(axis).and_then(|side| i64::try_from(side).ok()));
                match (node.attributes.ints("ksize")?.as_slice(), sides) {
                    (&[1, height, width, 1], [Some(rows), Some(columns)]) => {
                        height == rows && width == columns
                    }
                    _ => false,
                }
            }
            _ => self.means(node)? == [1, 2],
        };
        if !whole {
            let place = self.describe(self.at.node);
            return Err(not_slim(&format!("{place} is no mean over height and width")));
        }
        while self.step(&["Reshape", "Squeeze", "Identity"])?.is_some() {}
        Ok(())
    }

    /// The axes of an image that `mean`, and the means that follow it, are over.
    fn means(&mut self, mean: &'a Node) -> Result<Vec<i64>> {
        let (mut all, mut next) = (Vec::new(), Some(mean));
        while let Some(mean) = next {
            let kept = mean.attributes.bool("keep_dims", false)?;
            let axes = self.constant(mean, 1)?;
            for &axis in axes.as_i32().unwrap_or_default() {
                let gone = if kept { 0 } else { all.len() as i64 };
                let axis = i64::from(axis) + if axis < 0 { 4 - gone } else { 0 };
                // Rows that are gone move columns to their place.
                all.push(if !kept && axis == 1 && all == [1] { 2 } else { axis });
            }
            next = if all.len() < 2 { self.step(&["Mean"])? } else { None };
        }
        all.sort_unstable();
        Ok(all)
    }
}
