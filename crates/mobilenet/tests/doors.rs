//! Every file format as a module: against TensorFlow's logits where the reference data is there,
//! and from tiny files made here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

mod support;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use mobilenet::builder::MobilenetV1;
use mobilenet::evaluation::{EvaluationOptions, LabelledImages, evaluate};
use mobilenet::explain::Explainer;
use mobilenet::{
    Classifier, DType, ErrorKind, ExportFormat, Image, Labels, MemoryFiles, Module, Normalization,
    Scores, Tensor,
};
use mobilenet_engine::{Attributes, Graph, Shape, TensorId};
use mobilenet_formats::archive::{self, Compression};
use mobilenet_formats::safetensors;
use mobilenet_formats::tensorflow::messages::GraphDef;
use mobilenet_formats::tensorflow::{BundleWriter, HubModule, SavedModel};
use prost::Message as _;
use serde_json::{Value, json};
use support::{Golden, difference, rows, save};

/// The folder of one network in every format.
fn formats() -> Option<(PathBuf, PathBuf)> {
    let shared = support::shared()?;
    Some((shared.clone(), shared.join("formats/mobilenet_v1_025_192")))
}

fn load(path: &Path) -> Module {
    Module::options()
        .threads(2)
        .load(path.to_str().unwrap())
        .unwrap_or_else(|e| panic!("{e}: {:?}", std::error::Error::source(&e)))
}

/// The largest difference of the module's answers to the four golden inputs from TensorFlow's
/// logits, in float64 from the same weights.
fn difference_from_golden(shared: &Path, module: &Module) -> f64 {
    let images = Golden::open(shared, "inputs").tensor("192/plain");
    let golden = Golden::open(shared, "mobilenet_v1_025_192_classification_1");
    let logits = golden.rows("plain/logits_float64");
    let expected = [0, 1, 4, 17].map(|row| logits[row].clone());
    let inputs = [("images", &images)];
    let mut outputs = module.call_signature("image_classification", inputs).unwrap();
    let answers = rows(&outputs.remove("default").unwrap());
    answers.iter().zip(&expected).map(|(a, b)| difference(a, b)).fold(0.0, f64::max)
}

/// A file of the reference data gives TensorFlow's logits within 1e-4, which is what float32
/// rounding allows.
fn agrees(file: &str, format: &str) {
    let Some((shared, folder)) = formats() else { return };
    let module = load(&folder.join(file));
    assert_eq!((module.format(), module.scores()), (format, Scores::Logits));
    let largest = difference_from_golden(&shared, &module);
    println!("{file}: {largest:e}");
    assert!(largest <= 1e-4, "{file}: {largest:e}");
    assert_eq!(module.expected_image_size().unwrap(), (192, 192));
    let golden = Golden::open(&shared, "endpoints_025_192");
    let images = golden.tensor("images");
    let outputs = module.call_signature("image_feature_vector", [("images", &images)]).unwrap();
    for key in ["Conv2d_0", "Conv2d_3_depthwise", "Conv2d_13_pointwise"] {
        let key = format!("MobilenetV1/{key}");
        let expected = golden.tensor(&format!("endpoint/{key}"));
        let (a, b) = (rows(&outputs[&key]), rows(&expected));
        assert!(difference(&a[0], &b[0]) <= 1e-3, "{file}: {key}");
    }
    assert_eq!(outputs["default"].shape(), [1, 256]);
}

#[test]
fn google_s_frozen_graph() {
    agrees("mobilenet_v1_0.25_192_frozen_google.pb", "frozen graph");
}

#[test]
fn a_frozen_graph_that_normalises_itself() {
    agrees("mobilenet_v1_0.25_192_frozen_module.pb", "frozen graph");
    let Some((_, folder)) = formats() else { return };
    let module = load(&folder.join("mobilenet_v1_0.25_192_frozen_module.pb"));
    assert!(module.notes().iter().all(|note| !note.contains("pixel")), "{:?}", module.notes());
}

#[test]
fn what_is_no_model_says_what_is_known() {
    let path = save("notes.txt", b"not a model");
    let error = Module::load(path.to_str().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Format);
    let text = error.to_string();
    assert!(
        text.contains("notes.txt is no model of a known kind") && text.contains("frozen graph"),
        "{text}"
    );
    let error = Module::load("/no/such/model.onnx").unwrap_err();
    assert_eq!(error.to_string(), "no module at `/no/such/model.onnx`: no such file or folder");
}

#[test]
fn what_is_named_by_mistake_says_what_to_name() {
    let tiny = support::tiny_module();
    let path = save("empty.onnx", b"");
    let folder = path.parent().unwrap();
    let parts = tiny.export(ExportFormat::Checkpoint, "x.ckpt").unwrap();
    parts.iter().for_each(|(name, bytes)| std::fs::write(folder.join(name), bytes).unwrap());
    let onnx = tiny.export(ExportFormat::Onnx, "x").unwrap();
    let onnx = onnx.get("x").unwrap();
    std::fs::write(folder.join("cut.onnx"), &onnx[..onnx.len() / 2]).unwrap();
    std::fs::write(folder.join("model.zip"), b"PK\x03\x04 and so on").unwrap();
    std::fs::write(folder.join("alone.ckpt.meta"), b"not read").unwrap();
    std::fs::write(folder.join("page.hdf5"), b"not found").unwrap();
    std::fs::write(folder.join("old.ckpt"), b"not read").unwrap();
    std::fs::write(folder.join("old.ckpt.meta"), b"not read").unwrap();
    let whole = folder.join("x.ckpt");
    let whole = whole.to_str().unwrap();
    let part = format!("is a part of a checkpoint: name {whole} (or {whole}.index)");
    for (name, said) in [
        ("x.ckpt.meta", part.as_str()),
        ("x.ckpt.data-00000-of-00001", &part),
        ("alone.ckpt.meta", "alone.ckpt.index is missing beside it"),
        ("old.ckpt.meta", "old.ckpt.meta is a part of a checkpoint: name "),
        ("page.hdf5", "page.hdf5 ends in .hdf5 but is no Keras model"),
        ("empty.onnx", "empty.onnx is empty"),
        ("cut.onnx", "cut.onnx ends in .onnx but is no ONNX model: it is damaged, cut off"),
        ("model.zip", "model.zip is a zip archive: unpack it"),
    ] {
        let error = Module::load(folder.join(name).to_str().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format);
        assert!(error.to_string().contains(said), "{name}: {error}");
    }
    for name in [whole.to_owned(), format!("{whole}.index")] {
        assert_eq!(Module::load(&name).unwrap().format(), "checkpoint");
    }
}

