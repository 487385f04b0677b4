//! A configuration of Keras's as a graph: each layer is one line in [`LAYERS`], and what it reads is
//! in its `inbound_nodes`, which Keras 2 writes as lists of names and Keras 3 as serialised tensors.
//! A sequence of layers has none. Weights become constants.

use std::collections::HashMap;

use mobilenet_engine::{Attributes, Graph, Shape, TensorId};
use mobilenet_formats::tensorflow::messages::GraphDef;
use mobilenet_formats::{DType, Tensor};
use serde_json::Value;

use super::super::network::free_name;
use super::super::slim::Tensors;
use crate::error::{Error, ErrorKind, Result};

/// What adds a layer to the graph.
type Write = fn(&mut Layer<'_>) -> Result<TensorId>;

/// Every layer that is read.
const LAYERS: &[(&str, Write)] = &[
    ("Activation", |layer| {
        let x = layer.input(0)?;
        layer.activation(x)
    }),
    ("Add", add),
    ("AveragePooling2D", |layer| pool(layer, "AvgPool")),
    ("BatchNormalization", batch_norm),
    ("Conv2D", |layer| convolution(layer, "Conv2D", "kernel")),
    ("Dense", dense),
    ("DepthwiseConv2D", |layer| convolution(layer, "DepthwiseConv2dNative", "depthwise_kernel")),
    ("Dropout", |layer| layer.input(0)),
    ("Flatten", |layer| reshape(layer, vec![-1])),
    ("GlobalAveragePooling2D", |layer| reduce(layer, "Mean")),
    ("GlobalMaxPooling2D", |layer| reduce(layer, "Max")),
    ("InputLayer", images),
    ("MaxPooling2D", |layer| pool(layer, "MaxPool")),
    ("ReLU", relu),
    ("Rescaling", rescaling),
    ("Reshape", |layer| {
        let shape = layer.integers("target_shape")?;
        reshape(layer, shape)
    }),
    ("Softmax", |layer| layer.unary("Softmax")),
    ("SpatialDropout2D", |layer| layer.input(0)),
    ("ZeroPadding2D", zero_padding),
];

/// The layers of a model's configuration.
pub(super) fn of(config: &Value) -> Vec<&Value> {
    let layers = config.get("config").unwrap_or(config);
    layers["layers"].as_array().map(|layers| layers.iter().collect()).unwrap_or_default()
}

pub(super) fn class(layer: &Value) -> &str {
    layer["class_name"].as_str().unwrap_or_default()
}

pub(super) fn config(layer: &Value) -> &Value {
    layer.get("config").unwrap_or(layer)
}

pub(super) fn name(layer: &Value) -> &str {
    config(layer)["name"].as_str().or_else(|| layer["name"].as_str()).unwrap_or_default()
}

/// The shape of an input layer; `None` for sides that it leaves open.
pub(super) fn input_shape(layer: &Value) -> Option<Vec<Option<usize>>> {
    let config = config(layer);
    let shape = config.get("batch_input_shape").or_else(|| config.get("batch_shape"))?;
    let side = |side: &Value| side.as_u64().and_then(|side| usize::try_from(side).ok());
    Some(shape.as_array()?.iter().map(side).collect())
}

/// The graph of these layers, the node that takes images, and the tensor that the model gives.
pub(super) fn graph(
    model: &Value,
    layers: &[&Value],
    weights: &Tensors,
) -> Result<(GraphDef, String, String)> {
    let mut graph = Graph::new();
    let mut made: HashMap<&str, TensorId> = HashMap::new();
    let (mut images, mut last) = (None, None);
    for json in layers {
        let (class, name) = (class(json), name(json));
        let write = LAYERS.iter().find(|(known, _)| *known == class).map(|(_, write)| write);
        let at = |error: Error| {
            let message = format!("layer `{name}` ({class}): {error}");
            Error::because(error.kind(), message, error)
        };
        let write = write.ok_or_else(|| at(unsupported("this layer is not supported")))?;
        let inputs = inputs(json, &made, last).map_err(at)?;
        let config = config(json);
        let mut layer = Layer { graph: &mut graph, name, config, weights, inputs };
        let output = write(&mut layer).map_err(at)?;
        if class == "InputLayer" && images.replace(output).is_some() {
            return Err(at(unsupported("a second input")));
        }
        if made.insert(name, output).is_some() {
            return Err(at(unsupported("two layers of one name")));
        }
        last = Some(output);
    }
    let mut given = Vec::new();
    histories(&config(model)["output_layers"], &mut given);
    let output = match given.as_slice() {
        [] => last,
        [(name, _), ..] => made.get(name).copied(),
    };
    let (Some(images), Some(output)) = (images, output) else {
        return Err(unsupported(
            "the model has no input layer, or its output is none of its layers",
        ));
    };
    let images = graph.node(images.node).name.clone();
    Ok((graph.to_graph_def(), images, graph.tensor_name(output)))
}

/// The tensors that a layer reads: those of its only call, or that of the layer before.
fn inputs(
    layer: &Value,
    made: &HashMap<&str, TensorId>,
    last: Option<TensorId>,
) -> Result<Vec<TensorId>> {
    let calls = layer["inbound_nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut read = Vec::new();
    match calls {
        [] => return Ok(last.into_iter().collect()),
        [call] => histories(call, &mut read),
        _ => return Err(unsupported("a layer that is called more than once")),
    }
    let tensor = |(name, call): (&str, u64)| match (made.get(name), call) {
        (Some(&tensor), 0) => Ok(tensor),
        _ => Err(unsupported(format!("its input `{name}` is not computed before it"))),
    };
    read.into_iter().map(tensor).collect()
}

/// Every `["layer", call, output, …]` in `value`: the layer and which of its calls.
fn histories<'a>(value: &'a Value, found: &mut Vec<(&'a str, u64)>) {
    match value {
        Value::Array(items) => match items.as_slice() {
            [Value::String(name), Value::Number(call), Value::Number(_), ..] => {
                found.push((name, call.as_u64().unwrap_or(u64::MAX)));
            }
            items => items.iter().for_each(|item| histories(item, found)),
        },
        Value::Object(fields) => fields.values().for_each(|field| histories(field, found)),
        _ => {}
    }
}

fn unsupported(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Format, message)
}

fn float() -> Attributes {
    Attributes::new().with_dtype("T", DType::F32)
}

/// A layer on its way into the graph. Its nodes are called as TensorFlow calls them: `Conv1/Conv2D`.
struct Layer<'a> {
    graph: &'a mut Graph,
    name: &'a str,
    config: &'a Value,
    weights: &'a Tensors,
    inputs: Vec<TensorId>,
}

