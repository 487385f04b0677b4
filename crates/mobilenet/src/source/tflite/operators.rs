//! What each TFLite operator is in TensorFlow's vocabulary: one line in [`OPERATORS`] each.

use mobilenet_engine::{Attributes, TensorId};
use mobilenet_formats::tflite::{
    ActivationFunctionType, BuiltinOperator, BuiltinOptions, Operator, Padding,
};
use mobilenet_formats::{self as formats, DType, TensorData};

use super::graph::Importer;
use super::sizes;
use crate::error::{Error, ErrorKind, Result};

type Import = fn(&mut Importer<'_>, &Operator) -> Result<()>;

/// Every operator, and what imports it.
const OPERATORS: &[(BuiltinOperator, Import)] = &[
    (BuiltinOperator::ADD, |importer, operator| binary(importer, operator, "AddV2")),
    (BuiltinOperator::AVERAGE_POOL_2D, |importer, operator| pool(importer, operator, "AvgPool")),
    (BuiltinOperator::CONV_2D, conv_2d),
    (BuiltinOperator::DEPTHWISE_CONV_2D, depthwise_conv_2d),
    (BuiltinOperator::DEQUANTIZE, same_values),
    (BuiltinOperator::DIV, |importer, operator| binary(importer, operator, "RealDiv")),
    (BuiltinOperator::FULLY_CONNECTED, fully_connected),
    (BuiltinOperator::LOGISTIC, |importer, operator| unary(importer, operator, "Sigmoid")),
    (BuiltinOperator::MAX_POOL_2D, |importer, operator| pool(importer, operator, "MaxPool")),
    (BuiltinOperator::MAXIMUM, |importer, operator| binary(importer, operator, "Maximum")),
    (BuiltinOperator::MEAN, mean),
    (BuiltinOperator::MINIMUM, |importer, operator| binary(importer, operator, "Minimum")),
    (BuiltinOperator::MUL, |importer, operator| binary(importer, operator, "Mul")),
    (BuiltinOperator::PACK, sizes::pack),
    (BuiltinOperator::PAD, pad),
    (BuiltinOperator::QUANTIZE, same_values),
    (BuiltinOperator::RELU, |importer, operator| unary(importer, operator, "Relu")),
    (BuiltinOperator::RELU6, |importer, operator| unary(importer, operator, "Relu6")),
    (BuiltinOperator::RESHAPE, reshape),
    (BuiltinOperator::SHAPE, sizes::shape),
    (BuiltinOperator::SOFTMAX, softmax),
    (BuiltinOperator::SQUEEZE, reshape),
    (BuiltinOperator::STRIDED_SLICE, sizes::strided_slice),
    (BuiltinOperator::SUB, |importer, operator| binary(importer, operator, "Sub")),
];

/// What imports an operator.
pub(super) fn find(code: BuiltinOperator) -> Option<Import> {
    OPERATORS.iter().find(|(known, _)| *known == code).map(|(_, import)| *import)
}

pub(super) fn unsupported(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Graph, format!("{what} is not supported"))
}

pub(super) fn options_missing() -> Error {
    Error::new(ErrorKind::Format, "the options are missing or those of another operator")
}

fn float() -> Attributes {
    Attributes::new().with_dtype("T", DType::F32)
}

/// Ops one behind the other, the last of which gets the tensor's name.
struct Chain {
    last: TensorId,
    output: i32,
    name: String,
    waiting: Option<Link>,
}

struct Link {
    op: &'static str,
    attributes: Attributes,
    more: Vec<TensorId>,
}

impl Chain {
    fn new(importer: &Importer<'_>, operator: &Operator, first: TensorId) -> Result<Self> {
        let output = importer.output(operator)?;
        let name = importer.name(output)?;
        Ok(Self { last: first, output, name, waiting: None })
    }

    fn then(
        mut self,
        importer: &mut Importer<'_>,
        op: &'static str,
        attributes: Attributes,
        more: &[TensorId],
    ) -> Result<Self> {
        self.flush(importer, false)?;
        self.waiting = Some(Link { op, attributes, more: more.to_vec() });
        Ok(self)
    }

    fn activate(
        self,
        importer: &mut Importer<'_>,
        activation: ActivationFunctionType,
    ) -> Result<Self> {
        match activation {
            ActivationFunctionType::NONE => Ok(self),
            ActivationFunctionType::RELU => self.then(importer, "Relu", float(), &[]),
            ActivationFunctionType::RELU6 => self.then(importer, "Relu6", float(), &[]),
            ActivationFunctionType::RELU_N1_TO_1 => {
                let name = self.name.clone();
                let low = importer.add_floats(&format!("{name}/low"), &[], vec![-1.0])?;
                let high = importer.add_floats(&format!("{name}/high"), &[], vec![1.0])?;
                self.then(importer, "Maximum", float(), &[low])?.then(
                    importer,
                    "Minimum",
                    float(),
                    &[high],
                )
            }
            other => Err(unsupported(format!("the activation {other}"))),
        }
    }

