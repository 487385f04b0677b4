//! [`freeze`]: a graph as it is for inference alone. Variables become constants, what is constant
//! is computed, batch norm and other affines go into the weights before them. What is left are the
//! ops that exchange formats and quantisation know, still in TensorFlow's vocabulary.

use std::collections::HashMap;
use std::sync::Arc;

use mobilenet_formats::{DType, Tensor};
use mobilenet_kernels::Activation;

use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::Shape;
use crate::fold::{Folded, Variables};
use crate::graph::{Graph, NodeId, TensorId, split_tensor_name};
use crate::ops::{Geometry, Kind};
use crate::passes;
use crate::plan::{PROBE, lowered};
use crate::program::{Affine, Body, Convolution, Program, Step, Storage, ValueId};
use crate::reference;
use crate::window::{Padding, Window};

/// The part of `graph` that computes `outputs` from `inputs`, with nothing in it but convolutions
/// with bias and activation and what cannot be folded into them. Arguments are those of
/// [`Plan::compile`](crate::Plan::compile); names stay, where what they name still is.
///
/// # Errors
/// As [`Plan::compile`](crate::Plan::compile), and `Unsupported` for graphs that change variables
/// and, by node, for those of 8 bits.
///
/// ```
/// use mobilenet_engine::{Attributes, Graph, Shape, freeze};
/// use mobilenet_formats::{DType, Tensor};
///
/// let mut graph = Graph::new();
/// let shape = Shape::new(vec![None, Some(2)]);
/// let float = || Attributes::new().with_dtype("T", DType::F32);
/// let x = Attributes::new().with_dtype("dtype", DType::F32).with_shape("shape", &shape);
/// let x = graph.add("x", "Placeholder", x, &[])?;
/// let none = |name: &str| unreachable!("no variable {name}");
/// graph.add("y", "Relu6", float(), &[x.into()])?;
/// graph.add("unused", "Relu", float(), &[x.into()])?;
///
/// let frozen = freeze(&graph, &none, &[("x", shape)], &["y"])?;
/// assert!(frozen.find("y").is_some() && frozen.find("unused").is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn freeze(
    graph: &Graph,
    variables: &Variables<'_>,
    inputs: &[(&str, Shape)],
    outputs: &[&str],
) -> Result<Graph> {
    want_floats(graph, inputs, outputs)?;
    let lowered = lowered(graph, variables, inputs, outputs)?;
    let (folded, mut program, env) = (lowered.folded, lowered.program, lowered.env);
    if !folded.states.is_empty() {
        return Err(Error::unsupported("a graph that changes variables"));
    }
    passes::fold(&mut program);
    let mut frozen =
        Frozen { graph, folded, program, env, new: Graph::new(), made: HashMap::new() };
    for (place, &(name, ref shape)) in inputs.iter().enumerate() {
        frozen.input(place, name, shape)?;
    }
    for step in std::mem::take(&mut frozen.program.steps) {
        frozen.step(&step)?;
    }
    let wanted = std::mem::take(&mut frozen.program.outputs);
    for (value, name) in wanted.into_iter().zip(outputs) {
        frozen.output(value, name)?;
    }
    Ok(frozen.new)
}

/// Fails where a node rounds to 8 bits: folded into weights, its integers would be lost.
fn want_floats(graph: &Graph, inputs: &[(&str, Shape)], outputs: &[&str]) -> Result<()> {
    let fed = inputs.iter().map(|(name, _)| graph.tensor(name)).collect::<Result<Vec<_>>>()?;
    let wanted = outputs.iter().map(|name| graph.tensor(name)).collect::<Result<Vec<_>>>()?;
    let mut needed = graph.needed(&wanted, &fed)?.into_iter().map(|id| graph.node(id));
    match needed.find(|node| node.op_name.starts_with("Uniform")) {
        None => Ok(()),
        Some(node) => Err(Error::unsupported("a graph of 8 bits has nothing to fold").at(
            &node.name,
            &node.op_name,
            "",
        )),
    }
}