#[test]
fn checkpoints_of_both_versions() {
    for file in
        ["ckpt_v2", "ckpt_v2/mobilenet_v1_0.25_192.ckpt", "ckpt_v1/mobilenet_v1_0.25_192.ckpt"]
    {
        agrees(file, "checkpoint");
    }
}

#[test]
fn keras_h5() {
    agrees("mobilenet_v1_0.25_192.h5", "Keras model");
}

/// The tiny network's tensors, by slim's names.
fn tiny_tensors() -> BTreeMap<String, Tensor> {
    let module = support::tiny_module();
    let read = |(name, _): (String, Vec<usize>)| {
        let value = (*module.variable(&name).unwrap()).clone();
        (name, value)
    };
    module.variables().into_iter().map(read).collect()
}

fn write_safetensors(
    name: &str,
    tensors: &BTreeMap<String, Tensor>,
    size: Option<&str>,
) -> PathBuf {
    let metadata = size.map(|size| ("image_size".to_owned(), size.to_owned()));
    let all = tensors.iter().map(|(name, value)| (name.as_str(), value));
    save(name, &safetensors::write(all, &metadata.into_iter().collect()).unwrap())
}

fn images() -> Tensor {
    Tensor::new([2, 32, 32, 3], support::pixels(2 * 32 * 32 * 3, 5)).unwrap()
}

#[test]
fn weights_alone_are_the_network_they_came_from() {
    let path = write_safetensors("slim.safetensors", &tiny_tensors(), Some("32x32"));
    let module = load(&path);
    assert_eq!(module.format(), "safetensors");
    assert_eq!(module.call(&images()).unwrap(), support::tiny_module().call(&images()).unwrap());
    assert!(
        module.notes().iter().any(|note| note.contains("[-1, 1] assumed")),
        "{:?}",
        module.notes()
    );
    let unit = Normalization::UNIT;
    let other = Module::options().normalization(unit).load(path.to_str().unwrap()).unwrap();
    assert_ne!(other.call(&images()).unwrap(), module.call(&images()).unwrap());
    let mut damaged = tiny_tensors();
    damaged.remove("MobilenetV1/Conv2d_5_depthwise/BatchNorm/beta");
    let path = write_safetensors("damaged.safetensors", &damaged, None);
    let text = Module::load(path.to_str().unwrap()).unwrap_err().to_string();
    assert!(text.contains("without `MobilenetV1/Conv2d_5_depthwise/BatchNorm/beta`"), "{text}");
    let strange = BTreeMap::from([("a".to_owned(), Tensor::vector(vec![1f32]))]);
    let path = write_safetensors("strange.safetensors", &strange, None);
    let text = Module::load(path.to_str().unwrap()).unwrap_err().to_string();
    assert!(text.contains("slim, Keras or timm"), "{text}");
}