    /// Adds the waiting op. The real numbers of a quantised tensor get its name, not this.
    fn flush(&mut self, importer: &mut Importer<'_>, is_end: bool) -> Result<()> {
        let Some(Link { op, attributes, more }) = self.waiting.take() else { return Ok(()) };
        let inputs: Vec<TensorId> = std::iter::once(self.last).chain(more).collect();
        let name = if is_end && importer.affine(self.output)?.is_none() {
            self.name.clone()
        } else {
            format!("{}/{op}", self.name)
        };
        self.last = importer.node(&name, op, attributes, &inputs)?;
        Ok(())
    }

    fn end(mut self, importer: &mut Importer<'_>) -> Result<()> {
        self.flush(importer, true)?;
        importer.bind(self.output, self.last)
    }
}

fn padding(padding: Padding) -> Result<&'static str> {
    match padding {
        Padding::SAME => Ok("SAME"),
        Padding::VALID => Ok("VALID"),
        other => Err(unsupported(format!("the padding {other}"))),
    }
}

/// `[1, height, width, 1]`.
fn over_image(height: i32, width: i32) -> [i64; 4] {
    [1, i64::from(height), i64::from(width), 1]
}

fn conv_2d(importer: &mut Importer<'_>, operator: &Operator) -> Result<()> {
    let BuiltinOptions::Conv2D(options) = &operator.builtin_options else {
        return Err(options_missing());
    };
    let attributes = float()
        .with_ints("strides", &over_image(options.stride_h, options.stride_w))
        .with_ints("dilations", &over_image(options.dilation_h_factor, options.dilation_w_factor))
        .with_string("padding", padding(options.padding)?);
    let filter = filter(importer, operator, outputs_last)?;
    let x = importer.input(operator, 0)?;
    let x = importer.real(x)?;
    let chain = Chain::new(importer, operator, x)?;
    let chain = chain.then(importer, "Conv2D", attributes, &[filter])?;
    with_bias(importer, operator, chain)?
        .activate(importer, options.fused_activation_function)?
        .end(importer)
}

fn depthwise_conv_2d(importer: &mut Importer<'_>, operator: &Operator) -> Result<()> {
    let BuiltinOptions::DepthwiseConv2D(options) = &operator.builtin_options else {
        return Err(options_missing());
    };
    let attributes = float()
        .with_ints("strides", &over_image(options.stride_h, options.stride_w))
        .with_ints("dilations", &over_image(options.dilation_h_factor, options.dilation_w_factor))
        .with_string("padding", padding(options.padding)?);
    let x = importer.input(operator, 0)?;
    let channels = importer.file_shape(x)?.last().copied().unwrap_or(0);
    let filter = filter(importer, operator, |value| by_channel(value, channels))?;
    let x = importer.real(x)?;
    let chain = Chain::new(importer, operator, x)?;
    let chain = chain.then(importer, "DepthwiseConv2dNative", attributes, &[filter])?;
    with_bias(importer, operator, chain)?
        .activate(importer, options.fused_activation_function)?
        .end(importer)
}

fn fully_connected(importer: &mut Importer<'_>, operator: &Operator) -> Result<()> {
    let BuiltinOptions::FullyConnected(options) = &operator.builtin_options else {
        return Err(options_missing());
    };
    if options.weights_format != Default::default() {
        return Err(unsupported(format!("the weights format {}", options.weights_format)));
    }
    let filter = filter(importer, operator, outputs_last)?;
    let inner = importer.graph.fact(filter).shape.dim(0).unwrap_or(0);
    let x = importer.input(operator, 0)?;
    let mut rows = importer.real(x)?;
    let dims = importer.graph.fact(rows).shape.dims().map(<[Option<usize>]>::len);
    if dims != Some(2) {
        let name = importer.name(importer.output(operator)?)?;
        let shape = [-1, i64::try_from(inner).unwrap_or(0)];
        let shape = importer.add_ints(&format!("{name}/rows/shape"), &shape)?;
        rows = importer.node(&format!("{name}/rows"), "Reshape", float(), &[rows, shape])?;
    }
    let chain = Chain::new(importer, operator, rows)?;
    let chain = chain.then(importer, "MatMul", float(), &[filter])?;
    with_bias(importer, operator, chain)?
        .activate(importer, options.fused_activation_function)?
        .end(importer)
}

