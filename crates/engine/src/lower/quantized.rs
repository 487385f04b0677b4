//! Lowering of quantised graphs: what stands between `UniformDequantize` and the next
//! `UniformQuantize` becomes one step on bytes, where there is a kernel for it.
//!
//! The pattern is read backwards from the `UniformQuantize`; what it covers has been lowered to
//! steps on floats already, which go if nobody else reads them. What matches no pattern runs on
//! floats between bytes, which is right and slower.

use std::sync::Arc;

use mobilenet_formats::{DType, Tensor};
use mobilenet_kernels::Activation;
use mobilenet_kernels::int8::{Affine, Quantization};

use super::{Lowering, concrete};
use crate::error::{Error, Result, shorten};
use crate::graph::{Node, NodeId, TensorId};
use crate::ops::{self, Coding, ConvolutionAttributes, Geometry, Kind};
use crate::program::{Body, ValueId};
use crate::reference;
use crate::steps::Recipe;
use crate::steps::int8::{self, Bytes};

/// A step on bytes, and what it stands for.
struct Fused {
    recipe: Arc<dyn Recipe>,
    inputs: Vec<TensorId>,
}

/// A constant behind a `UniformDequantize`.
struct Constant {
    values: Arc<Tensor>,
    scales: Vec<f32>,
    zero_points: Vec<i64>,
    /// What the scales count along, where there are several.
    axis: i64,
}

