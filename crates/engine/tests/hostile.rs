//! What a hostile file may hold: each is an error that says where, none panics, none hangs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use mobilenet_engine::{Attributes, Error, ErrorKind, Graph, Plan, PlanOptions, Shape};
use mobilenet_formats::tensorflow::messages::{
    AttrValue, GraphDef, NodeDef, TensorProto, TensorShapeProto, attr_value::Value,
    tensor_shape_proto::Dim,
};
use mobilenet_formats::{DType, Tensor};
use support::network::{constant, integers, noise, none, op, placeholder};

fn node(name: &str, op: &str, inputs: &[&str]) -> NodeDef {
    NodeDef {
        name: name.into(),
        op: op.into(),
        input: inputs.iter().map(|&input| input.into()).collect(),
        ..Default::default()
    }
}

fn with(mut node: NodeDef, attributes: &Attributes) -> NodeDef {
    node.attr.extend(attributes.as_map().clone());
    node
}

fn import(nodes: Vec<NodeDef>) -> Result<Graph, Error> {
    Graph::import(&GraphDef { node: nodes, ..Default::default() })
}

fn refused(nodes: Vec<NodeDef>, kind: ErrorKind, says: &[&str]) {
    let error = import(nodes).expect_err("must be refused");
    assert_eq!(error.kind(), kind, "{error}");
    for part in says {
        assert!(error.to_string().contains(part), "'{error}' does not say '{part}'");
    }
}

fn shape_attribute(sizes: &[i64]) -> BTreeMap<String, AttrValue> {
    let dim = sizes.iter().map(|&size| Dim { size, name: String::new() }).collect();
    let shape = Value::Shape(TensorShapeProto { dim, unknown_rank: false });
    BTreeMap::from([("shape".into(), AttrValue { value: Some(shape) })])
}

fn input(name: &str, sizes: &[i64]) -> NodeDef {
    NodeDef { attr: shape_attribute(sizes), ..node(name, "Placeholder", &[]) }
}

fn compile(graph: &Graph, inputs: &[(&str, Shape)], output: &str) -> Result<Plan, Error> {
    Plan::compile(graph, &none, inputs, &[output], &PlanOptions::default())
}

fn strides(strides: &[i64]) -> Attributes {
    Attributes::new().with_ints("strides", strides).with_string("padding", "SAME")
}

#[test]
fn a_cycle_names_a_node_on_it() {
    let cycle = || vec![node("a", "Relu", &["b"]), node("b", "Relu", &["a"])];
    refused(cycle(), ErrorKind::InvalidGraph, &["cycle", "Relu"]);
    refused(vec![node("self", "Relu", &["self"])], ErrorKind::InvalidGraph, &["'self'"]);
    let controls = vec![node("a", "NoOp", &["^b"]), node("b", "NoOp", &["^a"])];
    refused(controls, ErrorKind::InvalidGraph, &["cycle"]);
}

#[test]
fn a_missing_input_is_named() {
    refused(vec![node("a", "Relu", &["ghost"])], ErrorKind::InvalidGraph, &["'a'", "'ghost'"]);
    refused(vec![node("a", "NoOp", &["^ghost"])], ErrorKind::InvalidGraph, &["ghost"]);
    let nodes = vec![input("x", &[1]), node("a", "Relu", &["x:7"])];
    refused(nodes, ErrorKind::InvalidGraph, &["'a'", "output 7"]);
    let nodes = vec![input("x", &[1]), node("a", "Add", &["x"])];
    refused(nodes, ErrorKind::InvalidGraph, &["'a'", "1 inputs", "2 to 2 wanted"]);
}

#[test]
fn two_nodes_of_one_name_are_refused() {
    let nodes = vec![node("a", "NoOp", &[]), node("a", "NoOp", &[])];
    refused(nodes, ErrorKind::InvalidGraph, &["'a'"]);
}

