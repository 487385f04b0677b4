//! From nodes of the graph to operators: a convolution takes bias and activation along, and a
//! tensor behind `UniformQuantize` and `UniformDequantize` is one of 8 bits.

use mobilenet_engine::{Attributes, Graph, Node, TensorId};
use mobilenet_formats::tflite::{
    ActivationFunctionType, AddOptions, BuiltinOperator, BuiltinOptions, Conv2DOptions,
    DepthwiseConv2DOptions, DequantizeOptions, FullyConnectedOptions, MulOptions, PadOptions,
    Padding, Pool2DOptions, QuantizationParameters, QuantizeOptions, ReducerOptions,
    ReshapeOptions, SoftmaxOptions, SubOptions, TensorType,
};
use mobilenet_formats::{self as formats, DType, TensorData};

use super::{WeightType, Writer, unsupported};
use crate::error::{Error, ErrorKind, Result};
use crate::normalization::Normalization;

/// How a tensor of 8 bits is read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bytes {
    pub(super) r#type: TensorType,
    pub(super) scales: Vec<f32>,
    pub(super) zero_points: Vec<i64>,
    pub(super) axis: i32,
}

impl Bytes {
    pub(super) fn parameters(&self) -> QuantizationParameters {
        QuantizationParameters {
            scale: self.scales.clone(),
            zero_point: self.zero_points.clone(),
            quantized_dimension: self.axis.max(0),
            ..QuantizationParameters::default()
        }
    }

    /// Of a `UniformQuantize` (`Tout`) or `UniformDequantize` (`Tin`).
    fn of(graph: &Graph, node: &Node, dtype: &str) -> Result<Self> {
        let attributes = &node.attributes;
        let low = attributes.int("quantization_min_val", -128)?;
        let r#type = match (attributes.dtype(dtype, DType::QI8)?, low) {
            (DType::QI8, _) => TensorType::INT8,
            (DType::QI32, 0) => TensorType::UINT8,
            _ => TensorType::INT32,
        };
        let &[_, scales, zeros] = node.inputs.as_slice() else {
            return Err(unsupported(format!("`{}` has no scales", node.name)));
        };
        let scales = constant(graph, scales)?;
        let zeros = constant(graph, zeros)?;
        let axis = attributes.int("quantization_axis", -1)?;
        match (scales.as_f32(), zeros.as_i32()) {
            (Some(scales), Some(zeros)) => Ok(Self {
                r#type,
                scales: scales.to_vec(),
                zero_points: zeros.iter().map(|&zero| zero.into()).collect(),
                axis: i32::try_from(axis).unwrap_or(-1),
            }),
            _ => Err(unsupported(format!("`{}`: scales of another type", node.name))),
        }
    }
}

/// The value of a constant node.
pub(super) fn constant(graph: &Graph, tensor: TensorId) -> Result<formats::Tensor> {
    let node = graph.node(tensor.node);
    if node.op_name != "Const" {
        let message = format!("`{}`, {}, where a constant is wanted", node.name, node.op_name);
        return Err(unsupported(message));
    }
    let value = node.attributes.tensor("value")?;
    Ok(value)
}

/// Where images go in.
#[derive(Clone, Debug)]
pub(super) struct Feed {
    /// The tensor that the file takes: behind the normalisation, and the quantisation.
    pub(super) tensor: TensorId,
    pub(super) normalization: Normalization,
    pub(super) bytes: Option<Bytes>,
}