struct Frozen<'a> {
    graph: &'a Graph,
    folded: Folded,
    program: Program,
    /// What holds each tensor of the old graph.
    env: HashMap<TensorId, ValueId>,
    new: Graph,
    /// The tensors of the new graph.
    made: HashMap<ValueId, TensorId>,
}

fn float() -> Attributes {
    Attributes::new().with_dtype("T", DType::F32)
}

impl Frozen<'_> {
    fn input(&mut self, place: usize, name: &str, shape: &Shape) -> Result<()> {
        let (node, _) = split_tensor_name(name);
        let dtype = self.graph.fact(self.graph.tensor(name)?).dtype.unwrap_or(DType::F32);
        let attributes = Attributes::new().with_dtype("dtype", dtype).with_shape("shape", shape);
        let own = |value: &crate::program::Value| matches!(value.storage, Storage::Input(index) if index == place);
        let value = self.program.values.iter().position(own);
        let tensor = self.new.add(node, "Placeholder", attributes, &[])?;
        if let Some(value) = value {
            self.made.insert(ValueId(value), tensor.into());
        }
        Ok(())
    }

    /// A node under `name`, or `name` with a number where that is taken.
    fn add(
        &mut self,
        name: &str,
        op: &str,
        attributes: Attributes,
        inputs: &[TensorId],
    ) -> Result<TensorId> {
        let mut free = name.to_owned();
        for i in 1.. {
            if self.new.find(&free).is_none() {
                break;
            }
            free = format!("{name}_{i}");
        }
        Ok(self.new.add(free, op, attributes, inputs)?.into())
    }

    fn constant(&mut self, name: &str, value: &Tensor) -> Result<TensorId> {
        let attributes =
            Attributes::new().with_dtype("dtype", value.dtype()).with_tensor("value", value);
        self.add(name, "Const", attributes, &[])
    }

    /// Constants of an affine: a scalar, or one value for each channel.
    fn reals(&mut self, name: &str, values: &[f64]) -> Result<TensorId> {
        let shape: &[usize] = if values.len() == 1 { &[] } else { &[values.len()] };
        let value = reference::real(DType::F32, shape, values.to_vec())?;
        self.constant(name, &value)
    }

    /// The node that a value is called after.
    fn name(&self, value: ValueId) -> String {
        split_tensor_name(&self.program.value(value).name).0.to_owned()
    }

    fn tensor(&mut self, value: ValueId) -> Result<TensorId> {
        if let Some(&tensor) = self.made.get(&value) {
            return Ok(tensor);
        }
        let name = self.name(value);
        let tensor = match self.program.value(value).storage.clone() {
            Storage::Constant(constant) => self.constant(&name, &constant)?,
            Storage::Alias(of) => {
                let of = self.tensor(of)?;
                let dims = self.program.value(value).shape.iter().map(|&dim| match dim {
                    PROBE => Ok(-1),
                    dim => i32::try_from(dim).map_err(|_| Error::shape("a dimension beyond 2^31")),
                });
                let dims = dims.collect::<Result<Vec<i32>>>()?;
                let shape = Tensor::new([dims.len()], dims)
                    .map_err(|error| Error::shape("a shape").with_source(error))?;
                let shape = self.constant(&format!("{name}/shape"), &shape)?;
                self.add(&name, "Reshape", float(), &[of, shape])?
            }
            _ => return Err(Error::unsupported(format!("'{name}' is not computed"))),
        };
        self.made.insert(value, tensor);
        Ok(tensor)
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        let &[output] = step.outputs.as_slice() else {
            return Err(self.refused(step, "an op of several outputs"));
        };
        let name = self.name(output);
        let tensor = match &step.body {
            Body::Convolution(convolution) => self.convolution(&name, convolution, step)?,
            Body::Affine(affine, activation) => {
                let x = self.operand(step)?;
                let y = self.affine(&name, affine, x)?;
                self.activation(&name, *activation, y)?
            }
            Body::Widen(factor) => {
                let x = self.operand(step)?;
                self.widened(&name, *factor, x)?
            }
            Body::Pad(_) | Body::Other(_) => self.copied(step)?,
            _ => return Err(self.refused(step, "no op of a graph for inference alone")),
        };
        self.made.insert(output, tensor);
        Ok(())
    }

    /// An error at the node that a step was made of.
    fn refused(&self, step: &Step, what: &str) -> Error {
        let name = step.sources.last().map_or("", String::as_str);
        let op = self.graph.find(name).map_or("", |id| self.graph.node(id).op_name.as_str());
        Error::unsupported(what).at(name, op, "")
    }

    fn operand(&mut self, step: &Step) -> Result<TensorId> {
        let input = step.inputs.first().copied();
        self.tensor(input.ok_or_else(|| Error::invalid("a step without input"))?)
    }

    fn affine(&mut self, name: &str, affine: &Affine, x: TensorId) -> Result<TensorId> {
        let mut y = x;
        if affine.scale.iter().any(|&scale| scale != 1.0) {
            let scale = self.reals(&format!("{name}/scale"), &affine.scale)?;
            y = self.add(&format!("{name}/Mul"), "Mul", float(), &[y, scale])?;
        }
        if affine.offset.iter().any(|&offset| offset != 0.0) {
            let negative: Vec<f64> = affine.offset.iter().map(|offset| -offset).collect();
            let offset = self.reals(&format!("{name}/offset"), &negative)?;
            y = self.add(&format!("{name}/Sub"), "Sub", float(), &[y, offset])?;
        }
        Ok(y)
    }

    /// Bytes as floats, each times `factor`.
    fn widened(&mut self, name: &str, factor: f32, x: TensorId) -> Result<TensorId> {
        let cast = Attributes::new().with_dtype("SrcT", DType::U8).with_dtype("DstT", DType::F32);
        let x = self.add(&format!("{name}/Cast"), "Cast", cast, &[x])?;
        self.affine(name, &Affine::scale(vec![f64::from(factor)]), x)
    }

    fn activation(&mut self, name: &str, activation: Activation, x: TensorId) -> Result<TensorId> {
        match activation {
            Activation::None => Ok(x),
            Activation::Relu => self.add(name, "Relu", float(), &[x]),
            Activation::Relu6 => self.add(name, "Relu6", float(), &[x]),
        }
    }

    fn convolution(
        &mut self,
        name: &str,
        convolution: &Convolution,
        step: &Step,
    ) -> Result<TensorId> {
        let mut x = self.operand(step)?;
        if let Some(factor) = convolution.bytes {
            x = self.widened(&format!("{name}/pixels"), factor, x)?;
        }
        if let Some(pre) = &convolution.pre {
            x = self.affine(&format!("{name}/input"), pre, x)?;
        }
        let geometry = &convolution.geometry;
        let (weights, bias) = crate::steps::folded_weights(convolution)?;
        let rank = step.inputs.first().map_or(0, |&id| self.program.value(id).shape.len());
        let channels = geometry.output[2];
        let (op, shape, attributes) = match (geometry.kind, rank) {
            (Kind::Full, 2) => ("MatMul", vec![geometry.input[2], channels], float()),
            (kind, _) => {
                let [height, width] = geometry.kernel;
                let inner = geometry.input[2];
                let (op, last) = match kind {
                    Kind::Full => ("Conv2D", channels),
                    Kind::Depthwise => ("DepthwiseConv2dNative", channels / inner.max(1)),
                };
                (op, vec![height, width, inner, last], attributes(geometry)?)
            }
        };
        let weights = Tensor::new(shape, weights.into_owned())
            .map_err(|error| Error::shape("folded weights").with_source(error))?;
        let weights = self.constant(&format!("{name}/weights"), &weights)?;
        let unscaled =
            convolution.pre.is_none() && convolution.post.scale.iter().all(|&factor| factor == 1.0);
        let weights = match convolution.rounded_by {
            // Nothing was folded into them that would make them other than rounded.
            Some(by) if unscaled => self.rounded(weights, by)?,
            _ => weights,
        };
        let y = self.add(&format!("{name}/{op}"), op, attributes, &[x, weights])?;
        let bias = Tensor::new([channels], bias)
            .map_err(|error| Error::shape("a folded bias").with_source(error))?;
        let bias = self.constant(&format!("{name}/bias"), &bias)?;
        let plain = convolution.activation == Activation::None;
        let sum = if plain { name.to_owned() } else { format!("{name}/BiasAdd") };
        let y = self.add(&sum, "BiasAdd", float(), &[y, bias])?;
        self.activation(name, convolution.activation, y)
    }

    /// What the `FakeQuant…` node `by` makes of `x`.
    fn rounded(&mut self, x: TensorId, by: NodeId) -> Result<TensorId> {
        let node = self.graph.node(by).clone();
        let mut inputs = vec![x];
        for &end in node.inputs.iter().skip(1) {
            let fact = self.folded.fact(end)?;
            let (value, dtype) = (fact.value.clone(), fact.dtype);
            let value = value.ok_or_else(|| Error::unsupported("a range that is computed"))?;
            let name = self.graph.node(end.node).name.clone();
            let value = rounded(value, dtype)?;
            inputs.push(self.constant(&name, &value)?);
        }
        self.add(&node.name, &node.op_name, node.attributes, &inputs)
    }

    /// The node that a step was made of, with its inputs of now.
    fn copied(&mut self, step: &Step) -> Result<TensorId> {
        let [source] = step.sources.as_slice() else {
            return Err(self.refused(step, "one step with the ops before it"));
        };
        let Some(id) = self.graph.find(source) else { return self.operand(step) };
        let node = self.graph.node(id).clone();
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for &tensor in &node.inputs {
            let constant = self.folded.fact(tensor)?.value.clone();
            inputs.push(match (constant, self.env.get(&tensor).copied()) {
                (Some(constant), _) => {
                    let name = self.graph.node(tensor.node).name.clone();
                    let value = rounded(constant, self.folded.fact(tensor)?.dtype)?;
                    self.constant(&name, &value)?
                }
                (None, Some(value)) => self.tensor(value)?,
                (None, None) => return Err(self.refused(step, "an input that is not computed")),
            });
        }
        self.add(&node.name, &node.op_name, node.attributes.clone(), &inputs)
    }

    /// Makes sure that `name` names the output.
    fn output(&mut self, value: ValueId, name: &str) -> Result<()> {
        let tensor = self.tensor(value)?;
        let (wanted, _) = split_tensor_name(name);
        if self.new.find(wanted).is_none() {
            self.add(wanted, "Identity", float(), &[tensor])?;
        }
        Ok(())
    }
}