#[test]
fn negative_and_overflowing_dimensions_are_refused() {
    for sizes in [&[-2][..], &[i64::MIN], &[i64::MAX], &[1 << 50, 1 << 50]] {
        refused(vec![input("x", sizes)], ErrorKind::Shape, &["'x'", "impossible"]);
    }
    let mut graph = Graph::new();
    let x = placeholder(&mut graph, "x", Shape::known(&[4]));
    for sizes in [&[-5][..], &[-1, -1], &[3], &[i32::MAX, i32::MAX, i32::MAX, i32::MAX]] {
        let sizes = integers(&mut graph, &format!("sizes{sizes:?}"), sizes);
        let inputs = [x.into(), sizes.into()];
        let error = graph.add("y", "Reshape", Attributes::new(), &inputs).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Shape, "{error}");
    }
}

#[test]
fn a_huge_constant_is_refused_before_it_is_made() {
    let shape = TensorShapeProto {
        dim: vec![Dim { size: 1 << 40, ..Default::default() }],
        ..Default::default()
    };
    let proto = TensorProto { dtype: 1, tensor_shape: Some(shape), ..Default::default() };
    let value = AttrValue { value: Some(Value::Tensor(Box::new(proto))) };
    let attr = BTreeMap::from([("value".into(), value)]);
    let nodes = vec![NodeDef { attr, ..node("huge", "Const", &[]) }];
    refused(nodes, ErrorKind::InvalidGraph, &["'huge'", "Const"]);
}

#[test]
fn a_huge_fill_is_not_folded() {
    let mut graph = Graph::new();
    let sizes = integers(&mut graph, "sizes", &[1 << 15, 1 << 15]);
    let one = constant(&mut graph, "one", &[], vec![1.0]);
    graph.add("filled", "Fill", Attributes::new(), &[sizes.into(), one.into()]).unwrap();
    let error = compile(&graph, &[], "filled").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(error.node(), Some("filled"));
}

#[test]
fn a_constant_of_another_dtype_than_declared_is_refused() {
    let value = Tensor::new([1], vec![1f32]).unwrap();
    let attributes = Attributes::new().with_tensor("value", &value).with_dtype("dtype", DType::I32);
    let nodes = vec![with(node("c", "Const", &[]), &attributes)];
    refused(nodes, ErrorKind::DType, &["'c'", "int32", "float32"]);
}

#[test]
fn dtypes_that_do_not_mix_are_refused() {
    let mut graph = Graph::new();
    let x = placeholder(&mut graph, "x", Shape::known(&[2]));
    let i = integers(&mut graph, "i", &[1, 2]);
    let error = graph.add("y", "Mul", Attributes::new(), &[x.into(), i.into()]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "node 'y' (Mul of float32[2], int32[2]): float32 and int32 do not mix"
    );
    assert!(graph.find("y").is_none());
}

#[test]
fn an_attribute_of_another_type_is_refused() {
    let attributes = Attributes::new().with_string("strides", "one").with_string("padding", "SAME");
    let nodes = vec![
        input("x", &[1, 4, 4, 1]),
        input("w", &[1, 1, 1, 1]),
        with(node("conv", "Conv2D", &["x", "w"]), &attributes),
    ];
    refused(nodes, ErrorKind::InvalidGraph, &["'conv'", "'strides'"]);
}

#[test]
fn impossible_strides_dilations_and_paddings_are_refused() {
    let conv = |attributes: Attributes| {
        let filter = input("w", &[3, 3, 3, 8]);
        vec![
            input("x", &[1, 8, 8, 3]),
            filter,
            with(node("conv", "Conv2D", &["x", "w"]), &attributes),
        ]
    };
    for bad in [[1, 0, 1, 1], [1, 1, -1, 1], [1, i64::MAX, 1, 1]] {
        refused(conv(strides(&bad)), ErrorKind::Shape, &["'conv'", "strides"]);
    }
    refused(conv(strides(&[2, 1, 1, 1])), ErrorKind::Unsupported, &["batch or channels"]);
    refused(conv(strides(&[1, 1])), ErrorKind::InvalidGraph, &["4 entries"]);
    let dilated = strides(&[1, 1, 1, 1]).with_ints("dilations", &[1, 0, 0, 1]);
    refused(conv(dilated), ErrorKind::Shape, &["dilations"]);
    let unpadded = Attributes::new().with_ints("strides", &[1, 1, 1, 1]);
    refused(conv(unpadded.clone()), ErrorKind::InvalidGraph, &["padding"]);
    let explicit = unpadded
        .with_string("padding", "EXPLICIT")
        .with_ints("explicit_paddings", &[0, 0, -1, 0, 0, 0, 0, 0]);
    refused(conv(explicit), ErrorKind::Shape, &["explicit_paddings"]);
    let valid = Attributes::new()
        .with_ints("strides", &[1, 1, 1, 1])
        .with_ints("dilations", &[1, 9, 9, 1])
        .with_string("padding", "VALID");
    refused(conv(valid), ErrorKind::Shape, &["does not fit"]);
}