/// The constant weights of an operator, laid out by `lay_out`, which says where the dimension
/// of several scales went.
fn filter(
    importer: &mut Importer<'_>,
    operator: &Operator,
    lay_out: impl Fn(&formats::Tensor) -> Result<(formats::Tensor, usize)>,
) -> Result<TensorId> {
    let index = importer.input(operator, 1)?;
    let name = importer.name(index)?;
    let Some((source, value)) = importer.constant(index)? else {
        return Err(unsupported(format!("weights `{name}` that are computed")));
    };
    let (value, axis) = lay_out(&value)?;
    importer.weights(&name, source, value, Some(axis))
}

fn with_bias(importer: &mut Importer<'_>, operator: &Operator, chain: Chain) -> Result<Chain> {
    let Some(index) = importer.optional(operator, 2) else { return Ok(chain) };
    let bias = importer.real(index)?;
    chain.then(importer, "BiasAdd", float(), &[bias])
}

/// `[outputs, …]` as `[…, outputs]`.
fn outputs_last(value: &formats::Tensor) -> Result<(formats::Tensor, usize)> {
    let (Some((&outputs, rest)), axis) = (value.shape().split_first(), value.shape().len()) else {
        return Err(Error::new(ErrorKind::Format, "weights without dimensions"));
    };
    let inner: usize = rest.iter().product();
    let shape: Vec<usize> = rest.iter().copied().chain([outputs]).collect();
    let data = match value.data() {
        TensorData::F32(values) => TensorData::F32(transposed(values, outputs, inner)),
        TensorData::F16(values) => TensorData::F16(transposed(values, outputs, inner)),
        TensorData::I8(values) => TensorData::I8(transposed(values, outputs, inner)),
        TensorData::U8(values) => TensorData::U8(transposed(values, outputs, inner)),
        other => return Err(unsupported(format!("weights of type {}", other.dtype()))),
    };
    Ok((formats::Tensor::new(shape, data)?, axis - 1))
}

fn transposed<T: Copy>(values: &[T], rows: usize, columns: usize) -> Vec<T> {
    let column = |column: usize| values.iter().skip(column).step_by(columns.max(1)).take(rows);
    (0..columns).flat_map(column).copied().collect()
}

/// `[1, height, width, channels * multiplier]` as `[height, width, channels, multiplier]`.
fn by_channel(value: &formats::Tensor, channels: usize) -> Result<(formats::Tensor, usize)> {
    let &[1, height, width, outputs] = value.shape() else {
        let message = format!("weights of shape {:?}: [1, h, w, c] wanted", value.shape());
        return Err(Error::new(ErrorKind::Format, message));
    };
    if channels == 0 || !outputs.is_multiple_of(channels) {
        let message = format!("{outputs} outputs of {channels} channels");
        return Err(Error::new(ErrorKind::Format, message));
    }
    let multiplier = outputs / channels;
    let axis = if channels == 1 { 3 } else { 2 };
    let shape = [height, width, channels, multiplier];
    Ok((formats::Tensor::new(shape, value.data().clone())?, axis))
}

fn pool(importer: &mut Importer<'_>, operator: &Operator, op: &'static str) -> Result<()> {
    let BuiltinOptions::Pool2D(options) = &operator.builtin_options else {
        return Err(options_missing());
    };
    let attributes = float()
        .with_ints("ksize", &over_image(options.filter_height, options.filter_width))
        .with_ints("strides", &over_image(options.stride_h, options.stride_w))
        .with_string("padding", padding(options.padding)?);
    let x = importer.input(operator, 0)?;
    let x = importer.real(x)?;
    Chain::new(importer, operator, x)?
        .then(importer, op, attributes, &[])?
        .activate(importer, options.fused_activation_function)?
        .end(importer)
}

fn mean(importer: &mut Importer<'_>, operator: &Operator) -> Result<()> {
    let BuiltinOptions::Reducer(options) = &operator.builtin_options else {
        return Err(options_missing());
    };
    let axes = importer.integers(importer.input(operator, 1)?)?;
    let name = importer.name(importer.output(operator)?)?;
    let axes = importer.add_ints(&format!("{name}/axes"), &axes)?;
    let attributes =
        float().with_dtype("Tidx", DType::I32).with_bool("keep_dims", options.keep_dims);
    let x = importer.input(operator, 0)?;
    let x = importer.real(x)?;
    Chain::new(importer, operator, x)?.then(importer, "Mean", attributes, &[axes])?.end(importer)
}

