//! The network of floats with everything rounded that 8 bits will round: `FakeQuant…` nodes on
//! weights, each output channel with its own range, and on what is computed, with ranges that
//! calibration found. Weights and biases are variables, to be trained so, or constants.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use mobilenet_engine::{Attributes, Graph, Node, NodeId, Shape, TensorId};
use mobilenet_formats::{DType, Tensor};

use super::RangeMethod;
use super::calibrate::Calibration;
use super::insert::{PRODUCTS, Places, rounding_errors};
use crate::error::{Error, ErrorKind, Result};
use crate::export::Bare;

/// Values by name.
pub(crate) type Values = BTreeMap<String, Arc<Tensor>>;

/// A network that rounds as 8 bits will.
#[derive(Clone, Debug)]
pub(crate) struct Simulation {
    pub(crate) graph: Graph,
    /// The tensor of images.
    pub(crate) images: String,
    /// The tensor of logits, `[n, classes]`.
    pub(crate) logits: String,
    /// What the mean over the image is, `[n, 1, 1, channels]`, if there is one.
    pub(crate) features: Option<String>,
    /// Weights and biases, by the names of their variables.
    pub(crate) variables: Values,
}

/// `bare`, calibrated and rounded. With `values`, weights and biases are these, as constants;
/// without, they are variables.
pub(crate) fn simulate(
    bare: &Bare,
    places: &Places,
    calibration: &Calibration,
    ranges: RangeMethod,
    values: Option<&Values>,
) -> Result<Simulation> {
    let (new, made) = (Graph::new(), HashMap::new());
    let variables = Values::new();
    let mut writer = Writer { old: &bare.graph, calibration, new, made, values, variables };
    let images = bare.graph.tensor(&bare.images)?;
    writer.copy(images.node, None)?;
    let softmax = bare.graph.tensor(&bare.output)?;
    let (mut logits, mut features) = (None, None);
    for (id, rounds) in places.nodes() {
        let tensor = TensorId::from(id);
        let node = bare.graph.node(id);
        if tensor == softmax && node.op_name == "Softmax" {
            logits = node.inputs.first().and_then(|input| writer.made.get(input)).copied();
            break;
        }
        if writer.made.contains_key(&tensor) {
            continue;
        }
        let range = rounds.then(|| calibration.range(tensor, ranges)).transpose()?;
        let made = writer.copy(id, range)?;
        if node.op_name == "Mean" {
            features = Some(writer.new.tensor_name(made));
        }
    }
    let logits = logits.ok_or_else(|| {
        let message = "only a network that classifies can learn from its own answers";
        Error::new(ErrorKind::Training, message)
    })?;
    Ok(Simulation {
        images: bare.images.clone(),
        logits: writer.new.tensor_name(logits),
        features,
        graph: writer.new,
        variables: writer.variables,
    })
}

struct Writer<'a> {
    old: &'a Graph,
    calibration: &'a Calibration,
    new: Graph,
    /// Tensors of the old graph in the new one, rounded where they are.
    made: HashMap<TensorId, TensorId>,
    values: Option<&'a Values>,
    variables: Values,
}

fn float() -> Attributes {
    Attributes::new().with_dtype("T", DType::F32)
}

