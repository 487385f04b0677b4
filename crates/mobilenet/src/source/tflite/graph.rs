//! From the operators of a TFLite subgraph to a [`Graph`] in TensorFlow's vocabulary.
//!
//! Every tensor of the file keeps its name (the first of those a converter joined with `;`). A
//! quantised tensor becomes two: the integers, and under its name the real numbers they stand for.
//! Layouts change from TFLite's (outputs first) to TensorFlow's (outputs last).

use std::collections::HashMap;

use mobilenet_engine::{Attributes, Graph, Shape, TensorId};
use mobilenet_formats::tflite::{Affine, Model, Operator, SubGraph, Tensor, TensorType};
use mobilenet_formats::{self as formats, DType, Limits, TensorData};

use super::sizes::Sizes;
use super::{operators, shifts};
use crate::error::{Error, ErrorKind, Result};
use crate::normalization::Normalization;
use crate::source::network::free_name;

/// A subgraph as a graph.
pub(super) struct Imported {
    pub(super) graph: Graph,
    /// The node that takes what the network wants to see.
    pub(super) images: String,
    /// How images become that, where the file's input leaves no choice.
    pub(super) normalization: Option<Normalization>,
    pub(super) output: String,
    /// Key and tensor of every end point, in the order of the network.
    pub(super) points: Vec<(String, String)>,
}

/// What stands for a tensor of the file; at least one is there.
#[derive(Clone, Copy, Default)]
struct Value {
    real: Option<TensorId>,
    integers: Option<TensorId>,
}

pub(super) struct Importer<'a> {
    pub(super) model: &'a Model,
    pub(super) subgraph: &'a SubGraph,
    limits: &'a Limits,
    pub(super) graph: Graph,
    values: HashMap<usize, Value>,
    /// Tensors that hold what a constant holds: a `DEQUANTIZE` of weights.
    same_as: HashMap<usize, usize>,
    /// Tensors that hold sizes.
    sizes: HashMap<i32, Sizes>,
    points: Vec<(String, TensorId)>,
    /// Dimension 0 of the file's input.
    batch: i32,
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Format, message)
}

impl<'a> Importer<'a> {
    pub(super) fn new(model: &'a Model, limits: &'a Limits) -> Result<Self> {
        let subgraph = model.subgraphs.first().ok_or_else(|| wrong("the file holds no graph"))?;
        Ok(Self {
            model,
            subgraph,
            limits,
            graph: Graph::new(),
            values: HashMap::new(),
            same_as: HashMap::new(),
            sizes: HashMap::new(),
            points: Vec::new(),
            batch: 1,
        })
    }

    /// `as_bytes`: an input of uint8 takes pixels as they are, whatever its scale says; `stated`: but
    /// where only a `QUANTIZE` reads it, for the file says what its network of floats saw.
    pub(super) fn run(mut self, as_bytes: bool, stated: bool) -> Result<Imported> {
        let (&[fed], &[given, ..]) =
            (self.subgraph.inputs.as_slice(), self.subgraph.outputs.as_slice())
        else {
            let (inputs, outputs) = (self.subgraph.inputs.len(), self.subgraph.outputs.len());
            let message = format!("{inputs} inputs and {outputs} outputs; one of images wanted");
            return Err(wrong(message));
        };
        let operators = &self.subgraph.operators;
        let (entry, end) = (shifts::of_input(&self, fed), shifts::of_output(&self, given));
        let as_bytes = as_bytes && !(stated && entry.is_some());
        let read = entry.as_ref().map_or(fed, |shift| shift.to);
        let (images, normalization) = self.images(fed, read, as_bytes)?;
        self.points.clear();
        let shifts = [&entry, &end].map(|shift| shift.as_ref().map(|shift| shift.place));
        for (place, operator) in operators.iter().enumerate() {
            if !shifts.contains(&Some(place)) {
                self.operator(place, operator)?;
            }
        }
        let output = self.real(end.map_or(given, |shift| shift.from))?;
        let Self { graph, points, .. } = self;
        let name = |tensor: TensorId| graph.tensor_name(tensor);
        Ok(Imported {
            images,
            normalization,
            output: name(output),
            points: points.into_iter().map(|(key, tensor)| (key, name(tensor))).collect(),
            graph,
        })
    }

