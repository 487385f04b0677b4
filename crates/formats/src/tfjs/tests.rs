use serde_json::{Value, json};

use super::*;
use crate::tensorflow::messages::attr_value;
use crate::{DType, ErrorKind, Limits, MemoryFiles, ModelKind, Result};

fn weights() -> Value {
    json!([
        {"name": "conv/kernel", "shape": [1, 1, 2, 1], "dtype": "float32"},
        {"name": "small", "shape": [3], "dtype": "float32",
         "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1.0, "original_dtype": "float32"}},
        {"name": "half", "shape": [2], "dtype": "float32", "quantization": {"dtype": "float16"}},
        {"name": "axes", "shape": [2], "dtype": "int32"},
        {"name": "words", "shape": [2], "dtype": "string"},
    ])
}

fn values() -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&1.5f32.to_le_bytes());
    bytes.extend_from_slice(&(-2f32).to_le_bytes());
    bytes.extend_from_slice(&[0, 1, 255]);
    bytes.extend_from_slice(&[0x00, 0x3c, 0x01, 0x80]);
    bytes.extend_from_slice(&[1, 0, 0, 0, 254, 255, 255, 255]);
    bytes.extend_from_slice(&[2, 0, 0, 0, b'o', b'k', 0, 0, 0, 0]);
    bytes
}

fn model(topology: Value, paths: Value, weights: Value) -> Result<Model> {
    let json = json!({
        "format": if topology.get("node").is_some() { "graph-model" } else { "layers-model" },
        "modelTopology": topology,
        "weightsManifest": [{"paths": paths, "weights": weights}],
    });
    let mut files = MemoryFiles::default();
    files.insert("model.json", json.to_string());
    let values = values();
    files.insert("shard1.bin", &values[..5]);
    files.insert("more/shard2.bin", &values[5..]);
    Model::read(&files, "model.json", &Limits::default())
}

fn shards() -> Value {
    json!(["shard1.bin", "more/shard2.bin"])
}

#[test]
fn weights_are_joined_over_shards_and_dequantised() {
    let model = model(json!({"model_config": {}}), shards(), weights()).unwrap();
    assert_eq!(model.kind, Kind::Layers);
    let weight = |name: &str| model.weight(name).unwrap();
    assert_eq!(weight("conv/kernel").as_f32(), Some(&[1.5, -2.0][..]));
    assert_eq!(weight("small").as_f32(), Some(&[-1.0, -0.5, 126.5][..]));
    assert_eq!(weight("half").as_f32(), Some(&[1.0, -(2f32.powi(-24))][..]));
    assert_eq!(weight("axes").as_i32(), Some(&[1, -2][..]));
    assert_eq!(weight("words").as_strings().unwrap(), [b"ok".to_vec(), vec![]]);
    assert_eq!(model.graph_def().unwrap_err().kind(), ErrorKind::Unsupported);
}

fn topology() -> Value {
    json!({
        "node": [
            {"name": "x", "op": "Placeholder", "attr": {
                "dtype": {"type": "DT_FLOAT"},
                "shape": {"shape": {"dim": [{"size": "-1"}, {"size": "192"}]}}}},
            {"name": "conv/kernel", "op": "Const", "attr": {
                "dtype": {"type": "DT_FLOAT"}, "value": {"tensor": {"dtype": "DT_FLOAT"}}}},
            {"name": "conv", "op": "Conv2D", "input": ["x", "conv/kernel"], "attr": {
                "padding": {"s": "U0FNRQ=="}, "strides": {"list": {"i": ["1", "2", "2", "1"]}},
                "T": {"type": 1}, "epsilon": {"f": 0.001}, "none": {}, "use": {"b": true},
                "inf": {"f": "Infinity"}}},
        ],
        "versions": {"producer": 1395},
        "library": {},
    })
}