fn softmax(importer: &mut Importer<'_>, operator: &Operator) -> Result<()> {
    let BuiltinOptions::Softmax(options) = &operator.builtin_options else {
        return Err(options_missing());
    };
    let x = importer.input(operator, 0)?;
    let x = importer.real(x)?;
    let mut chain = Chain::new(importer, operator, x)?;
    if options.beta != 1.0 {
        if !options.beta.is_finite() {
            return Err(Error::new(ErrorKind::Format, format!("a beta of {}", options.beta)));
        }
        let name = format!("{}/beta", chain.name);
        let beta = importer.add_floats(&name, &[], vec![options.beta])?;
        chain = chain.then(importer, "Mul", float(), &[beta])?;
    }
    chain.then(importer, "Softmax", float(), &[])?.end(importer)
}

fn pad(importer: &mut Importer<'_>, operator: &Operator) -> Result<()> {
    let index = importer.input(operator, 1)?;
    let pads = importer.integers(index)?;
    let name = importer.name(importer.output(operator)?)?;
    let narrow: Vec<i32> = pads.iter().filter_map(|&pad| pad.try_into().ok()).collect();
    let value = formats::Tensor::new([pads.len() / 2, 2], narrow)?;
    let pads = importer.add_constant(&format!("{name}/paddings"), &value)?;
    let x = importer.input(operator, 0)?;
    let x = importer.real(x)?;
    let attributes = float().with_dtype("Tpaddings", DType::I32);
    Chain::new(importer, operator, x)?.then(importer, "Pad", attributes, &[pads])?.end(importer)
}

fn unary(importer: &mut Importer<'_>, operator: &Operator, op: &'static str) -> Result<()> {
    let x = importer.input(operator, 0)?;
    let x = importer.real(x)?;
    Chain::new(importer, operator, x)?.then(importer, op, float(), &[])?.end(importer)
}

fn binary(importer: &mut Importer<'_>, operator: &Operator, op: &'static str) -> Result<()> {
    let activation = match &operator.builtin_options {
        BuiltinOptions::Add(options) => options.fused_activation_function,
        BuiltinOptions::Sub(options) => options.fused_activation_function,
        BuiltinOptions::Mul(options) => options.fused_activation_function,
        BuiltinOptions::Div(options) => options.fused_activation_function,
        _ => ActivationFunctionType::NONE,
    };
    let (a, b) = (importer.input(operator, 0)?, importer.input(operator, 1)?);
    let (a, b) = (importer.real(a)?, importer.real(b)?);
    Chain::new(importer, operator, a)?
        .then(importer, op, float(), &[b])?
        .activate(importer, activation)?
        .end(importer)
}

/// `RESHAPE` and `SQUEEZE`: to the shape that is computed, else to that which the file gives the output,
/// for any number of images.
fn reshape(importer: &mut Importer<'_>, operator: &Operator) -> Result<()> {
    let (input, output) = (importer.input(operator, 0)?, importer.output(operator)?);
    let computed = importer.optional(operator, 1).and_then(|index| importer.computed_sizes(index));
    let shape = match computed {
        Some(sizes) => sizes::as_shape(sizes)?,
        None => shape_in_file(importer, output)?,
    };
    let name = importer.name(output)?;
    let shape = importer.add_ints(&format!("{name}/shape"), &shape)?;
    let is_same = importer.affine(input)? == importer.affine(output)?;
    match importer.quantized(input) {
        Some(integers) if is_same => {
            let dtype = importer.graph.fact(integers).dtype.unwrap_or(DType::QI8);
            let attributes = Attributes::new().with_dtype("T", dtype);
            let name = format!("{name}/integers");
            let reshaped = importer.node(&name, "Reshape", attributes, &[integers, shape])?;
            importer.bind_integers(output, reshaped)
        }
        _ => {
            let x = importer.real(input)?;
            Chain::new(importer, operator, x)?
                .then(importer, "Reshape", float(), &[shape])?
                .end(importer)
        }
    }
}

/// The shape that the file gives a tensor, for any number of images.
fn shape_in_file(importer: &Importer<'_>, index: i32) -> Result<Vec<i64>> {
    let dims = importer.file_shape(index)?;
    let mut shape: Vec<i64> = dims.iter().map(|&dim| i64::try_from(dim).unwrap_or(0)).collect();
    if let (Some(first), Some(&dim)) = (shape.first_mut(), dims.first())
        && importer.is_batch(dim)
    {
        *first = -1;
    }
    Ok(shape)
}

/// `QUANTIZE` and `DEQUANTIZE`: another form of the same values.
fn same_values(importer: &mut Importer<'_>, operator: &Operator) -> Result<()> {
    let (input, output) = (importer.input(operator, 0)?, importer.output(operator)?);
    if importer.affine(output)?.is_none() && importer.constant(input)?.is_some() {
        return importer.alias(input, output);
    }
    let x = importer.real(input)?;
    importer.bind(output, x)
}
