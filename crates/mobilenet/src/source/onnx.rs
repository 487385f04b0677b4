//! ONNX models as a [`Source`]: the operators of convolutional classifiers, one line each in
//! [`operators::OPERATORS`], become TensorFlow's.
//!
//! ONNX keeps images as `[n, c, h, w]`, this engine as `[n, h, w, c]`. Nothing is transposed when it
//! runs: a tensor whose file says NCHW is held as NHWC and marked so, and a `Transpose` between the
//! two only changes the mark. Our own files hold the names of the classes and the usual size of
//! images in their metadata.

mod operators;
mod sizes;

use std::collections::HashMap;
use std::sync::Arc;

use mobilenet_engine::{Attributes, Graph, Shape, TensorId};
use mobilenet_formats::onnx::{self, DimensionValue, GraphProto, NodeProto, ValueInfoProto};
use mobilenet_formats::{DType, Tensor};
use mobilenet_vision::Labels;

use super::conventions::Published;
use super::network::Network;
use super::safetensors::{IMAGE_SIZE, LABELS, image_size};
use super::{Candidate, Source, Wanted};
use crate::error::{Error, ErrorKind, Result};

/// Reads the model; external data only from beside it.
pub(super) fn read(wanted: &Wanted<'_>, file: &Candidate<'_>) -> Result<Source> {
    let model = onnx::read(file.bytes, wanted.limits)?;
    let noted = |key| model.metadata_props.iter().find(|entry| entry.key == key);
    let labels = noted(LABELS).map(|entry| Labels::parse(entry.value.as_bytes())).transpose()?;
    let size = noted(IMAGE_SIZE).and_then(|entry| image_size(&entry.value));
    let size = size.filter(|size| size.iter().all(|side| (1..=65536).contains(side)));
    let graph = model.graph.unwrap_or_default();
    let mut importer = Importer::default();
    for constant in &graph.initializer {
        let value = constant.to_tensor(&wanted.files.with_neighbours(), wanted.limits)?;
        importer.claim(&value, wanted)?;
        importer.values.insert(constant.name.clone(), Value::Constant(Arc::new(value)));
    }
    let images = importer.images(&graph)?;
    for (number, node) in graph.node.iter().enumerate() {
        importer.node(node, wanted).map_err(|error| {
            let name = if node.name.is_empty() { format!("{number}") } else { node.name.clone() };
            let message = format!("node `{name}` ({}): {error}", node.op_type);
            Error::because(ErrorKind::Format, message, error)
        })?;
    }
    // Of several outputs the network's own rules tell which answers.
    let output = match graph.output.as_slice() {
        [only] => match importer.values.get(&only.name) {
            Some(Value::Computed { tensor, .. }) => Some(importer.graph.tensor_name(*tensor)),
            _ => return Err(unsupported(format!("its output `{}` is not computed", only.name))),
        },
        _ => None,
    };
    let published = match model.producer_name == "pytorch" && importer.adds {
        true => Published::PyTorch,
        false => Published::Google,
    };
    let network = Network::new(importer.graph.to_graph_def());
    let network = Network { images: Some(images), output, labels, published, ..network };
    let source = network.into_source(wanted)?;
    // A graph for images of any size does not say the usual one.
    Ok(Source { image_size: source.image_size.or(size.map(<(usize, usize)>::from)), ..source })
}

/// What an ONNX name stands for.
#[derive(Clone, Debug)]
enum Value {
    Constant(Arc<Tensor>),
    /// A tensor of the graph; `channels_first`: the file has it as NCHW, the graph as NHWC.
    Computed {
        tensor: TensorId,
        channels_first: bool,
    },
    /// Some of the sizes of tensors; `None` for what the caller decides.
    Sizes(Vec<Option<i64>>),
}

/// The graph so far.
#[derive(Default)]
struct Importer {
    graph: Graph,
    values: HashMap<String, Value>,
    /// Bytes of constants so far, each time one is used.
    bytes: u64,
    /// Whether branches are added, as MobileNet V2 does and V1 does not.
    adds: bool,
    /// By name, the last number that made it free.
    numbers: HashMap<String, usize>,
}

/// A node with its inputs looked up.
struct Call<'a> {
    node: &'a NodeProto,
    inputs: Vec<Option<Value>>,
    wanted: &'a Wanted<'a>,
}

fn unsupported(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Format, message)
}