#[test]
fn filters_that_do_not_fit_are_refused() {
    let conv = |op: &str, filter: &[i64]| {
        let attributes = strides(&[1, 1, 1, 1]);
        let conv = with(node("conv", op, &["x", "w"]), &attributes);
        vec![input("x", &[1, 8, 8, 3]), input("w", filter), conv]
    };
    refused(conv("Conv2D", &[3, 3, 4, 8]), ErrorKind::Shape, &["3 channels", "4"]);
    refused(conv("Conv2D", &[3, 3, 1, 8]), ErrorKind::Unsupported, &["groups"]);
    refused(conv("Conv2D", &[0, 3, 3, 8]), ErrorKind::Shape, &["at least 1"]);
    refused(conv("Conv2D", &[3, 3, 3]), ErrorKind::Shape, &["rank 4"]);
    let wide = [3, 3, 3, 1 << 39];
    refused(conv("DepthwiseConv2dNative", &wide), ErrorKind::Shape, &["elements"]);
}

#[test]
fn axes_out_of_range_are_refused() {
    for axis in [4, -5, i32::MAX, i32::MIN] {
        let mut graph = Graph::new();
        let x = placeholder(&mut graph, "x", Shape::of_rank(4));
        let axes = integers(&mut graph, "axes", &[axis]);
        let error = graph.add("y", "Mean", Attributes::new(), &[x.into(), axes.into()]);
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Shape);
        let squeeze = Attributes::new().with_ints("squeeze_dims", &[i64::from(axis)]);
        assert!(graph.add("z", "Squeeze", squeeze, &[x.into()]).is_err());
    }
}

#[test]
fn an_unknown_op_loads_exports_and_fails_when_it_must_run() {
    let nodes = vec![
        input("x", &[1, 2]),
        node("odd", "QuantumLeap", &["x"]),
        node("after", "Relu", &["odd:3"]),
        node("beside", "Relu", &["x"]),
    ];
    let definition = GraphDef { node: nodes, ..Default::default() };
    let graph = Graph::import(&definition).unwrap();
    assert_eq!(graph.to_graph_def(), definition);
    let x = [("x", Shape::known(&[1, 2]))];
    assert!(compile(&graph, &x, "beside").is_ok());
    let error = compile(&graph, &x, "after").unwrap_err();
    assert_eq!((error.kind(), error.node()), (ErrorKind::Unsupported, Some("odd")));
    assert!(error.to_string().contains("QuantumLeap"), "{error}");
}

#[test]
fn a_layout_that_does_not_run_is_named() {
    let mut graph = Graph::new();
    let x = placeholder(&mut graph, "x", Shape::known(&[1, 3, 8, 8]));
    let w = constant(&mut graph, "w", &[1, 1, 3, 2], noise(1, 6));
    let attributes = strides(&[1, 1, 1, 1]).with_string("data_format", "NCHW");
    graph.add("conv", "Conv2D", attributes, &[x.into(), w.into()]).unwrap();
    let error = compile(&graph, &[("x", Shape::known(&[1, 3, 8, 8]))], "conv").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("data_format 'NCHW'"), "{error}");
}

