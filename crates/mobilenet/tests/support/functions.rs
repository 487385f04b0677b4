//! A SavedModel of TensorFlow 2 written by hand: `serving_default` calls a function that calls
//! another, and the weights are a variable that the object graph of the checkpoint leads to.

use mobilenet::{DType, MemoryFiles, Tensor, TensorData};
use mobilenet_formats::tensorflow::SavedModel;
use mobilenet_formats::tensorflow::messages::attr_value::{ListValue, Value};
use mobilenet_formats::tensorflow::messages::{
    AttrValue, FunctionDef, FunctionDefLibrary, GraphDef, MetaGraphDef, NameAttrList, NodeDef,
    OpDef, SerializedTensor, SignatureDef, TensorInfo, TensorProto, TensorShapeProto,
    TrackableObject, TrackableObjectGraph, meta_graph_def, op_def, tensor_info,
    tensor_shape_proto::Dim,
};
use prost::Message as _;

/// What three means, of red, green and blue, are multiplied by: `[3, 2]`.
pub const KERNEL: [f32; 6] = [1.0, 0.0, 0.0, 1.0, 2.0, -1.0];

const FLOAT: i32 = 1;

pub fn node(name: &str, op: &str, inputs: &[&str], attributes: Vec<(&str, Value)>) -> NodeDef {
    let attribute =
        |(key, value): (&str, Value)| (key.to_owned(), AttrValue { value: Some(value) });
    NodeDef {
        name: name.into(),
        op: op.into(),
        input: inputs.iter().map(|&input| input.to_owned()).collect(),
        attr: attributes.into_iter().map(attribute).collect(),
        ..NodeDef::default()
    }
}

/// A call that gives one float tensor.
pub fn call(name: &str, function: &str, inputs: &[&str]) -> NodeDef {
    let called = NameAttrList { name: function.into(), ..NameAttrList::default() };
    let gives = ListValue { r#type: vec![FLOAT], ..ListValue::default() };
    let attributes = vec![("f", Value::Func(called.into())), ("Tout", Value::List(gives.into()))];
    node(name, "StatefulPartitionedCall", inputs, attributes)
}

pub fn function(name: &str, arguments: &[&str], nodes: Vec<NodeDef>, gives: &str) -> FunctionDef {
    let argument = |name: &str| op_def::ArgDef { name: name.into(), ..Default::default() };
    FunctionDef {
        signature: Some(OpDef {
            name: name.into(),
            input_arg: arguments.iter().map(|name| argument(name)).collect(),
            output_arg: vec![argument("y")],
            ..OpDef::default()
        }),
        node_def: nodes,
        ret: [("y".to_owned(), gives.to_owned())].into(),
        ..FunctionDef::default()
    }
}

fn shape(extents: &[i64]) -> TensorShapeProto {
    let dim = |&size: &i64| Dim { size, ..Dim::default() };
    TensorShapeProto { dim: extents.iter().map(dim).collect(), ..TensorShapeProto::default() }
}

fn info(tensor: &str, extents: &[i64]) -> TensorInfo {
    TensorInfo {
        encoding: Some(tensor_info::Encoding::Name(tensor.into())),
        dtype: FLOAT,
        tensor_shape: Some(shape(extents)),
    }
}

/// The files of the model, its meta graph changed before it is written.
pub fn saved_model(change: impl FnOnce(&mut GraphDef)) -> MemoryFiles {
    let float = || ("T", Value::Type(FLOAT));
    let dtype = |dtype: DType| ("dtype", Value::Type(dtype.to_tensorflow()));
    let axes = TensorProto {
        dtype: DType::I32.to_tensorflow(),
        tensor_shape: Some(shape(&[2])),
        int_val: vec![1, 2],
        ..TensorProto::default()
    };
    let pool = vec![
        node("axes", "Const", &[], vec![dtype(DType::I32), ("value", Value::Tensor(axes.into()))]),
        node(
            "mean",
            "Mean",
            &["x", "axes:output:0"],
            vec![float(), ("Tidx", Value::Type(DType::I32.to_tensorflow()))],
        ),
    ];
    let serve = vec![
        call("features", "pool", &["images"]),
        node("read", "ReadVariableOp", &["kernel"], vec![dtype(DType::F32)]),
        node("logits", "MatMul", &["features:output:0", "read:value:0"], vec![float()]),
    ];
    let mut graph = GraphDef {
        node: vec![
            node(
                "serving_default_images",
                "Placeholder",
                &[],
                vec![dtype(DType::F32), ("shape", Value::Shape(shape(&[-1, 4, 4, 3])))],
            ),
            node(
                "dense/kernel",
                "VarHandleOp",
                &[],
                vec![
                    dtype(DType::F32),
                    ("shape", Value::Shape(shape(&[3, 2]))),
                    ("shared_name", Value::S(b"dense/kernel".to_vec())),
                ],
            ),
            call("serve", "serve", &["serving_default_images", "dense/kernel"]),
        ],
        library: Some(FunctionDefLibrary {
            function: vec![
                function("serve", &["images", "kernel"], serve, "logits:product:0"),
                function("pool", &["x"], pool, "mean:output:0"),
            ],
            ..FunctionDefLibrary::default()
        }),
        ..GraphDef::default()
    };
    change(&mut graph);
    let signature = SignatureDef {
        inputs: [("images".to_owned(), info("serving_default_images:0", &[-1, 4, 4, 3]))].into(),
        outputs: [("logits".to_owned(), info("serve:0", &[-1, 2]))].into(),
        ..SignatureDef::default()
    };
    let meta_info =
        meta_graph_def::MetaInfoDef { tags: vec!["serve".into()], ..Default::default() };
    let mut model = SavedModel::default();
    model.push_meta_graph(MetaGraphDef {
        meta_info_def: Some(meta_info),
        graph_def: Some(graph),
        signature_def: [("serving_default".to_owned(), signature)].into(),
        object_graph_def: Some(Default::default()),
        ..MetaGraphDef::default()
    });
    let key = "layer/kernel/.ATTRIBUTES/VARIABLE_VALUE";
    let stored = SerializedTensor {
        name: "VARIABLE_VALUE".into(),
        full_name: "dense/kernel".into(),
        checkpoint_key: key.into(),
    };
    let objects =
        TrackableObjectGraph { nodes: vec![TrackableObject { attributes: vec![stored] }] };
    let objects = TensorData::String(vec![objects.encode_to_vec()]);
    model.set_variable("_CHECKPOINTABLE_OBJECT_GRAPH", Tensor::new([], objects).unwrap());
    model.set_variable(key, Tensor::new([3, 2], KERNEL.to_vec()).unwrap());
    model.to_files().unwrap()
}