impl Layer<'_> {
    fn input(&self, place: usize) -> Result<TensorId> {
        let input = self.inputs.get(place).copied();
        input.ok_or_else(|| unsupported(format!("its input {place} is missing")))
    }

    /// Adds a node under a free name like `op`.
    fn add(&mut self, op: &str, attributes: Attributes, inputs: &[TensorId]) -> Result<TensorId> {
        self.node(op, op, attributes, inputs)
    }

    fn node(
        &mut self,
        name: &str,
        op: &str,
        attributes: Attributes,
        inputs: &[TensorId],
    ) -> Result<TensorId> {
        let name = free_name(self.graph, &format!("{}/{name}", self.name.replace(':', "_")));
        Ok(self.graph.add(name, op, attributes, inputs)?.into())
    }

    fn constant(&mut self, name: &str, value: &Tensor) -> Result<TensorId> {
        let attributes =
            Attributes::new().with_dtype("dtype", value.dtype()).with_tensor("value", value);
        self.node(name, "Const", attributes, &[])
    }

    fn unary(&mut self, op: &str) -> Result<TensorId> {
        let x = self.input(0)?;
        self.add(op, float(), &[x])
    }

    /// A weight, as the file holds it.
    fn weight(&self, part: &str) -> Result<&Tensor> {
        let name = format!("{}/{part}", self.name);
        let value = self.weights.get(&name).filter(|value| value.as_f32().is_some());
        value.ok_or_else(|| unsupported(format!("the file has no weights `{name}` of float32")))
    }

    fn weights(&mut self, part: &str) -> Result<TensorId> {
        let value = self.weight(part)?.clone();
        self.constant(part, &value)
    }

    /// Whether the configuration says so; what it leaves out is so.
    fn is(&self, key: &str) -> bool {
        self.config[key] != false
    }

    fn integers(&self, key: &str) -> Result<Vec<i64>> {
        let items = self.config[key].as_array();
        let all = items.and_then(|items| items.iter().map(Value::as_i64).collect());
        all.ok_or_else(|| unsupported(format!("{key} {}", self.config[key])))
    }

    /// `[1, height, width, 1]` of a pair; 1 where there is none.
    fn over_image(&self, key: &str) -> Result<[i64; 4]> {
        match self.config[key] {
            Value::Null => Ok([1; 4]),
            _ => match self.integers(key)?.as_slice() {
                &[height, width] => Ok([1, height, width, 1]),
                other => Err(unsupported(format!("{key} {other:?}"))),
            },
        }
    }

    /// Strides and padding.
    fn window(&self) -> Result<Attributes> {
        match self.config["data_format"].as_str() {
            None | Some("channels_last") => {}
            Some(other) => return Err(unsupported(format!("data_format {other}"))),
        }
        let padding = match self.config["padding"].as_str() {
            Some("same") => "SAME",
            Some("valid") | None => "VALID",
            Some(other) => return Err(unsupported(format!("padding {other}"))),
        };
        let strides = self.over_image("strides")?;
        Ok(float().with_ints("strides", &strides).with_string("padding", padding))
    }

    /// `x` with the layer's bias and activation.
    fn finished(&mut self, mut x: TensorId) -> Result<TensorId> {
        if self.is("use_bias") {
            let bias = self.weights("bias")?;
            x = self.add("BiasAdd", float(), &[x, bias])?;
        }
        self.activation(x)
    }

    fn activation(&mut self, x: TensorId) -> Result<TensorId> {
        let op = match self.config.get("activation").map(Value::as_str) {
            None | Some(Some("linear")) => return Ok(x),
            Some(Some("relu")) => "Relu",
            Some(Some("relu6")) => "Relu6",
            Some(Some("softmax")) => "Softmax",
            _ => return Err(unsupported(format!("activation {}", self.config["activation"]))),
        };
        self.add(op, float(), &[x])
    }
}