impl Lowering<'_> {
    /// `UniformQuantize`: this op and as much as possible of what comes before it.
    pub(crate) fn quantize(&mut self) -> Result<()> {
        let to = self.bytes_of(self.node, "Tout")?;
        let mut names = Vec::new();
        let Some(fused) = self.pattern(to, &mut names)? else {
            // What no pattern covers has steps of its own.
            names.clear();
            self.want_f32(&[0])?;
            let (x, affine) = match self.affine_of(self.tensor(0)?, &mut names)? {
                Some((x, affine)) => (x, affine),
                None => (self.input(0)?, Affine::NONE),
            };
            let recipe = Arc::new(int8::Quantize { affine, to });
            return self.emit_for(names, recipe, vec![x]);
        };
        let inputs = fused.inputs.iter().map(|&tensor| self.raw(tensor)).collect::<Result<_>>()?;
        self.emit_for(names, fused.recipe, inputs)
    }

    /// A step for this node and those called `names`, last first.
    fn emit_for(
        &mut self,
        mut names: Vec<String>,
        recipe: Arc<dyn Recipe>,
        inputs: Vec<ValueId>,
    ) -> Result<()> {
        self.emit(Body::Other(recipe), inputs, 1)?;
        names.reverse();
        if let Some(step) = self.program.steps.last_mut() {
            step.sources.splice(0..0, names);
        }
        Ok(())
    }

    /// The value that `tensor` is a multiple of by a scalar, or that and a sum with another: how images
    /// in [0, 1] become what a network wants.
    fn affine_of(
        &self,
        tensor: TensorId,
        names: &mut Vec<String>,
    ) -> Result<Option<(ValueId, Affine)>> {
        let last = self.graph.node(tensor.node);
        let (product, shift) = match (last.op_name.as_str(), last.inputs.as_slice()) {
            ("Sub", &[product, shift]) => (product, self.scalar(shift)?.map(|shift| -shift)),
            ("Add" | "AddV2", &[product, shift]) => (product, self.scalar(shift)?),
            _ => (tensor, Some(0.0)),
        };
        let multiplied = self.graph.node(product.node);
        let (&[x, factor], "Mul") = (multiplied.inputs.as_slice(), multiplied.op_name.as_str())
        else {
            return Ok(None);
        };
        let (Some(factor), Some(shift)) = (self.scalar(factor)?, shift) else { return Ok(None) };
        let Some(&x) = self.env.get(&x) else { return Ok(None) };
        if product != tensor {
            names.push(last.name.clone());
        }
        names.push(multiplied.name.clone());
        Ok(Some((x, Affine { factor, shift })))
    }

    /// The value of `tensor`, if it is a constant in single precision without dimensions, which
    /// leaves the shape of what it meets alone.
    fn scalar(&self, tensor: TensorId) -> Result<Option<f32>> {
        let value = self.folded.fact(tensor)?.value.as_deref();
        let value = value.filter(|value| value.shape().is_empty()).and_then(Tensor::as_f32);
        Ok(value.and_then(|values| values.first().copied()))
    }

    /// `UniformDequantize` of bytes.
    pub(crate) fn dequantize(&mut self) -> Result<()> {
        let from = self.bytes_of(self.node, "Tin")?;
        let x = self.raw(self.tensor(0)?)?;
        self.emit(Body::Other(Arc::new(int8::Dequantize { from })), vec![x], 1)
    }

    /// The value that holds a quantised tensor.
    fn raw(&self, tensor: TensorId) -> Result<ValueId> {
        let value = self.env.get(&tensor).copied();
        value.filter(|&id| self.program.value(id).dtype == DType::U8).ok_or_else(|| {
            let name = self.graph.tensor_name(tensor);
            Error::unsupported(format!("'{}' is not made by UniformQuantize", shorten(&name)))
        })
    }

    /// How a quantised tensor is held in bytes.
    fn bytes_of(&self, node: NodeId, dtype: &str) -> Result<Bytes> {
        let node = self.graph.node(node);
        let coding = Coding::import(&node.attributes, dtype)?;
        let (scales, zeros) = self.parameters(node)?;
        let (&[scale], &[zero_point]) = (scales.as_slice(), zeros.as_slice()) else {
            return Err(Error::unsupported("a scale for each channel of what is computed"));
        };
        let (quantization, signed) = match coding {
            Coding { dtype: DType::QI8, low: -128, high: 127, .. } => {
                (Quantization::int8(scale, zero_point), true)
            }
            Coding { dtype: DType::QI32, low: 0, high: 255, .. } => {
                (Quantization::uint8(scale, zero_point), false)
            }
            Coding { dtype, low, high, .. } => {
                let message = format!("{dtype} from {low} to {high} at run time: 8 bits wanted");
                return Err(Error::unsupported(message));
            }
        };
        Ok(Bytes { quantization: quantization.map_err(crate::steps::refused)?, signed })
    }

    /// Scales and zero points of a `UniformQuantize` or `UniformDequantize`.
    fn parameters(&self, node: &Node) -> Result<(Vec<f32>, Vec<i64>)> {
        let &[_, scales, zeros] = node.inputs.as_slice() else {
            return Err(Error::invalid("scales and zero points wanted"));
        };
        let scales = self.folded.fact(scales)?.value.clone();
        let (Some(scales), Some(zeros)) = (scales, self.folded.fact(zeros)?.integers()) else {
            return Err(Error::unsupported("computed scales or zero points"));
        };
        Ok((reference::singles(&scales)?.into_owned(), zeros))
    }

    fn op(&self, tensor: TensorId) -> &str {
        &self.graph.node(tensor.node).op_name
    }

    /// What `tensor` dequantises, if it does.
    fn dequantized(&self, tensor: TensorId) -> Result<Option<(TensorId, Bytes)>> {
        if self.op(tensor) != "UniformDequantize" {
            return Ok(None);
        }
        let Some(&raw) = self.graph.node(tensor.node).inputs.first() else { return Ok(None) };
        if self.folded.fact(raw)?.value.is_some() || self.raw(raw).is_err() {
            return Ok(None);
        }
        Ok(Some((raw, self.bytes_of(tensor.node, "Tin")?)))
    }

    /// The integers that `tensor` dequantises, if they are constant.
    fn quantized_constant(&self, tensor: TensorId) -> Result<Option<Constant>> {
        let node = self.graph.node(tensor.node);
        let Some(&raw) = node.inputs.first() else { return Ok(None) };
        let Some(values) = self.folded.fact(raw)?.value.clone() else { return Ok(None) };
        if node.op_name != "UniformDequantize" {
            return Ok(None);
        }
        let (scales, zero_points) = self.parameters(node)?;
        let axis = Coding::import(&node.attributes, "Tin")?.axis;
        Ok(Some(Constant { values, scales, zero_points, axis }))
    }

    /// The step for everything since the last bytes; `names` gets its nodes, last first.
    fn pattern(&self, to: Bytes, names: &mut Vec<String>) -> Result<Option<Fused>> {
        let mut at = self.tensor(0)?;
        if let Some((raw, from)) = self.dequantized(at)? {
            let recipe: Arc<dyn Recipe> = Arc::new(int8::Requantize { from, to });
            return Ok(Some(Fused { recipe, inputs: vec![raw] }));
        }
        let activation = match self.op(at) {
            "Relu" => Activation::Relu,
            "Relu6" => Activation::Relu6,
            _ => Activation::None,
        };
        if activation != Activation::None {
            at = self.step_back(at, names)?;
        }
        let range = to.quantization.range(activation);
        match self.op(at) {
            "BiasAdd" | "Add" | "AddV2" => self.sum(at, to, range, names),
            "Conv2D" | "DepthwiseConv2dNative" | "MatMul" => {
                self.product(at, None, to, range, names)
            }
            "AvgPool" => self.average(at, to, range, names),
            "Mean" if activation == Activation::None => self.mean(at, to, names),
            "Softmax" if activation == Activation::None => self.softmax_of_bytes(at, to, names),
            _ => Ok(None),
        }
    }

    /// Names the node of `tensor` and goes to its first input.
    fn step_back(&self, tensor: TensorId, names: &mut Vec<String>) -> Result<TensorId> {
        let node = self.graph.node(tensor.node);
        names.push(node.name.clone());
        let input = node.inputs.first().copied();
        input.ok_or_else(|| Error::invalid(format!("'{}' has no input", shorten(&node.name))))
    }

    fn sum(
        &self,
        at: TensorId,
        to: Bytes,
        range: [u8; 2],
        names: &mut Vec<String>,
    ) -> Result<Option<Fused>> {
        let &[a, b] = self.graph.node(at.node).inputs.as_slice() else { return Ok(None) };
        if let Some(bias) = self.quantized_constant(b)? {
            names.push(self.graph.node(at.node).name.clone());
            return self.product(a, Some(bias), to, range, names);
        }
        let (Some((a, first)), Some((b, second))) = (self.dequantized(a)?, self.dequantized(b)?)
        else {
            return Ok(None);
        };
        if self.folded.fact(a)?.shape != self.folded.fact(b)?.shape {
            return Ok(None);
        }
        names.push(self.graph.node(at.node).name.clone());
        let recipe: Arc<dyn Recipe> = Arc::new(int8::Add { inputs: [first, second], to, range });
        Ok(Some(Fused { recipe, inputs: vec![a, b] }))
    }

    /// A convolution or matrix product with constant weights, and a bias.
    fn product(
        &self,
        at: TensorId,
        bias: Option<Constant>,
        to: Bytes,
        range: [u8; 2],
        names: &mut Vec<String>,
    ) -> Result<Option<Fused>> {
        let node = self.graph.node(at.node);
        let &[x, w] = node.inputs.as_slice() else { return Ok(None) };
        let (Some((raw, from)), Some(weights)) =
            (self.dequantized(x)?, self.quantized_constant(w)?)
        else {
            return Ok(None);
        };
        let Some(mut geometry) = self.geometry(node, raw, weights.values.shape())? else {
            return Ok(None);
        };
        let (raw, pad) = match self.before_pad(raw, from, &mut geometry)? {
            Some((raw, pad)) => (raw, Some(pad)),
            None => (raw, None),
        };
        let outputs = geometry.output[2];
        let axis = match geometry.kind {
            Kind::Full => weights.values.shape().len() - 1,
            Kind::Depthwise if weights.values.shape().last() == Some(&1) => 2,
            Kind::Depthwise => 3,
        };
        let along = weights.axis < 0 || weights.axis == axis as i64;
        let counts = [1, outputs].contains(&weights.scales.len());
        let (Some(values), Some(&zero_point)) =
            (weights.values.as_i8(), weights.zero_points.first())
        else {
            return Ok(None);
        };
        let one_zero = weights.zero_points.iter().all(|&zero| zero == zero_point);
        let Ok(zero_point) = i8::try_from(zero_point) else { return Ok(None) };
        if !along || !counts || !one_zero || from.signed != to.signed {
            return Ok(None);
        }
        let bias = match bias {
            None => None,
            Some(bias) => match bias_values(&bias, &weights, from, to, outputs) {
                None => return Ok(None),
                values => values,
            },
        };
        let product = int8::Product {
            geometry,
            is_matrix: node.op_name == "MatMul",
            weights: int8::outputs_first(geometry.kind, outputs, values),
            scales: weights.scales,
            zero_point,
            bias,
            from,
            to,
            range,
        };
        if !product.fits() {
            return Ok(None);
        }
        names.push(node.name.clone());
        names.extend(pad);
        Ok(Some(Fused { recipe: Arc::new(product), inputs: vec![raw] }))
    }

    /// The bytes that a `Pad` put zeros around to make `padded`, and its name: `geometry` has taken its
    /// borders. `None` where something else made them, or its borders are none that a window has.
    fn before_pad(
        &self,
        padded: TensorId,
        from: Bytes,
        geometry: &mut Geometry,
    ) -> Result<Option<(TensorId, String)>> {
        let quantize = self.graph.node(padded.node);
        let (Some(&real), "UniformQuantize") = (quantize.inputs.first(), quantize.op_name.as_str())
        else {
            return Ok(None);
        };
        let pad = self.graph.node(real.node);
        let (&[x, borders], "Pad") = (pad.inputs.as_slice(), pad.op_name.as_str()) else {
            return Ok(None);
        };
        let (Some((raw, own)), Some(borders)) =
            (self.dequantized(x)?, self.folded.fact(borders)?.integers())
        else {
            return Ok(None);
        };
        let rank = concrete(self.folded.fact(raw)?)?.len();
        let borders = ops::paddings(&borders, rank)?;
        let &[[0, 0], rows, columns, [0, 0]] = borders.as_slice() else { return Ok(None) };
        let mut wide = *geometry;
        for (axis, [first, last]) in [rows, columns].into_iter().enumerate() {
            wide.input[axis] = wide.input[axis].saturating_sub(first + last);
            wide.pads[axis][0] += first;
            wide.pads[axis][1] += last;
            let reach = (wide.kernel[axis] - 1) * wide.dilations[axis];
            if wide.pads[axis].iter().any(|&pad| pad > reach) {
                return Ok(None);
            }
        }
        if own != from {
            return Ok(None);
        }
        *geometry = wide;
        Ok(Some((raw, pad.name.clone())))
    }

    fn geometry(&self, node: &Node, x: TensorId, w: &[usize]) -> Result<Option<Geometry>> {
        let input = concrete(self.folded.fact(x)?)?;
        let kind = match node.op_name.as_str() {
            "Conv2D" => Kind::Full,
            "DepthwiseConv2dNative" => Kind::Depthwise,
            _ => {
                let flipped = |name| node.attributes.bool(name, false);
                let (&[rows, inner], &[_, columns]) = (input.as_slice(), w) else {
                    return Ok(None);
                };
                if flipped("transpose_a")? || flipped("transpose_b")? {
                    return Ok(None);
                }
                return Ok(Some(Geometry {
                    kind: Kind::Full,
                    images: rows,
                    input: [1, 1, inner],
                    output: [1, 1, columns],
                    kernel: [1, 1],
                    strides: [1, 1],
                    dilations: [1, 1],
                    pads: [[0, 0]; 2],
                }));
            }
        };
        ConvolutionAttributes::import(&node.attributes)?.geometry(kind, &input, w).map(Some)
    }

    fn average(
        &self,
        at: TensorId,
        to: Bytes,
        range: [u8; 2],
        names: &mut Vec<String>,
    ) -> Result<Option<Fused>> {
        let node = self.graph.node(at.node);
        let Some((raw, from)) = self.dequantized(self.step_back(at, names)?)? else {
            return Ok(None);
        };
        if from != to {
            return Ok(None);
        }
        let (kernel, window) = ops::pool_window(&node.attributes)?;
        let recipe = int8::AveragePool { kernel, window, signed: to.signed, range };
        Ok(Some(Fused { recipe: Arc::new(recipe), inputs: vec![raw] }))
    }

    /// A mean over height and width.
    fn mean(&self, at: TensorId, to: Bytes, names: &mut Vec<String>) -> Result<Option<Fused>> {
        let node = self.graph.node(at.node);
        let Some(axes) =
            node.inputs.get(1).and_then(|&axes| self.folded.fact(axes).ok()?.integers())
        else {
            return Ok(None);
        };
        let Some((raw, from)) = self.dequantized(self.step_back(at, names)?)? else {
            return Ok(None);
        };
        let rank = concrete(self.folded.fact(raw)?)?.len();
        if from.signed != to.signed || ops::reduced_axes(&axes, rank)? != [false, true, true, false]
        {
            return Ok(None);
        }
        let recipe: Arc<dyn Recipe> = Arc::new(int8::Mean { from, to });
        Ok(Some(Fused { recipe, inputs: vec![raw] }))
    }

    fn softmax_of_bytes(
        &self,
        at: TensorId,
        to: Bytes,
        names: &mut Vec<String>,
    ) -> Result<Option<Fused>> {
        let Some((raw, from)) = self.dequantized(self.step_back(at, names)?)? else {
            return Ok(None);
        };
        let usual = to.quantization.scale == 1.0 / 256.0 && to.quantization.zero_point == 0;
        let softmax = int8::Softmax { from };
        if !usual || from.signed != to.signed || !softmax.fits() {
            return Ok(None);
        }
        let recipe: Arc<dyn Recipe> = Arc::new(softmax);
        Ok(Some(Fused { recipe, inputs: vec![raw] }))
    }
}

/// The integers of a bias; `None` where they do not count in steps of input times weight.
fn bias_values(
    bias: &Constant,
    weights: &Constant,
    from: Bytes,
    to: Bytes,
    outputs: usize,
) -> Option<Vec<i32>> {
    let values = bias.values.as_i32()?.to_vec();
    let one = |values: &[f32], i: usize| values.get(i).or(values.first()).copied();
    let same = (0..outputs).all(|i| {
        let own = one(&bias.scales, i).unwrap_or(0.0);
        let product = from.quantization.scale * one(&weights.scales, i).unwrap_or(0.0);
        let off = (own - product).abs();
        off <= 1e-3 * own.max(product) || off <= 1e-6 * to.quantization.scale
    });
    let zeros = bias.zero_points.iter().all(|&zero| zero == 0);
    let counts = [1, outputs].contains(&bias.scales.len()) && values.len() == outputs;
    (same && zeros && counts).then_some(values)
}
