//! A graph as a TFLite file: float, with weights of half precision, or of 8 bits if the graph is
//! quantised. Preprocessing and labels travel in its metadata, always.
//!
//! The graph is one that [`mobilenet_engine::freeze`] gives, or one that a TFLite file gave. What it
//! holds beyond TFLite's operators is an error that names node and op. The input of the file is what
//! the network wants to see; the multiplication and subtraction in front of it become metadata. A
//! network of int8 takes and gives uint8, through a `QUANTIZE` at either end: MediaPipe's image
//! classifier takes no int8.

mod metadata;
mod nodes;

use std::collections::HashMap;

use mobilenet_engine::{Graph, NodeId, TensorId};
use mobilenet_formats::tflite::{
    self, BuiltinOperator, BuiltinOptions, DequantizeOptions, Model, Operator, OperatorCode,
    QuantizationParameters, QuantizeOptions, SignatureDef, SubGraph, Tensor, TensorMap, TensorType,
};
use mobilenet_formats::{self as formats, MemoryFiles};
use mobilenet_vision::Labels;

use crate::error::{Error, ErrorKind, Result};
use crate::normalization::Normalization;
use nodes::{Bytes, Feed};

/// How the weights of a float graph are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WeightType {
    /// As they are.
    #[default]
    Float32,
    /// In half precision: half the size, widened when the file is loaded.
    Float16,
}

/// What goes into a TFLite file besides the graph.
#[derive(Clone, Debug)]
pub struct TfliteOptions<'a> {
    /// The tensor that takes images in [0, 1], `[n, height, width, 3]`.
    pub images: &'a str,
    /// The tensor that is given out.
    pub output: &'a str,
    /// The model's name.
    pub name: &'a str,
    /// What is said about it.
    pub description: &'a str,
    /// The names of the classes, one for each value of the output; `None` for feature vectors.
    pub labels: Option<&'a Labels>,
    /// How weights are held that are not quantised.
    pub weights: WeightType,
}

/// Writes `graph` as a TFLite file with metadata and packed labels.
///
/// # Errors
/// [`ErrorKind::Graph`] for a node that TFLite has no operator for, by name and op;
/// [`ErrorKind::Labels`] for labels that are not as many as the output has values.
pub fn write_tflite(graph: &Graph, options: &TfliteOptions<'_>) -> Result<Vec<u8>> {
    let mut writer = Writer::new(graph, options)?;
    let output = graph.tensor(options.output)?;
    let output = writer.tensor(output)?;
    let mut files = MemoryFiles::default();
    writer.check_labels(output)?;
    let metadata = metadata::of(options, writer.feed.normalization);
    if let Some(labels) = options.labels {
        files.insert(metadata::LABELS, super::lines(labels));
    }
    let given = writer.given(output)?;
    let mut model = writer.finish(given);
    model.set_metadata(&metadata)?;
    Ok(tflite::append_files(model.write()?, &files)?)
}

/// A model in the making.
struct Writer<'a> {
    graph: &'a Graph,
    options: &'a TfliteOptions<'a>,
    feed: Feed,
    /// How many nodes read each node.
    uses: HashMap<NodeId, usize>,
    model: Model,
    subgraph: SubGraph,
    /// The tensor of the file for each of the graph.
    made: HashMap<TensorId, i32>,
    codes: HashMap<BuiltinOperator, u32>,
}

fn unsupported(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Graph, message)
}

impl<'a> Writer<'a> {
    fn new(graph: &'a Graph, options: &'a TfliteOptions<'a>) -> Result<Self> {
        let (images, output) = (graph.tensor(options.images)?, graph.tensor(options.output)?);
        let mut uses = HashMap::new();
        for id in graph.needed(&[output], &[images])? {
            let node = graph.node(id);
            if node.op_name.starts_with("FakeQuant") {
                return Err(unsupported(format!(
                    "`{}`: {} has no place among floats; `mobilenet quantize` writes the 8 bits \
                     that it stands for",
                    node.name, node.op_name
                )));
            }
            for input in &node.inputs {
                *uses.entry(input.node).or_insert(0) += 1;
            }
        }
        let mut writer = Writer {
            graph,
            options,
            feed: Feed::find(graph, images, output)?,
            uses,
            model: Model { version: 3, ..Model::default() },
            subgraph: SubGraph { name: "main".into(), ..SubGraph::default() },
            made: HashMap::new(),
            codes: HashMap::new(),
        };
        writer.model.description = "mobilenet".into();
        writer.model.add_buffer(Default::default())?;
        let Feed { tensor, bytes, .. } = writer.feed.clone();
        let images = writer.images(tensor, bytes.as_ref())?;
        writer.made.insert(tensor, images);
        Ok(writer)
    }