fn images(layer: &mut Layer<'_>) -> Result<TensorId> {
    let shape = input_shape(layer.config);
    let Some(&[_, height, width, Some(3)]) = shape.as_deref() else {
        return Err(unsupported(format!("its shape {shape:?} is not that of colour images")));
    };
    let shape = Shape::new(vec![None, height, width, Some(3)]);
    let attributes = Attributes::new().with_dtype("dtype", DType::F32).with_shape("shape", &shape);
    Ok(layer.graph.add(layer.name.replace(':', "_"), "Placeholder", attributes, &[])?.into())
}

fn add(layer: &mut Layer<'_>) -> Result<TensorId> {
    let mut sum = layer.input(0)?;
    for (place, input) in layer.inputs.clone().into_iter().enumerate().skip(1) {
        sum = layer.node(&format!("AddV2_{place}"), "AddV2", float(), &[sum, input])?;
    }
    Ok(sum)
}

fn convolution(layer: &mut Layer<'_>, op: &str, kernel: &str) -> Result<TensorId> {
    let groups = layer.config["groups"].as_i64().unwrap_or(1);
    if groups != 1 {
        return Err(unsupported(format!("groups {groups}")));
    }
    let dilations = layer.over_image("dilation_rate")?;
    let attributes = layer.window()?.with_ints("dilations", &dilations);
    let (x, kernel) = (layer.input(0)?, layer.weights(kernel)?);
    let y = layer.add(op, attributes, &[x, kernel])?;
    layer.finished(y)
}

fn dense(layer: &mut Layer<'_>) -> Result<TensorId> {
    let (x, kernel) = (layer.input(0)?, layer.weights("kernel")?);
    let y = layer.add("MatMul", float(), &[x, kernel])?;
    layer.finished(y)
}

fn batch_norm(layer: &mut Layer<'_>) -> Result<TensorId> {
    let axis = &layer.config["axis"];
    let axis = axis.get(0).unwrap_or(axis);
    if !axis.is_null() && ![Some(3), Some(-1)].contains(&axis.as_i64()) {
        return Err(unsupported(format!("axis {axis}")));
    }
    let channels = layer.weight("moving_mean")?.len();
    let mut inputs = vec![layer.input(0)?];
    for (part, key, otherwise) in [("gamma", "scale", 1.0f32), ("beta", "center", 0.0)] {
        inputs.push(match layer.is(key) {
            true => layer.weights(part)?,
            false => layer.constant(part, &Tensor::vector(vec![otherwise; channels]))?,
        });
    }
    inputs.push(layer.weights("moving_mean")?);
    inputs.push(layer.weights("moving_variance")?);
    let epsilon = layer.config["epsilon"].as_f64().unwrap_or(1e-3);
    let attributes = float()
        .with_dtype("U", DType::F32)
        .with_float("epsilon", epsilon as f32)
        .with_bool("is_training", false);
    layer.add("FusedBatchNormV3", attributes, &inputs)
}

