//! A module as ONNX: its frozen graph, op by op. Images come in as the module takes them, `[n, h, w,
//! 3]` in [0, 1]; behind the normalisation one `Transpose` leads to ONNX's channels first.

use std::collections::HashMap;

use mobilenet_engine::{Graph, NodeId, Shape, TensorId};
use mobilenet_formats::Tensor;
use mobilenet_formats::onnx::{
    self, AttributeProto, AttributeType, DataType, Dimension, DimensionValue, GraphProto,
    ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};

use super::frozen;
use crate::error::{Error, ErrorKind, Result};
use crate::module::Module;
use crate::signature::Port;
use crate::source::safetensors::{IMAGE_SIZE, LABELS};

/// The file's bytes.
pub(super) fn model(module: &Module) -> Result<Vec<u8>> {
    let signature = module.signature(module.first_signature()?)?;
    let folded;
    let output = signature.output("default");
    let (Some(images), Some(output)) = (signature.inputs.first(), output) else {
        return Err(Error::new(ErrorKind::Graph, "a signature of images and `default` is needed"));
    };
    let whole = Graph::import(&frozen::graph(module, frozen::Keep::First)?)?;
    let mut writer = match Writer::write(&whole, &output.tensor) {
        Ok(writer) => writer,
        Err(error) => {
            // Batch norm in parts and the like: the same folded into the weights, if it can be.
            folded = match folded_graph(module, images, &output.tensor) {
                Ok(folded) => folded,
                Err(_) => return Err(error),
            };
            Writer::write(&folded, &output.tensor)?
        }
    };
    let (name, channels_first) = writer.name(writer.graph.tensor(&output.tensor)?)?;
    if channels_first {
        return Err(Error::new(ErrorKind::Graph, "ONNX: the output is an image"));
    }
    let key = if module.signature("image_classification").is_ok() { "logits" } else { "features" };
    writer.push("Identity", &[name], key, Vec::new());
    writer.out.input.push(described("images", images));
    writer.out.output.push(described(key, output));
    let note = |key: &str, value| StringStringEntryProto { key: key.into(), value };
    let labels = module.own_labels()?.map(|labels| note(LABELS, super::lines(&labels)));
    let size = module.expected_image_size().ok();
    let size = size.map(|(height, width)| note(IMAGE_SIZE, format!("{height}x{width}")));
    let model = ModelProto {
        ir_version: 8,
        producer_name: "mobilenet".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 13 }],
        graph: Some(writer.out),
        metadata_props: labels.into_iter().chain(size).collect(),
        ..ModelProto::default()
    };
    Ok(onnx::write(&model))
}

/// The module's graph for inference alone, with constants folded.
fn folded_graph(module: &Module, images: &Port, output: &str) -> Result<Graph> {
    let (height, width) = module.expected_image_size()?;
    let shape = Shape::new(vec![None, Some(height), Some(width), Some(3)]);
    module.frozen((&images.tensor, shape), output)
}

fn described(name: &str, port: &Port) -> ValueInfoProto {
    let dim = |(place, side): (usize, &Option<usize>)| {
        let named = || DimensionValue::DimParam(["n", "height", "width", "c"][place.min(3)].into());
        let value = side.and_then(|side| i64::try_from(side).ok()).map(DimensionValue::DimValue);
        Dimension { value: Some(value.unwrap_or_else(named)), denotation: String::new() }
    };
    let dims = port.shape.iter().flatten().enumerate().map(dim).collect();
    let tensor = TensorTypeProto {
        elem_type: DataType::Float as i32,
        shape: Some(TensorShapeProto { dim: dims }),
    };
    let kind = TypeProto { tensor_type: Some(tensor), ..TypeProto::default() };
    ValueInfoProto { name: name.into(), r#type: Some(kind), ..ValueInfoProto::default() }
}

/// The ONNX graph so far.
struct Writer<'a> {
    graph: &'a Graph,
    out: GraphProto,
    /// The value of each tensor, and whether it is an image of channels first.
    names: HashMap<TensorId, (String, bool)>,
}

fn refuse<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::new(ErrorKind::Graph, message))
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Ints as i32,
        ints: values.to_vec(),
        ..AttributeProto::default()
    }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Int as i32,
        i: Some(value),
        ..AttributeProto::default()
    }
}

fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Float as i32,
        f: Some(value),
        ..AttributeProto::default()
    }
}

fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::String as i32,
        s: Some(value.as_bytes().to_vec()),
        ..AttributeProto::default()
    }
}

impl<'a> Writer<'a> {
    /// The part of `graph` that `output` needs.
    fn write(graph: &'a Graph, output: &str) -> Result<Writer<'a>> {
        let mut writer = Writer { graph, out: GraphProto::default(), names: HashMap::new() };
        writer.out.name = "mobilenet".into();
        for id in graph.needed(&[graph.tensor(output)?], &[])? {
            let node = graph.node(id);
            writer.node(id).map_err(|error| {
                let message = format!("ONNX: node `{}` ({}): {error}", node.name, node.op_name);
                Error::because(ErrorKind::Graph, message, error)
            })?;
        }
        Ok(writer)
    }

    fn node(&mut self, id: NodeId) -> Result<()> {
        let node = self.graph.node(id);
        let name = node.name.clone();
        // A known value goes where it is used.
        if self.graph.fact(id.into()).value.is_some() {
            return Ok(());
        }
        let Some((_, write)) = OPS.iter().find(|(op, _)| *op == node.op_name) else {
            return refuse(
                "this op has no counterpart; write a frozen graph, a SavedModel or a hub module",
            );
        };
        let channels_first = match write {
            Write::Input => {
                self.names.insert(id.into(), ("images".into(), false));
                return Ok(());
            }
            Write::Same => {
                let value = self.input(id, 0)?;
                self.names.insert(id.into(), value);
                return Ok(());
            }
            Write::With(write) => write(self, id)?,
        };
        self.names.insert(id.into(), (name, channels_first));
        Ok(())
    }

    fn push(&mut self, op: &str, inputs: &[String], output: &str, attribute: Vec<AttributeProto>) {
        self.out.node.push(NodeProto {
            name: output.into(),
            op_type: op.into(),
            input: inputs.to_vec(),
            output: vec![output.into()],
            attribute,
            ..NodeProto::default()
        });
    }

    fn tensor(&self, id: NodeId, place: usize) -> Result<TensorId> {
        match self.graph.node(id).inputs.get(place) {
            Some(tensor) => Ok(*tensor),
            None => refuse(format!("input {place} is missing")),
        }
    }

    fn name(&self, tensor: TensorId) -> Result<(String, bool)> {
        match self.names.get(&tensor) {
            Some(found) => Ok(found.clone()),
            None => refuse(format!("`{}` is not computed", self.graph.tensor_name(tensor))),
        }
    }

    fn input(&self, id: NodeId, place: usize) -> Result<(String, bool)> {
        self.name(self.tensor(id, place)?)
    }

    /// Input `place` as an image of channels first.
    fn image(&mut self, id: NodeId, place: usize) -> Result<String> {
        let tensor = self.tensor(id, place)?;
        let (name, channels_first) = self.name(tensor)?;
        if channels_first {
            return Ok(name);
        }
        if self.graph.fact(tensor).shape.rank() != Some(4) {
            return refuse("its input is no image");
        }
        let turned = format!("{name}/channels_first");
        self.push("Transpose", &[name], &turned, vec![ints("perm", &[0, 3, 1, 2])]);
        self.names.insert(tensor, (turned.clone(), true));
        Ok(turned)
    }

    /// The value of a constant input as float32.
    fn floats(&self, id: NodeId, place: usize) -> Result<(Vec<usize>, Vec<f32>)> {
        let tensor = self.tensor(id, place)?;
        let Some(value) = &self.graph.fact(tensor).value else {
            return refuse(format!("input {place} must be a constant"));
        };
        let values = match (value.as_f32(), value.as_f64()) {
            (Some(values), _) => values.to_vec(),
            (_, Some(values)) => values.iter().map(|&value| value as f32).collect(),
            _ => return refuse(format!("input {place} is no float")),
        };
        Ok((value.shape().to_vec(), values))
    }

    fn integers(&self, id: NodeId, place: usize) -> Result<Vec<i64>> {
        match self.graph.fact(self.tensor(id, place)?).integers() {
            Some(values) => Ok(values),
            None => refuse(format!("input {place} must be constant integers")),
        }
    }

    fn constant(&mut self, name: String, value: &Tensor) -> Result<String> {
        self.out.initializer.push(TensorProto::from_tensor(&name, value)?);
        Ok(name)
    }

    fn output(&self, id: NodeId) -> String {
        self.graph.node(id).name.clone()
    }

    fn text(&self, id: NodeId, name: &str, default: &str) -> Result<String> {
        Ok(self.graph.node(id).attributes.string(name, default)?)
    }
}

/// How an op is written.
enum Write {
    Input,
    /// It passes its input on.
    Same,
    /// Writes nodes up to one called like the op's; whether that is an image of channels first.
    With(fn(&mut Writer<'_>, NodeId) -> Result<bool>),
}

/// Every op that can be written.
const OPS: &[(&str, Write)] = &[
    ("Add", Write::With(|w, id| arithmetic(w, id, "Add"))),
    ("AddV2", Write::With(|w, id| arithmetic(w, id, "Add"))),
    ("AvgPool", Write::With(|w, id| pool(w, id, "AveragePool"))),
    ("BiasAdd", Write::With(|w, id| arithmetic(w, id, "Add"))),
    ("Conv2D", Write::With(|w, id| convolution(w, id, false))),
    ("DepthwiseConv2dNative", Write::With(|w, id| convolution(w, id, true))),
    ("FusedBatchNorm", Write::With(batch_norm)),
    ("FusedBatchNormV2", Write::With(batch_norm)),
    ("FusedBatchNormV3", Write::With(batch_norm)),
    ("Identity", Write::Same),
    ("MatMul", Write::With(mat_mul)),
    ("MaxPool", Write::With(|w, id| pool(w, id, "MaxPool"))),
    ("Mean", Write::With(mean)),
    ("Mul", Write::With(|w, id| arithmetic(w, id, "Mul"))),
    ("Pad", Write::With(pad)),
    ("Placeholder", Write::Input),
    ("RealDiv", Write::With(|w, id| arithmetic(w, id, "Div"))),
    ("Relu", Write::With(|w, id| unary(w, id, "Relu"))),
    ("Relu6", Write::With(relu6)),
    ("Reshape", Write::With(reshape)),
    ("Sigmoid", Write::With(|w, id| unary(w, id, "Sigmoid"))),
    ("Softmax", Write::With(|w, id| unary(w, id, "Softmax"))),
    ("Squeeze", Write::With(squeeze)),
    ("StopGradient", Write::Same),
    ("Sub", Write::With(|w, id| arithmetic(w, id, "Sub"))),
];

fn unary(writer: &mut Writer<'_>, id: NodeId, op: &str) -> Result<bool> {
    let (x, channels_first) = writer.input(id, 0)?;
    if channels_first && op == "Softmax" {
        return refuse("over an image");
    }
    let output = writer.output(id);
    writer.push(op, &[x], &output, Vec::new());
    Ok(channels_first)
}

fn relu6(writer: &mut Writer<'_>, id: NodeId) -> Result<bool> {
    let (x, channels_first) = writer.input(id, 0)?;
    let output = writer.output(id);
    let low = writer.constant(format!("{output}/min"), &Tensor::new([], vec![0f32])?)?;
    let high = writer.constant(format!("{output}/max"), &Tensor::new([], vec![6f32])?)?;
    writer.push("Clip", &[x, low, high], &output, Vec::new());
    Ok(channels_first)
}

fn arithmetic(writer: &mut Writer<'_>, id: NodeId, op: &str) -> Result<bool> {
    let constant = |w: &Writer<'_>, place| {
        w.tensor(id, place).is_ok_and(|tensor| w.graph.fact(tensor).value.is_some())
    };
    let output = writer.output(id);
    let places = [0, 1];
    let mut inputs = Vec::new();
    let computed: Vec<(String, bool)> = places
        .iter()
        .filter(|&&p| !constant(writer, p))
        .map(|&p| writer.input(id, p))
        .collect::<Result<_>>()?;
    let channels_first = computed.iter().any(|(_, first)| *first);
    if computed.iter().any(|(_, first)| *first != channels_first) {
        return refuse("its inputs are of two layouts");
    }
    for place in places {
        if !constant(writer, place) {
            inputs.push(writer.input(id, place)?.0);
            continue;
        }
        let (shape, values) = writer.floats(id, place)?;
        let shape = match (channels_first, shape.as_slice()) {
            (true, [channels]) => vec![*channels, 1, 1],
            (true, []) | (false, _) => shape,
            (true, shape) => return refuse(format!("a constant of shape {shape:?} with an image")),
        };
        inputs.push(writer.constant(format!("{output}/{place}"), &Tensor::new(shape, values)?)?);
    }
    writer.push(op, &inputs, &output, Vec::new());
    Ok(channels_first)
}

/// Window attributes from those of TensorFlow.
fn window(writer: &Writer<'_>, id: NodeId) -> Result<Vec<AttributeProto>> {
    let attributes = &writer.graph.node(id).attributes;
    let pair = |name: &str| -> Result<[i64; 2]> {
        match attributes.ints(name)?.as_slice() {
            [] => Ok([1, 1]),
            &[1, y, x, 1] => Ok([y, x]),
            other => refuse(format!("{name} {other:?}")),
        }
    };
    let borders = attributes.ints("explicit_paddings")?;
    let padding = match (writer.text(id, "padding", "")?.as_str(), borders.as_slice()) {
        ("SAME", _) => text("auto_pad", "SAME_UPPER"),
        ("VALID", _) => text("auto_pad", "VALID"),
        ("EXPLICIT", &[0, 0, top, bottom, left, right, 0, 0]) => {
            ints("pads", &[top, left, bottom, right])
        }
        (other, borders) => return refuse(format!("padding {other:?} {borders:?}")),
    };
    if writer.text(id, "data_format", "NHWC")? != "NHWC" {
        return refuse("a data_format other than NHWC");
    }
    let mut window = vec![ints("strides", &pair("strides")?), padding];
    if !attributes.ints("dilations")?.is_empty() {
        window.push(ints("dilations", &pair("dilations")?));
    }
    Ok(window)
}

fn convolution(writer: &mut Writer<'_>, id: NodeId, depthwise: bool) -> Result<bool> {
    let x = writer.image(id, 0)?;
    let (shape, values) = writer.floats(id, 1)?;
    let &[height, width, rows, columns] = shape.as_slice() else {
        return refuse(format!("a kernel of shape {shape:?}"));
    };
    let (outputs, inputs) = if depthwise { (rows * columns, 1) } else { (columns, rows) };
    let mut turned = Vec::with_capacity(values.len());
    for output in 0..outputs {
        for input in 0..inputs {
            let (row, column) =
                if depthwise { (output / columns, output % columns) } else { (input, output) };
            for at in 0..height * width {
                let place = (at * rows + row) * columns + column;
                turned.push(values.get(place).copied().unwrap_or(f32::NAN));
            }
        }
    }
    let output = writer.output(id);
    let kernel = Tensor::new([outputs, inputs, height, width], turned)?;
    let kernel = writer.constant(format!("{output}/kernel"), &kernel)?;
    let mut attributes = window(writer, id)?;
    attributes.push(ints("kernel_shape", &[height as i64, width as i64]));
    attributes.push(int("group", if depthwise { rows as i64 } else { 1 }));
    writer.push("Conv", &[x, kernel], &output, attributes);
    Ok(true)
}

fn pool(writer: &mut Writer<'_>, id: NodeId, op: &str) -> Result<bool> {
    let x = writer.image(id, 0)?;
    let size = writer.graph.node(id).attributes.ints("ksize")?;
    let &[1, height, width, 1] = size.as_slice() else {
        return refuse(format!("ksize {size:?}"));
    };
    let mut attributes = window(writer, id)?;
    attributes.push(ints("kernel_shape", &[height, width]));
    let output = writer.output(id);
    writer.push(op, &[x], &output, attributes);
    Ok(true)
}

fn batch_norm(writer: &mut Writer<'_>, id: NodeId) -> Result<bool> {
    let attributes = &writer.graph.node(id).attributes;
    if attributes.bool("is_training", true)? {
        return refuse("batch norm in training mode");
    }
    let epsilon = attributes.float("epsilon", 1e-4)?;
    let mut inputs = vec![writer.image(id, 0)?];
    let output = writer.output(id);
    for (place, what) in [(1, "gamma"), (2, "beta"), (3, "mean"), (4, "variance")] {
        let (shape, values) = writer.floats(id, place)?;
        let value = Tensor::new(shape, values)?;
        inputs.push(writer.constant(format!("{output}/{what}"), &value)?);
    }
    writer.push("BatchNormalization", &inputs, &output, vec![float("epsilon", epsilon)]);
    Ok(true)
}

fn mean(writer: &mut Writer<'_>, id: NodeId) -> Result<bool> {
    let x = writer.image(id, 0)?;
    let axes = writer.integers(id, 1)?;
    let keep = writer.graph.node(id).attributes.bool("keep_dims", false)?;
    if axes != [1, 2] {
        return refuse(format!("over axes {axes:?}"));
    }
    let output = writer.output(id);
    let attributes = vec![ints("axes", &[2, 3]), int("keepdims", keep.into())];
    writer.push("ReduceMean", &[x], &output, attributes);
    Ok(keep)
}

fn pad(writer: &mut Writer<'_>, id: NodeId) -> Result<bool> {
    let x = writer.image(id, 0)?;
    let borders = writer.integers(id, 1)?;
    let &[0, 0, top, bottom, left, right, 0, 0] = borders.as_slice() else {
        return refuse(format!("borders {borders:?}"));
    };
    let output = writer.output(id);
    let pads = Tensor::vector(vec![0i64, 0, top, left, 0, 0, bottom, right]);
    let pads = writer.constant(format!("{output}/pads"), &pads)?;
    writer.push("Pad", &[x, pads], &output, Vec::new());
    Ok(true)
}

fn mat_mul(writer: &mut Writer<'_>, id: NodeId) -> Result<bool> {
    let (x, channels_first) = writer.input(id, 0)?;
    let attributes = &writer.graph.node(id).attributes;
    let turned = [attributes.bool("transpose_a", false)?, attributes.bool("transpose_b", false)?];
    if channels_first || turned[0] {
        return refuse("of an image, or transposed");
    }
    let (shape, values) = writer.floats(id, 1)?;
    let output = writer.output(id);
    let weights = writer.constant(format!("{output}/weights"), &Tensor::new(shape, values)?)?;
    writer.push("Gemm", &[x, weights], &output, vec![int("transB", turned[1].into())]);
    Ok(false)
}

fn squeeze(writer: &mut Writer<'_>, id: NodeId) -> Result<bool> {
    let (x, channels_first) = writer.input(id, 0)?;
    let axes = writer.graph.node(id).attributes.ints("squeeze_dims")?;
    let axes = match (channels_first, axes.as_slice()) {
        (true, [1, 2]) => vec![2, 3],
        (false, axes) if !axes.is_empty() => axes.to_vec(),
        (_, axes) => return refuse(format!("axes {axes:?}")),
    };
    let output = writer.output(id);
    let axes = writer.constant(format!("{output}/axes"), &Tensor::vector(axes))?;
    writer.push("Squeeze", &[x, axes], &output, Vec::new());
    Ok(false)
}

fn reshape(writer: &mut Writer<'_>, id: NodeId) -> Result<bool> {
    let tensor = writer.tensor(id, 0)?;
    let (x, channels_first) = writer.name(tensor)?;
    let shape = writer.integers(id, 1)?;
    let one_pixel =
        matches!(writer.graph.fact(tensor).shape.dims(), Some([_, Some(1), Some(1), Some(_)]));
    let (shape, channels_first) = match (channels_first, shape.as_slice()) {
        (true, &[n, 1, 1, channels]) if one_pixel => (vec![n, channels, 1, 1], true),
        (true, &[n, channels]) if one_pixel => (vec![n, channels], false),
        (true, shape) => return refuse(format!("an image to {shape:?}")),
        (false, _) => (shape, false),
    };
    let output = writer.output(id);
    let shape = writer.constant(format!("{output}/shape"), &Tensor::vector(shape))?;
    writer.push("Reshape", &[x, shape], &output, Vec::new());
    Ok(channels_first)
}