    /// Declares the input; gives the tensor that the network reads, which is another for int8: many
    /// programs take bytes of uint8 alone, so a `QUANTIZE` moves these by 128.
    fn images(&mut self, tensor: TensorId, bytes: Option<&Bytes>) -> Result<i32> {
        const NAME: &str = "images";
        let read = self.declare(tensor, NAME, bytes)?;
        let mut input = read;
        if let Some(given) = self.unsigned(read, NAME) {
            if let Some(read) = self.subgraph.tensors.last_mut() {
                read.name = format!("{NAME}/int8");
            }
            input = self.push(given)?;
            let options = QuantizeOptions {}.into();
            self.operator(BuiltinOperator::QUANTIZE, 2, vec![input], read, options)?;
        }
        self.subgraph.inputs = vec![input];
        Ok(read)
    }

    /// What is given out for the tensor that the network computes: uint8 for int8, as images are.
    fn given(&mut self, output: i32) -> Result<i32> {
        let Some(computed) = self.at(output) else { return Ok(output) };
        let Some(given) = self.unsigned(output, &format!("{}/uint8", computed.name)) else {
            return Ok(output);
        };
        let given = self.push(given)?;
        let options = QuantizeOptions {}.into();
        self.operator(BuiltinOperator::QUANTIZE, 2, vec![output], given, options)?;
        Ok(given)
    }

