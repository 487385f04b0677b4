//! Where a graph is rounded, and the graph that rounds there.

use std::collections::HashMap;

use mobilenet_engine::{Attributes, Graph, Node, NodeId, TensorId};
use mobilenet_formats::{DType, Tensor};

use super::QuantizeOptions;
use super::calibrate::Calibration;
use super::given::Given;
use crate::error::{Error, ErrorKind, Result};
use crate::export::Bare;
use crate::export::tflite::network_input;

/// What happens to the output of a node.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rounding {
    /// Nothing: it is inside of a step.
    Inside,
    /// It gets a range of its own.
    Own,
    /// It has the range of its first input.
    AsInput,
    /// It is in [0, 1].
    Probability,
    /// The integers of its first input, in another shape.
    Integers,
}

/// What happens where, inputs first.
pub(crate) struct Places {
    nodes: Vec<(NodeId, Rounding)>,
    /// What the network wants to see, and the range it has by convention.
    input: TensorId,
    input_range: (f64, f64),
}

/// What multiplies by weights.
pub(super) const PRODUCTS: &[&str] = &["Conv2D", "DepthwiseConv2dNative", "MatMul"];

/// Finds the places.
///
/// # Errors
/// [`ErrorKind::Graph`] for an op this does not know, by name and op.
pub(crate) fn places(bare: &Bare) -> Result<Places> {
    let graph = &bare.graph;
    let (images, output) = (graph.tensor(&bare.images)?, graph.tensor(&bare.output)?);
    let order = graph.needed(&[output], &[images])?;
    let (input, normalization) = network_input(graph, images, output)?;
    let mut users: HashMap<NodeId, Vec<NodeId>> = HashMap::new();
    for &id in &order {
        for source in &graph.node(id).inputs {
            users.entry(source.node).or_default().push(id);
        }
    }
    let activated = |id: NodeId| {
        let only = users.get(&id).map(Vec::as_slice);
        matches!(only, Some(&[user]) if ["Relu", "Relu6"].contains(&graph.node(user).op_name.as_str()))
    };
    let mut network = input == images;
    let mut nodes = Vec::new();
    for &id in &order {
        let node = graph.node(id);
        let before = !network;
        network |= TensorId::from(id) == input;
        let rounding = match node.op_name.as_str() {
            "Const" => continue,
            _ if before => Rounding::Inside,
            op if PRODUCTS.contains(&op) => Rounding::Inside,
            "BiasAdd" | "Add" | "AddV2" if activated(id) => Rounding::Inside,
            "BiasAdd" | "Add" | "AddV2" | "Relu" | "Relu6" | "Mean" => Rounding::Own,
            "AvgPool" | "MaxPool" | "Pad" => Rounding::AsInput,
            "Reshape" | "Squeeze" | "Identity" => Rounding::Integers,
            "Sigmoid" | "Softmax" => Rounding::Probability,
            op => {
                let already = match op.starts_with("Uniform") {
                    true => ": the network is of 8 bits already, `mobilenet convert` writes it",
                    false => "",
                };
                let message = format!("`{}`: {op} cannot be quantised{already}", node.name);
                return Err(Error::new(ErrorKind::Graph, message));
            }
        };
        nodes.push((id, rounding));
    }
    let (mean, deviation) = (normalization.mean(), normalization.deviation());
    let at = |pixel: f32| (0..3).map(move |c: usize| f64::from((pixel - mean[c]) / deviation[c]));
    let low = at(0.0).fold(f64::INFINITY, f64::min);
    let high = at(255.0).fold(f64::NEG_INFINITY, f64::max);
    Ok(Places { nodes, input, input_range: (low, high) })
}

impl Places {
    /// Every node, inputs first, and whether it gets a range of its own.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (NodeId, bool)> {
        self.nodes.iter().map(|&(id, rounding)| (id, rounding == Rounding::Own))
    }

    /// The tensors whose values decide.
    pub(super) fn watched(&self) -> Vec<TensorId> {
        let own = self.nodes.iter().filter(|(_, rounding)| *rounding != Rounding::Inside);
        std::iter::once(self.input).chain(own.map(|(id, _)| TensorId::from(*id))).collect()
    }
}

/// The 256 values of a tensor: `scale * (integer - zero_point)`, integers from -128 to 127.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Steps {
    scale: f32,
    zero_point: i32,
}