/// A folded constant in the type it has in the graph.
fn rounded(value: Arc<Tensor>, dtype: Option<DType>) -> Result<Arc<Tensor>> {
    match (dtype, value.dtype()) {
        (Some(DType::F32), DType::F64) => {
            let reals = reference::reals(&value)?;
            Ok(Arc::new(reference::real(DType::F32, value.shape(), reals)?))
        }
        _ => Ok(value),
    }
}

fn attributes(geometry: &Geometry) -> Result<Attributes> {
    let over_image = |[height, width]: [usize; 2]| [1, height as i64, width as i64, 1];
    let window =
        Window { strides: geometry.strides, dilations: geometry.dilations, padding: Padding::Same };
    let same = |axis: usize| -> Result<bool> {
        let extent = window.extent(axis, geometry.input[axis], geometry.kernel[axis])?;
        Ok([extent.before, extent.after] == geometry.pads[axis])
    };
    let attributes = float()
        .with_ints("strides", &over_image(geometry.strides))
        .with_ints("dilations", &over_image(geometry.dilations));
    if geometry.pads == [[0, 0]; 2] {
        let fits = geometry.kernel == [1, 1];
        return Ok(attributes.with_string("padding", if fits { "SAME" } else { "VALID" }));
    }
    if same(0)? && same(1)? {
        return Ok(attributes.with_string("padding", "SAME"));
    }
    let [[top, bottom], [left, right]] = geometry.pads.map(|pads| pads.map(|pad| pad as i64));
    let explicit = [0, 0, top, bottom, left, right, 0, 0];
    Ok(attributes.with_string("padding", "EXPLICIT").with_ints("explicit_paddings", &explicit))
}
