//! From a graph with concrete facts to a [`Program`]: each op says, through [`Lowering`], which
//! steps compute it.

mod gradients;
mod quantized;

use std::collections::HashMap;
use std::sync::Arc;

use mobilenet_formats::{DType, Tensor};
use mobilenet_kernels::Activation;

use crate::error::{Error, Result};
use crate::facts::{Fact, elements};
use crate::fold::Folded;
use crate::graph::{Graph, Node, NodeId, TensorId};
use crate::ops::{Arithmetic, Distribution, Function, Geometry, Kind, Pooling, Reduction, Update};
pub(crate) use crate::program::Affine;
use crate::program::{Body, Convolution, Program, Step, Storage, Value, ValueId};
use crate::reference;
use crate::steps::{self, Recipe};
use crate::window::Window;

/// Attributes of a batch norm that is not folded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BatchNorm {
    pub(crate) epsilon: f32,
    /// Statistics of the batch, not the given ones.
    pub(crate) training: bool,
}

/// What one op may do to lower itself.
pub(crate) struct Lowering<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) folded: &'a Folded,
    pub(crate) program: &'a mut Program,
    pub(crate) env: &'a mut HashMap<TensorId, ValueId>,
    pub(crate) node: NodeId,
}

impl Lowering<'_> {
    fn this(&self) -> &Node {
        self.graph.node(self.node)
    }

    fn tensor(&self, input: usize) -> Result<TensorId> {
        let tensor = self.this().inputs.get(input).copied();
        tensor.ok_or_else(|| Error::invalid(format!("no input {input}")))
    }

    fn fact(&self, input: usize) -> Result<&Fact> {
        self.folded.fact(self.tensor(input)?)
    }

    fn output_fact(&self, port: usize) -> Result<&Fact> {
        self.folded.fact(TensorId { node: self.node, port })
    }

    /// The shape of an input.
    ///
    /// # Errors
    /// `Shape` where it is not fully known even now.
    pub(crate) fn shape(&self, input: usize) -> Result<Vec<usize>> {
        concrete(self.fact(input)?)
    }

    /// A constant integer input.
    pub(crate) fn constant_integers(&self, input: usize) -> Option<Vec<i64>> {
        self.fact(input).ok()?.integers()
    }

    /// The shape of output 0.
    ///
    /// # Errors
    /// `Shape` where it is not fully known even now.
    pub(crate) fn output_shape(&self) -> Result<Vec<usize>> {
        concrete(self.output_fact(0)?)
    }

    fn constant(&mut self, input: usize) -> Result<Option<Arc<Tensor>>> {
        let tensor = self.tensor(input)?;
        let value = self.folded.fact(tensor)?.value.clone();
        self.program.bakes_batch |= value.is_some() && self.folded.is_from_shape(tensor);
        Ok(value)
    }

    /// A constant floating-point input, in double precision.
    pub(crate) fn constant_reals(&mut self, input: usize) -> Result<Option<Vec<f64>>> {
        self.constant(input)?.map(|value| reference::reals(&value)).transpose()
    }

    /// Input `constant`, if it is constant, and one value for all or one per channel of
    /// `variable`, which has the shape of the output.
    pub(crate) fn per_channel(
        &mut self,
        constant: usize,
        variable: usize,
    ) -> Result<Option<Vec<f64>>> {
        let (shape, own) = (self.shape(variable)?, self.shape(constant)?);
        let is_float = self.fact(variable)?.dtype == Some(DType::F32);
        let fits = match own.split_last() {
            None => true,
            Some((&last, rest)) => {
                (last == 1 || Some(&last) == shape.last()) && rest.iter().all(|&dim| dim == 1)
            }
        };
        if !is_float || !fits || own.len() > shape.len() || self.fact(variable)?.value.is_some() {
            return Ok(None);
        }
        self.constant_reals(constant)
    }

    /// The value of an input, as a step reads it.
    pub(crate) fn input(&mut self, input: usize) -> Result<ValueId> {
        let tensor = self.tensor(input)?;
        if let Some(constant) = self.constant(input)? {
            return self.constant_value(tensor, constant);
        }
        match self.env.get(&tensor) {
            Some(&value) => Ok(value),
            None => {
                let name = self.graph.tensor_name(tensor);
                Err(Error::unsupported(format!("'{name}' yields nothing that can be used")))
            }
        }
    }

    fn constant_value(&mut self, tensor: TensorId, constant: Arc<Tensor>) -> Result<ValueId> {
        constant_value(self.graph, self.folded, self.program, tensor, constant)
    }

    fn output(&mut self, port: usize, storage: Storage) -> Result<ValueId> {
        let tensor = TensorId { node: self.node, port };
        let fact = self.output_fact(port)?;
        let shape = concrete(fact)?;
        elements(&shape)?;
        let dtype = match fact.dtype {
            // Whatever integers a tensor is quantised to, steps hold it in bytes.
            Some(DType::QI8 | DType::QI32) => DType::U8,
            dtype => dtype.ok_or_else(|| Error::dtype("the dtype is not known"))?,
        };
        let name = self.graph.tensor_name(tensor);
        let value = Value { name, dtype, shape, storage, per_image: false };
        let id = self.program.add(value);
        self.env.insert(tensor, id);
        Ok(id)
    }

    /// Adds a step that yields output 0 to `outputs - 1`.
    pub(crate) fn emit(&mut self, body: Body, inputs: Vec<ValueId>, outputs: usize) -> Result<()> {
        let outputs = (0..outputs).map(|port| self.output(port, Storage::Arena));
        let outputs = outputs.collect::<Result<_>>()?;
        let sources = vec![self.this().name.clone()];
        self.program.steps.push(Step { body, inputs, outputs, sources });
        Ok(())
    }

    fn other(&mut self, recipe: impl Recipe + 'static, inputs: &[usize]) -> Result<()> {
        let inputs = inputs.iter().map(|&input| self.input(input)).collect::<Result<_>>()?;
        self.emit(Body::Other(Arc::new(recipe)), inputs, 1)
    }

    /// Fails unless every one of `inputs` is `float32`.
    fn want_f32(&self, inputs: &[usize]) -> Result<()> {
        for &input in inputs {
            match self.fact(input)?.dtype {
                Some(DType::F32) => {}
                Some(dtype) => return Err(Error::unsupported(format!("{dtype} at run time"))),
                None => return Err(Error::dtype("the dtype is not known")),
            }
        }
        Ok(())
    }

    /// Output 0 is an input, unchanged.
    pub(crate) fn forward(&mut self, input: usize) -> Result<()> {
        let value = self.input(input)?;
        self.env.insert(TensorId { node: self.node, port: 0 }, value);
        Ok(())
    }

    /// Output 0 has the elements of an input.
    pub(crate) fn alias(&mut self, input: usize) -> Result<()> {
        let of = self.input(input)?;
        self.output(0, Storage::Alias(of)).map(|_| ())
    }

    pub(crate) fn affine(&mut self, input: usize, affine: Affine) -> Result<()> {
        self.want_f32(&[input])?;
        let x = self.input(input)?;
        self.emit(Body::Affine(affine, Activation::None), vec![x], 1)
    }

    pub(crate) fn activation(&mut self, activation: Activation) -> Result<()> {
        self.want_f32(&[0])?;
        let x = self.input(0)?;
        self.emit(Body::Affine(Affine::identity(), activation), vec![x], 1)
    }

    pub(crate) fn convolution(&mut self, geometry: Geometry) -> Result<()> {
        self.want_f32(&[0, 1])?;
        let x = self.input(0)?;
        let Some(weights) = self.constant(1)? else {
            return self.convolution_at_run(geometry);
        };
        let convolution = Convolution {
            geometry,
            weights,
            bytes: None,
            pre: None,
            post: Affine::identity(),
            activation: Activation::None,
            rounded_by: self.rounding(1),
        };
        self.emit(Body::Convolution(Box::new(convolution)), vec![x], 1)
    }

    /// The `FakeQuant…` node with one range that makes an input.
    fn rounding(&self, input: usize) -> Option<NodeId> {
        let mut tensor = self.tensor(input).ok()?;
        loop {
            let node = self.graph.node(tensor.node);
            match node.op_name.as_str() {
                "Identity" | "Reshape" => tensor = *node.inputs.first()?,
                "FakeQuantWithMinMaxArgs" | "FakeQuantWithMinMaxVars" => return Some(tensor.node),
                _ => return None,
            }
        }
    }

    /// `a [rows, inner] * b [inner, columns]`, as a pointwise convolution.
    pub(crate) fn mat_mul(&mut self, transpose: [bool; 2]) -> Result<()> {
        let (a, b) = (self.shape(0)?, self.shape(1)?);
        let (&[m, n], &[p, q]) = (a.as_slice(), b.as_slice()) else {
            return Err(Error::shape("both operands must have rank 2"));
        };
        let pointwise = |rows: usize, inner: usize, columns: usize| Geometry {
            kind: Kind::Full,
            images: rows,
            input: [1, 1, inner],
            output: [1, 1, columns],
            kernel: [1, 1],
            strides: [1, 1],
            dilations: [1, 1],
            pads: [[0, 0]; 2],
        };
        match transpose {
            [false, false] => self.convolution(pointwise(m, n, q)),
            [false, true] => self.product_with_transposed(pointwise(m, n, p)),
            [true, false] => self.product_of_transposed(pointwise(m, n, q)),
            [true, true] => Err(Error::unsupported("two transposed operands")),
        }
    }

    pub(crate) fn pad(&mut self, pads: Vec<[usize; 2]>) -> Result<()> {
        self.want_f32(&[0])?;
        let &[[0, 0], rows, columns, [0, 0]] = pads.as_slice() else {
            return Err(Error::unsupported("padding other than of height and width"));
        };
        let x = self.input(0)?;
        self.emit(Body::Pad([rows, columns]), vec![x], 1)
    }

    pub(crate) fn pool(
        &mut self,
        pooling: Pooling,
        kernel: [usize; 2],
        window: Window,
    ) -> Result<()> {
        self.want_f32(&[0])?;
        self.other(steps::Pooling { pooling, kernel, window }, &[0])
    }

    pub(crate) fn reduce(&mut self, reduction: Reduction, reduced: &[bool]) -> Result<()> {
        self.want_f32(&[0])?;
        self.other(steps::Reduce { reduction, reduced: reduced.to_vec() }, &[0])
    }

    pub(crate) fn softmax(&mut self) -> Result<()> {
        self.want_f32(&[0])?;
        self.other(steps::Softmax, &[0])
    }

    pub(crate) fn binary(&mut self, arithmetic: Arithmetic) -> Result<()> {
        self.want_f32(&[0, 1])?;
        self.other(steps::Binary { arithmetic }, &[0, 1])
    }

    pub(crate) fn unary(&mut self, function: Function) -> Result<()> {
        self.want_f32(&[0])?;
        self.other(steps::Unary { function }, &[0])
    }

    pub(crate) fn select(&mut self) -> Result<()> {
        self.want_f32(&[1, 2])?;
        self.other(steps::Select, &[0, 1, 2])
    }

    pub(crate) fn l2_loss(&mut self) -> Result<()> {
        self.want_f32(&[0])?;
        self.other(steps::L2Loss, &[0])
    }

    pub(crate) fn cast(&mut self) -> Result<()> {
        let (from, to) = (self.fact(0)?.dtype, self.output_fact(0)?.dtype);
        if from == to {
            return self.forward(0);
        }
        if (from, to) == (Some(DType::U8), Some(DType::F32)) {
            let x = self.input(0)?;
            return self.emit(Body::Widen(1.0), vec![x], 1);
        }
        Err(Error::unsupported("a change of dtype at run time"))
    }

    pub(crate) fn random(&mut self, distribution: Distribution, seeds: [i64; 2]) -> Result<()> {
        self.constant(0)?;
        let stream = self.program.steps.len() as u64;
        let step = steps::Random::new(distribution, seeds, stream);
        self.emit(Body::Other(Arc::new(step)), Vec::new(), 1)
    }

    pub(crate) fn batch_norm(&mut self, attributes: BatchNorm) -> Result<()> {
        let operands: &[usize] = if attributes.training { &[0, 1, 2] } else { &[0, 1, 2, 3, 4] };
        self.want_f32(operands)?;
        let inputs: Vec<ValueId> =
            operands.iter().map(|&input| self.input(input)).collect::<Result<_>>()?;
        let outputs = if attributes.training { 5 } else { 1 };
        self.emit(Body::BatchNorm(attributes, Activation::None), inputs, outputs)
    }

    /// Output 0 is a variable that is state of the session.
    pub(crate) fn variable(&mut self) -> Result<()> {
        let tensor = match self.this().inputs.first() {
            Some(&handle) => handle,
            None => TensorId::from(self.node),
        };
        let state = self.folded.state_of(tensor)?;
        self.output(0, Storage::State(state)).map(|_| ())
    }

    pub(crate) fn assign(&mut self, update: Update) -> Result<()> {
        let state = self.folded.state_of(self.tensor(0)?)?;
        let fact = self.fact(1)?;
        let shape = concrete(fact)?;
        let value = Value {
            name: self.this().name.clone(),
            dtype: fact.dtype.ok_or_else(|| Error::dtype("the dtype is not known"))?,
            shape,
            storage: Storage::State(state),
            per_image: false,
        };
        self.want_f32(&[1])?;
        let x = self.input(1)?;
        let target = self.program.add(value);
        // The reference forms yield the variable; it is read again after the change.
        self.env.insert(TensorId::from(self.node), target);
        self.program.steps.push(Step {
            body: Body::Other(Arc::new(steps::Assign { update })),
            inputs: vec![x],
            outputs: vec![target],
            sources: vec![self.this().name.clone()],
        });
        Ok(())
    }
}

/// The shape of a fact, every dimension known.
pub(crate) fn concrete(fact: &Fact) -> Result<Vec<usize>> {
    fact.shape.concrete().ok_or_else(|| {
        Error::shape(format!("the shape {} is not known even with the inputs' shapes", fact.shape))
    })
}

/// A constant as a value; floating point is rounded here, once.
pub(crate) fn constant_value(
    graph: &Graph,
    folded: &Folded,
    program: &mut Program,
    tensor: TensorId,
    constant: Arc<Tensor>,
) -> Result<ValueId> {
    let dtype = folded.fact(tensor)?.dtype.unwrap_or(constant.dtype());
    let rounded = match (dtype, constant.dtype()) {
        (DType::F32, DType::F64) => {
            let values = reference::reals(&constant)?;
            Arc::new(reference::real(DType::F32, constant.shape(), values)?)
        }
        _ => constant,
    };
    Ok(program.add(Value {
        name: graph.tensor_name(tensor),
        dtype,
        shape: rounded.shape().to_vec(),
        storage: Storage::Constant(rounded),
        per_image: false,
    }))
}