fn with_variable(dtype: DType, shape: &Shape) -> Graph {
    let mut graph = Graph::new();
    let handle = Attributes::new()
        .with_dtype("dtype", dtype)
        .with_shape("shape", shape)
        .with_string("shared_name", "v");
    let handle = graph.add("handle", "VarHandleOp", handle, &[]).unwrap();
    let read = Attributes::new().with_dtype("dtype", dtype);
    graph.add("read", "ReadVariableOp", read, &[handle.into()]).unwrap();
    graph
}

#[test]
fn variables_that_are_missing_or_do_not_fit_are_refused() {
    let graph = with_variable(DType::F32, &Shape::known(&[2]));
    let compile = |value: Result<Tensor, ErrorKind>| {
        let variables = |name: &str| match &value {
            Ok(value) => Ok(Arc::new(value.clone())),
            Err(kind) => Err(Error::new(*kind, format!("no variable '{name}'"))),
        };
        Plan::compile(&graph, &variables, &[], &["read"], &PlanOptions::default())
    };
    let error = compile(Err(ErrorKind::NotFound)).unwrap_err();
    assert_eq!((error.kind(), error.node()), (ErrorKind::NotFound, Some("read")));
    let error = compile(Ok(Tensor::new([3], vec![0f32; 3]).unwrap())).unwrap_err();
    assert!(error.to_string().contains("'v' is float32[2] in the graph"), "{error}");
    assert!(compile(Ok(Tensor::new([2], vec![0i32; 2]).unwrap())).is_err());
    assert!(compile(Ok(Tensor::new([2], vec![0f32; 2]).unwrap())).is_ok());
}

#[test]
fn names_that_do_not_exist_are_refused() {
    let mut graph = Graph::new();
    let x = placeholder(&mut graph, "x", Shape::new(vec![None, Some(2)]));
    op(&mut graph, "y", "Relu", &[x]);
    let shape = Shape::known(&[1, 2]);
    for output in ["ghost", "y:1", "y:99999999999999999999", ""] {
        let error = compile(&graph, &[("x", shape.clone())], output).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{output}: {error}");
    }
    let error = compile(&graph, &[], "y").unwrap_err();
    assert_eq!((error.kind(), error.node()), (ErrorKind::NotFound, Some("x")));
    let error = compile(&graph, &[("x", Shape::known(&[1, 3]))], "y").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    assert!(compile(&graph, &[("x", Shape::of_rank(2))], "y").is_err());
}

#[test]
fn an_arena_beyond_the_limit_is_refused() {
    let graph = support::network::small();
    let options = PlanOptions { max_arena_bytes: 1000, ..PlanOptions::default() };
    let shape = Shape::known(&[1, 9, 9, 3]);
    let error = Plan::compile(&graph, &none, &[("x", shape)], &["squeezed"], &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
}

#[test]
fn a_graph_100000_nodes_deep_does_not_overflow_the_stack() {
    let mut nodes = vec![input("n0", &[-1])];
    nodes.extend((1..100_000).map(|i| node(&format!("n{i}"), "Relu", &[&format!("n{}", i - 1)])));
    nodes.reverse();
    let graph = import(nodes).unwrap();
    let error = compile(&graph, &[("n0", Shape::new(vec![None]))], "n99999").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
}

#[test]
fn a_huge_name_does_not_flood_the_message() {
    let name = "x".repeat(10 << 20);
    let error = import(vec![node(&name, "Relu", &[&name.repeat(2)])]).unwrap_err();
    assert!(error.to_string().len() < 2000);
}

#[test]
fn images_that_are_mixed_need_their_number() {
    let mut graph = Graph::new();
    let x = placeholder(&mut graph, "x", Shape::new(vec![None, Some(2)]));
    let axes = integers(&mut graph, "axes", &[0]);
    graph.add("mean", "Mean", Attributes::new(), &[x.into(), axes.into()]).unwrap();
    let any = [("x", Shape::new(vec![None, Some(2)]))];
    let error = compile(&graph, &any, "mean").unwrap_err();
    assert!(error.to_string().contains("'mean'"), "{error}");
    assert!(compile(&graph, &[("x", Shape::known(&[3, 2]))], "mean").is_ok());
}