#[test]
fn a_checkpoint_without_a_graph_and_with_averages() {
    let mut writer = BundleWriter::default();
    let mut all = tiny_tensors();
    for (name, value) in tiny_tensors() {
        let halves: Vec<f32> = value.as_f32().unwrap().iter().map(|v| v / 2.0).collect();
        let half = Tensor::new(value.shape(), halves).unwrap();
        all.insert(format!("{name}/ExponentialMovingAverage"), half);
        all.insert(format!("{name}/RMSProp"), value);
    }
    all.insert("global_step".into(), Tensor::new([], vec![7i64]).unwrap());
    for (name, value) in &all {
        writer.add(name, value).unwrap();
    }
    let folder = std::env::temp_dir().join(format!("mobilenet-ckpt-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (name, bytes) in writer.finish("model.ckpt-7").unwrap().iter() {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    std::fs::write(
        folder.join("checkpoint"),
        "model_checkpoint_path: \"/elsewhere/model.ckpt-7\"\n",
    )
    .unwrap();
    let last = load(&folder);
    assert!(last.notes().iter().any(|note| note.contains("224x224 assumed")));
    let name = "MobilenetV1/Conv2d_0/weights";
    assert_eq!(*last.variable(name).unwrap(), tiny_tensors()[name]);
    assert_eq!(last.variables().len(), 137);
    let path = folder.join("model.ckpt-7");
    let averaged = Module::options().moving_averages(true).load(path.to_str().unwrap()).unwrap();
    assert_eq!(*averaged.variable(name).unwrap(), all[&format!("{name}/ExponentialMovingAverage")]);
    let latest = load(&folder.join("checkpoint"));
    assert_eq!(*latest.variable(name).unwrap(), tiny_tensors()[name]);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Writes files below a folder of their own.
fn put(files: &MemoryFiles) -> PathBuf {
    let root = save("put", b"").with_file_name("model");
    for (path, bytes) in files.iter() {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    root
}

/// What a file is, its content says: each under a name that says another thing or nothing.
#[test]
fn the_name_of_a_file_means_nothing() {
    let module = support::lively_module();
    let expected = rows(&module.call(&images()).unwrap()).concat();
    let agree = |found: &Module, what: &str| {
        let found = rows(&found.call(&images()).unwrap()).concat();
        let largest = expected.iter().fold(1.0f64, |most, value| most.max(value.abs()));
        assert!(difference(&found, &expected) <= 1e-4 * largest, "{what}");
    };
    for (format, kind) in [
        ("frozen", "frozen graph"),
        ("tflite", "TFLite model"),
        ("onnx", "ONNX model"),
        ("safetensors", "safetensors"),
        ("npz", "NumPy archive"),
    ] {
        let files = module.export(format.parse().unwrap(), "x").unwrap();
        for name in ["saved_model.pb", "model.json", "model.index", "noname"] {
            let path = save(name, files.get("x").unwrap());
            for path in [path.as_path(), path.parent().unwrap()] {
                let found = load(path);
                assert_eq!(found.format(), kind, "{name}");
                agree(&found, &format!("{format} as {name}"));
            }
        }
        let mut alone = MemoryFiles::default();
        alone.insert("saved_model.pb", files.get("x").unwrap());
        let found = Module::options().threads(1).load_files(alone, None).unwrap();
        assert_eq!(found.format(), kind);
    }
    // The graph of a module, which stays one: variables, labels and all.
    let mut files = module.hub_module().unwrap().to_files().unwrap();
    let graph = files.remove("saved_model.pb").unwrap();
    files.insert("graph.bin", graph);
    let root = put(&files);
    let archive = save("renamed.tar.gz", &archive::write(&files, Compression::Gzip).unwrap());
    for path in [root.as_path(), &root.join("graph.bin"), &archive] {
        let found = load(path);
        assert_eq!((found.format(), found.variables().len()), ("SavedModel", 137));
        assert_eq!(found.call(&images()).unwrap(), module.call(&images()).unwrap());
        assert_eq!(found.labels(5).unwrap(), module.labels(5).unwrap());
        let again = found.export(ExportFormat::HubArchive, "x").unwrap();
        let again = load(&save("again.tar.gz", again.get("x").unwrap()));
        assert_eq!(again.call(&images()).unwrap(), module.call(&images()).unwrap());
    }
    // A damaged one is said to be damaged.
    let error = Module::load(save("saved_model.pb", b"the graph").to_str().unwrap()).unwrap_err();
    assert!(error.to_string().contains("no field of a protobuf message"), "{error}");
}

/// `tf.Model.save('downloads://my-model')` of TensorFlow.js calls its files so.
#[test]
fn a_tensorflow_js_model_of_any_name() {
    let mut files = residual_layers(inputs_of_keras_2);
    let json = files.remove("model.json").unwrap();
    let json = String::from_utf8(json).unwrap().replace("weights.bin", "./my-model.weights");
    let weights = files.remove("weights.bin").unwrap();
    files.insert("my-model.json", json);
    files.insert("my-model.weights", weights);
    let root = put(&files);
    for path in [root.as_path(), &root.join("my-model.json")] {
        let module = load(path);
        assert_eq!(module.format(), "TensorFlow.js model");
        is_residual(&module);
    }
}

#[test]
fn a_model_one_folder_down_is_named() {
    let onnx = support::tiny_module().export(ExportFormat::Onnx, "m.onnx").unwrap();
    let mut files = MemoryFiles::default();
    files.insert("read me.txt", "no model");
    files.insert("inner/read me.txt", "no model");
    files.insert("inner/m.onnx", onnx.get("m.onnx").unwrap());
    let root = put(&files);
    let packed = save("packed.tar", &archive::write(&files, Compression::None).unwrap());
    let refused = |path: &Path| Module::load(path.to_str().unwrap()).unwrap_err().to_string();
    let inner = root.join("inner/m.onnx");
    let text = refused(&root);
    assert!(text.ends_with(&format!("give {}", inner.display())), "{text}");
    assert_eq!(load(&inner).format(), "ONNX model");
    let text = refused(&packed);
    assert!(text.ends_with("unpack it and give inner/m.onnx"), "{text}");
    // Of two none is the one.
    std::fs::write(root.join("inner/n.onnx"), onnx.get("m.onnx").unwrap()).unwrap();
    assert!(!refused(&root).contains("give"));
}

/// Kernels as PyTorch lays them out: output channels, input channels, height, width.
fn oihw(value: &Tensor, depthwise: bool) -> Tensor {
    let [h, w, a, b] = value.shape().try_into().unwrap();
    let (outs, ins) = if depthwise { (a, b) } else { (b, a) };
    let values = value.as_f32().unwrap();
    let mut turned = Vec::new();
    for o in 0..outs {
        for i in 0..ins {
            for at in 0..h * w {
                let (row, column) = if depthwise { (o, i) } else { (i, o) };
                turned.push(values[(at * a + row) * b + column]);
            }
        }
    }
    Tensor::new([outs, ins, h, w], turned).unwrap()
}

/// timm's names of convolution and batch norm, for slim's layer.
fn timm_names() -> Vec<(String, String, String)> {
    let stages = [1, 2, 2, 6, 2];
    let mut blocks = stages
        .iter()
        .enumerate()
        .flat_map(|(stage, &count)| (0..count).map(move |block| (stage, block)));
    let mut names =
        vec![("MobilenetV1/Conv2d_0".to_owned(), "conv_stem".to_owned(), "bn1".to_owned())];
    for number in 1..=13 {
        let (stage, block) = blocks.next().unwrap();
        let at = format!("blocks.{stage}.{block}");
        names.push((
            format!("MobilenetV1/Conv2d_{number}_depthwise"),
            format!("{at}.conv_dw"),
            format!("{at}.bn1"),
        ));
        names.push((
            format!("MobilenetV1/Conv2d_{number}_pointwise"),
            format!("{at}.conv_pw"),
            format!("{at}.bn2"),
        ));
    }
    names
}

/// The numbers of slim's variables under timm's names.
fn timm_tensors(slim: &BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    let mut timm = BTreeMap::new();
    for (layer, conv, norm) in timm_names() {
        let depthwise = layer.ends_with("depthwise");
        let leaf = if depthwise { "depthwise_weights" } else { "weights" };
        timm.insert(format!("{conv}.weight"), oihw(&slim[&format!("{layer}/{leaf}")], depthwise));
        for (ours, theirs) in [
            ("gamma", "weight"),
            ("beta", "bias"),
            ("moving_mean", "running_mean"),
            ("moving_variance", "running_var"),
        ] {
            let value = slim[&format!("{layer}/BatchNorm/{ours}")].clone();
            timm.insert(format!("{norm}.{theirs}"), value);
        }
    }
    let head = "MobilenetV1/Logits/Conv2d_1c_1x1";
    let weights = oihw(&slim[&format!("{head}/weights")], false);
    let dense = [weights.shape()[0], weights.shape()[1]];
    timm.insert("classifier.weight".into(), weights.reshape(dense).unwrap());
    timm.insert("classifier.bias".into(), slim[&format!("{head}/biases")].clone());
    timm
}

/// What PyTorch computes of timm's `mobilenetv1_…`, in double precision: windows of 3x3 with a border of
/// one pixel on every side whatever their stride, batch norms with an epsilon of 1e-5. `pixels` are
/// `[side, side, 3]`.
fn as_pytorch(timm: &BTreeMap<String, Tensor>, pixels: &[f32], mut side: usize) -> Vec<f64> {
    let get = |name: &str| -> Vec<f64> {
        timm[name].as_f32().unwrap().iter().map(|&value| f64::from(value)).collect()
    };
    let plane = side * side;
    let mut x: Vec<f64> =
        (0..3 * plane).map(|i| f64::from(pixels[i % plane * 3 + i / plane]) * 2.0 - 1.0).collect();
    for (number, (layer, conv, norm)) in timm_names().into_iter().enumerate() {
        let (kernel, shape) =
            (get(&format!("{conv}.weight")), timm[&format!("{conv}.weight")].shape());
        let &[outs, ins, k, _] = shape else { panic!("{shape:?}") };
        // Blocks 2, 4, 6 and 12 halve the sides, as the stem does.
        let halves =
            number == 0 || [2, 4, 6, 12].iter().any(|n| layer.contains(&format!("_{n}_dep")));
        let (stride, border) = (if halves { 2 } else { 1 }, (k / 2) as isize);
        let out_side = (side + 2 * (k / 2) - k) / stride + 1;
        let per_channel = ["weight", "bias", "running_mean", "running_var"]
            .map(|leaf| get(&format!("{norm}.{leaf}")));
        let mut y = vec![0.0; outs * out_side * out_side];
        for (at, y) in y.iter_mut().enumerate() {
            let (out, row, column) =
                (at / (out_side * out_side), at / out_side % out_side, at % out_side);
            let mut sum = 0.0;
            for (tap, weight) in kernel[out * ins * k * k..][..ins * k * k].iter().enumerate() {
                let channel = if layer.ends_with("depthwise") { out } else { tap / (k * k) };
                let row = (row * stride + tap / k % k) as isize - border;
                let column = (column * stride + tap % k) as isize - border;
                let inside = |at: isize| (0..side as isize).contains(&at);
                if inside(row) && inside(column) {
                    sum += weight * x[(channel * side + row as usize) * side + column as usize];
                }
            }
            let [gamma, beta, mean, variance] = per_channel.each_ref().map(|values| values[out]);
            *y = ((sum - mean) / (variance + 1e-5).sqrt() * gamma + beta).clamp(0.0, 6.0);
        }
        (x, side) = (y, out_side);
    }
    let plane = side * side;
    let pooled = x.chunks(plane).map(|channel| channel.iter().sum::<f64>() / plane as f64);
    let pooled: Vec<f64> = pooled.collect();
    let (weights, biases) = (get("classifier.weight"), get("classifier.bias"));
    let rows = weights.chunks(pooled.len()).zip(&biases);
    rows.map(|(row, bias)| bias + row.iter().zip(&pooled).map(|(w, x)| w * x).sum::<f64>())
        .collect()
}

/// The network under timm's names, written as PyTorch stores it: against plain loops, on random weights
/// and images, at sides where windows end at a border and where they do not; and in every format that
/// holds such borders.
#[test]
fn timm_names_and_layouts() {
    let lively = support::lively_module();
    let read = |(name, _): (String, Vec<usize>)| {
        let value = (*lively.variable(&name).unwrap()).clone();
        (name, value)
    };
    let slim: BTreeMap<String, Tensor> = lively.variables().into_iter().map(read).collect();
    let timm = timm_tensors(&slim);
    for (side, size) in [(32, "32x32"), (45, "45x45")] {
        let module = load(&write_safetensors("timm.safetensors", &timm, Some(size)));
        let pixels = support::pixels(2 * side * side * 3, 9);
        let images = Tensor::new([2, side, side, 3], pixels.clone()).unwrap();
        let ours = rows(&module.call(&images).unwrap());
        for (ours, pixels) in ours.iter().zip(pixels.chunks(side * side * 3)) {
            let theirs = as_pytorch(&timm, pixels, side);
            let spread = theirs.iter().fold(f64::MIN, |m, v| m.max(*v))
                - theirs.iter().fold(f64::MAX, |m, v| m.min(*v));
            let off = difference(ours, &theirs);
            println!("{side}: {off:.1e} of {spread:.2}");
            assert!(spread > 0.5 && off <= 1e-4, "{side}: {ours:?} {theirs:?}");
        }
        // The borders matter: slim's lie elsewhere where windows step over an even side.
        let path = write_safetensors("slim.safetensors", &slim, Some(size));
        let bordered_as_slim = rows(&load(&path).call(&images).unwrap());
        assert!(side % 2 == 1 || difference(&bordered_as_slim[0], &ours[0]) > 1e-2);
        if side == 32 {
            for (format, name) in [
                (ExportFormat::TfLite, "timm.tflite"),
                (ExportFormat::Onnx, "timm.onnx"),
                (ExportFormat::FrozenGraph, "timm.pb"),
                (ExportFormat::HubArchive, "timm.tar.gz"),
            ] {
                let named = module_with_labels(&timm);
                let files = named.export(format, name).unwrap();
                let again = load(&save(name, files.get(name).unwrap()));
                let one = Tensor::new([1, side, side, 3], pixels[..side * side * 3].to_vec());
                let off = difference(&rows(&again.call(&one.unwrap()).unwrap())[0], &ours[0]);
                assert!(off <= 1e-4, "{name}: {off}");
            }
        }
    }
}

/// The tensors as a module of 32x32 with names for its five classes.
fn module_with_labels(tensors: &BTreeMap<String, Tensor>) -> Module {
    let metadata = [("image_size", "32x32"), ("labels", "background\ncat\ndog\nhorse\nzebra")];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let all = tensors.iter().map(|(name, value)| (name.as_str(), value));
    load(&save("labelled.safetensors", &safetensors::write(all, &metadata.into()).unwrap()))
}

#[test]
fn onnx() {
    agrees("mobilenet_v1_0.25_192.onnx", "ONNX model");
}

#[test]
fn tensorflow_2_s_saved_model() {
    agrees("saved_model_tf2", "SavedModel");
}

/// A frozen graph of MobileNet V2's kind: a block whose output is added to its input. Its kernels
/// pass values on, so that the answer can be computed by hand. `steps` are ops by a constant, for all
/// colours or each, through which images go first.
fn residual_graph(steps: &[(&str, &[f32])]) -> Graph {
    let mut graph = Graph::new();
    let float = || Attributes::new().with_dtype("T", DType::F32);
    let constant = |graph: &mut Graph, name: &str, value: Tensor| {
        let attributes =
            Attributes::new().with_dtype("dtype", value.dtype()).with_tensor("value", &value);
        TensorId::from(graph.add(name, "Const", attributes, &[]).unwrap())
    };
    let window = || float().with_ints("strides", &[1, 1, 1, 1]).with_string("padding", "SAME");
    let shape = Shape::new(vec![Some(1), Some(4), Some(4), Some(3)]);
    let attributes = Attributes::new().with_dtype("dtype", DType::F32).with_shape("shape", &shape);
    let images = graph.add("input", "Placeholder", attributes, &[]).unwrap();
    let mut images = TensorId::from(images);
    for (number, &(op, by)) in steps.iter().enumerate() {
        let shape: &[usize] = if by.len() == 1 { &[] } else { &[3] };
        let by = Tensor::new(shape, by.to_vec()).unwrap();
        let by = constant(&mut graph, &format!("own/{number}/y"), by);
        // A name that starts with the constant asks for the constant first.
        let (op, inputs) = match op.strip_prefix("constant ") {
            Some(op) => (op, [by, images]),
            None => (op, [images, by]),
        };
        images = graph.add(format!("own/{number}"), op, float(), &inputs).unwrap().into();
    }
    let identity: Vec<f32> = (0..9).map(|i| f32::from(u8::from(i % 4 == 0))).collect();
    let identity = Tensor::new([1, 1, 3, 3], identity).unwrap();
    let identity = constant(&mut graph, "identity", identity);
    let centre: Vec<f32> = (0..27).map(|i| f32::from(u8::from(i / 3 == 4))).collect();
    let centre = constant(&mut graph, "centre", Tensor::new([3, 3, 3, 1], centre).unwrap());
    let stem = graph.add("stem", "Conv2D", window(), &[images, identity]).unwrap();
    let expanded = graph.add("expand", "Relu6", float(), &[stem.into()]).unwrap();
    let inputs = [expanded.into(), centre];
    let depthwise = graph.add("depthwise", "DepthwiseConv2dNative", window(), &inputs).unwrap();
    let project = [depthwise.into(), identity];
    let projected = graph.add("project", "Conv2D", window(), &project).unwrap();
    let sum = graph.add("add", "AddV2", float(), &[stem.into(), projected.into()]).unwrap();
    let axes = constant(&mut graph, "axes", Tensor::vector(vec![1i32, 2]));
    let mean = float().with_dtype("Tidx", DType::I32);
    let mean = graph.add("pool", "Mean", mean, &[sum.into(), axes]).unwrap();
    let weights = Tensor::new([3, 2], vec![1f32, 0.0, 0.0, 1.0, 2.0, -1.0]).unwrap();
    let weights = constant(&mut graph, "weights", weights);
    let logits = graph.add("logits", "MatMul", float(), &[mean.into(), weights]).unwrap();
    graph.add("probabilities", "Softmax", float(), &[logits.into()]).unwrap();
    graph
}

#[test]
fn two_branches_that_are_added() {
    let path = save("residual.pb", &residual_graph(&[]).to_graph_def().encode_to_vec());
    is_residual(&load(&path));
}

/// The network of [`residual_graph`] in Keras's layers, with a batch norm that halves and a layer that
/// doubles, as TensorFlow.js stores it. `reads` writes what a layer reads.
fn residual_layers(reads: fn(&[&str]) -> Value) -> MemoryFiles {
    let layer = |class: &str, name: &str, mut config: Value, inputs: &[&str]| {
        config["name"] = name.into();
        let inbound_nodes = if inputs.is_empty() { json!([]) } else { reads(inputs) };
        json!({"class_name": class, "name": name, "config": config, "inbound_nodes": inbound_nodes})
    };
    let plain = || json!({"use_bias": false, "padding": "same", "strides": [1, 1]});
    let images = json!({"batch_input_shape": [null, 4, 4, 3]});
    let dense = json!({"use_bias": true, "activation": "softmax"});
    let layers = [
        layer("InputLayer", "images", images, &[]),
        layer("Conv2D", "stem", plain(), &["images"]),
        layer("BatchNormalization", "norm", json!({"axis": [3], "scale": false}), &["stem"]),
        layer("Rescaling", "twice", json!({"scale": 2.0, "offset": 0}), &["norm"]),
        layer("ReLU", "expand", json!({"max_value": 6.0}), &["twice"]),
        layer("DepthwiseConv2D", "depthwise", plain(), &["expand"]),
        layer("ZeroPadding2D", "borders", json!({"padding": [[1, 0], [0, 1]]}), &["depthwise"]),
        layer("Conv2D", "project", json!({"use_bias": false, "padding": "valid"}), &["borders"]),
        layer("Add", "sum", json!({}), &["twice", "project"]),
        layer("GlobalAveragePooling2D", "pool", json!({}), &["sum"]),
        layer("Dropout", "dropout", json!({"rate": 0.2}), &["pool"]),
        layer("Dense", "predictions", dense, &["dropout"]),
    ];
    // Behind a border above and to the right, this window sees the pixel where it stood.
    let corner = |i: usize| f32::from(u8::from(i / 9 == 2 && (i % 9).is_multiple_of(4)));
    let pass = |i: usize| f32::from(u8::from(i.is_multiple_of(4)));
    let weights: [(&str, &[usize], Vec<f32>); 8] = [
        ("stem/kernel", &[1, 1, 3, 3], (0..9).map(pass).collect()),
        ("norm/beta", &[3], vec![0.0; 3]),
        ("norm/moving_mean", &[3], vec![0.0; 3]),
        ("norm/moving_variance", &[3], vec![4.0 - 1e-3; 3]),
        ("depthwise/depthwise_kernel", &[1, 1, 3, 1], vec![1.0; 3]),
        ("project/kernel", &[2, 2, 3, 3], (0..36).map(corner).collect()),
        ("predictions/kernel", &[3, 2], vec![1.0, 0.0, 0.0, 1.0, 2.0, -1.0]),
        ("predictions/bias", &[2], vec![0.0; 2]),
    ];
    let entry = |(name, shape, _): &(&str, &[usize], Vec<f32>)| json!({"name": name, "shape": shape, "dtype": "float32"});
    let manifest = json!([{"paths": ["weights.bin"], "weights": weights.iter().map(entry).collect::<Vec<_>>()}]);
    let config = json!({"layers": layers, "output_layers": [["predictions", 0, 0]]});
    let model = json!({
        "format": "layers-model",
        "modelTopology": {"model_config": {"class_name": "Functional", "config": config}},
        "weightsManifest": manifest,
    });
    let mut files = MemoryFiles::default();
    let values = weights.iter().flat_map(|(_, _, values)| values);
    files.insert("weights.bin", values.flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
    files.insert("model.json", model.to_string().into_bytes());
    files
}

fn inputs_of_keras_2(inputs: &[&str]) -> Value {
    json!([inputs.iter().map(|name| json!([name, 0, 0, {}])).collect::<Vec<_>>()])
}

/// As Keras 2 writes it, as Keras 3 does, and a layer that nobody knows.
#[test]
fn layers_of_keras_that_branch() {
    let load = |files| Module::options().threads(1).load_files(files, Some("model.json"));
    let second = inputs_of_keras_2;
    let third = |inputs: &[&str]| {
        let tensor = |name: &&str| json!({"class_name": "__keras_tensor__", "config": {"shape": [null, 4, 4, 3], "dtype": "float32", "keras_history": [name, 0, 0]}});
        json!([{"args": [inputs.iter().map(tensor).collect::<Vec<_>>()], "kwargs": {}}])
    };
    is_residual(&load(residual_layers(second)).unwrap());
    is_residual(&load(residual_layers(third)).unwrap());
    let text =
        String::from_utf8(residual_layers(second).get("model.json").unwrap().to_vec()).unwrap();
    for (from, to, said) in [
        ("Dropout", "Lambda", "layer `dropout` (Lambda): this layer is not supported"),
        ("\"max_value\":6.0", "\"max_value\":7.0", "layer `expand` (ReLU): max_value 7"),
        ("[\"twice\",0,0", "[\"thrice\",0,0", "its input `thrice` is not computed before it"),
        ("\"axis\":[3]", "\"axis\":[1]", "layer `norm` (BatchNormalization): axis 1"),
        ("norm/beta", "norm/alpha", "the file has no weights `norm/beta` of float32"),
        ("null,4,4,3", "null,4,4,1", "is not that of colour images"),
        ("\"valid\"", "\"causal\"", "layer `project` (Conv2D): padding causal"),
    ] {
        let mut files = residual_layers(second);
        assert!(text.contains(from), "{from}");
        files.insert("model.json", text.replace(from, to).into_bytes());
        let error = load(files).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

/// Answers, and features, of [`residual_graph`].
fn is_residual(module: &Module) {
    answers_residual(module, |_, value| value * 2.0 - 1.0);
    let images = Tensor::new([2, 4, 4, 3], support::pixels(2 * 4 * 4 * 3, 3)).unwrap();
    let features = module.call_signature("image_feature_vector", [("images", &images)]).unwrap();
    assert_eq!(features["default"].shape(), [2, 3]);
}

/// Answers of [`residual_graph`] to images in [0, 1], of which its block sees `seen`, by colour.
fn answers_residual(module: &Module, seen: impl Fn(usize, f64) -> f64) {
    let pixels = support::pixels(2 * 4 * 4 * 3, 3);
    let images = Tensor::new([2, 4, 4, 3], pixels.clone()).unwrap();
    let answers = rows(&module.call(&images).unwrap());
    for (image, answer) in pixels.chunks(48).zip(&answers) {
        let mut means = [0.0f64; 3];
        for (place, &value) in image.iter().enumerate() {
            let value = seen(place % 3, f64::from(value));
            means[place % 3] += (value + value.clamp(0.0, 6.0)) / 16.0;
        }
        let [r, g, b] = means;
        assert!(difference(answer, &[r + 2.0 * b, g - b]) <= 5e-6, "{answer:?} {means:?}");
    }
}

/// A graph that normalises by itself gets pixels in the range that its own steps are for: callers feed
/// [0, 1] whatever it is.
#[test]
fn graphs_that_normalise_in_their_own_way() {
    const MEAN: [f32; 3] = [123.675, 116.28, 103.53];
    const DEVIATION: [f32; 3] = [58.395, 57.12, 57.375];
    let unit = |values: [f32; 3]| values.map(|value| value / 255.0);
    let by = |mean: [f32; 3], deviation: [f32; 3]| {
        move |c: usize, x: f64| (x * 255.0 - f64::from(mean[c])) / f64::from(deviation[c])
    };
    let signed = by([127.5; 3], [127.5; 3]);
    let none = by([0.0; 3], [255.0; 3]);
    let colours = by(MEAN, DEVIATION);
    let (means, deviations) = (unit(MEAN), unit(DEVIATION));
    let inverse = DEVIATION.map(|deviation| 1.0 / deviation);
    let negative = MEAN.map(|mean| -mean);
    type Steps<'a> = &'a [(&'a str, &'a [f32])];
    type Seen<'a> = &'a dyn Fn(usize, f64) -> f64;
    let cases: [(Steps<'_>, Seen<'_>); 9] = [
        (&[("Mul", &[2.0]), ("Sub", &[1.0])], &signed),
        (&[("Mul", &[1.0 / 127.5]), ("Sub", &[1.0])], &signed),
        (&[("constant Mul", &[1.0 / 127.5]), ("AddV2", &[-1.0])], &signed),
        (&[("Sub", &[127.5]), ("RealDiv", &[127.5])], &signed),
        (&[("RealDiv", &[255.0])], &none),
        (&[("RealDiv", &[255.0]), ("Sub", &[0.5]), ("Mul", &[2.0])], &signed),
        (&[("Sub", &MEAN), ("RealDiv", &DEVIATION)], &colours),
        (&[("Add", &negative), ("Mul", &inverse)], &colours),
        (&[("Sub", &means), ("RealDiv", &deviations)], &colours),
    ];
    for (steps, seen) in cases {
        let graph = residual_graph(steps).to_graph_def().encode_to_vec();
        let module = load(&save("own.pb", &graph));
        answers_residual(&module, seen);
        let notes = module.notes();
        assert!(notes.iter().all(|note| !note.contains("pixel values")), "{steps:?}: {notes:?}");
        // What the caller says counts.
        let path = save("own.pb", &graph);
        let told = Module::options().normalization(Normalization::UNIT);
        let told = told.load(path.to_str().unwrap()).unwrap();
        answers_residual(&told, |colour, x| {
            steps.iter().fold(x, |x, (op, by)| {
                let by = f64::from(*by.get(colour).unwrap_or(&by[0]));
                match op.trim_start_matches("constant ") {
                    "Mul" => x * by,
                    "RealDiv" => x / by,
                    "Sub" => x - by,
                    _ => x + by,
                }
            })
        });
    }
    // Steps that lead nowhere known, or turn the image about, are no normalisation.
    for steps in [&[("Mul", &[3.0f32][..])][..], &[("constant Sub", &[1.0])]] {
        let module = load(&save("odd.pb", &residual_graph(steps).to_graph_def().encode_to_vec()));
        let odd = steps[0].0 == "Mul";
        answers_residual(&module, |_, x| {
            let x = 2.0 * x - 1.0;
            if odd { 3.0 * x } else { 1.0 - x }
        });
        let notes = module.notes();
        assert!(notes.iter().any(|note| note.contains("[-1, 1] assumed")), "{notes:?}");
    }
}

/// A file of 1000 classes counts from ImageNet's first, one of 1001 from `background`: the same class
/// has the same name, and is the same in data that is labelled by name.
#[test]
fn a_file_of_1000_classes_starts_without_background() {
    const RETRIEVER: usize = 208;
    let photos = save("empty", b"").with_file_name("photos");
    std::fs::create_dir_all(photos.join("n02099601")).unwrap();
    let shades = support::pixels(40 * 40 * 3, 4).iter().map(|v| (v * 255.0) as u8).collect();
    let image = Image::new(40, 40, shades).unwrap();
    let png = mobilenet_vision::encode_png(&image).unwrap();
    std::fs::write(photos.join("n02099601/photo.png"), png).unwrap();
    for (classes, place, note) in [
        (1000, RETRIEVER - 1, "1000 classes: ImageNet's assumed, without `background`"),
        (1001, RETRIEVER, "1001 classes: ImageNet's assumed, `background` first"),
    ] {
        let network = MobilenetV1 { classes: Some(classes), ..support::tiny_network() };
        let tensors = network.variables().into_iter().map(|variable| {
            let mut value = support::lively(&variable);
            if variable.name.ends_with("biases") {
                value.as_f32_mut().unwrap()[place] = 100.0;
            }
            (variable.name, value)
        });
        let weights = load(&write_safetensors("many", &tensors.collect(), Some("32x32")));
        let graph = weights.export(ExportFormat::FrozenGraph, "many.pb").unwrap();
        let graph = load(&save("many.pb", graph.get("many.pb").unwrap()));
        for module in [weights, graph] {
            assert!(module.notes().iter().any(|said| said == note), "{:?}", module.notes());
            let format = module.format().to_owned();
            let classifier = Classifier::new(module).unwrap();
            assert_eq!(classifier.labels().len(), classes);
            let best = classifier.classify_image(&image, 1).unwrap().remove(0);
            assert_eq!((best.index, best.label.as_str()), (place, "golden retriever"), "{format}");
            let data = LabelledImages::open(&photos).unwrap();
            let options = EvaluationOptions::default();
            let watch = |_: Option<&str>| ControlFlow::Continue(());
            let found = evaluate(&classifier, &data, &options, watch).unwrap();
            assert_eq!((found.top_1(), found.evaluation.count()), (1.0, 1), "{format}");
        }
    }
}

/// The tiny network with another head on its logits, frozen, as TensorFlow's `retrain.py` left them:
/// a default input between, weights behind `Identity`, and `final_result` over three classes.
#[test]
fn a_retrained_graph_answers_by_its_new_head() {
    let module = support::lively_module();
    let old = module.signature("default").unwrap().output("default").unwrap().tensor.clone();
    let frozen = module.export(ExportFormat::FrozenGraph, "x").unwrap();
    let frozen = GraphDef::decode(frozen.get("x").unwrap()).unwrap();
    let mut graph = Graph::import(&frozen).unwrap();
    let logits = graph.tensor(&old).unwrap();
    let float = || Attributes::new().with_dtype("T", DType::F32);
    let mut add = |name: &str, op: &str, attributes: Attributes, inputs: &[TensorId]| {
        TensorId::from(graph.add(name, op, attributes, inputs).unwrap())
    };
    let weights: Vec<f32> = support::pixels(15, 3).iter().map(|value| value - 0.5).collect();
    let biases = [0.3f32, -0.2, 0.1];
    let values = [
        ("weights/final_weights", Tensor::new([5, 3], weights.clone()).unwrap()),
        ("biases/final_biases", Tensor::vector(biases.to_vec())),
    ];
    let [w, b] = values.map(|(name, value)| {
        let name = format!("final_training_ops/{name}");
        let attributes =
            Attributes::new().with_dtype("dtype", DType::F32).with_tensor("value", &value);
        let constant = add(&name, "Const", attributes, &[]);
        add(&format!("{name}/read"), "Identity", float(), &[constant])
    });
    let bottleneck = Attributes::new()
        .with_dtype("dtype", DType::F32)
        .with_shape("shape", &Shape::new(vec![None, Some(5)]));
    let x =
        add("input/BottleneckInputPlaceholder", "PlaceholderWithDefault", bottleneck, &[logits]);
    let y = add("final_training_ops/Wx_plus_b/MatMul", "MatMul", float(), &[x, w]);
    let y = add("final_training_ops/Wx_plus_b/add", "Add", float(), &[y, b]);
    add("final_result", "Softmax", float(), &[y]);
    let retrained = load(&save("retrained.pb", &graph.to_graph_def().encode_to_vec()));

    let bottlenecks = rows(&module.call(&images()).unwrap());
    let expected: Vec<Vec<f64>> = bottlenecks
        .iter()
        .map(|row| {
            let logit = |class: usize| -> f64 {
                let terms = row.iter().zip(weights.iter().skip(class).step_by(3));
                f64::from(biases[class]) + terms.map(|(x, w)| x * f64::from(*w)).sum::<f64>()
            };
            vec![logit(0), logit(1), logit(2)]
        })
        .collect();
    let outputs =
        retrained.call_signature("image_classification", [("images", &images())]).unwrap();
    for (ours, expected) in rows(&outputs["default"]).iter().zip(&expected) {
        assert!(difference(ours, expected) <= 1e-4, "{ours:?} {expected:?}");
    }
    let probabilities = rows(&outputs["MobilenetV1/Predictions"]);
    for (ours, logits) in probabilities.iter().zip(&expected) {
        let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
        let expected: Vec<f64> = logits.iter().map(|logit| logit.exp() / sum).collect();
        assert!(difference(ours, &expected) <= 1e-5, "{ours:?} {expected:?}");
    }
    // What the head reads are its features: the classes of before.
    let features =
        retrained.call_signature("image_feature_vector", [("images", &images())]).unwrap();
    for (ours, expected) in rows(&features["default"]).iter().zip(&bottlenecks) {
        assert!(difference(ours, expected) <= 1e-4);
    }
    assert!(retrained.notes().iter().all(|note| !note.contains("ImageNet")));
    let error = Classifier::new(retrained.clone()).unwrap_err();
    assert!(error.to_string().contains("3 classes and no names"), "{error}");
    let labels = Labels::parse(b"daisy\nroses\ntulips\n").unwrap();
    let classifier = Classifier::options().labels(labels).build(retrained).unwrap();
    let pixels = support::pixels(32 * 32 * 3, 5).iter().map(|v| (v * 255.0) as u8).collect();
    let best = classifier.classify_image(&Image::new(32, 32, pixels).unwrap(), 3).unwrap();
    let names = best.iter().map(|best| (best.index, best.label.as_str()));
    let names: BTreeMap<usize, &str> = names.collect();
    assert_eq!(names, BTreeMap::from([(0, "daisy"), (1, "roses"), (2, "tulips")]));
}

/// The tiny network as a module whose `default` output is its softmax.
fn module_of_probabilities() -> PathBuf {
    let module = support::lively_module();
    let mut model = module.hub_module().unwrap().saved_model().clone();
    let mut graph = support::tiny_network().inference_graph();
    let predictions =
        graph.signature_def["image_classification"].outputs["MobilenetV1/Predictions"].clone();
    for name in ["default", "image_classification"] {
        let outputs = &mut graph.signature_def.get_mut(name).unwrap().outputs;
        outputs.insert("default".into(), predictions.clone());
    }
    let mut only = SavedModel::default();
    only.push_meta_graph(graph);
    for (name, _) in module.variables() {
        only.set_variable(name.clone(), model.variable(&name).unwrap());
    }
    model = only;
    model.set_file("assets/labels.txt", "background\ncat\ndog\nhorse\nzebra\n");
    let files = HubModule::new(model).to_files().unwrap();
    save("probabilities.tar", &archive::write(&files, Compression::None).unwrap())
}

#[test]
fn probabilities_are_not_put_through_softmax_again() {
    let (logits, given) = (support::lively_module(), load(&module_of_probabilities()));
    assert_eq!((logits.scores(), given.scores()), (Scores::Logits, Scores::Probabilities));
    let pixels =
        |seed| support::pixels(40 * 40 * 3, seed).iter().map(|v| (v * 255.0) as u8).collect();
    let image = Image::new(40, 40, pixels(7)).unwrap();
    let classifiers = [logits, given].map(|module| Classifier::new(module).unwrap());
    let [expected, found] =
        classifiers.each_ref().map(|classifier| classifier.classify_image(&image, 5).unwrap());
    let folder = save("empty", b"").with_file_name("photos");
    for (number, class) in ["cat", "dog", "horse"].iter().enumerate() {
        std::fs::create_dir_all(folder.join(class)).unwrap();
        let image = Image::new(40, 40, pixels(number as u32)).unwrap();
        let png = mobilenet_vision::encode_png(&image).unwrap();
        std::fs::write(folder.join(class).join("photo.png"), png).unwrap();
    }
    let data = LabelledImages::open(&folder).unwrap();
    let [a, b] = classifiers.each_ref().map(|classifier| {
        let options = EvaluationOptions { restrict_to_data_classes: true, ..Default::default() };
        evaluate(classifier, &data, &options, |_| ControlFlow::Continue(())).unwrap()
    });
    for (expected, found) in expected.iter().zip(&found) {
        assert_eq!((expected.index, found.logit), (found.index, None));
        assert!((expected.probability - found.probability).abs() <= 1e-6);
    }
    let [heat, other] = classifiers.each_ref().map(|classifier| {
        Explainer::new(classifier, None).unwrap().explain(&image, None).unwrap().probability
    });
    assert!((heat - expected[0].probability).abs() <= 1e-6 && (heat - other).abs() <= 1e-6);
    // As TFLite, whose output is always probabilities, and as ONNX, logits again.
    for (name, format) in [("x.tflite", ExportFormat::TfLite), ("x.onnx", ExportFormat::Onnx)] {
        let files = classifiers[1].module().export(format, name).unwrap();
        let written = Classifier::new(load(&save(name, files.get(name).unwrap()))).unwrap();
        let again = written.classify_image(&image, 5).unwrap();
        assert!((again[0].probability - expected[0].probability).abs() <= 1e-5, "{name}");
    }
    assert_eq!((a.top_1(), a.evaluation.count()), (b.top_1(), 3));
    assert_eq!(a.mistakes.len(), b.mistakes.len());
    for (a, b) in a.mistakes.iter().zip(&b.mistakes) {
        assert!((a.confidence - b.confidence).abs() <= 1e-5, "{a:?} {b:?}");
    }
}