impl Steps {
    /// That 0 is one of them and the range is covered.
    fn over((low, high): (f64, f64)) -> Self {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let scale = ((high - low) / 255.0) as f32;
        if !(scale.is_finite() && scale > 0.0) {
            return Self { scale: 1.0 / 256.0, zero_point: -128 };
        }
        // The six of relu6 must count in 32 bits of steps.
        let scale = scale.max(1e-8);
        let zero_point = (-128.0 - low / f64::from(scale)).round().clamp(-128.0, 127.0) as i32;
        Self { scale, zero_point }
    }
}

impl Steps {
    /// `FakeQuant…`'s: `levels` steps from one end to the other, moved so that 0 is one of them.
    pub(super) fn between(min: f32, max: f32, levels: f32) -> Self {
        let scale = (max - min) / levels;
        if !(scale.is_finite() && scale > 0.0) {
            return Self::over((0.0, 0.0));
        }
        let least = 255.0 - levels;
        let zero = (least - min / scale).round().clamp(least, 255.0);
        Self { scale, zero_point: zero as i32 - 128 }
    }
}

const PROBABILITY: Steps = Steps { scale: 1.0 / 256.0, zero_point: -128 };

/// Where ranges come from.
#[derive(Clone, Copy)]
pub(super) enum Ranges<'a> {
    /// What was seen.
    Seen(&'a Calibration),
    /// What the graph says.
    Given(&'a Given),
}

/// The graph that rounds at `places`.
pub(super) fn quantized(
    bare: &Bare,
    places: &Places,
    ranges: Ranges<'_>,
    options: &QuantizeOptions,
) -> Result<Graph> {
    let mut writer = Writer {
        old: &bare.graph,
        new: Graph::new(),
        real: HashMap::new(),
        integers: HashMap::new(),
        ranges,
        options,
    };
    let images = bare.graph.tensor(&bare.images)?;
    writer.copy(images.node, &bare.graph.node(images.node).name.clone())?;
    if places.input == images {
        let steps = Steps::over(places.input_range);
        writer.round(images, writer.made(images)?, steps, "images_of_8_bits")?;
    }
    for &(id, rounding) in &places.nodes {
        writer.place(id, rounding, places)?;
    }
    Ok(writer.new)
}

struct Writer<'a> {
    old: &'a Graph,
    new: Graph,
    /// The real numbers of a tensor of the old graph, rounded where it is.
    real: HashMap<TensorId, TensorId>,
    /// The integers, and what they mean.
    integers: HashMap<TensorId, (TensorId, Steps)>,
    ranges: Ranges<'a>,
    options: &'a QuantizeOptions,
}