fn relu(layer: &mut Layer<'_>) -> Result<TensorId> {
    for key in ["negative_slope", "threshold"] {
        let value = &layer.config[key];
        if !value.is_null() && value.as_f64() != Some(0.0) {
            return Err(unsupported(format!("{key} {}", layer.config[key])));
        }
    }
    match &layer.config["max_value"] {
        Value::Null => layer.unary("Relu"),
        six if six.as_f64() == Some(6.0) => layer.unary("Relu6"),
        other => Err(unsupported(format!("max_value {other}"))),
    }
}

fn rescaling(layer: &mut Layer<'_>) -> Result<TensorId> {
    let mut x = layer.input(0)?;
    for (key, op) in [("scale", "Mul"), ("offset", "AddV2")] {
        let by = layer.config[key].as_f64();
        let by = by.ok_or_else(|| unsupported(format!("{key} {}", layer.config[key])))?;
        let by = layer.constant(key, &Tensor::new([], vec![by as f32])?)?;
        x = layer.add(op, float(), &[x, by])?;
    }
    Ok(x)
}

fn zero_padding(layer: &mut Layer<'_>) -> Result<TensorId> {
    let wrong = || unsupported(format!("padding {}", layer.config["padding"]));
    let pair = |value: &Value| -> Option<[i32; 2]> {
        let side = |place: usize| value.get(place)?.as_i64()?.try_into().ok();
        Some([side(0)?, side(1)?])
    };
    let rows = pair(&layer.config["padding"][0]).ok_or_else(wrong)?;
    let columns = pair(&layer.config["padding"][1]).ok_or_else(wrong)?;
    let borders = [[0; 2], rows, columns, [0; 2]].concat();
    let borders = layer.constant("paddings", &Tensor::new([4, 2], borders)?)?;
    let x = layer.input(0)?;
    layer.add("Pad", float().with_dtype("Tpaddings", DType::I32), &[x, borders])
}

fn pool(layer: &mut Layer<'_>, op: &str) -> Result<TensorId> {
    let size = layer.over_image("pool_size")?;
    let (x, attributes) = (layer.input(0)?, layer.window()?.with_ints("ksize", &size));
    layer.add(op, attributes, &[x])
}

/// Over height and width.
fn reduce(layer: &mut Layer<'_>, op: &str) -> Result<TensorId> {
    let x = layer.input(0)?;
    let axes = layer.constant("axes", &Tensor::vector(vec![1i32, 2]))?;
    let keep = layer.config["keepdims"] == true;
    let attributes = float().with_dtype("Tidx", DType::I32).with_bool("keep_dims", keep);
    layer.add(op, attributes, &[x, axes])
}

/// To `[n, …shape]`.
fn reshape(layer: &mut Layer<'_>, shape: Vec<i64>) -> Result<TensorId> {
    let x = layer.input(0)?;
    let dims = layer.graph.fact(x).shape.dims().and_then(|dims| dims.get(1..).map(<[_]>::to_vec));
    let dims: Option<Vec<usize>> = dims.and_then(|dims| dims.into_iter().collect());
    let wrong = || unsupported(format!("{} to {shape:?}", layer.graph.fact(x).shape));
    let all = dims.and_then(|dims| dims.into_iter().try_fold(1usize, usize::checked_mul));
    let all = all.and_then(|all| i64::try_from(all).ok()).ok_or_else(wrong)?;
    let known = shape.iter().filter(|&&side| side != -1).try_fold(1i64, |a, &b| a.checked_mul(b));
    let rest = known.filter(|&known| known > 0).map_or(0, |known| all / known);
    let sides = shape.iter().map(|&side| if side == -1 { rest } else { side });
    // Or values of one image would come to another.
    if sides.clone().try_fold(1i64, i64::checked_mul) != Some(all) {
        return Err(wrong());
    }
    let sides = std::iter::once(Ok(-1)).chain(sides.map(i32::try_from));
    let sides = sides.collect::<Result<Vec<i32>, _>>().map_err(|_| wrong())?;
    let shape = layer.constant("shape", &Tensor::vector(sides))?;
    layer.add("Reshape", float(), &[x, shape])
}
