//! Keras's layers as nodes of a graph: each is one line in [`LAYERS`]. Weights become constants.

use mobilenet_engine::{Attributes, Graph, Shape, TensorId};
use mobilenet_formats::{DType, Tensor};
use serde_json::Value;

use super::super::network::free_name;
use super::Weights;
use super::model::input_shape;
use crate::error::{Error, ErrorKind, Result};

/// What adds a layer to the graph.
pub(super) type Write = fn(&mut Layer<'_>) -> Result<TensorId>;

/// Every layer that is read. What only training changes images and values by is nothing here.
const LAYERS: &[(&str, Write)] = &[
    ("Activation", |layer| {
        let x = layer.input(0)?;
        layer.activation(x)
    }),
    ("ActivityRegularization", same),
    ("Add", add),
    ("AveragePooling2D", |layer| pool(layer, "AvgPool")),
    ("BatchNormalization", batch_norm),
    ("Conv2D", |layer| convolution(layer, "Conv2D", "kernel")),
    ("Dense", dense),
    ("DepthwiseConv2D", |layer| convolution(layer, "DepthwiseConv2dNative", "depthwise_kernel")),
    ("Divide", |layer| arithmetic(layer, "RealDiv")),
    ("Dropout", same),
    ("Flatten", |layer| reshape(layer, vec![-1])),
    ("GaussianDropout", same),
    ("GaussianNoise", same),
    ("GlobalAveragePooling2D", |layer| reduce(layer, "Mean")),
    ("GlobalMaxPooling2D", |layer| reduce(layer, "Max")),
    ("InputLayer", images),
    ("MaxPooling2D", |layer| pool(layer, "MaxPool")),
    ("Multiply", |layer| arithmetic(layer, "Mul")),
    ("RandomBrightness", same),
    ("RandomContrast", same),
    ("RandomFlip", same),
    ("RandomRotation", same),
    ("RandomTranslation", same),
    ("RandomZoom", same),
    ("ReLU", relu),
    ("Rescaling", rescaling),
    ("Reshape", |layer| {
        let shape = layer.integers("target_shape")?;
        reshape(layer, shape)
    }),
    ("Softmax", |layer| layer.unary("Softmax")),
    ("SpatialDropout2D", same),
    ("Subtract", |layer| arithmetic(layer, "Sub")),
    ("TFOpLambda", function),
    ("TrueDivide", |layer| arithmetic(layer, "RealDiv")),
    ("ZeroPadding2D", zero_padding),
];

/// What writes a layer of that class.
pub(super) fn find(class: &str) -> Option<Write> {
    LAYERS.iter().find(|(known, _)| *known == class).map(|(_, write)| *write)
}

pub(super) fn unsupported(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Format, message)
}

fn float() -> Attributes {
    Attributes::new().with_dtype("T", DType::F32)
}

/// A layer on its way into the graph. Its nodes are called as TensorFlow calls them: `Conv1/Conv2D`.
pub(super) struct Layer<'a> {
    pub(super) graph: &'a mut Graph,
    /// Its name behind those of the models it is in.
    pub(super) path: &'a [&'a str],
    pub(super) config: &'a Value,
    pub(super) weights: &'a Weights<'a>,
    pub(super) inputs: Vec<TensorId>,
    /// What it is called with: JSON with `inputs` and numbers in it.
    pub(super) call: &'a Value,
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
        let name = free_name(self.graph, &format!("{}/{name}", self.node_name()));
        Ok(self.graph.add(name, op, attributes, inputs)?.into())
    }

    fn node_name(&self) -> String {
        self.path.join("/").replace(':', "_")
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
        let name = format!("{}/{part}", (self.weights.key)(self.path));
        let value = self.weights.tensors.get(&name).filter(|value| value.as_f32().is_some());
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
            Some(Some("sigmoid")) => "Sigmoid",
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
    let name = free_name(layer.graph, &layer.node_name());
    Ok(layer.graph.add(name, "Placeholder", attributes, &[])?.into())
}

fn same(layer: &mut Layer<'_>) -> Result<TensorId> {
    layer.input(0)
}

/// The two numbers that an op of Keras's is called with, where they are no tensors.
fn numbers(call: &Value) -> [Option<f64>; 2] {
    match call {
        // Keras 2: `["layer", call, output, {"y": 127.5}]`.
        Value::Array(items) => [None, items.get(3).and_then(|named| named["y"].as_f64())],
        // Keras 3: `{"args": [tensor, 127.5]}`.
        call => [0, 1].map(|place| call["args"][place].as_f64()),
    }
}

/// Of two tensors, or of a tensor and a number.
fn arithmetic(layer: &mut Layer<'_>, op: &str) -> Result<TensorId> {
    let numbers = numbers(layer.call);
    let given = numbers.iter().flatten().count();
    if layer.inputs.len() + given != 2 {
        let count = layer.inputs.len();
        return Err(unsupported(format!(
            "{count} tensors and {given} numbers; two of them wanted"
        )));
    }
    let mut tensors = layer.inputs.clone().into_iter();
    let mut operands = Vec::with_capacity(2);
    for number in numbers {
        match number {
            Some(number) => {
                let number = Tensor::new([], vec![number as f32])?;
                operands.push(layer.constant("number", &number)?);
            }
            None => operands.extend(tensors.next()),
        }
    }
    layer.add(op, float(), &operands)
}

/// A function of TensorFlow's that Keras 2 made a layer of: what `preprocess_input` writes.
fn function(layer: &mut Layer<'_>) -> Result<TensorId> {
    let op = match layer.config["function"].as_str() {
        Some("__operators__.add" | "math.add") => "AddV2",
        Some("math.multiply") => "Mul",
        Some("math.subtract") => "Sub",
        Some("math.truediv" | "math.divide") => "RealDiv",
        _ => return Err(unsupported(format!("the function {}", layer.config["function"]))),
    };
    arithmetic(layer, op)
}

fn add(layer: &mut Layer<'_>) -> Result<TensorId> {
    if numbers(layer.call).iter().any(Option::is_some) {
        return arithmetic(layer, "AddV2");
    }
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
    let x = layer.input(0)?;
    let rows = layer.graph.fact(x).shape.rank() == Some(2);
    let last = if rows { 1 } else { 3 };
    if !axis.is_null() && ![Some(last), Some(-1)].contains(&axis.as_i64()) {
        return Err(unsupported(format!("axis {axis}")));
    }
    let channels = layer.weight("moving_mean")?.len();
    let mut inputs = vec![x];
    if rows {
        // Images of one pixel, which is what the op takes.
        let wide = layer.constant("pixel", &Tensor::vector(vec![-1i32, 1, 1, channels as i32]))?;
        inputs = vec![layer.add("Reshape", float(), &[x, wide])?];
    }
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
    let y = layer.add("FusedBatchNormV3", attributes, &inputs)?;
    if !rows {
        return Ok(y);
    }
    let flat = layer.constant("rows", &Tensor::vector(vec![-1i32, channels as i32]))?;
    layer.add("Reshape", float(), &[y, flat])
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
