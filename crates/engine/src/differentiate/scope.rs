//! What a gradient rule sees: one node, its tensors, and a pen to write new nodes with.

use mobilenet_formats::{DType, Tensor};

use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::Fact;
use crate::graph::{Graph, Node, NodeId, TensorId};

/// One node whose gradient is being written.
pub(super) struct Scope<'a> {
    graph: &'a mut Graph,
    node: NodeId,
    wanted: Vec<bool>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(graph: &'a mut Graph, node: NodeId, wanted: Vec<bool>) -> Self {
        Self { graph, node, wanted }
    }

    /// Which inputs' slopes are of use.
    pub(super) fn wanted(&self) -> &[bool] {
        &self.wanted
    }

    pub(super) fn wants(&self, input: usize) -> bool {
        self.wanted.get(input).copied().unwrap_or(false)
    }

    pub(super) fn node(&self) -> &Node {
        self.graph.node(self.node)
    }

    pub(super) fn input(&self, index: usize) -> Result<TensorId> {
        let input = self.node().inputs.get(index).copied();
        input.ok_or_else(|| Error::invalid(format!("no input {index}")))
    }

    pub(super) fn output(&self, port: usize) -> TensorId {
        TensorId { node: self.node, port }
    }

    pub(super) fn fact(&self, tensor: TensorId) -> &Fact {
        self.graph.fact(tensor)
    }

    /// A new node of `op` on float32, `T` set, other attributes given.
    pub(super) fn add_with(
        &mut self,
        op: &str,
        attributes: Attributes,
        inputs: &[TensorId],
    ) -> Result<TensorId> {
        let name = fresh(self.graph, &format!("gradients/{}_grad/{op}", self.node().name));
        Ok(self.graph.add(name, op, attributes, inputs)?.into())
    }

    pub(super) fn add(&mut self, op: &str, inputs: &[TensorId]) -> Result<TensorId> {
        self.add_with(op, Attributes::new().with_dtype("T", DType::F32), inputs)
    }

    pub(super) fn constant(&mut self, value: &Tensor) -> Result<TensorId> {
        let attributes =
            Attributes::new().with_dtype("dtype", value.dtype()).with_tensor("value", value);
        self.add_with("Const", attributes, &[])
    }

    pub(super) fn scalar(&mut self, value: f32) -> Result<TensorId> {
        self.constant(&tensor(Tensor::new([], vec![value]))?)
    }

    pub(super) fn ints(&mut self, values: &[usize]) -> Result<TensorId> {
        let values: Vec<i32> =
            values.iter().map(|&value| i32::try_from(value).unwrap_or(i32::MAX)).collect();
        self.constant(&tensor(Tensor::new([values.len()], values))?)
    }

    /// The shape of a tensor, as int32.
    pub(super) fn shape_of(&mut self, of: TensorId) -> Result<TensorId> {
        let attributes =
            Attributes::new().with_dtype("T", DType::F32).with_dtype("out_type", DType::I32);
        self.add_with("Shape", attributes, &[of])
    }

    /// `x` in the shape of `like`.
    pub(super) fn reshape_like(&mut self, x: TensorId, like: TensorId) -> Result<TensorId> {
        let shape = self.shape_of(like)?;
        let attributes =
            Attributes::new().with_dtype("T", DType::F32).with_dtype("Tshape", DType::I32);
        self.add_with("Reshape", attributes, &[x, shape])
    }

    pub(super) fn sum(&mut self, x: TensorId, axes: &[usize], keep_dims: bool) -> Result<TensorId> {
        let axes = self.ints(axes)?;
        let attributes = Attributes::new()
            .with_dtype("T", DType::F32)
            .with_dtype("Tidx", DType::I32)
            .with_bool("keep_dims", keep_dims);
        self.add_with("Sum", attributes, &[x, axes])
    }

    /// Undoes broadcasting: sums `slope`, of the output's shape, to the shape of `operand`.
    pub(super) fn unbroadcast(&mut self, slope: TensorId, operand: TensorId) -> Result<TensorId> {
        let output = self.output(0);
        let from = self.fact(output).shape.dims().map(<[_]>::to_vec);
        let to = self.fact(operand).shape.dims().map(<[_]>::to_vec);
        let (Some(from), Some(to)) = (from, to) else {
            return Err(Error::unsupported("the gradient of operands of unknown rank"));
        };
        let lead = from.len().saturating_sub(to.len());
        let stretched =
            |axis: usize| axis < lead || (to[axis - lead] == Some(1) && from[axis] != Some(1));
        let axes: Vec<usize> = (0..from.len()).filter(|&axis| stretched(axis)).collect();
        if axes.is_empty() {
            return Ok(slope);
        }
        let summed = self.sum(slope, &axes, false)?;
        self.reshape_like(summed, operand)
    }
}

/// A name that no node has yet.
pub(super) fn fresh(graph: &Graph, name: &str) -> String {
    let numbered = (1..).map(|n: u64| format!("{name}_{n}"));
    let mut names = std::iter::once(name.to_owned()).chain(numbered);
    names.find(|name| graph.find(name).is_none()).unwrap_or_default()
}

fn tensor(made: mobilenet_formats::Result<Tensor>) -> Result<Tensor> {
    made.map_err(|error| Error::shape("a constant of a gradient").with_source(error))
}
