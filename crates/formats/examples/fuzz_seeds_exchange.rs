//! Writes the seed corpus of the fuzz targets for exchange formats: TFLite, ONNX, safetensors,
//! NumPy, Keras, TensorFlow.js.
//!
//!     cargo run -p mobilenet-formats --example fuzz_seeds_exchange -- fuzz/corpus
#![allow(clippy::unwrap_used, reason = "a tool for developers")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mobilenet_formats::{MemoryFiles, Tensor, TensorData, npy, onnx, safetensors, tflite};

fn main() {
    let corpus = PathBuf::from(std::env::args().nth(1).unwrap_or("fuzz/corpus".into()));
    let put = |target: &str, name: &str, bytes: &[u8]| put(&corpus, target, name, bytes);
    put("npy", "matrix", &npy::write(&weights()).unwrap());
    let metadata = BTreeMap::from([("format".to_owned(), "mobilenet".to_owned())]);
    let tensors = [("weights", &weights()), ("flag", &Tensor::vector(vec![true]))];
    put("safetensors", "two", &safetensors::write(tensors, &metadata).unwrap());
    put("tflite", "packed", &tflite_file());
    put("onnx", "model", &onnx::write(&onnx_model()));
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/keras");
    for entry in std::fs::read_dir(data).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.ends_with(".py") {
            put("keras", name, &std::fs::read(&path).unwrap());
        }
    }
    put("tfjs", "graph", &tfjs_files());
}

fn put(corpus: &Path, target: &str, name: &str, bytes: &[u8]) {
    std::fs::create_dir_all(corpus.join(target)).unwrap();
    std::fs::write(corpus.join(target).join(name), bytes).unwrap();
}

fn weights() -> Tensor {
    Tensor::new([1, 2, 2, 1], vec![1f32, -2.0, 0.5, 0.0]).unwrap()
}

fn tflite_file() -> Vec<u8> {
    let mut model = tflite::Model { version: 3, ..Default::default() };
    let code = tflite::OperatorCode::new(tflite::BuiltinOperator::CONV_2D, 3);
    model.operator_codes.push(code);
    let bytes = Tensor::new([2, 1, 1, 2], vec![1i8, 2, 3, 4]).unwrap();
    let quantization = tflite::QuantizationParameters {
        scale: vec![0.5, 0.25],
        zero_point: vec![0, 0],
        ..Default::default()
    };
    let kernel = tflite::Tensor {
        name: "kernel".into(),
        quantization: Some(quantization),
        ..model.add_constant(&bytes).unwrap()
    };
    let input = tflite::Tensor { name: "x".into(), shape: vec![1, 2, 2, 2], ..Default::default() };
    let options = tflite::Conv2DOptions { stride_w: 1, stride_h: 1, ..Default::default() };
    let conv = tflite::Operator {
        inputs: vec![0, 1, -1],
        outputs: vec![2],
        builtin_options: options.into(),
        ..Default::default()
    };
    model.subgraphs.push(tflite::SubGraph {
        tensors: vec![input.clone(), kernel, input],
        inputs: vec![0],
        outputs: vec![2],
        operators: vec![conv],
        ..Default::default()
    });
    let normalization = tflite::NormalizationOptions { mean: vec![127.5], std: vec![127.5] };
    let unit = tflite::ProcessUnit { options: normalization.into() };
    let tensor = tflite::TensorMetadata { process_units: vec![unit], ..Default::default() };
    let graph =
        tflite::SubGraphMetadata { input_tensor_metadata: vec![tensor], ..Default::default() };
    let metadata = tflite::ModelMetadata { subgraph_metadata: vec![graph], ..Default::default() };
    model.set_metadata(&metadata).unwrap();
    let mut labels = MemoryFiles::default();
    labels.insert("labels.txt", "background\ntench\n");
    tflite::append_files(model.write().unwrap(), &labels).unwrap()
}

fn onnx_model() -> onnx::ModelProto {
    let listed = onnx::TensorProto {
        dims: vec![2],
        data_type: onnx::DataType::Int64.into(),
        int64_data: vec![1, 2],
        ..Default::default()
    };
    let words = Tensor::vector(TensorData::String(vec![b"a".to_vec()]));
    let strides = onnx::AttributeProto {
        name: "strides".into(),
        r#type: onnx::AttributeType::Ints.into(),
        ints: vec![2, 2],
        ..Default::default()
    };
    let node = onnx::NodeProto {
        input: vec!["x".into(), "w".into()],
        output: vec!["y".into()],
        op_type: "Conv".into(),
        attribute: vec![strides],
        ..Default::default()
    };
    let initializer = vec![
        onnx::TensorProto::from_tensor("w", &weights()).unwrap(),
        onnx::TensorProto::from_tensor("s", &words).unwrap(),
        listed,
    ];
    let graph = onnx::GraphProto { node: vec![node], initializer, ..Default::default() };
    onnx::ModelProto { ir_version: 8, graph: Some(graph), ..Default::default() }
}

/// `model.json` with its length (u16, little-endian) before it, and one shard.
fn tfjs_files() -> Vec<u8> {
    let json = br#"{"format":"graph-model","modelTopology":{"node":[{"name":"w","op":"Const",
"attr":{"dtype":{"type":"DT_FLOAT"}}},{"name":"y","op":"Relu","input":["w"],"attr":{"a":{"s":"U0FNRQ=="},
"b":{"list":{"i":["1"]}},"c":{"shape":{"dim":[{"size":"2"}]}}}}]},"weightsManifest":[{"paths":["a.bin"],
"weights":[{"name":"w","shape":[2],"dtype":"float32","quantization":{"dtype":"uint8","scale":0.5,"min":0}}]}]}"#;
    let mut bytes = u16::try_from(json.len()).unwrap().to_le_bytes().to_vec();
    bytes.extend_from_slice(json);
    bytes.extend_from_slice(&[1, 2]);
    bytes
}