#[test]
fn graphs_get_their_constants_back() {
    let graph = model(topology(), shards(), weights()).unwrap().graph_def().unwrap();
    assert_eq!(graph.versions.unwrap().producer, 1395);
    let [x, kernel, conv] = &graph.node[..] else { panic!() };
    let Some(attr_value::Value::Shape(shape)) = &x.attr["shape"].value else { panic!() };
    assert_eq!(shape.dim.iter().map(|dim| dim.size).collect::<Vec<_>>(), [-1, 192]);
    let Some(attr_value::Value::Tensor(value)) = &kernel.attr["value"].value else { panic!() };
    let value = value.to_tensor(&Limits::default()).unwrap();
    assert_eq!((value.dtype(), value.shape()), (DType::F32, &[1, 1, 2, 1][..]));
    assert_eq!(conv.input, ["x", "conv/kernel"]);
    let attr = |name: &str| conv.attr[name].value.clone();
    assert_eq!(attr("padding"), Some(attr_value::Value::S(b"SAME".to_vec())));
    assert_eq!(attr("T"), Some(attr_value::Value::Type(1)));
    assert_eq!(attr("epsilon"), Some(attr_value::Value::F(0.001)));
    assert_eq!(attr("inf"), Some(attr_value::Value::F(f32::INFINITY)));
    assert_eq!(attr("none"), None);
    let Some(attr_value::Value::List(strides)) = attr("strides") else { panic!() };
    assert_eq!(strides.i, [1, 2, 2, 1]);
}

#[test]
fn the_json_may_have_any_name() {
    let mut files = MemoryFiles::default();
    let manifest = json!([{"paths": ["./my-model.weights.bin"], "weights": weights()}]);
    let json = json!({"modelTopology": {}, "weightsManifest": manifest}).to_string();
    assert_eq!(ModelKind::of(json.as_bytes()), Some(ModelKind::TensorFlowJs));
    files.insert("my-model.json", json);
    files.insert("my-model.weights.bin", values());
    let read = Model::read(&files, "my-model.json", &Limits::default()).unwrap();
    assert_eq!(read.weights.len(), 5);
    let error = Model::read(&files, "model.json", &Limits::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

// Hostile files ------------------------------------------------------------------------------

#[test]
fn shards_outside_the_folder_are_refused() {
    for path in ["../shard1.bin", "/etc/passwd", "more/../../x", "http://host/x", "a\\b", ""] {
        let error = model(json!({}), json!([path]), weights()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnsafePath, "{path}");
    }
    let error = model(json!({}), json!(["other.bin"]), weights()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn shards_shorter_or_longer_than_the_weights_are_refused() {
    let error = model(json!({}), json!(["shard1.bin"]), weights()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
    let error = model(json!({}), shards(), json!([])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
}

#[test]
fn odd_weights_are_refused() {
    let one = |shape: Value, dtype: &str, quantization: Value| {
        let weight =
            json!([{"name": "w", "shape": shape, "dtype": dtype, "quantization": quantization}]);
        model(json!({}), shards(), weight).unwrap_err().kind()
    };
    assert_eq!(one(json!([1u64 << 40]), "float32", Value::Null), ErrorKind::Limit);
    assert_eq!(one(json!([1u64 << 40, 1u64 << 40]), "float32", Value::Null), ErrorKind::Limit);
    assert_eq!(one(json!([1u64 << 40]), "string", Value::Null), ErrorKind::Limit);
    assert_eq!(one(json!([-1]), "float32", Value::Null), ErrorKind::Malformed);
    assert_eq!(one(json!([1]), "complex64", Value::Null), ErrorKind::Unsupported);
    assert_eq!(one(json!([1]), "float32", json!({"dtype": "uint8"})), ErrorKind::Malformed);
    assert_eq!(one(json!([1]), "float32", json!({"dtype": "int32"})), ErrorKind::Unsupported);
}

#[test]
fn odd_graphs_are_refused() {
    let graph = |node: Value| {
        let model = model(json!({"node": [node]}), shards(), weights()).unwrap();
        model.graph_def().unwrap_err().kind()
    };
    assert_eq!(graph(json!({"name": "c", "op": "Const"})), ErrorKind::NotFound);
    assert_eq!(graph(json!({"op": "Relu"})), ErrorKind::Malformed);
    let attr = |attr: Value| graph(json!({"name": "n", "op": "Relu", "attr": {"a": attr}}));
    for bad in [
        json!({"s": "?"}),
        json!({"i": "x"}),
        json!({"b": 1}),
        json!({"type": "DT_WHAT"}),
        json!({"other": 1}),
        json!({"list": {"i": ["x"]}}),
        json!({"shape": {"dim": [{"size": "x"}]}}),
    ] {
        assert_eq!(attr(bad.clone()), ErrorKind::Malformed, "{bad}");
    }
    let mut deep = json!({"i": "1"});
    for _ in 0..30 {
        deep = json!({"func": {"name": "f", "attr": {"a": deep}}});
    }
    assert_eq!(attr(deep), ErrorKind::Malformed);
}