    /// A tensor of uint8 for the numbers of one of int8; `None` for those of other types.
    fn unsigned(&self, index: i32, name: &str) -> Option<Tensor> {
        let like = self.at(index).filter(|tensor| tensor.r#type == TensorType::INT8)?;
        let mut tensor =
            Tensor { r#type: TensorType::UINT8, name: name.to_owned(), ..like.clone() };
        let zeros = tensor.quantization.iter_mut().flat_map(|steps| &mut steps.zero_point);
        zeros.for_each(|zero| *zero += 128);
        Some(tensor)
    }

    /// Adds a computed tensor with the shape that `like` has for one image.
    fn declare(&mut self, like: TensorId, name: &str, bytes: Option<&Bytes>) -> Result<i32> {
        let shape = self.shape(like)?;
        let tensor = Tensor {
            shape,
            r#type: bytes.map_or(TensorType::FLOAT32, |bytes| bytes.r#type),
            name: name.to_owned(),
            quantization: bytes.map(Bytes::parameters),
            has_rank: true,
            ..Tensor::default()
        };
        self.push(tensor)
    }

    /// A tensor of the file.
    fn at(&self, index: i32) -> Option<&Tensor> {
        usize::try_from(index).ok().and_then(|index| self.subgraph.tensors.get(index))
    }

    fn push(&mut self, tensor: Tensor) -> Result<i32> {
        let index = i32::try_from(self.subgraph.tensors.len())
            .map_err(|_| unsupported("more than 2^31 tensors"))?;
        self.subgraph.tensors.push(tensor);
        Ok(index)
    }

    /// Adds a constant.
    fn constant(
        &mut self,
        name: &str,
        value: &formats::Tensor,
        quantization: Option<QuantizationParameters>,
    ) -> Result<i32> {
        let tensor = self.model.add_constant(value)?;
        self.push(Tensor { name: name.to_owned(), quantization, has_rank: true, ..tensor })
    }

    /// Dimensions for one image.
    fn shape(&self, tensor: TensorId) -> Result<Vec<i32>> {
        let name = || self.graph.tensor_name(tensor);
        let shape = &self.graph.fact(tensor).shape;
        let dims = shape.dims().ok_or_else(|| {
            unsupported(format!("`{}`: its number of dimensions is not known", name()))
        })?;
        let of_one = dims.iter().enumerate().map(|(place, dim)| match (place, dim) {
            (0, None) => Some(1),
            (_, dim) => dim.and_then(|dim| i32::try_from(dim).ok()),
        });
        of_one.collect::<Option<Vec<i32>>>().ok_or_else(|| {
            unsupported(format!("`{}` of shape {shape}: its size must be fixed", name()))
        })
    }

    /// Fails unless there is a label for each value of the output.
    fn check_labels(&self, output: i32) -> Result<()> {
        let last = self.at(output).and_then(|tensor| tensor.shape.last().copied()).unwrap_or(0);
        match self.options.labels {
            Some(labels) => Ok(labels.check_count(usize::try_from(last).unwrap_or(0))?),
            None => Ok(()),
        }
    }

    fn operator(
        &mut self,
        operator: BuiltinOperator,
        version: i32,
        inputs: Vec<i32>,
        output: i32,
        options: BuiltinOptions,
    ) -> Result<()> {
        let inputs = self.of_one_kind(operator, inputs, output)?;
        let next = u32::try_from(self.model.operator_codes.len()).unwrap_or(u32::MAX);
        let opcode_index = *self.codes.entry(operator).or_insert(next);
        if opcode_index == next {
            self.model.operator_codes.push(OperatorCode::new(operator, version));
        }
        if let Some(code) = self.model.operator_codes.get_mut(opcode_index as usize) {
            code.version = code.version.max(version);
        }
        self.subgraph.operators.push(Operator {
            opcode_index,
            inputs,
            outputs: vec![output],
            builtin_options: options,
            ..Operator::default()
        });
        Ok(())
    }

    /// The inputs of an operator whose result is floats as floats too: bytes are dequantised.
    fn of_one_kind(
        &mut self,
        operator: BuiltinOperator,
        mut inputs: Vec<i32>,
        output: i32,
    ) -> Result<Vec<i32>> {
        if [BuiltinOperator::QUANTIZE, BuiltinOperator::DEQUANTIZE].contains(&operator) {
            return Ok(inputs);
        }
        let Some(to) = self.at(output).cloned() else { return Ok(inputs) };
        for input in &mut inputs {
            let Some(from) = self.at(*input).cloned() else { continue };
            match (to.quantization.is_some(), from.quantization.is_some(), from.r#type) {
                (false, true, TensorType::INT8 | TensorType::UINT8) => {
                    let name = format!("{}/floats", from.name);
                    let (shape, has_rank) = (from.shape, from.has_rank);
                    let floats = Tensor { name, shape, has_rank, ..Tensor::default() };
                    let bytes = vec![std::mem::replace(input, self.push(floats)?)];
                    let options = DequantizeOptions {}.into();
                    self.operator(BuiltinOperator::DEQUANTIZE, 2, bytes, *input, options)?;
                }
                (false, true, _) | (true, false, TensorType::FLOAT32) => {
                    return Err(unsupported(format!(
                        "`{}` mixes floats and integers: `{}` is {}",
                        to.name, from.name, from.r#type
                    )));
                }
                _ => {}
            }
        }
        Ok(inputs)
    }

    fn finish(mut self, output: i32) -> Model {
        self.subgraph.outputs = vec![output];
        let map = |name: &str, index: Option<&i32>| TensorMap {
            name: name.into(),
            tensor_index: index.and_then(|&index| u32::try_from(index).ok()).unwrap_or(0),
        };
        self.model.signature_defs = vec![SignatureDef {
            inputs: vec![map("images", self.subgraph.inputs.first())],
            outputs: vec![map("scores", self.subgraph.outputs.first())],
            signature_key: "serving_default".into(),
            subgraph_index: 0,
        }];
        self.model.subgraphs = vec![self.subgraph];
        self.model
    }
}

/// What the network behind `images` wants to see: the tensor, and how it is made of images.
pub(crate) fn network_input(
    graph: &Graph,
    images: TensorId,
    output: TensorId,
) -> Result<(TensorId, Normalization)> {
    let feed = Feed::find(graph, images, output)?;
    Ok((feed.tensor, feed.normalization))
}