impl Writer<'_> {
    fn made(&self, tensor: TensorId) -> Result<TensorId> {
        let made = self.real.get(&tensor).copied();
        made.ok_or_else(|| Error::new(ErrorKind::Graph, self.old.tensor_name(tensor)))
    }

    fn place(&mut self, id: NodeId, rounding: Rounding, places: &Places) -> Result<()> {
        if self.real.contains_key(&id.into()) {
            return Ok(());
        }
        let node = self.old.node(id);
        let (name, tensor) = (node.name.clone(), TensorId::from(id));
        let first = node.inputs.first().copied();
        let input = first.and_then(|input| self.integers.get(&input).copied());
        let steps = match rounding {
            Rounding::Inside if tensor == places.input => Steps::over(places.input_range),
            Rounding::Inside => {
                self.copy(id, &name)?;
                return Ok(());
            }
            Rounding::Own => self.steps(tensor, input)?,
            Rounding::Probability => PROBABILITY,
            Rounding::AsInput => match input {
                Some((_, steps)) => steps,
                None => self.steps(tensor, None)?,
            },
            Rounding::Integers => return self.reshaped(id, input),
        };
        let real = self.copy(id, &format!("{name}/real"))?;
        self.round(tensor, real, steps, &name)
    }

    /// The 256 values of `tensor`; `input` is what its node reads.
    fn steps(&self, tensor: TensorId, input: Option<(TensorId, Steps)>) -> Result<Steps> {
        match self.ranges {
            Ranges::Seen(calibration) => {
                Ok(Steps::over(calibration.range(tensor, self.options.ranges)?))
            }
            Ranges::Given(given) => {
                let node = self.old.node(tensor.node);
                // A mean is no larger than what it is the mean of.
                let of_input = input.filter(|_| node.op_name == "Mean").map(|(_, steps)| steps);
                given.of(tensor).or(of_input).ok_or_else(|| {
                    let message = format!(
                        "the graph gives ranges to some tensors and none to `{}` ({}): a \
                         FakeQuantWithMinMaxVars is wanted behind it",
                        node.name, node.op_name
                    );
                    Error::new(ErrorKind::Graph, message)
                })
            }
        }
    }

    /// The same integers in another shape.
    fn reshaped(&mut self, id: NodeId, input: Option<(TensorId, Steps)>) -> Result<()> {
        let node = self.old.node(id).clone();
        let Some((integers, steps)) = input else {
            self.copy(id, &node.name)?;
            return Ok(());
        };
        let attributes =
            node.attributes.clone().only(&["squeeze_dims"]).with_dtype("T", DType::QI8);
        let mut inputs = vec![integers];
        for &other in node.inputs.iter().skip(1) {
            inputs.push(self.constant(other)?);
        }
        let name = format!("{}/integers", node.name);
        let integers = self.new.add(name, &node.op_name, attributes, &inputs)?;
        self.dequantize(id.into(), integers.into(), steps, &node.name)
    }

    /// Copies a node of floats.
    fn copy(&mut self, id: NodeId, name: &str) -> Result<TensorId> {
        let node = self.old.node(id).clone();
        let mut inputs = Vec::with_capacity(node.inputs.len());
        let weights = PRODUCTS.contains(&node.op_name.as_str());
        for (place, &input) in node.inputs.iter().enumerate() {
            let bias = node.op_name == "BiasAdd" && place == 1;
            inputs.push(match self.real.get(&input) {
                Some(&made) => made,
                None if weights && place == 1 => self.weights(&node, input)?,
                None if bias => self.bias(&node, input)?,
                None => self.constant(input)?,
            });
        }
        let tensor = self.new.add(name, &node.op_name, node.attributes.clone(), &inputs)?.into();
        self.real.insert(id.into(), tensor);
        Ok(tensor)
    }

    fn constant(&mut self, tensor: TensorId) -> Result<TensorId> {
        if let Some(&made) = self.real.get(&tensor) {
            return Ok(made);
        }
        let node = self.old.node(tensor.node).clone();
        let made = self.new.add(node.name, &node.op_name, node.attributes, &[])?.into();
        self.real.insert(tensor, made);
        Ok(made)
    }

    fn round(&mut self, tensor: TensorId, real: TensorId, steps: Steps, name: &str) -> Result<()> {
        let [scale, zero] =
            self.parameters(name, &[], vec![steps.scale], vec![steps.zero_point])?;
        let attributes = coding("Tout", DType::QI8, -1).with_dtype("Tin", DType::F32);
        let integers = self.new.add(
            format!("{name}/integers"),
            "UniformQuantize",
            attributes,
            &[real, scale, zero],
        )?;
        self.dequantize(tensor, integers.into(), steps, name)
    }

    fn dequantize(
        &mut self,
        tensor: TensorId,
        integers: TensorId,
        steps: Steps,
        name: &str,
    ) -> Result<()> {
        let label = format!("{name}/back");
        let [scale, zero] =
            self.parameters(&label, &[], vec![steps.scale], vec![steps.zero_point])?;
        let attributes = coding("Tin", DType::QI8, -1).with_dtype("Tout", DType::F32);
        let real = self.new.add(name, "UniformDequantize", attributes, &[integers, scale, zero])?;
        self.real.insert(tensor, real.into());
        self.integers.insert(tensor, (integers, steps));
        Ok(())
    }

    fn parameters(
        &mut self,
        name: &str,
        shape: &[usize],
        scales: Vec<f32>,
        zeros: Vec<i32>,
    ) -> Result<[TensorId; 2]> {
        let mut add = |name: String, value: Tensor| {
            let attributes =
                Attributes::new().with_dtype("dtype", value.dtype()).with_tensor("value", &value);
            Ok::<TensorId, Error>(self.new.add(name, "Const", attributes, &[])?.into())
        };
        let scale = add(format!("{name}/scale"), Tensor::new(shape, scales)?)?;
        Ok([scale, add(format!("{name}/zero_point"), Tensor::new(shape, zeros)?)?])
    }

    /// The integers and scales of a product's weights.
    fn rounded(&self, node: &Node, weights: TensorId) -> Result<Rounded> {
        let value = self.old.node(weights.node).attributes.tensor("value")?;
        let values = value.as_f32().unwrap_or_default().to_vec();
        let depthwise = node.op_name == "DepthwiseConv2dNative";
        let shape = value.shape().to_vec();
        let outputs = match (depthwise, shape.as_slice()) {
            (true, &[_, _, channels, multiplier]) if multiplier == 1 || channels == 1 => {
                channels * multiplier
            }
            (false, &[.., outputs]) => outputs,
            _ => {
                let message = format!("`{}`: weights of shape {shape:?}", node.name);
                return Err(Error::new(ErrorKind::Graph, message));
            }
        };
        let input = node.inputs.first().and_then(|input| self.integers.get(input));
        let Some(&(_, input)) = input else {
            let message = format!("`{}` reads what is not quantised", node.name);
            return Err(Error::new(ErrorKind::Graph, message));
        };
        let bias = self.bias_of(node)?;
        let mut largest = vec![0.0f32; outputs];
        for (i, &value) in values.iter().enumerate() {
            if let Some(largest) = largest.get_mut(i % outputs.max(1)) {
                *largest = largest.max(value.abs());
            }
        }
        let grid = match self.ranges {
            Ranges::Given(given) => given.of(weights).map(|steps| steps.scale),
            Ranges::Seen(_) => None,
        };
        let scales: Vec<f32> = largest
            .iter()
            .enumerate()
            .map(|(output, &largest)| {
                // Where weights are all but 0, the bias must still count in 32 bits.
                let bias = bias.get(output).copied().unwrap_or(0.0).abs();
                let least = f64::from(bias) / (f64::from(input.scale) * f64::from(1 << 28));
                // Weights that are multiples of a step already stay what they are.
                let own = largest / 127.0;
                let own = grid.filter(|step| (largest / step).round() <= 127.0).unwrap_or(own);
                own.max(least as f32).max(1e-20)
            })
            .collect();
        let integers: Vec<i8> = values
            .iter()
            .enumerate()
            .map(|(i, value)| {
                let scale = scales.get(i % outputs.max(1)).copied().unwrap_or(1.0);
                (value / scale).round().clamp(-127.0, 127.0) as i8
            })
            .collect();
        let axis = if depthwise && shape.get(2) != Some(&1) { 2 } else { shape.len() as i64 - 1 };
        Ok(Rounded { values, integers, scales, shape, axis, input, depthwise })
    }

    /// The bias that follows a product; empty if none does.
    fn bias_of(&self, product: &Node) -> Result<Vec<f32>> {
        let id = self.old.find(&product.name);
        let reads = |node: &Node| node.inputs.first().map(|input| input.node) == id;
        let sum = self.old.nodes().find(|(_, node)| node.op_name == "BiasAdd" && reads(node));
        let Some(bias) = sum.and_then(|(_, node)| node.inputs.get(1)) else { return Ok(vec![]) };
        let value = self.old.node(bias.node).attributes.tensor("value")?;
        Ok(value.as_f32().unwrap_or_default().to_vec())
    }

    fn weights(&mut self, node: &Node, weights: TensorId) -> Result<TensorId> {
        let Rounded { integers, scales, shape, axis, .. } = self.rounded(node, weights)?;
        let name = self.old.node(weights.node).name.clone();
        let zeros = vec![0; scales.len()];
        let value = Tensor::new(shape, integers)?;
        self.constant_of_integers(&name, &value, DType::QI8, scales, zeros, axis)
    }

    fn constant_of_integers(
        &mut self,
        name: &str,
        value: &Tensor,
        dtype: DType,
        scales: Vec<f32>,
        zeros: Vec<i32>,
        axis: i64,
    ) -> Result<TensorId> {
        let attributes =
            Attributes::new().with_dtype("dtype", dtype).with_quantized("value", value, dtype);
        let integers = self.new.add(format!("{name}/integers"), "Const", attributes, &[])?;
        let [scales, zeros] = self.parameters(name, &[scales.len()], scales, zeros)?;
        let attributes = coding("Tin", dtype, axis).with_dtype("Tout", DType::F32);
        let inputs = [integers.into(), scales, zeros];
        Ok(self.new.add(name, "UniformDequantize", attributes, &inputs)?.into())
    }

    /// The bias in steps of input times weight, moved by what rounding the weights changes.
    fn bias(&mut self, node: &Node, bias: TensorId) -> Result<TensorId> {
        let product = node.inputs.first().map(|input| self.old.node(input.node).clone());
        let Some(product) = product.filter(|node| PRODUCTS.contains(&node.op_name.as_str())) else {
            return self.constant(bias);
        };
        let &[x, w] = product.inputs.as_slice() else { return self.constant(bias) };
        let rounded = self.rounded(&product, w)?;
        let mut values: Vec<f64> = self.bias_of(&product)?.into_iter().map(f64::from).collect();
        if let (true, Ranges::Seen(calibration)) = (self.options.bias_correction, self.ranges) {
            let means = calibration.means(x)?;
            values.iter_mut().zip(rounded.errors(&means)).for_each(|(bias, off)| *bias += off);
        }
        let scales: Vec<f32> =
            rounded.scales.iter().map(|scale| rounded.input.scale * scale).collect();
        let steps = |(value, scale): (&f64, &f32)| {
            (value / f64::from(*scale)).round().clamp(-2147483647.0, 2147483647.0) as i32
        };
        let integers: Vec<i32> = values.iter().zip(&scales).map(steps).collect();
        let name = self.old.node(bias.node).name.clone();
        let zeros = vec![0; scales.len()];
        let value = Tensor::new([integers.len()], integers)?;
        self.constant_of_integers(&name, &value, DType::QI32, scales, zeros, 0)
    }
}