impl Writer<'_> {
    /// Copies a node, and rounds what it computes to `range`.
    fn copy(&mut self, id: NodeId, range: Option<(f64, f64)>) -> Result<TensorId> {
        let old = self.old;
        let node = old.node(id);
        let product = PRODUCTS.contains(&node.op_name.as_str());
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for (place, &input) in node.inputs.iter().enumerate() {
            inputs.push(match self.made.get(&input) {
                Some(&made) => made,
                None if product && place == 1 => self.weights(node, input)?,
                None if node.op_name == "BiasAdd" && place == 1 => self.bias(node, input)?,
                None => self.constant(input)?,
            });
        }
        let mut add = |name: &str| {
            self.new.add(name, &node.op_name, node.attributes.clone(), &inputs).map(TensorId::from)
        };
        let made = match range {
            None => add(&node.name)?,
            Some((low, high)) => {
                let real = add(&format!("{}/real", node.name))?;
                let ends = [("min", low), ("max", high)].map(|(end, value)| {
                    let value = Tensor::new([], vec![value as f32])?;
                    self.add_constant(&format!("{}/{end}", node.name), &value)
                });
                let [min, max] = ends;
                let op = "FakeQuantWithMinMaxVars";
                self.new.add(node.name.clone(), op, bits(false), &[real, min?, max?])?.into()
            }
        };
        self.made.insert(id.into(), made);
        Ok(made)
    }

    fn add_constant(&mut self, name: &str, value: &Tensor) -> Result<TensorId> {
        let attributes =
            Attributes::new().with_dtype("dtype", value.dtype()).with_tensor("value", value);
        Ok(self.new.add(name, "Const", attributes, &[])?.into())
    }

    fn constant(&mut self, tensor: TensorId) -> Result<TensorId> {
        let node = self.old.node(tensor.node);
        let made = self.new.add(node.name.clone(), &node.op_name, node.attributes.clone(), &[])?;
        self.made.insert(tensor, made.into());
        Ok(made.into())
    }

    /// A constant that is learnt, from `first` on.
    fn learnt(&mut self, tensor: TensorId, first: Tensor) -> Result<TensorId> {
        let name = &self.old.node(tensor.node).name;
        if let Some(values) = self.values {
            let learnt = values.get(name).filter(|learnt| learnt.shape() == first.shape());
            let learnt = learnt.ok_or_else(|| {
                Error::new(ErrorKind::Training, format!("no value of {name:?} was learnt"))
            })?;
            return self.add_constant(name, learnt);
        }
        let shape = Shape::known(first.shape());
        let dtype = || Attributes::new().with_dtype("dtype", DType::F32);
        let attributes = dtype().with_shape("shape", &shape).with_string("shared_name", name);
        let handle = self.new.add(name.clone(), "VarHandleOp", attributes, &[])?;
        let read = format!("{name}/Read/ReadVariableOp");
        let read = self.new.add(read, "ReadVariableOp", dtype(), &[handle.into()])?;
        self.variables.insert(name.clone(), Arc::new(first));
        Ok(read.into())
    }

    /// A bias, which starts moved by what rounding the weights before it changes on average.
    fn bias(&mut self, sum: &Node, bias: TensorId) -> Result<TensorId> {
        let value = self.old.node(bias.node).attributes.tensor("value")?;
        let product = sum.inputs.first().map(|input| self.old.node(input.node));
        let product = product.filter(|product| PRODUCTS.contains(&product.op_name.as_str()));
        let Some(&[x, weights]) = product.map(|product| product.inputs.as_slice()) else {
            return self.learnt(bias, value);
        };
        let depthwise = product.is_some_and(|node| node.op_name == "DepthwiseConv2dNative");
        let kernel = self.old.node(weights.node).attributes.tensor("value")?;
        let outputs = value.shape().first().copied().unwrap_or(1).max(1);
        let values = kernel.as_f32().unwrap_or_default();
        let largest = largest(values, outputs);
        let rounded = values.iter().enumerate().map(|(i, &value)| {
            let scale = (f64::from(largest[i % outputs]) / 127.0).max(f64::MIN_POSITIVE);
            (f64::from(value) / scale).round() * scale
        });
        let rounded: Vec<f64> = rounded.collect();
        let layout = (kernel.shape(), outputs, depthwise);
        let errors = rounding_errors(values, &rounded, layout, &self.calibration.means(x)?);
        let moved = value.as_f32().unwrap_or_default().iter().zip(errors);
        let moved: Vec<f32> = moved.map(|(bias, off)| (f64::from(*bias) + off) as f32).collect();
        self.learnt(bias, Tensor::new(value.shape().to_vec(), moved)?)
    }

    /// Weights, rounded: each output channel to 255 values around 0.
    fn weights(&mut self, product: &Node, weights: TensorId) -> Result<TensorId> {
        let name = self.old.node(weights.node).name.clone();
        let shape =
            self.old.fact(weights).shape.concrete().ok_or_else(|| {
                Error::new(ErrorKind::Graph, format!("`{name}` has no known shape"))
            })?;
        let first = self.old.node(weights.node).attributes.tensor("value")?;
        let raw = self.learnt(weights, first)?;
        let depthwise = product.op_name == "DepthwiseConv2dNative";
        // What has an output channel of its own comes last.
        let outputs = match shape.as_slice() {
            &[.., inner, multiplier] if depthwise => inner * multiplier,
            &[.., outputs] => outputs,
            [] => 1,
        };
        let rows = shape.iter().product::<usize>() / outputs.max(1);
        let flat = self.reshape(&format!("{name}/channels"), raw, &[rows, outputs])?;
        let [low, high] = match self.values.and_then(|values| values.get(&name)) {
            Some(value) => {
                let largest = largest(value.as_f32().unwrap_or_default(), outputs);
                let ends = [-1.0f32, 1.0]
                    .map(|sign| largest.iter().map(|value| sign * value).collect::<Vec<f32>>());
                let [low, high] = ends.map(|end| Tensor::new([outputs], end));
                [
                    self.add_constant(&format!("{name}/min"), &low?)?,
                    self.add_constant(&format!("{name}/max"), &high?)?,
                ]
            }
            None => self.ends(&name, flat)?,
        };
        let op = "FakeQuantWithMinMaxVarsPerChannel";
        let rounded = format!("{name}/rounded");
        let rounded = self.new.add(rounded, op, bits(true), &[flat, low, high])?;
        self.reshape(&format!("{name}/kernel"), rounded.into(), &shape)
    }

    fn reshape(&mut self, name: &str, x: TensorId, shape: &[usize]) -> Result<TensorId> {
        let dims: Vec<i32> =
            shape.iter().map(|&dim| i32::try_from(dim).unwrap_or(i32::MAX)).collect();
        let dims =
            self.add_constant(&format!("{name}/shape"), &Tensor::new([dims.len()], dims)?)?;
        let attributes = float().with_dtype("Tshape", DType::I32);
        Ok(self.new.add(name, "Reshape", attributes, &[x, dims])?.into())
    }

    /// The largest magnitude of each column as a range, through which no slope goes.
    fn ends(&mut self, name: &str, flat: TensorId) -> Result<[TensorId; 2]> {
        let axes = Tensor::new([1], vec![0i32])?;
        let axes = self.add_constant(&format!("{name}/axes"), &axes)?;
        let add = |graph: &mut Graph, suffix: &str, op: &str, inputs: &[TensorId]| {
            let attributes = match op {
                "Max" => float().with_dtype("Tidx", DType::I32).with_bool("keep_dims", false),
                _ => float(),
            };
            graph.add(format!("{name}/{suffix}"), op, attributes, inputs).map(TensorId::from)
        };
        let graph = &mut self.new;
        let negative = add(graph, "negative", "Neg", &[flat])?;
        let most = add(graph, "most", "Max", &[flat, axes])?;
        let least = add(graph, "least", "Max", &[negative, axes])?;
        let largest = add(graph, "largest", "Maximum", &[most, least])?;
        let high = add(graph, "max", "StopGradient", &[largest])?;
        Ok([add(graph, "min", "Neg", &[high])?, high])
    }
}

/// The largest magnitude of each output channel.
fn largest(values: &[f32], outputs: usize) -> Vec<f32> {
    let mut largest = vec![0.0f32; outputs];
    for (i, value) in values.iter().enumerate() {
        largest[i % outputs] = largest[i % outputs].max(value.abs());
    }
    largest
}

fn bits(narrow: bool) -> Attributes {
    Attributes::new().with_int("num_bits", 8).with_bool("narrow_range", narrow)
}