impl Feed {
    /// Follows `images` to where the network begins.
    pub(super) fn find(graph: &Graph, images: TensorId, output: TensorId) -> Result<Self> {
        let order = graph.needed(&[output], &[images])?;
        let only_user = |tensor: TensorId| {
            let reads = |id: &&mobilenet_engine::NodeId| graph.node(**id).inputs.contains(&tensor);
            let mut users = order.iter().filter(reads);
            users.next().copied().filter(|_| users.next().is_none())
        };
        let (mut at, mut scale, mut offset) = (images, [1.0f64; 3], [0.0f64; 3]);
        let mut bytes = None;
        while let Some(user) = only_user(at) {
            let node = graph.node(user);
            match (node.op_name.as_str(), node.inputs.as_slice()) {
                ("Identity", _) => {}
                ("Mul" | "Sub" | "AddV2" | "Add", &[x, by]) if x == at => {
                    let Ok(by) = constant(graph, by) else { break };
                    let Some(by) = by.as_f32().and_then(three) else { break };
                    for ((scale, offset), by) in scale.iter_mut().zip(&mut offset).zip(by) {
                        match node.op_name.as_str() {
                            "Mul" => (*scale, *offset) = (*scale * by, *offset * by),
                            "Sub" => *offset -= by,
                            _ => *offset += by,
                        }
                    }
                }
                ("UniformQuantize", _) => {
                    // The integers mean what the one that reads them takes them for.
                    let Some(reader) = only_user(user.into()).map(|id| graph.node(id)) else {
                        break;
                    };
                    if reader.op_name != "UniformDequantize" {
                        break;
                    }
                    bytes = Some(Bytes::of(graph, reader, "Tin")?);
                }
                ("UniformDequantize", _) => {
                    at = user.into();
                    break;
                }
                _ => break,
            }
            at = user.into();
        }
        let mean = [0, 1, 2].map(|c: usize| (-offset[c] / scale[c] * 255.0) as f32);
        let deviation = scale.map(|scale| (255.0 / scale) as f32);
        let normalization = match &bytes {
            // Pixels as they are: the scale says what the network makes of them.
            Some(bytes) if scale == [255.0; 3] => bytes_as_numbers(bytes),
            _ => Normalization::new(mean, deviation)?,
        };
        Ok(Self { tensor: at, normalization, bytes })
    }
}

fn bytes_as_numbers(bytes: &Bytes) -> Normalization {
    let scale = bytes.scales.first().copied().unwrap_or(1.0);
    let least = if bytes.r#type == TensorType::INT8 { -128 } else { 0 };
    let zero = bytes.zero_points.first().copied().unwrap_or(least) - least;
    let both = Normalization::from_slices(&[zero as f32], &[1.0 / scale]);
    both.unwrap_or(Normalization::SIGNED)
}

fn three(values: &[f32]) -> Option<[f64; 3]> {
    match *values {
        [all] => Some([f64::from(all); 3]),
        [a, b, c] => Some([a, b, c].map(f64::from)),
        _ => None,
    }
}

/// What an operator gives: the tensor of the graph it stands for, and its quantisation.
struct Target {
    tensor: TensorId,
    name: String,
    bytes: Option<Bytes>,
}