impl Importer {
    /// The placeholder of the only input that is no initialiser.
    fn images(&mut self, graph: &GraphProto) -> Result<String> {
        let fed: Vec<&ValueInfoProto> =
            graph.input.iter().filter(|input| !self.values.contains_key(&input.name)).collect();
        let [input] = fed.as_slice() else {
            let names: Vec<&str> = fed.iter().map(|input| input.name.as_str()).collect();
            return Err(unsupported(format!(
                "one input of images wanted, not [{}]",
                names.join(", ")
            )));
        };
        let dims = dims(input);
        let (channels_first, size) = match dims.as_slice() {
            [_, Some(3), height, width] => (true, [*height, *width]),
            [_, height, width, Some(3)] => (false, [*height, *width]),
            _ => {
                let message = format!(
                    "input `{}` {dims:?} is neither NCHW nor NHWC of 3 colours",
                    input.name
                );
                return Err(unsupported(message));
            }
        };
        let shape = Shape::new(vec![None, size[0], size[1], Some(3)]);
        let attributes =
            Attributes::new().with_dtype("dtype", DType::F32).with_shape("shape", &shape);
        let tensor = self.add(&input.name, "Placeholder", attributes, &[])?;
        self.values.insert(input.name.clone(), Value::Computed { tensor, channels_first });
        Ok(self.graph.node(tensor.node).name.clone())
    }

    fn node(&mut self, node: &NodeProto, wanted: &Wanted<'_>) -> Result<()> {
        let inputs = node.input.iter().map(|name| match name.as_str() {
            "" => Ok(None),
            name => match self.values.get(name) {
                Some(value) => Ok(Some(value.clone())),
                None => Err(unsupported(format!("its input `{name}` comes from nowhere"))),
            },
        });
        let call = Call { node, inputs: inputs.collect::<Result<_>>()?, wanted };
        let computed = |value: &Option<Value>| matches!(value, Some(Value::Computed { .. }));
        self.adds |= node.op_type == "Add" && call.inputs.iter().all(computed);
        let domain = ["", "ai.onnx"].contains(&node.domain.as_str());
        let operator =
            operators::OPERATORS.iter().find(|(name, _)| domain && *name == node.op_type);
        let Some((_, import)) = operator else {
            return Err(unsupported("this operator is not supported"));
        };
        let value = import(self, &call)?;
        if let Some(output) = node.output.first() {
            self.values.insert(output.clone(), value);
        }
        Ok(())
    }

    /// Adds a node under a name that is free and has no `:`.
    fn add(
        &mut self,
        name: &str,
        op: &str,
        attributes: Attributes,
        inputs: &[TensorId],
    ) -> Result<TensorId> {
        let plain = name.trim_end_matches(":0").replace(':', "_");
        let plain = if plain.is_empty() { op.to_owned() } else { plain };
        let mut name = plain.clone();
        while self.graph.find(&name).is_some() {
            let number = self.numbers.entry(plain.clone()).or_default();
            *number += 1;
            name = format!("{plain}_{number}");
        }
        Ok(self.graph.add(name, op, attributes, inputs)?.into())
    }

    /// A float32 op over `inputs`.
    fn float(&mut self, call: &Call<'_>, op: &str, inputs: &[TensorId]) -> Result<TensorId> {
        self.add(call.name(), op, Attributes::new().with_dtype("T", DType::F32), inputs)
    }

    /// Counts a constant: a small file may use a large one again and again.
    fn claim(&mut self, value: &Tensor, wanted: &Wanted<'_>) -> Result<()> {
        let size = value.dtype().size().unwrap_or(1) as u64;
        self.bytes = self.bytes.saturating_add((value.len() as u64).saturating_mul(size));
        let most = wanted.limits.file_bytes;
        if self.bytes > most {
            let message =
                format!("its constants, each time they are used, take more than {most} bytes");
            return Err(unsupported(message));
        }
        Ok(())
    }

    fn constant(&mut self, call: &Call<'_>, what: &str, value: &Tensor) -> Result<TensorId> {
        self.claim(value, call.wanted)?;
        let attributes =
            Attributes::new().with_dtype("dtype", value.dtype()).with_tensor("value", value);
        self.add(&format!("{}/{what}", call.name()), "Const", attributes, &[])
    }

    fn ints(&mut self, call: &Call<'_>, what: &str, values: &[i32]) -> Result<TensorId> {
        self.constant(call, what, &Tensor::vector(values.to_vec()))
    }

