//! A notebook for writing `NodeDef`s: names in, tensor names out.

use mobilenet_formats::DType;
use mobilenet_formats::tensorflow::messages::{
    AttrValue, GraphDef, NodeDef, TensorProto, TensorShapeProto, VersionDef, attr_value,
    tensor_shape_proto,
};

/// Producer version written: TensorFlow 1.15's, which every later reader accepts.
const PRODUCER: i32 = 134;

/// Nodes in the order they were added, which is a topological one.
#[derive(Default)]
pub(crate) struct Nodes {
    nodes: Vec<NodeDef>,
}

/// A node being described; `add` puts it in the graph.
pub(crate) struct NewNode<'a> {
    nodes: &'a mut Nodes,
    node: NodeDef,
}

impl Nodes {
    pub(crate) fn node(
        &mut self,
        name: impl Into<String>,
        op: &str,
        inputs: &[&str],
    ) -> NewNode<'_> {
        let node = NodeDef {
            name: name.into(),
            op: op.to_owned(),
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            ..NodeDef::default()
        };
        NewNode { nodes: self, node }
    }

    /// A float32 op: attribute `T` set.
    pub(crate) fn float(
        &mut self,
        name: impl Into<String>,
        op: &str,
        inputs: &[&str],
    ) -> NewNode<'_> {
        self.node(name, op, inputs).dtype("T", DType::F32)
    }

    pub(crate) fn scalar(&mut self, name: impl Into<String>, value: f32) -> String {
        self.constant(name, tensor(DType::F32, &[], |proto| proto.float_val = vec![value]))
    }

    /// A float32 constant of one value everywhere.
    pub(crate) fn fill(&mut self, name: impl Into<String>, shape: &[usize], value: f32) -> String {
        self.constant(name, tensor(DType::F32, shape, |proto| proto.float_val = vec![value]))
    }

    /// A one-dimensional float32 constant.
    pub(crate) fn floats(&mut self, name: impl Into<String>, values: &[f32]) -> String {
        self.constant(
            name,
            tensor(DType::F32, &[values.len()], |proto| {
                proto.float_val = values.to_vec();
            }),
        )
    }

    /// A one-dimensional int32 constant.
    pub(crate) fn ints(&mut self, name: impl Into<String>, values: &[i32]) -> String {
        self.constant(
            name,
            tensor(DType::I32, &[values.len()], |proto| {
                proto.int_val = values.to_vec();
            }),
        )
    }

    /// A two-dimensional int32 constant of pairs.
    pub(crate) fn matrix(&mut self, name: impl Into<String>, rows: &[[i32; 2]]) -> String {
        self.constant(
            name,
            tensor(DType::I32, &[rows.len(), 2], |proto| {
                proto.int_val = rows.concat();
            }),
        )
    }

    fn constant(&mut self, name: impl Into<String>, value: TensorProto) -> String {
        let dtype = attr_value::Value::Type(value.dtype);
        let value = attr_value::Value::Tensor(Box::new(value));
        self.node(name, "Const", &[]).attr("dtype", dtype).attr("value", value).add()
    }

    pub(crate) fn into_graph_def(self) -> GraphDef {
        let versions = VersionDef { producer: PRODUCER, ..VersionDef::default() };
        GraphDef { node: self.nodes, versions: Some(versions), ..GraphDef::default() }
    }
}

impl NewNode<'_> {
    pub(crate) fn attr(mut self, name: &str, value: attr_value::Value) -> Self {
        self.node.attr.insert(name.to_owned(), AttrValue { value: Some(value) });
        self
    }

    pub(crate) fn dtype(self, name: &str, dtype: DType) -> Self {
        self.attr(name, attr_value::Value::Type(dtype.to_tensorflow()))
    }

    pub(crate) fn shape(self, shape: &[i64]) -> Self {
        self.attr("shape", attr_value::Value::Shape(shape_proto(shape)))
    }

    pub(crate) fn string(self, name: &str, value: &str) -> Self {
        self.attr(name, attr_value::Value::S(value.as_bytes().to_vec()))
    }

    pub(crate) fn ints(self, name: &str, values: &[i64]) -> Self {
        let list = attr_value::ListValue { i: values.to_vec(), ..Default::default() };
        self.attr(name, attr_value::Value::List(Box::new(list)))
    }

    /// Stride in both directions and `SAME` padding.
    pub(crate) fn window(self, stride: usize) -> Self {
        let stride = stride as i64;
        self.ints("strides", &[1, stride, stride, 1]).string("padding", "SAME")
    }

    /// Puts the node in the graph and returns its name, which is also that of its first output.
    pub(crate) fn add(self) -> String {
        let name = self.node.name.clone();
        self.nodes.nodes.push(self.node);
        name
    }
}

fn tensor(dtype: DType, shape: &[usize], fill: impl FnOnce(&mut TensorProto)) -> TensorProto {
    let shape: Vec<i64> = shape.iter().map(|&extent| extent as i64).collect();
    let mut proto = TensorProto {
        dtype: dtype.to_tensorflow(),
        tensor_shape: Some(shape_proto(&shape)),
        ..TensorProto::default()
    };
    fill(&mut proto);
    proto
}

pub(crate) fn shape_proto(shape: &[i64]) -> TensorShapeProto {
    let dim = |&size: &i64| tensor_shape_proto::Dim { size, name: String::new() };
    TensorShapeProto { dim: shape.iter().map(dim).collect(), unknown_rank: false }
}