impl Writer<'_> {
    /// The tensor of the file that holds `tensor`, with all that computes it.
    pub(super) fn tensor(&mut self, tensor: TensorId) -> Result<i32> {
        if let Some(&made) = self.made.get(&tensor) {
            return Ok(made);
        }
        let node = self.graph.node(tensor.node);
        let index = match node.op_name.as_str() {
            "Const" => {
                let value = constant(self.graph, tensor)?;
                self.constant(&node.name, &value, None)?
            }
            "Identity" | "StopGradient" => self.tensor(self.first(node)?)?,
            "UniformDequantize" => self.dequantized(tensor)?,
            _ => {
                let name = node.name.clone();
                self.computed(tensor, Target { tensor, name, bytes: None })?
            }
        };
        self.made.insert(tensor, index);
        Ok(index)
    }

    fn first(&self, node: &Node) -> Result<TensorId> {
        let input = node.inputs.first().copied();
        input.ok_or_else(|| unsupported(format!("`{}` has no input", node.name)))
    }

    /// A tensor of 8 bits, under the name of its real numbers.
    fn dequantized(&mut self, tensor: TensorId) -> Result<i32> {
        let node = self.graph.node(tensor.node);
        let bytes = Bytes::of(self.graph, node, "Tin")?;
        let raw = self.graph.node(self.first(node)?.node);
        let name = node.name.clone();
        match raw.op_name.as_str() {
            "UniformQuantize" => {
                let own = Bytes::of(self.graph, raw, "Tout")?;
                if own != bytes {
                    let message = format!("`{name}` reads integers as others than were written");
                    return Err(unsupported(message));
                }
                let real = self.first(raw)?;
                self.computed(real, Target { tensor, name, bytes: Some(bytes) })
            }
            "Reshape" => {
                // The integers are reshaped; what they were made of is found behind.
                let source = self.first(raw)?;
                let quantize = self.graph.node(source.node);
                let input = self.integers_as(source, &bytes, quantize)?;
                let shape = self.reshape_shape(tensor)?;
                let output = self.declare(tensor, &name, Some(&bytes))?;
                self.reshape(input, shape, output, &name)?;
                Ok(output)
            }
            other => Err(unsupported(format!("`{}`, {other}, of 8 bits", raw.name))),
        }
    }

    /// The tensor of the file for integers that are read through some `UniformDequantize`.
    fn integers_as(&mut self, integers: TensorId, bytes: &Bytes, node: &Node) -> Result<i32> {
        let same = self.graph.nodes().find_map(|(id, other)| {
            let reads =
                other.op_name == "UniformDequantize" && other.inputs.first() == Some(&integers);
            reads.then_some(id)
        });
        let Some(real) = same else {
            return Err(unsupported(format!("`{}`: nothing reads its integers", node.name)));
        };
        if Bytes::of(self.graph, self.graph.node(real), "Tin")? != *bytes {
            return Err(unsupported(format!("`{}` is read in two ways", node.name)));
        }
        self.tensor(real.into())
    }

    /// The operator that computes `real`, whose result is that of `to`.
    fn computed(&mut self, real: TensorId, to: Target) -> Result<i32> {
        let node = self.graph.node(real.node);
        let activation = match node.op_name.as_str() {
            "Relu" => ActivationFunctionType::RELU,
            "Relu6" => ActivationFunctionType::RELU6,
            _ => ActivationFunctionType::NONE,
        };
        let inner =
            if activation == ActivationFunctionType::NONE { real } else { self.first(node)? };
        let alone = self.uses.get(&inner.node).copied() == Some(1);
        let fusable = activation == ActivationFunctionType::NONE || alone;
        let inner_node = self.graph.node(inner.node);
        match (inner_node.op_name.as_str(), fusable) {
            ("BiasAdd" | "AddV2" | "Add", true) if self.is_bias(inner_node) => {
                let product = self.first(inner_node)?;
                let bias = inner_node.inputs.get(1).copied();
                self.product(product, bias, activation, to)
            }
            ("Conv2D" | "DepthwiseConv2dNative" | "MatMul", true) => {
                self.product(inner, None, activation, to)
            }
            ("AvgPool" | "MaxPool", true) => self.pool(inner, activation, to),
            ("AddV2" | "Add" | "Sub" | "Mul", true) => self.binary(inner, activation, to),
            ("Mean", true) if inner == real => self.mean(real, to),
            ("Sigmoid", true) if inner == real => {
                self.probabilities(real, to, BuiltinOperator::LOGISTIC, BuiltinOptions::None)
            }
            ("Softmax", true) if inner == real => {
                let options = SoftmaxOptions { beta: 1.0 }.into();
                self.probabilities(real, to, BuiltinOperator::SOFTMAX, options)
            }
            ("Reshape" | "Squeeze" | "ExpandDims", true) if inner == real => {
                let input = self.tensor(self.first(node)?)?;
                let shape = self.reshape_shape(to.tensor)?;
                let output = self.declare(to.tensor, &to.name, to.bytes.as_ref())?;
                self.reshape(input, shape, output, &to.name)?;
                Ok(output)
            }
            ("Pad", true) if inner == real => self.pad(real, to),
            ("UniformDequantize", _) if inner == real => {
                // To other integers, or from integers to real numbers.
                let input = self.tensor(real)?;
                let output = self.declare(to.tensor, &to.name, to.bytes.as_ref())?;
                let (operator, options) = match to.bytes {
                    Some(_) => (BuiltinOperator::QUANTIZE, QuantizeOptions {}.into()),
                    None => (BuiltinOperator::DEQUANTIZE, DequantizeOptions {}.into()),
                };
                self.operator(operator, 2, vec![input], output, options)?;
                Ok(output)
            }
            (_, false) => {
                let input = self.tensor(inner)?;
                let output = self.declare(to.tensor, &to.name, to.bytes.as_ref())?;
                let operator = match activation {
                    ActivationFunctionType::RELU => BuiltinOperator::RELU,
                    _ => BuiltinOperator::RELU6,
                };
                self.operator(operator, 1, vec![input], output, BuiltinOptions::None)?;
                Ok(output)
            }
            (op, _) => Err(unsupported(format!(
                "`{}`: TFLite files are written without {op}; write a frozen graph, a \
                     SavedModel or a hub module",
                inner_node.name
            ))),
        }
    }

    /// Whether a sum adds a constant for each channel to a product nobody else reads.
    fn is_bias(&self, node: &Node) -> bool {
        let &[product, bias] = node.inputs.as_slice() else { return false };
        let is_constant = |tensor: TensorId| {
            let node = self.graph.node(tensor.node);
            let raw = node.inputs.first().map(|raw| self.graph.node(raw.node).op_name.as_str());
            node.op_name == "Const" || node.op_name == "UniformDequantize" && raw == Some("Const")
        };
        let op = self.graph.node(product.node).op_name.as_str();
        self.graph.fact(bias).shape.rank() == Some(1)
            && ["Conv2D", "DepthwiseConv2dNative", "MatMul"].contains(&op)
            && self.uses.get(&product.node) == Some(&1)
            && is_constant(bias)
    }

    fn product(
        &mut self,
        product: TensorId,
        bias: Option<TensorId>,
        activation: ActivationFunctionType,
        to: Target,
    ) -> Result<i32> {
        let node = self.graph.node(product.node);
        let &[x, w] = node.inputs.as_slice() else {
            return Err(unsupported(format!("`{}`: two inputs wanted", node.name)));
        };
        let input = self.tensor(x)?;
        let depthwise = node.op_name == "DepthwiseConv2dNative";
        let unsigned = to.bytes.as_ref().is_some_and(|bytes| bytes.r#type == TensorType::UINT8);
        let weights = self.weights(w, depthwise, unsigned)?;
        let mut inputs = vec![input, weights];
        if let Some(bias) = bias {
            inputs.push(self.bias(bias)?);
        }
        let output = self.declare(to.tensor, &to.name, to.bytes.as_ref())?;
        let per_channel = if to.bytes.is_some() { 3 } else { 1 };
        if node.op_name == "MatMul" {
            let options = FullyConnectedOptions {
                fused_activation_function: activation,
                ..FullyConnectedOptions::default()
            };
            let version = if to.bytes.is_some() { 4 } else { 1 };
            let operator = BuiltinOperator::FULLY_CONNECTED;
            self.operator(operator, version, inputs, output, options.into())?;
            return Ok(output);
        }
        let [stride_h, stride_w] = over_image(&node.attributes, "strides")?;
        let [dilation_h_factor, dilation_w_factor] = over_image(&node.attributes, "dilations")?;
        let padding = match node.attributes.string("padding", "")?.as_str() {
            "EXPLICIT" => {
                let read = inputs.first_mut();
                let read =
                    read.ok_or_else(|| unsupported(format!("`{}` reads nothing", node.name)))?;
                *read = self.bordered(node, *read)?;
                Padding::VALID
            }
            _ => padding(node)?,
        };
        let (operator, options) = if depthwise {
            let multiplier = self.graph.fact(w).shape.dim(3).unwrap_or(1);
            let options = DepthwiseConv2DOptions {
                padding,
                stride_w,
                stride_h,
                depth_multiplier: i32::try_from(multiplier).unwrap_or(1),
                fused_activation_function: activation,
                dilation_w_factor,
                dilation_h_factor,
            };
            (BuiltinOperator::DEPTHWISE_CONV_2D, options.into())
        } else {
            let options = Conv2DOptions {
                padding,
                stride_w,
                stride_h,
                fused_activation_function: activation,
                dilation_w_factor,
                dilation_h_factor,
                ..Conv2DOptions::default()
            };
            (BuiltinOperator::CONV_2D, options.into())
        };
        self.operator(operator, per_channel, inputs, output, options)?;
        Ok(output)
    }

    /// `input` in the borders that `product` asks for: TFLite's convolutions have none of their own.
    fn bordered(&mut self, product: &Node, input: i32) -> Result<i32> {
        let wrong = || unsupported(format!("`{}`: borders beyond 2^31 pixels", product.name));
        let pads = product.attributes.ints("explicit_paddings")?;
        let pads = pads.iter().map(|&pad| i32::try_from(pad).ok()).collect::<Option<Vec<i32>>>();
        let pads = pads.ok_or_else(wrong)?;
        let mut padded = self.at(input).cloned().ok_or_else(wrong)?;
        if pads.len() != 2 * padded.shape.len() {
            return Err(unsupported(format!("`{}`: explicit_paddings {pads:?}", product.name)));
        }
        for (extent, pair) in padded.shape.iter_mut().zip(pads.chunks(2)) {
            for &pad in pair {
                *extent = extent.checked_add(pad).ok_or_else(wrong)?;
            }
        }
        padded.name = format!("{}/borders", product.name);
        let value = formats::Tensor::new([pads.len() / 2, 2], pads)?;
        let value = self.constant(&format!("{}/paddings", padded.name), &value, None)?;
        let version = if padded.quantization.is_some() { 2 } else { 1 };
        let output = self.push(padded)?;
        let options = PadOptions {}.into();
        self.operator(BuiltinOperator::PAD, version, vec![input, value], output, options)?;
        Ok(output)
    }

    /// Weights in TFLite's layout: outputs first, but for depthwise convolutions.
    fn weights(&mut self, tensor: TensorId, depthwise: bool, unsigned: bool) -> Result<i32> {
        let node = self.graph.node(tensor.node);
        let name = node.name.clone();
        if node.op_name == "UniformDequantize" {
            let mut bytes = Bytes::of(self.graph, node, "Tin")?;
            let value = constant(self.graph, self.first(node)?)?;
            let (value, axis) = laid_out(&value, depthwise)?;
            if bytes.axis >= 0 {
                bytes.axis = axis;
            }
            let value = match (value.as_i8(), unsigned) {
                (Some(values), true) => {
                    bytes.zero_points.iter_mut().for_each(|zero| *zero += 128);
                    let values: Vec<u8> = values.iter().map(|&value| value as u8 ^ 0x80).collect();
                    formats::Tensor::new(value.shape(), values)?
                }
                _ => value,
            };
            return self.constant(&name, &value, Some(bytes.parameters()));
        }
        let value = constant(self.graph, tensor)?;
        let (value, _) = laid_out(&value, depthwise)?;
        match (self.options.weights, value.as_f32()) {
            (WeightType::Float16, Some(values)) => {
                let halves = values.iter().map(|&value| half(value)).collect();
                let halves = formats::Tensor::new(value.shape(), TensorData::F16(halves))?;
                let narrow = self.constant(&format!("{name}/half"), &halves, None)?;
                let shape = value.shape().iter().map(|&dim| i32::try_from(dim).unwrap_or(0));
                let wide = mobilenet_formats::tflite::Tensor {
                    shape: shape.collect(),
                    name,
                    has_rank: true,
                    ..Default::default()
                };
                let wide = self.push(wide)?;
                let options = DequantizeOptions {}.into();
                self.operator(BuiltinOperator::DEQUANTIZE, 3, vec![narrow], wide, options)?;
                Ok(wide)
            }
            _ => self.constant(&name, &value, None),
        }
    }

    fn bias(&mut self, tensor: TensorId) -> Result<i32> {
        let node = self.graph.node(tensor.node);
        let name = node.name.clone();
        if node.op_name == "UniformDequantize" {
            let bytes = Bytes::of(self.graph, node, "Tin")?;
            let value = constant(self.graph, self.first(node)?)?;
            return self.constant(&name, &value, Some(bytes.parameters()));
        }
        let value = constant(self.graph, tensor)?;
        self.constant(&name, &value, None)
    }

    fn pool(
        &mut self,
        pooled: TensorId,
        activation: ActivationFunctionType,
        to: Target,
    ) -> Result<i32> {
        let node = self.graph.node(pooled.node);
        let input = self.tensor(self.first(node)?)?;
        let [filter_height, filter_width] = over_image(&node.attributes, "ksize")?;
        let [stride_h, stride_w] = over_image(&node.attributes, "strides")?;
        let options = Pool2DOptions {
            padding: padding(node)?,
            stride_w,
            stride_h,
            filter_width,
            filter_height,
            fused_activation_function: activation,
        };
        let operator = match node.op_name.as_str() {
            "AvgPool" => BuiltinOperator::AVERAGE_POOL_2D,
            _ => BuiltinOperator::MAX_POOL_2D,
        };
        let version = if to.bytes.is_some() { 2 } else { 1 };
        let output = self.declare(to.tensor, &to.name, to.bytes.as_ref())?;
        self.operator(operator, version, vec![input], output, options.into())?;
        Ok(output)
    }

    fn binary(
        &mut self,
        sum: TensorId,
        activation: ActivationFunctionType,
        to: Target,
    ) -> Result<i32> {
        let node = self.graph.node(sum.node);
        let &[a, b] = node.inputs.as_slice() else {
            return Err(unsupported(format!("`{}`: two inputs wanted", node.name)));
        };
        let inputs = vec![self.tensor(a)?, self.tensor(b)?];
        let output = self.declare(to.tensor, &to.name, to.bytes.as_ref())?;
        let fused_activation_function = activation;
        let (operator, options) = match node.op_name.as_str() {
            "Sub" => (
                BuiltinOperator::SUB,
                SubOptions { fused_activation_function, ..SubOptions::default() }.into(),
            ),
            "Mul" => (BuiltinOperator::MUL, MulOptions { fused_activation_function }.into()),
            _ => (
                BuiltinOperator::ADD,
                AddOptions { fused_activation_function, ..AddOptions::default() }.into(),
            ),
        };
        let version = if to.bytes.is_some() { 2 } else { 1 };
        self.operator(operator, version, inputs, output, options)?;
        Ok(output)
    }

    fn mean(&mut self, mean: TensorId, to: Target) -> Result<i32> {
        let node = self.graph.node(mean.node);
        let input = self.tensor(self.first(node)?)?;
        let axes = node.inputs.get(1).copied();
        let axes = axes.ok_or_else(|| unsupported(format!("`{}` has no axes", node.name)))?;
        let axes = self.tensor(axes)?;
        let options = ReducerOptions { keep_dims: node.attributes.bool("keep_dims", false)? };
        let version = if to.bytes.is_some() { 2 } else { 1 };
        let output = self.declare(to.tensor, &to.name, to.bytes.as_ref())?;
        let operator = BuiltinOperator::MEAN;
        self.operator(operator, version, vec![input, axes], output, options.into())?;
        Ok(output)
    }

    fn probabilities(
        &mut self,
        made: TensorId,
        to: Target,
        operator: BuiltinOperator,
        options: BuiltinOptions,
    ) -> Result<i32> {
        let node = self.graph.node(made.node);
        let input = self.tensor(self.first(node)?)?;
        let version = if to.bytes.is_some() { 2 } else { 1 };
        let output = self.declare(to.tensor, &to.name, to.bytes.as_ref())?;
        self.operator(operator, version, vec![input], output, options)?;
        Ok(output)
    }

    fn pad(&mut self, padded: TensorId, to: Target) -> Result<i32> {
        let node = self.graph.node(padded.node);
        let input = self.tensor(self.first(node)?)?;
        let pads = node.inputs.get(1).copied();
        let pads = pads.ok_or_else(|| unsupported(format!("`{}` has no paddings", node.name)))?;
        let pads = self.tensor(pads)?;
        let version = if to.bytes.is_some() { 2 } else { 1 };
        let output = self.declare(to.tensor, &to.name, to.bytes.as_ref())?;
        let options = PadOptions {}.into();
        self.operator(BuiltinOperator::PAD, version, vec![input, pads], output, options)?;
        Ok(output)
    }

    /// The dimensions of `tensor`, -1 for the images.
    fn reshape_shape(&self, tensor: TensorId) -> Result<Vec<i32>> {
        let mut shape = self.shape(tensor)?;
        if let Some(first) = shape.first_mut() {
            *first = -1;
        }
        Ok(shape)
    }

    fn reshape(&mut self, input: i32, shape: Vec<i32>, output: i32, name: &str) -> Result<()> {
        let value = formats::Tensor::new([shape.len()], shape.clone())?;
        let given = self.constant(&format!("{name}/shape"), &value, None)?;
        let options = ReshapeOptions { new_shape: shape }.into();
        self.operator(BuiltinOperator::RESHAPE, 1, vec![input, given], output, options)
    }
}