    fn dim(&self, tensor: TensorId, axis: usize) -> Option<usize> {
        self.graph.fact(tensor).shape.dim(axis)
    }

    /// The size of each dimension of `tensor`, in the file's order.
    fn sizes(&self, tensor: TensorId, channels_first: bool) -> Result<Vec<Option<i64>>> {
        let shape = &self.graph.fact(tensor).shape;
        let dims = shape.dims().ok_or_else(|| unsupported("a tensor of unknown rank"))?;
        let size = |dim: &Option<usize>| dim.and_then(|dim| i64::try_from(dim).ok());
        let mut sizes: Vec<Option<i64>> = dims.iter().map(size).collect();
        if channels_first && sizes.len() > 2 {
            sizes[1..].rotate_right(1);
        }
        Ok(sizes)
    }

    /// Channels of an NHWC tensor of one pixel.
    fn one_pixel(&self, tensor: TensorId) -> Option<usize> {
        let shape = &self.graph.fact(tensor).shape;
        match shape.dims() {
            Some([_, Some(1), Some(1), Some(channels)]) => Some(*channels),
            _ => None,
        }
    }
}

fn dims(value: &ValueInfoProto) -> Vec<Option<usize>> {
    let tensor = value.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
    let shape = tensor.and_then(|tensor| tensor.shape.as_ref());
    let dim = |value: &Option<DimensionValue>| match value {
        Some(DimensionValue::DimValue(size)) => {
            usize::try_from(*size).ok().filter(|&size| size > 0)
        }
        _ => None,
    };
    shape.map(|shape| shape.dim.iter().map(|d| dim(&d.value)).collect()).unwrap_or_default()
}

impl Call<'_> {
    /// The name of what it yields.
    fn name(&self) -> &str {
        self.node.output.first().map_or(self.node.name.as_str(), String::as_str)
    }

    fn input(&self, place: usize) -> Result<&Value> {
        let value = self.inputs.get(place).and_then(Option::as_ref);
        value.ok_or_else(|| unsupported(format!("input {place} is missing")))
    }

    /// A computed input, and whether the file has it as NCHW.
    fn computed(&self, place: usize) -> Result<(TensorId, bool)> {
        match self.input(place)? {
            Value::Computed { tensor, channels_first } => Ok((*tensor, *channels_first)),
            _ => Err(unsupported(format!("input {place} is a constant, a computed tensor wanted"))),
        }
    }

    /// A computed image, NHWC in the graph.
    fn image(&self, place: usize) -> Result<TensorId> {
        match self.computed(place)? {
            (tensor, true) => Ok(tensor),
            (_, false) => Err(unsupported(format!("input {place} is no image of channels first"))),
        }
    }

    fn has(&self, place: usize) -> bool {
        self.inputs.get(place).is_some_and(Option::is_some)
    }

    fn constant(&self, place: usize) -> Result<&Tensor> {
        match self.input(place)? {
            Value::Constant(value) => Ok(value),
            _ => Err(unsupported(format!("input {place} must be a constant"))),
        }
    }

    fn floats(&self, place: usize) -> Result<(&[usize], &[f32])> {
        let value = self.constant(place)?;
        let wrong = || unsupported(format!("input {place} is {}, float32 wanted", value.dtype()));
        Ok((value.shape(), value.as_f32().ok_or_else(wrong)?))
    }

    /// Integers from an attribute, or in later versions of ONNX from input `place`.
    fn ints(&self, attribute: &str, place: usize) -> Result<Option<Vec<i64>>> {
        if let Some(found) = self.attribute(attribute) {
            return Ok(Some(found.ints.clone()));
        }
        if !self.has(place) {
            return Ok(None);
        }
        let value = self.constant(place)?;
        let wrong = || unsupported(format!("input {place} is {}, integers wanted", value.dtype()));
        sizes::integers(value).map(Some).ok_or_else(wrong)
    }

    fn attribute(&self, name: &str) -> Option<&onnx::AttributeProto> {
        self.node.attribute.iter().find(|attribute| attribute.name == name)
    }

    fn int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).and_then(|attribute| attribute.i).unwrap_or(default)
    }

    fn number(&self, name: &str, default: f32) -> f32 {
        self.attribute(name).and_then(|attribute| attribute.f).unwrap_or(default)
    }

    fn text(&self, name: &str) -> String {
        let bytes = self.attribute(name).and_then(|attribute| attribute.s.clone());
        String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
    }
}