    fn operator(&mut self, place: usize, operator: &Operator) -> Result<()> {
        let code = self.model.operator_code(operator);
        let code = code.ok_or_else(|| wrong(format!("operator {place} has no code")))?.builtin();
        let at = || {
            let output = operator.outputs.first().and_then(|&index| self.tensor(index).ok());
            // Of the names that a converter joined, the first.
            let name = output.and_then(|tensor| tensor.name.split(';').next()).unwrap_or_default();
            format!("operator {place}, {code}, for tensor `{name}`")
        };
        let Some(import) = operators::find(code) else {
            return Err(Error::new(ErrorKind::Graph, format!("{}: not supported", at())));
        };
        let place = at();
        import(self, operator).map_err(|error| Error::because(error.kind(), place, error))
    }

    // Tensors of the file.

    pub(super) fn tensor(&self, index: i32) -> Result<&'a Tensor> {
        let tensor = usize::try_from(index).ok().and_then(|i| self.subgraph.tensors.get(i));
        tensor.ok_or_else(|| wrong(format!("tensor {index} of {}", self.subgraph.tensors.len())))
    }

    /// Input `place` of an operator; `None` where it is left out.
    pub(super) fn optional(&self, operator: &Operator, place: usize) -> Option<i32> {
        operator.inputs.get(place).copied().filter(|&index| index >= 0)
    }

    pub(super) fn input(&self, operator: &Operator, place: usize) -> Result<i32> {
        self.optional(operator, place).ok_or_else(|| wrong(format!("input {place} is missing")))
    }

    pub(super) fn output(&self, operator: &Operator) -> Result<i32> {
        match operator.outputs.as_slice() {
            &[output] => Ok(output),
            other => Err(wrong(format!("{} outputs, one wanted", other.len()))),
        }
    }

    /// The shape as the file has it, with the file's number of images.
    pub(super) fn file_shape(&self, index: i32) -> Result<Vec<usize>> {
        Ok(self.tensor(index)?.dimensions(self.limits)?)
    }

    /// Whether `dimension` counts the images the file was made for.
    pub(super) fn is_batch(&self, dimension: usize) -> bool {
        i32::try_from(dimension) == Ok(self.batch)
    }

    /// How a tensor is quantised to 8 bits; `None` where it is not quantised.
    pub(super) fn affine(&self, index: i32) -> Result<Option<Affine>> {
        let tensor = self.tensor(index)?;
        match tensor.r#type {
            TensorType::INT8 | TensorType::UINT8 => Ok(tensor.affine()?),
            TensorType::FLOAT32 | TensorType::FLOAT16 | TensorType::INT32 => Ok(None),
            other => {
                let message = format!("tensor `{}` of type {other}", tensor.name);
                Err(Error::new(ErrorKind::Graph, message))
            }
        }
    }

    /// The value of a constant, through `DEQUANTIZE`; `None` for what is computed.
    pub(super) fn constant(&self, index: i32) -> Result<Option<(i32, formats::Tensor)>> {
        let source = usize::try_from(index).ok().and_then(|index| self.same_as.get(&index));
        let index = source.and_then(|&source| i32::try_from(source).ok()).unwrap_or(index);
        let value = self.model.constant(self.tensor(index)?, self.limits)?;
        Ok(value.map(|value| (index, value)))
    }

    /// The integers of a constant: axes, shapes.
    pub(super) fn integers(&self, index: i32) -> Result<Vec<i64>> {
        let (_, value) = self.constant(index)?.ok_or_else(|| wrong("a computed shape or axis"))?;
        match value.data() {
            TensorData::I32(values) => Ok(values.iter().map(|&value| value.into()).collect()),
            TensorData::I64(values) => Ok(values.clone()),
            other => Err(wrong(format!("{} where integers are wanted", other.dtype()))),
        }
    }

    /// Says that tensor `to` holds what the constant `from` holds.
    pub(super) fn alias(&mut self, from: i32, to: i32) -> Result<()> {
        let places = (usize::try_from(to), usize::try_from(from));
        let (Ok(to), Ok(from)) = places else { return Err(wrong("no such tensor")) };
        self.same_as.insert(to, from);
        Ok(())
    }

    /// The sizes that a tensor holds, where they are computed.
    pub(super) fn computed_sizes(&self, index: i32) -> Option<&Sizes> {
        self.sizes.get(&index)
    }

    /// The sizes that a tensor holds: computed, or a constant of integers.
    pub(super) fn sizes(&self, index: i32) -> Result<Sizes> {
        match self.computed_sizes(index) {
            Some(sizes) => Ok(sizes.clone()),
            None => Ok(self.integers(index)?.into_iter().map(Some).collect()),
        }
    }

    /// Says that tensor `index` holds these sizes.
    pub(super) fn bind_sizes(&mut self, index: i32, sizes: Sizes) -> Result<()> {
        match self.sizes.insert(index, sizes) {
            None => Ok(()),
            Some(_) => Err(wrong(format!("tensor {index} is computed twice"))),
        }
    }

    // Nodes of the graph.

    /// Adds a node under a free name like `name`; gives its first output.
    pub(super) fn node(
        &mut self,
        name: &str,
        op: &str,
        attributes: Attributes,
        inputs: &[TensorId],
    ) -> Result<TensorId> {
        Ok(self.graph.add(free_name(&self.graph, name), op, attributes, inputs)?.into())
    }

    pub(super) fn add_constant(&mut self, name: &str, value: &formats::Tensor) -> Result<TensorId> {
        let attributes =
            Attributes::new().with_dtype("dtype", value.dtype()).with_tensor("value", value);
        self.node(name, "Const", attributes, &[])
    }

    pub(super) fn add_floats(
        &mut self,
        name: &str,
        shape: &[usize],
        values: Vec<f32>,
    ) -> Result<TensorId> {
        self.add_constant(name, &formats::Tensor::new(shape, values)?)
    }

    pub(super) fn add_ints(&mut self, name: &str, values: &[i64]) -> Result<TensorId> {
        let narrow: Vec<i32> = values.iter().filter_map(|&value| value.try_into().ok()).collect();
        self.add_constant(name, &formats::Tensor::new([values.len()], narrow)?)
    }

    /// The real numbers of a tensor.
    pub(super) fn real(&mut self, index: i32) -> Result<TensorId> {
        let place = usize::try_from(index).map_err(|_| wrong("no such tensor"))?;
        let value = self.values.get(&place).copied().unwrap_or_default();
        let real = match value {
            Value { real: Some(real), .. } => return Ok(real),
            Value { integers: Some(integers), .. } => {
                let name = self.name(index)?;
                let affine = self.affine(index)?.ok_or_else(|| wrong("no scale"))?;
                let real = self.dequantize(&name, integers, self.coding(index)?, &affine)?;
                self.points.push((self.graph.node(real.node).name.clone(), real));
                real
            }
            Value { .. } => self.real_constant(index)?,
        };
        self.values.entry(place).or_default().real = Some(real);
        Ok(real)
    }

    fn real_constant(&mut self, index: i32) -> Result<TensorId> {
        let name = self.name(index)?;
        if self.computed_sizes(index).is_some() {
            let message = format!("`{name}` holds sizes, which only a RESHAPE may take");
            return Err(Error::new(ErrorKind::Graph, message));
        }
        let Some((source, value)) = self.constant(index)? else {
            return Err(wrong(format!("tensor `{name}` is used before it is computed")));
        };
        self.weights(&name, source, value, None)
    }

    /// A constant as real numbers; `axis` is where the dimension of several scales is now.
    pub(super) fn weights(
        &mut self,
        name: &str,
        source: i32,
        value: formats::Tensor,
        axis: Option<usize>,
    ) -> Result<TensorId> {
        let value = match value.data() {
            TensorData::F32(_) => return self.add_constant(name, &value),
            TensorData::F16(bits) => {
                let single = bits.iter().map(|&bits| half(bits)).collect();
                return self.add_floats(name, value.shape(), single);
            }
            TensorData::U8(bytes) => {
                let shifted: Vec<i8> = bytes.iter().map(|&byte| (byte ^ 0x80) as i8).collect();
                formats::Tensor::new(value.shape(), shifted)?
            }
            TensorData::I8(_) | TensorData::I32(_) => value,
            other => return Err(wrong(format!("weights `{name}` of type {}", other.dtype()))),
        };
        let tensor = self.tensor(source)?;
        let mut affine = tensor
            .affine()?
            .ok_or_else(|| wrong(format!("weights `{name}` are integers without a scale")))?;
        if tensor.r#type == TensorType::UINT8 {
            affine.zero_points.iter_mut().for_each(|point| *point -= 128);
        }
        affine.axis = if affine.axis.is_some() { axis.or(affine.axis) } else { None };
        let is_bias = value.dtype() == DType::I32;
        let dtype = if is_bias { DType::QI32 } else { DType::QI8 };
        let attributes =
            Attributes::new().with_dtype("dtype", dtype).with_quantized("value", &value, dtype);
        let integers = self.node(&format!("{name}/integers"), "Const", attributes, &[])?;
        let coding = if is_bias { Coding::BIAS } else { Coding::INT8 };
        self.dequantize(name, integers, coding, &affine)
    }

    /// The real numbers that `integers` stand for.
    pub(super) fn dequantize(
        &mut self,
        name: &str,
        integers: TensorId,
        coding: Coding,
        affine: &Affine,
    ) -> Result<TensorId> {
        let [scales, zeros] = self.parameters(name, affine)?;
        let attributes = coding.attributes("Tin", affine).with_dtype("Tout", DType::F32);
        self.node(name, "UniformDequantize", attributes, &[integers, scales, zeros])
    }

    fn quantize(
        &mut self,
        name: &str,
        real: TensorId,
        coding: Coding,
        affine: &Affine,
    ) -> Result<TensorId> {
        let [scales, zeros] = self.parameters(name, affine)?;
        let attributes = coding.attributes("Tout", affine).with_dtype("Tin", DType::F32);
        let name = format!("{name}/integers");
        self.node(&name, "UniformQuantize", attributes, &[real, scales, zeros])
    }

    fn parameters(&mut self, name: &str, affine: &Affine) -> Result<[TensorId; 2]> {
        let Affine { scales, zero_points, axis } = affine;
        let shape: &[usize] = if axis.is_some() { &[scales.len()] } else { &[] };
        let scales = self.add_floats(&format!("{name}/scale"), shape, scales.clone())?;
        let zeros = formats::Tensor::new(shape, zero_points.clone())?;
        Ok([scales, self.add_constant(&format!("{name}/zero_point"), &zeros)?])
    }

    fn coding(&self, index: i32) -> Result<Coding> {
        Ok(match self.tensor(index)?.r#type {
            TensorType::UINT8 => Coding::UINT8,
            _ => Coding::INT8,
        })
    }

    /// The integers of a quantised tensor that is computed.
    pub(super) fn quantized(&self, index: i32) -> Option<TensorId> {
        let place = usize::try_from(index).ok()?;
        self.values.get(&place)?.integers
    }

    /// Says that `real` is what output `index` holds, before it is rounded if it is quantised.
    pub(super) fn bind(&mut self, index: i32, real: TensorId) -> Result<()> {
        let Some(affine) = self.affine(index)? else {
            let name = self.graph.node(real.node).name.clone();
            self.points.push((name, real));
            return self.set(index, Value { real: Some(real), integers: None });
        };
        let (name, coding) = (self.name(index)?, self.coding(index)?);
        let integers = self.quantize(&name, real, coding, &affine)?;
        self.bind_integers(index, integers)
    }

    /// Says that `integers` are those of output `index`.
    pub(super) fn bind_integers(&mut self, index: i32, integers: TensorId) -> Result<()> {
        self.set(index, Value { real: None, integers: Some(integers) })?;
        // Now, so that end points are in the order of the network.
        self.real(index).map(|_| ())
    }

    fn set(&mut self, index: i32, value: Value) -> Result<()> {
        let place = usize::try_from(index).map_err(|_| wrong("no such tensor"))?;
        match self.values.insert(place, value) {
            None => Ok(()),
            Some(_) => Err(wrong(format!("tensor {index} is computed twice"))),
        }
    }

    /// The name of a tensor as a node may be called.
    pub(super) fn name(&self, index: i32) -> Result<String> {
        let name = &self.tensor(index)?.name;
        let first = name.split(';').next().unwrap_or_default();
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-/".contains(c);
        let name: String = first.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
        let name = name.trim_start_matches(['_', '/', '-']);
        Ok(if name.is_empty() { format!("tensor_{index}") } else { name.to_owned() })
    }

    // Images.

    /// The node that takes what the network wants to see, and how images become that if it is
    /// known: bytes for uint8. The file is fed `fed`; the network reads `index`.
    fn images(
        &mut self,
        fed: i32,
        index: i32,
        as_bytes: bool,
    ) -> Result<(String, Option<Normalization>)> {
        let (tensor, shape) = (self.tensor(fed)?, self.file_shape(fed)?);
        let signature = &tensor.shape_signature;
        let &[batch, height, width, 3] = shape.as_slice() else {
            let message = format!("the input `{}` is {shape:?}, no colour images", tensor.name);
            return Err(wrong(message));
        };
        self.batch = i32::try_from(batch).unwrap_or(1);
        let free = |place: usize| signature.get(place).is_some_and(|&dim| dim < 0);
        let side = |place: usize, side: usize| if free(place) { None } else { Some(side) };
        let shape = Shape::new(vec![None, side(1, height), side(2, width), Some(3)]);
        let attributes =
            Attributes::new().with_dtype("dtype", DType::F32).with_shape("shape", &shape);
        let affine = self.affine(index)?;
        let name = match affine {
            Some(_) => "images".to_owned(),
            None => self.name(index)?,
        };
        let images = self.node(&name, "Placeholder", attributes, &[])?;
        match (affine, tensor.r#type) {
            (Some(_), TensorType::UINT8) if as_bytes => {
                let coding = self.coding(index)?;
                let least = i32::try_from(coding.low).unwrap_or(0);
                let whole = Affine { scales: vec![1.0], zero_points: vec![least], axis: None };
                let integers = self.quantize("images", images, coding, &whole)?;
                self.bind_integers(index, integers)?;
                let pixels = Normalization::from_slices(&[0.0], &[1.0])?;
                return Ok((name, Some(pixels)));
            }
            (Some(_), _) | (None, TensorType::FLOAT32) => self.bind(index, images)?,
            (None, other) => {
                let message = format!("the input `{}` of type {other}", tensor.name);
                return Err(Error::new(ErrorKind::Graph, message));
            }
        }
        Ok((name, None))
    }
}