fn over_image(attributes: &Attributes, name: &str) -> Result<[i32; 2]> {
    let entry = |value: i64| i32::try_from(value).ok().filter(|&value| value > 0);
    match attributes.ints(name)?.as_slice() {
        [] => Ok([1, 1]),
        &[1, height, width, 1] => match (entry(height), entry(width)) {
            (Some(height), Some(width)) => Ok([height, width]),
            _ => Err(unsupported(format!("{name} of {height} and {width}"))),
        },
        other => Err(unsupported(format!("{name} {other:?}"))),
    }
}

fn padding(node: &Node) -> Result<Padding> {
    match node.attributes.string("padding", "")?.as_str() {
        "SAME" => Ok(Padding::SAME),
        "VALID" => Ok(Padding::VALID),
        other => Err(unsupported(format!("`{}`: padding {other}", node.name))),
    }
}

/// Weights in TFLite's layout, and the dimension of the output channels there.
fn laid_out(value: &formats::Tensor, depthwise: bool) -> Result<(formats::Tensor, i32)> {
    let wrong = || Error::new(ErrorKind::Graph, format!("weights of shape {:?}", value.shape()));
    if depthwise {
        let &[height, width, channels, multiplier] = value.shape() else { return Err(wrong()) };
        let shape = [1, height, width, channels.saturating_mul(multiplier)];
        return Ok((formats::Tensor::new(shape, value.data().clone())?, 3));
    }
    let (&outputs, rest) = value.shape().split_last().ok_or_else(wrong)?;
    let shape: Vec<usize> = std::iter::once(outputs).chain(rest.iter().copied()).collect();
    let data = match value.data() {
        TensorData::F32(values) => TensorData::F32(outputs_first(values, outputs)),
        TensorData::I8(values) => TensorData::I8(outputs_first(values, outputs)),
        _ => return Err(wrong()),
    };
    Ok((formats::Tensor::new(shape, data)?, 0))
}

