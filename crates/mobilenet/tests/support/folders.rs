//! Models of several files, each as small as it can be.

use mobilenet::builder::MobilenetV1;
use mobilenet::{ExportFormat, Limits, MemoryFiles, Module};
use mobilenet_formats::onnx;

use super::functions;

/// The narrowest network, two classes.
pub fn narrow() -> Module {
    let network = MobilenetV1 { classes: Some(2), ..MobilenetV1::new(0.008, [32, 32]) };
    let mut hub = network.module(|variable| variable.initial_tensor(20_260_101)).unwrap();
    hub.saved_model_mut().set_file("assets/labels.txt", "cat\ndog\n");
    Module::options().threads(1).load_files(hub.to_files().unwrap(), None).unwrap()
}

/// What each is, and its files.
pub fn all() -> Vec<(&'static str, MemoryFiles)> {
    let module = narrow();
    let export = |format: ExportFormat, name: &str| module.export(format, name).unwrap();
    let mut checkpoint = export(ExportFormat::Checkpoint, "model.ckpt");
    checkpoint.insert("checkpoint", "model_checkpoint_path: \"model.ckpt\"\n");
    vec![
        ("functions", functions::saved_model(|_| {})),
        ("hub_module", module.hub_module().unwrap().to_files().unwrap()),
        ("checkpoint", checkpoint),
        ("tfjs", tfjs()),
        ("onnx", with_weights_beside(&export(ExportFormat::Onnx, "onnx"))),
    ]
}

/// A graph model of a mean and a product, whose weights lie in two shards.
fn tfjs() -> MemoryFiles {
    let json = br#"{"format":"graph-model","modelTopology":{"node":[
{"name":"images","op":"Placeholder","attr":{"dtype":{"type":"DT_FLOAT"},
"shape":{"shape":{"dim":[{"size":"-1"},{"size":"4"},{"size":"4"},{"size":"3"}]}}}},
{"name":"axes","op":"Const","attr":{"dtype":{"type":"DT_INT32"}}},
{"name":"mean","op":"Mean","input":["images","axes"],"attr":{"T":{"type":"DT_FLOAT"},"Tidx":{"type":"DT_INT32"}}},
{"name":"kernel","op":"Const","attr":{"dtype":{"type":"DT_FLOAT"}}},
{"name":"logits","op":"MatMul","input":["mean","kernel"],"attr":{"T":{"type":"DT_FLOAT"}}}]},
"weightsManifest":[{"paths":["a.bin","b.bin"],"weights":[
{"name":"axes","shape":[2],"dtype":"int32"},{"name":"kernel","shape":[3,2],"dtype":"float32"}]}]}"#;
    let mut weights: Vec<u8> = [1i32, 2].iter().flat_map(|axis| axis.to_le_bytes()).collect();
    weights.extend(functions::KERNEL.iter().flat_map(|value| value.to_le_bytes()));
    let (first, second) = weights.split_at(15);
    let mut files = MemoryFiles::default();
    files.insert("model.json", json.to_vec());
    files.insert("a.bin", first);
    files.insert("b.bin", second);
    files
}

/// The ONNX file with the bytes of its tensors in a file beside it.
fn with_weights_beside(files: &MemoryFiles) -> MemoryFiles {
    let mut model = onnx::read(files.get("onnx").unwrap(), &Limits::default()).unwrap();
    let mut weights: Vec<u8> = Vec::new();
    for tensor in &mut model.graph.as_mut().unwrap().initializer {
        let Some(bytes) = tensor.raw_data.take() else { continue };
        let entry =
            |key: &str, value: String| onnx::StringStringEntryProto { key: key.into(), value };
        tensor.external_data = vec![
            entry("location", "weights.bin".into()),
            entry("offset", weights.len().to_string()),
            entry("length", bytes.len().to_string()),
        ];
        tensor.data_location = 1;
        weights.extend_from_slice(&bytes);
    }
    let mut files = MemoryFiles::default();
    files.insert("model.onnx", onnx::write(&model));
    files.insert("weights.bin", weights);
    files
}