/// The integers of a quantised tensor, in TensorFlow's words: those of uint8 are 32-bit integers
/// from 0 to 255, for the ops have no narrower type for them.
#[derive(Clone, Copy)]
pub(super) struct Coding {
    dtype: DType,
    low: i64,
    high: i64,
}

impl Coding {
    pub(super) const INT8: Self = Self { dtype: DType::QI8, low: -128, high: 127 };
    pub(super) const UINT8: Self = Self { dtype: DType::QI32, low: 0, high: 255 };
    pub(super) const BIAS: Self =
        Self { dtype: DType::QI32, low: i32::MIN as i64, high: i32::MAX as i64 };

    fn attributes(self, integers: &str, affine: &Affine) -> Attributes {
        let axis = affine.axis.and_then(|axis| i64::try_from(axis).ok()).unwrap_or(-1);
        Attributes::new()
            .with_dtype(integers, self.dtype)
            .with_int("quantization_axis", axis)
            .with_int("quantization_min_val", self.low)
            .with_int("quantization_max_val", self.high)
    }
}

/// A half-precision number.
fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (bits >> 10 & 0x1f, f32::from(bits & 0x3ff));
    sign * match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1024.0 + fraction) * 2f32.powi(i32::from(exponent) - 25),
    }
}

#[cfg(test)]
mod tests {
    use super::half;

    #[test]
    fn half_precision_numbers() {
        for (bits, value) in
            [(0x3c00, 1.0), (0xc000, -2.0), (0x3555, 0.333_251_95), (0x7bff, 65504.0)]
        {
            assert_eq!(half(bits), value);
        }
        assert_eq!(half(0x0001), 2f32.powi(-24));
        assert!(half(0x7c00).is_infinite() && half(0x7e00).is_nan());
    }
}