fn outputs_first<T: Copy>(values: &[T], outputs: usize) -> Vec<T> {
    let of_one = |output: usize| values.iter().skip(output).step_by(outputs.max(1)).copied();
    (0..outputs).flat_map(of_one).collect()
}

/// The nearest half-precision number, halves to even; beyond its range infinity.
fn half(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16 & 0x8000) as u16;
    let magnitude = bits & 0x7fff_ffff;
    if magnitude > 0x7f80_0000 {
        return sign | 0x7e00;
    }
    // A multiple of 2^-24 below the normal range, else 10 bits of fraction.
    let rounded = if magnitude < 0x3880_0000 {
        (f32::from_bits(magnitude) * 2f32.powi(24)).round_ties_even() as u32
    } else {
        let even = magnitude >> 13 & 1;
        ((magnitude + 0xfff + even) >> 13).saturating_sub(112 << 10)
    };
    sign | rounded.min(0x7c00) as u16
}

#[cfg(test)]
mod tests {
    use super::half;

    #[test]
    fn halves_are_rounded_to_even() {
        for (value, bits) in [
            (1.0, 0x3c00),
            (-2.0, 0xc000),
            (65504.0, 0x7bff),
            (65520.0, 0x7c00),
            (1e10, 0x7c00),
            (2f32.powi(-24), 1),
            (2f32.powi(-14), 0x0400),
            (1.0 + 2f32.powi(-11), 0x3c00),
            (1.0 + 3.0 * 2f32.powi(-11), 0x3c02),
            (0.0, 0),
        ] {
            assert_eq!(half(value), bits, "{value}");
        }
        assert_eq!(half(f32::NAN) & 0x7e00, 0x7e00);
    }
}