/// Weights in integers.
struct Rounded {
    values: Vec<f32>,
    integers: Vec<i8>,
    scales: Vec<f32>,
    shape: Vec<usize>,
    axis: i64,
    input: Steps,
    depthwise: bool,
}

impl Rounded {
    /// What rounding changes of each output, for inputs of these means; borders aside.
    fn errors(&self, means: &[f64]) -> Vec<f64> {
        let rounded: Vec<f64> = self
            .integers
            .iter()
            .enumerate()
            .map(|(i, &integer)| {
                let scale = self.scales.get(i % self.scales.len().max(1)).copied();
                f64::from(scale.unwrap_or(0.0)) * f64::from(integer)
            })
            .collect();
        let outputs = self.scales.len();
        rounding_errors(&self.values, &rounded, (&self.shape, outputs, self.depthwise), means)
    }
}

/// What changes of each output of a product where `values` become `rounded`, for inputs of these
/// means; borders aside. `layout`: shape, outputs, and whether each input has outputs of its own.
pub(super) fn rounding_errors(
    values: &[f32],
    rounded: &[f64],
    (shape, outputs, depthwise): (&[usize], usize, bool),
    means: &[f64],
) -> Vec<f64> {
    let outputs = outputs.max(1);
    let inner = shape.get(shape.len().saturating_sub(2)).copied().unwrap_or(1).max(1);
    let multiplier = (outputs / inner).max(1);
    let mut errors = vec![0.0; outputs];
    for (i, (&value, &rounded)) in values.iter().zip(rounded).enumerate() {
        let output = i % outputs;
        let input = if depthwise { output / multiplier } else { i / outputs % inner };
        if let Some(error) = errors.get_mut(output) {
            *error += (f64::from(value) - rounded) * means.get(input).copied().unwrap_or(0.0);
        }
    }
    errors
}

fn coding(integers: &str, dtype: DType, axis: i64) -> Attributes {
    let (low, high) = match dtype {
        DType::QI32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (-128, 127),
    };
    Attributes::new()
        .with_dtype(integers, dtype)
        .with_int("quantization_axis", axis)
        .with_int("quantization_min_val", low)
        .with_int("quantization_max_val", high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_one_of_the_steps() {
        let steps = Steps::over((-1.0, 1.0));
        assert!((steps.scale - 2.0 / 255.0).abs() < 1e-8);
        assert!((-1..=0).contains(&steps.zero_point));
        assert_eq!(
            Steps::over((0.5, 6.0)),
            Steps { scale: (6.0f64 / 255.0) as f32, zero_point: -128 }
        );
        assert_eq!(Steps::over((0.0, 0.0)).zero_point, -128);
        assert_eq!(Steps::over((-3.0, -1.0)).zero_point, 127);
    }
}
