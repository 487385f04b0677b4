//! Forms that other makers' files have and ours have not, on small networks made here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::error::Error;

use mobilenet::export::tflite::WeightType;
use mobilenet::quantize::{QuantizeOptions, quantize};
use mobilenet::{ExportFormat, Labels, Limits, Module, Scores, Tensor};
use mobilenet_formats::MemoryFiles;
use mobilenet_formats::tflite::{self, BuiltinOperator, BuiltinOptions, Model, TensorType};
use serde_json::{Value, json};
use support::{difference, lively_module, rows, save};

const SIDE: usize = 32;

fn images(count: usize) -> Tensor {
    let pixels = support::pixels(count * SIDE * SIDE * 3, 5);
    Tensor::new([count, SIDE, SIDE, 3], pixels).unwrap()
}

/// An error with what it comes from.
fn text(error: &dyn Error) -> String {
    let sources = std::iter::successors(Some(error), |&error| error.source());
    sources.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

// TFLite.

/// A TFLite file on the way to another.
struct Edit(Model);

impl Edit {
    /// The lively network's, without metadata.
    fn new() -> Self {
        let bytes = lively_module().to_tflite(WeightType::Float32).unwrap();
        Self(Model { metadata: Vec::new(), ..Model::read(&bytes, &Limits::default()).unwrap() })
    }

    fn tensor(&mut self, name: &str, r#type: TensorType, shape: &[i32]) -> i32 {
        let tensors = &mut self.0.subgraphs[0].tensors;
        let tensor = tflite::Tensor {
            name: name.into(),
            r#type,
            shape: shape.to_vec(),
            ..Default::default()
        };
        tensors.push(tensor);
        i32::try_from(tensors.len() - 1).unwrap()
    }

    fn integers(&mut self, name: &str, shape: &[i32], values: &[i32]) -> i32 {
        let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.0.buffers.push(tflite::Buffer { data, ..Default::default() });
        let buffer = u32::try_from(self.0.buffers.len() - 1).unwrap();
        let index = self.tensor(name, TensorType::INT32, shape);
        self.0.subgraphs[0].tensors.last_mut().unwrap().buffer = buffer;
        index
    }

    fn operator(
        &mut self,
        code: BuiltinOperator,
        inputs: &[i32],
        output: i32,
        builtin_options: BuiltinOptions,
    ) -> tflite::Operator {
        self.0.operator_codes.push(tflite::OperatorCode::new(code, 1));
        let opcode_index = u32::try_from(self.0.operator_codes.len() - 1).unwrap();
        let (inputs, outputs) = (inputs.to_vec(), vec![output]);
        tflite::Operator { opcode_index, inputs, outputs, builtin_options, ..Default::default() }
    }

    /// The last operator, and the tensor that it reads.
    fn last(&mut self) -> (&mut tflite::Operator, i32) {
        let last = self.0.subgraphs[0].operators.last_mut().unwrap();
        let read = last.inputs[0];
        (last, read)
    }

    fn before_last(&mut self, new: Vec<tflite::Operator>) {
        let operators = &mut self.0.subgraphs[0].operators;
        let at = operators.len() - 1;
        operators.splice(at..at, new);
    }

    fn load(&self) -> mobilenet::Result<Module> {
        let mut labels = MemoryFiles::default();
        labels.insert("labels.txt", "background\ncat\ndog\nhorse\nzebra\n");
        let bytes = tflite::append_files(self.0.write().unwrap(), &labels).unwrap();
        let path = save("foreign.tflite", &bytes);
        Module::options().threads(2).load(path.to_str().unwrap())
    }
}

/// What stands before the softmax where Keras's `Reshape` met an open number of images: the shape of
/// the scores, its first size, and that with `rest` as the shape they get.
fn with_computed_shape(rest: i32) -> Edit {
    let mut edit = Edit::new();
    let scores = edit.last().1;
    let [zero, one] = [0, 1].map(|value| edit.integers("at", &[1], &[value]));
    let rest = edit.integers("rest", &[], &[rest]);
    let shape = edit.tensor("shape", TensorType::INT32, &[2]);
    let count = edit.tensor("count", TensorType::INT32, &[]);
    let sizes = edit.tensor("sizes", TensorType::INT32, &[2]);
    // What the file says of it is for one image.
    let rows = edit.tensor("rows", TensorType::FLOAT32, &[1, 5]);
    let slice = tflite::StridedSliceOptions { shrink_axis_mask: 1, ..Default::default() };
    let new = vec![
        edit.operator(BuiltinOperator::SHAPE, &[scores], shape, BuiltinOptions::None),
        edit.operator(
            BuiltinOperator::STRIDED_SLICE,
            &[shape, zero, one, one],
            count,
            BuiltinOptions::StridedSlice(slice),
        ),
        edit.operator(BuiltinOperator::PACK, &[count, rest], sizes, BuiltinOptions::None),
        edit.operator(BuiltinOperator::RESHAPE, &[scores, sizes], rows, BuiltinOptions::None),
    ];
    edit.before_last(new);
    edit.last().0.inputs[0] = rows;
    edit
}

#[test]
fn shapes_that_tflite_files_compute_of_the_number_of_images() {
    let answers = |module: &Module| {
        let outputs = module.call_signature("image_classification", [("images", &images(3))]);
        let mut outputs = outputs.unwrap();
        ["default", "MobilenetV1/Predictions"].map(|key| outputs.remove(key).unwrap())
    };
    let plain = Edit::new().load().unwrap();
    let computed = with_computed_shape(5).load().unwrap();
    assert_eq!(answers(&computed), answers(&plain));
    let again = save("again.tflite", &computed.to_tflite(WeightType::Float32).unwrap());
    let again = Module::options().threads(2).load(again.to_str().unwrap()).unwrap();
    assert_eq!(answers(&again), answers(&plain));

    let said = |edit: Edit| match edit.load() {
        Ok(module) => text(&module.call(&images(1)).unwrap_err()),
        Err(error) => text(&error),
    };
    assert!(said(with_computed_shape(4)).contains("rows"), "{}", said(with_computed_shape(4)));
    // Sizes are no numbers to compute with.
    let mut edit = with_computed_shape(5);
    let sizes = edit.0.subgraphs[0].operators.iter().rev().nth(1).unwrap().inputs[1];
    edit.last().0.inputs[0] = sizes;
    let said = said(edit);
    assert!(said.contains("`sizes` holds sizes, which only a RESHAPE may take"), "{said}");
}

/// A head that is asked about each class by itself.
#[test]
fn a_sigmoid_answers_with_probabilities() {
    let scores = Edit::new().load().unwrap();
    let scores = rows(&scores.call(&images(2)).unwrap());
    let mut edit = Edit::new();
    let code = edit.operator(BuiltinOperator::LOGISTIC, &[], 0, BuiltinOptions::None).opcode_index;
    let last = edit.last().0;
    (last.opcode_index, last.builtin_options) = (code, BuiltinOptions::None);
    let module = edit.load().unwrap();
    assert_eq!(module.scores(), Scores::Probabilities);
    let expected: Vec<Vec<f64>> =
        scores.iter().map(|row| row.iter().copied().map(sigmoid).collect()).collect();
    let answers = |module: &Module| rows(&module.call(&images(2)).unwrap());
    let near = |ours: &[Vec<f64>], by: f64, what: &str| {
        for (ours, expected) in ours.iter().zip(&expected) {
            assert!(difference(ours, expected) <= by, "{what}: {ours:?} {expected:?}");
        }
    };
    near(&answers(&module), 1e-6, "tflite");
    for (format, name) in [
        (ExportFormat::TfLite, "sigmoid.tflite"),
        (ExportFormat::Onnx, "sigmoid.onnx"),
        (ExportFormat::FrozenGraph, "sigmoid.pb"),
        (ExportFormat::HubArchive, "sigmoid.tar.gz"),
    ] {
        let files = module.export(format, name).unwrap();
        let path = save(name, files.get(name).unwrap());
        let again = Module::options().threads(2).load(path.to_str().unwrap()).unwrap();
        assert_eq!(again.scores(), Scores::Probabilities, "{name}");
        near(&answers(&again), 1e-5, name);
    }
    let photos = (0..8).map(|_| Ok(images(1)));
    let small = quantize(&module, photos, &QuantizeOptions::default()).unwrap();
    let path = save("small.tflite", &small.to_tflite().unwrap());
    let small = Module::options().threads(2).load(path.to_str().unwrap()).unwrap();
    assert_eq!(small.scores(), Scores::Probabilities);
    near(&answers(&small), 0.1, "8 bits");
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[test]
fn of_several_outputs_of_tflite_the_first_is_read_and_that_is_said() {
    let mut edit = Edit::new();
    let scores = edit.last().1;
    edit.0.subgraphs[0].outputs.push(scores);
    let module = edit.load().unwrap();
    let said = module.notes().iter().any(|note| note.contains("several outputs (probability, "));
    assert!(said, "{:?}", module.notes());
    assert_eq!(
        module.call(&images(1)).unwrap(),
        Edit::new().load().unwrap().call(&images(1)).unwrap()
    );
}

// Keras.

/// Pixels and answers of the network that `make.py` calls `nested`.
fn nested() -> (Tensor, Vec<Vec<f64>>) {
    let pixels = support::pixels(2 * 4 * 4 * 3, 9);
    let mut answers = Vec::new();
    for image in pixels.chunks(4 * 4 * 3) {
        let mut x = [0.0f64; 3];
        for (place, &pixel) in image.iter().enumerate() {
            x[place % 3] += 2.0 * (f64::from(pixel) * 2.0 - 1.0) / 16.0;
        }
        let [r, g, b] = [x[0] + 0.5, (2.0 * x[1] - 0.25) / 2.0, (3.0 * x[2] - 0.5) / 3.0 - 0.5];
        answers.push(vec![r + 2.0 * b + 0.25, g - b - 0.25]);
    }
    (Tensor::new([2, 4, 4, 3], pixels).unwrap(), answers)
}

#[test]
fn models_that_are_layers_of_keras_3() {
    let (images, logits) = nested();
    for (name, file) in [
        ("nested.h5", &include_bytes!("../../formats/tests/data/keras/nested.h5")[..]),
        ("nested.keras", include_bytes!("../../formats/tests/data/keras/nested.keras")),
    ] {
        let module = Module::options().threads(1).load(save(name, file).to_str().unwrap()).unwrap();
        assert_eq!(module.scores(), Scores::Probabilities);
        assert!(module.notes().is_empty(), "{:?}", module.notes());
        for (ours, logits) in rows(&module.call(&images).unwrap()).iter().zip(&logits) {
            let theirs: Vec<f64> = logits.iter().copied().map(sigmoid).collect();
            assert!(difference(ours, &theirs) <= 1e-6, "{name}: {ours:?} {theirs:?}");
        }
        let features = module.call_signature("image_feature_vector", [("images", &images)]);
        assert_eq!(features.unwrap()["default"].shape(), [2, 3]);
    }
}

/// The same network as TensorFlow.js keeps a sequence of Keras 2's, whose photos go in three models deep.
fn sequence_of_models() -> Value {
    let layer = |class: &str, name: &str, mut config: Value, inputs: Value| {
        config["name"] = name.into();
        json!({"class_name": class, "name": name, "config": config, "inbound_nodes": inputs})
    };
    let reads = |name: &str| json!([[[name, 0, 0, {}]]]);
    let number = |name: &str, y: f64| json!([[name, 0, 0, {"y": y, "name": null}]]);
    let function = |name: &str| json!({"function": name});
    let plain = || json!({"use_bias": false, "padding": "same", "strides": [1, 1]});
    let base = json!({"name": "base", "output_layers": [["weighed", 0, 0]], "layers": [
        layer("InputLayer", "photos", json!({"batch_input_shape": [null, 4, 4, 3]}), json!([])),
        layer("TFOpLambda", "divided", function("math.truediv"), number("photos", 127.5)),
        layer("TFOpLambda", "moved", function("math.subtract"), number("divided", 1.0)),
        layer("Conv2D", "mixed", plain(), reads("moved")),
        layer("DepthwiseConv2D", "weighed", plain(), reads("mixed")),
    ]});
    let sequence = |name: &str, layers: Value| json!({"class_name": "Sequential", "config": {"name": name, "layers": layers}});
    let alone = |class: &str, config: Value| json!({"class_name": class, "config": config});
    let dense = json!({"name": "dense", "use_bias": true, "activation": "softmax"});
    let body = sequence(
        "body",
        json!([
            {"class_name": "Model", "config": base},
            alone("GlobalAveragePooling2D", json!({"name": "pool"})),
        ]),
    );
    let norm = alone("BatchNormalization", json!({"name": "norm", "axis": [1]}));
    let head = sequence("head", json!([norm, alone("Dense", dense)]));
    sequence("model", json!([body, head]))
}

/// Boxes beside classes.
#[test]
fn of_several_outputs_of_keras_the_softmax_answers() {
    let (images, logits) = nested();
    let reads = |name: &str| json!([[[name, 0, 0, {}]]]);
    let mut body = sequence_of_models()["config"]["layers"].clone();
    body[0]["inbound_nodes"] = json!([]);
    body[1]["inbound_nodes"] = reads("body");
    body[0]["name"] = "body".into();
    body[1]["name"] = "head".into();
    let boxes = json!({"class_name": "Activation", "config": {"name": "boxes", "activation": "relu"}, "inbound_nodes": reads("body")});
    let layers = json!([body[0], boxes, body[1]]);
    let config = json!({"layers": layers, "output_layers": [["boxes", 0, 0], ["head", 0, 0]]});
    let model = json!({"class_name": "Functional", "config": config});
    let module = tensorflow_js(model, "mixed/kernel").unwrap();
    let said = module.notes().iter().any(|note| note.contains("several outputs (boxes, head)"));
    assert!(said, "{:?}", module.notes());
    for (ours, logits) in rows(&module.call(&images).unwrap()).iter().zip(&logits) {
        assert!(difference(ours, logits) <= 1e-5, "{ours:?} {logits:?}");
    }
}

fn tensorflow_js(model: Value, first: &str) -> mobilenet::Result<Module> {
    let variance: Vec<f32> = [1.0, 4.0, 9.0].iter().map(|value| value - 1e-3).collect();
    let weights: [(&str, &[usize], Vec<f32>); 8] = [
        (first, &[1, 1, 3, 3], vec![2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 2.0]),
        ("weighed/depthwise_kernel", &[1, 1, 3, 1], vec![1.0, 2.0, 3.0]),
        ("norm/gamma", &[3], vec![1.0; 3]),
        ("norm/beta", &[3], vec![0.5, 0.0, -0.5]),
        ("norm/moving_mean", &[3], vec![0.0, 0.25, 0.5]),
        ("norm/moving_variance", &[3], variance),
        ("dense/kernel", &[3, 2], vec![1.0, 0.0, 0.0, 1.0, 2.0, -1.0]),
        ("dense/bias", &[2], vec![0.25, -0.25]),
    ];
    let entry = |(name, shape, _): &(&str, &[usize], Vec<f32>)| json!({"name": name, "shape": shape, "dtype": "float32"});
    let manifest = json!([{"paths": ["weights.bin"], "weights": weights.iter().map(entry).collect::<Vec<_>>()}]);
    let json = json!({
        "format": "layers-model",
        "modelTopology": {"model_config": model},
        "weightsManifest": manifest,
    });
    let mut files = MemoryFiles::default();
    let values = weights.iter().flat_map(|(_, _, values)| values);
    files.insert("weights.bin", values.flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
    files.insert("model.json", json.to_string().into_bytes());
    let labels = Labels::parse(b"cat\ndog\n").unwrap();
    Module::options().threads(1).labels(labels).load_files(files, Some("model.json"))
}

#[test]
fn models_that_are_layers_of_tensorflow_js() {
    let (images, logits) = nested();
    let module = tensorflow_js(sequence_of_models(), "base/mixed/kernel").unwrap();
    assert!(module.notes().is_empty(), "{:?}", module.notes());
    for (ours, logits) in rows(&module.call(&images).unwrap()).iter().zip(&logits) {
        assert!(difference(ours, logits) <= 1e-5, "{ours:?} {logits:?}");
    }
    let text = sequence_of_models().to_string();
    for (from, to, said) in [
        (
            "\"Conv2D\"",
            "\"Lambda\"",
            "layer `body/base/mixed` (Lambda): this layer is not supported",
        ),
        (
            "math.subtract",
            "math.atan",
            "layer `body/base/moved` (TFOpLambda): the function \"math.atan\"",
        ),
        ("\"y\":127.5", "\"y\":[1]", "1 tensors and 0 numbers; two of them wanted"),
        ("\"weighed\",0,0", "\"other\",0,0", "a model whose output is none of its layers"),
        ("\"pool\"", "\"base\"", "two layers of one name"),
    ] {
        assert!(text.contains(from), "{from}");
        let model = serde_json::from_str(&text.replace(from, to)).unwrap();
        let said_now = tensorflow_js(model, "mixed/kernel").unwrap_err().to_string();
        assert!(said_now.contains(said), "{said_now}");
    }
    let twice = tensorflow_js(sequence_of_models(), "norm/gamma").unwrap_err().to_string();
    assert!(twice.contains("two weights of the file are called `norm/gamma`"), "{twice}");
}
