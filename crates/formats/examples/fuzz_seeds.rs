//! Writes the seed corpus of the fuzz targets: small sound inputs, made here.
//!
//!     cargo run -p mobilenet-formats --example fuzz_seeds -- fuzz/corpus
#![allow(clippy::unwrap_used, reason = "a tool for developers")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mobilenet_formats::tensorflow::messages::{
    AttrValue, CollectionDef, GraphDef, ImageModuleInfo, ImageSize, MetaGraphDef, ModuleAttachment,
    NodeDef, SignatureDef, TensorInfo, TensorProto, TensorShapeProto, VariableDef,
    attr_value::Value, collection_def, meta_graph_def, tensor_info,
};
use mobilenet_formats::tensorflow::{HubModule, SavedModel, checkpoint};
use mobilenet_formats::tfrecord::{RecordWriter, example::Example};
use mobilenet_formats::{DType, MemoryFiles, Tensor, TensorData, archive};
use prost::Message as _;

/// The files of a target that reads several, in the order of its input.
const MODULE_FILES: [&str; 4] = [
    "tfhub_module.pb",
    "variables/variables.index",
    "variables/variables.data-00000-of-00001",
    "saved_model.pb",
];

fn main() {
    let corpus = PathBuf::from(std::env::args().nth(1).unwrap_or("fuzz/corpus".into()));
    let files = HubModule::new(model()).to_files().unwrap();
    let put = |target: &str, name: &str, bytes: &[u8]| put(&corpus, target, name, bytes);
    put("hub_module", "module", &joined(&files, &MODULE_FILES));
    put("bundle", "variables", &joined(&files, &MODULE_FILES[1..3]));
    put("saved_model", "model", files.get("saved_model.pb").unwrap());
    put("archive", "tar", &archive::write(&files, archive::Compression::None).unwrap());
    put("archive", "tar_gz", &archive::write(&files, archive::Compression::Gzip).unwrap());
    for (name, data) in tensors() {
        let tensor = Tensor::new([data.len(), 1], data).unwrap();
        put("tensor_proto", name, &TensorProto::from(&tensor).encode_to_vec());
    }
    let filled = TensorProto {
        dtype: 1,
        tensor_shape: Some(TensorShapeProto::of(&[7, 3])),
        float_val: vec![0.5, 0.25],
        ..Default::default()
    };
    put("tensor_proto", "filled", &filled.encode_to_vec());
    put("tfrecord", "example", &records());
    let named = tensors().into_iter().filter(|(_, data)| data.dtype() != DType::String);
    let named = named.map(|(name, data)| (name.to_owned(), Tensor::vector(data)));
    put("checkpoint_v1", "tensors", &checkpoint::write_v1(&named.collect()).unwrap());
}

/// A record file of one example.
fn records() -> Vec<u8> {
    let example = Example::default()
        .with_bytes("image/encoded", vec![b"pixels".to_vec().into()])
        .with_ints("image/class/label", vec![7])
        .with_floats("weight", vec![0.5]);
    let mut file = Vec::new();
    RecordWriter::new(&mut file).write(&example.encode_to_vec()).unwrap();
    file
}

fn put(corpus: &Path, target: &str, name: &str, bytes: &[u8]) {
    std::fs::create_dir_all(corpus.join(target)).unwrap();
    std::fs::write(corpus.join(target).join(name), bytes).unwrap();
}

/// Several files in one input: each but the last with its length (u16, little-endian) before it.
fn joined(files: &MemoryFiles, paths: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, path) in paths.iter().enumerate() {
        let file = files.get(path).unwrap();
        if number + 1 < paths.len() {
            bytes.extend(u16::try_from(file.len()).unwrap().to_le_bytes());
        }
        bytes.extend(file);
    }
    bytes
}

fn tensors() -> Vec<(&'static str, TensorData)> {
    vec![
        ("f32", vec![1.5f32, -2.0, 0.0].into()),
        ("f64", vec![1.5f64].into()),
        ("i32", vec![-1i32, 7].into()),
        ("i64", vec![1i64].into()),
        ("u8", vec![1u8, 2, 3].into()),
        ("bool", vec![true, false].into()),
        ("f16", TensorData::F16(vec![0x3c00, 0])),
        ("strings", vec![b"background".to_vec(), b"tench".to_vec()].into()),
    ]
}

/// A module with everything in it that a reader looks at.
fn model() -> SavedModel {
    let mut model = SavedModel::default();
    model.push_meta_graph(graph(&[]));
    model.push_meta_graph(graph(&["train"]));
    for (name, data) in tensors() {
        model.set_variable(format!("scope/{name}"), Tensor::vector(data));
    }
    model
}

fn graph(tags: &[&str]) -> MetaGraphDef {
    let constant = TensorProto::from(&Tensor::vector(vec![1f32, 2.0]));
    let attr = BTreeMap::from([
        ("dtype".to_owned(), AttrValue { value: Some(Value::Type(1)) }),
        ("shape".to_owned(), AttrValue { value: Some(Value::Shape(TensorShapeProto::of(&[2]))) }),
        ("value".to_owned(), AttrValue { value: Some(Value::Tensor(Box::new(constant))) }),
    ]);
    let node = NodeDef { name: "x".into(), op: "Const".into(), attr, ..Default::default() };
    let tags = tags.iter().map(|&tag| tag.to_owned()).collect();
    MetaGraphDef {
        meta_info_def: Some(meta_graph_def::MetaInfoDef { tags, ..Default::default() }),
        graph_def: Some(GraphDef { node: vec![node], ..Default::default() }),
        collection_def: collections(),
        signature_def: BTreeMap::from([("default".into(), signature())]),
        ..Default::default()
    }
}

fn signature() -> SignatureDef {
    let images = TensorInfo {
        encoding: Some(tensor_info::Encoding::Name("x:0".into())),
        dtype: 1,
        tensor_shape: Some(TensorShapeProto::of(&[2])),
    };
    let outputs = BTreeMap::from([("default".to_owned(), images.clone())]);
    SignatureDef {
        inputs: BTreeMap::from([("images".into(), images)]),
        outputs,
        ..Default::default()
    }
}

fn collections() -> BTreeMap<String, CollectionDef> {
    let size = ImageSize { height: 192, width: 192 };
    let info = ImageModuleInfo { default_image_size: Some(size) }.encode_to_vec();
    let attachment = ModuleAttachment { key: "image_module_info".into(), value: info };
    let variable = VariableDef { variable_name: "scope/f32:0".into(), ..Default::default() };
    let list = |bytes: Vec<u8>| {
        let list = collection_def::BytesList { value: vec![bytes.into()] };
        CollectionDef { kind: Some(collection_def::Kind::BytesList(list)) }
    };
    let updates = collection_def::NodeList { value: vec!["x".into()] };
    BTreeMap::from([
        ("hub_module_attachments".into(), list(attachment.encode_to_vec())),
        ("variables".into(), list(variable.encode_to_vec())),
        (
            "update_ops".into(),
            CollectionDef { kind: Some(collection_def::Kind::NodeList(updates)) },
        ),
    ])
}
