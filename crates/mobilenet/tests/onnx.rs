//! ONNX files laid out as PyTorch, timm and tf2onnx write MobileNet V1, made here from the tiny
//! network's weights; the module of those weights says what is right.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

mod support;

use std::collections::BTreeMap;

use mobilenet::{ExportFormat, Limits, Module, Tensor};
use mobilenet_formats::onnx::{
    self, AttributeProto, AttributeType, DataType, Dimension, DimensionValue, GraphProto,
    ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};
use mobilenet_formats::safetensors;
use support::{difference, rows, save};

/// A graph in the making; every node has one output, called as the node.
#[derive(Default)]
struct Writer {
    graph: GraphProto,
    /// The program that wrote it.
    producer: &'static str,
    /// Scalars and shapes as `Constant` nodes, as exporters by tracing have them.
    constant_nodes: bool,
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    let kind = AttributeType::Ints as i32;
    AttributeProto { name: name.into(), r#type: kind, ints: values.to_vec(), ..Default::default() }
}

fn int(name: &str, value: i64) -> AttributeProto {
    let kind = AttributeType::Int as i32;
    AttributeProto { name: name.into(), r#type: kind, i: Some(value), ..Default::default() }
}

fn float(name: &str, value: f32) -> AttributeProto {
    let kind = AttributeType::Float as i32;
    AttributeProto { name: name.into(), r#type: kind, f: Some(value), ..Default::default() }
}

fn text(name: &str, value: &str) -> AttributeProto {
    let (kind, s) = (AttributeType::String as i32, Some(value.as_bytes().to_vec()));
    AttributeProto { name: name.into(), r#type: kind, s, ..Default::default() }
}

impl Writer {
    fn node(&mut self, op: &str, inputs: &[&str], attribute: Vec<AttributeProto>) -> String {
        let name = format!("{op}_{}", self.graph.node.len());
        self.graph.node.push(NodeProto {
            op_type: op.into(),
            name: name.clone(),
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![name.clone()],
            attribute,
            ..Default::default()
        });
        name
    }

    fn weights(&mut self, name: &str, value: &Tensor) -> String {
        self.graph.initializer.push(TensorProto::from_tensor(name, value).unwrap());
        name.to_owned()
    }

    fn constant(&mut self, value: Tensor) -> String {
        if !self.constant_nodes {
            return self.weights(&format!("constant_{}", self.graph.initializer.len()), &value);
        }
        let attribute = AttributeProto {
            name: "value".into(),
            r#type: AttributeType::Tensor as i32,
            t: Some(Box::new(TensorProto::from_tensor("", &value).unwrap())),
            ..Default::default()
        };
        self.node("Constant", &[], vec![attribute])
    }

    fn scalar(&mut self, value: f32) -> String {
        self.constant(Tensor::new([], vec![value]).unwrap())
    }

    fn sizes(&mut self, values: &[i64]) -> String {
        self.constant(Tensor::vector(values.to_vec()))
    }

    fn finish(mut self, input: &str, shape: [i64; 4], output: &str) -> Module {
        let dims = shape.map(|size| {
            let named = DimensionValue::DimParam("batch".into());
            let value = if size < 0 { named } else { DimensionValue::DimValue(size) };
            Dimension { value: Some(value), denotation: String::new() }
        });
        let shape = Some(TensorShapeProto { dim: dims.to_vec() });
        let tensor = TensorTypeProto { elem_type: DataType::Float as i32, shape };
        let kind = Some(TypeProto { tensor_type: Some(tensor), ..Default::default() });
        let value = |name: &str| ValueInfoProto {
            name: name.into(),
            r#type: kind.clone(),
            ..Default::default()
        };
        self.graph.input.push(value(input));
        self.graph.output.push(value(output));
        let model = ModelProto {
            ir_version: 8,
            producer_name: self.producer.into(),
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 17 }],
            graph: Some(self.graph),
            ..Default::default()
        };
        load("model.onnx", &onnx::write(&model))
    }
}

fn load(name: &str, bytes: &[u8]) -> Module {
    let path = save(name, bytes);
    let loaded = Module::options().threads(1).load(path.to_str().unwrap());
    loaded.unwrap_or_else(|e| panic!("{name}: {e}"))
}

type Weights = BTreeMap<String, Tensor>;

/// The tiny network's weights by slim's names.
fn slim() -> Weights {
    let variables = support::tiny_network().variables();
    variables.iter().map(|variable| (variable.name.clone(), support::lively(variable))).collect()
}

/// slim's layers in order: scope, PyTorch's name, whether depthwise, stride.
fn layers() -> Vec<(String, String, bool, i64)> {
    let layers = support::tiny_network().layers();
    let layers = layers.iter().filter(|layer| layer.name != "Conv2d_1c_1x1");
    let named = layers.map(|layer| {
        let torch = layer.name.to_lowercase();
        let depthwise = layer.name.ends_with("depthwise");
        (format!("MobilenetV1/{}", layer.name), torch, depthwise, layer.stride as i64)
    });
    named.collect()
}

/// `[h, w, i, o]` as `[o, i, h, w]`; a depthwise `[h, w, c, 1]` as `[c, 1, h, w]`.
fn channels_first(kernel: &Tensor, depthwise: bool) -> Tensor {
    let [h, w, a, b] = kernel.shape().try_into().unwrap();
    let (outs, ins) = if depthwise { (a, b) } else { (b, a) };
    let values = kernel.as_f32().unwrap();
    let mut turned = Vec::new();
    for o in 0..outs {
        for i in 0..ins {
            let (row, column) = if depthwise { (o, i) } else { (i, o) };
            turned.extend((0..h * w).map(|at| values[(at * a + row) * b + column]));
        }
    }
    Tensor::new([outs, ins, h, w], turned).unwrap()
}

fn kernel(weights: &Weights, scope: &str, depthwise: bool) -> Tensor {
    let leaf = if depthwise { "depthwise_weights" } else { "weights" };
    channels_first(&weights[&format!("{scope}/{leaf}")], depthwise)
}

const HEAD: &str = "MobilenetV1/Logits/Conv2d_1c_1x1";

/// How the exporters differ.
struct Style {
    /// Batch norm as a node of its own; else folded.
    batch_norm: bool,
    /// The last ReLU6 as `Clip` of two inputs, or as `Min` of `Relu`.
    clip: bool,
    constant_nodes: bool,
    /// The pool as `GlobalAveragePool` and `Flatten`, as one `ReduceMean`, or as two.
    pool: &'static str,
    epsilon: f32,
}

/// The network as PyTorch exports it: channels first, borders on both sides.
fn torch(weights: &Weights, style: &Style) -> Module {
    let mut w = Writer { constant_nodes: style.constant_nodes, ..Writer::default() };
    let mut x = "input".to_owned();
    for (scope, torch, depthwise, stride) in layers() {
        let mut kernel = kernel(weights, &scope, depthwise);
        let part = |leaf: &str| weights[&format!("{scope}/BatchNorm/{leaf}")].clone();
        let all = ["gamma", "beta", "moving_mean", "moving_variance"].map(part);
        let side = kernel.shape()[2] as i64;
        let pad = side / 2;
        let mut attributes = vec![
            ints("kernel_shape", &[side; 2]),
            ints("pads", &[pad; 4]),
            ints("strides", &[stride; 2]),
            ints("dilations", &[1; 2]),
        ];
        if depthwise {
            attributes.push(int("group", kernel.shape()[0] as i64));
        }
        let names: Vec<String> =
            ["gamma", "beta", "mean", "var"].iter().map(|leaf| format!("{torch}.{leaf}")).collect();
        if style.batch_norm {
            let kernel = w.weights(&format!("{torch}.weight"), &kernel);
            x = w.node("Conv", &[&x, &kernel], attributes);
            let mut inputs = vec![x];
            inputs.extend(names.iter().zip(&all).map(|(name, value)| w.weights(name, value)));
            let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
            x = w.node("BatchNormalization", &inputs, vec![float("epsilon", style.epsilon)]);
        } else {
            let [gamma, beta, mean, variance] = all.each_ref().map(|v| v.as_f32().unwrap());
            let scale: Vec<f32> =
                gamma.iter().zip(variance).map(|(g, v)| g / (v + style.epsilon).sqrt()).collect();
            let per = kernel.len() / scale.len();
            let values = kernel.as_f32_mut().unwrap();
            values.iter_mut().enumerate().for_each(|(at, value)| *value *= scale[at / per]);
            let bias = (0..scale.len()).map(|c| beta[c] - mean[c] * scale[c]);
            let bias = Tensor::vector(bias.collect::<Vec<f32>>());
            let kernel = w.weights(&format!("{torch}.weight"), &kernel);
            let bias = w.weights(&format!("{torch}.bias"), &bias);
            x = w.node("Conv", &[&x, &kernel, &bias], attributes);
        }
        let six = w.scalar(6.0);
        x = if style.clip {
            let zero = w.scalar(0.0);
            w.node("Clip", &[&x, &zero, &six], Vec::new())
        } else {
            let relu = w.node("Relu", &[&x], Vec::new());
            w.node("Min", &[&relu, &six], Vec::new())
        };
    }
    x = match style.pool {
        "GlobalAveragePool" => {
            let pooled = w.node("GlobalAveragePool", &[&x], Vec::new());
            w.node("Flatten", &[&pooled], vec![int("axis", 1)])
        }
        "ReduceMean" => {
            w.node("ReduceMean", &[&x], vec![ints("axes", &[-1, -2]), int("keepdims", 0)])
        }
        _ => {
            let rows = w.node("ReduceMean", &[&x], vec![ints("axes", &[3]), int("keepdims", 0)]);
            w.node("ReduceMean", &[&rows], vec![ints("axes", &[2]), int("keepdims", 0)])
        }
    };
    let head = kernel(weights, HEAD, false);
    let dense = [head.shape()[0], head.shape()[1]];
    let head = w.weights("classifier.weight", &head.reshape(dense).unwrap());
    let bias = w.weights("classifier.bias", &weights[&format!("{HEAD}/biases")]);
    let logits = w.node("Gemm", &[&x, &head, &bias], vec![int("transB", 1)]);
    w.finish("input", [-1, 3, 32, 32], &logits)
}

fn images() -> Tensor {
    Tensor::new([2, 32, 32, 3], support::pixels(2 * 32 * 32 * 3, 11)).unwrap()
}

fn agree(a: &Module, b: &Module, what: &str) {
    let [a, b] = [a, b].map(|module| rows(&module.call(&images()).unwrap()).concat());
    let largest = a.iter().fold(1.0f64, |most, value| most.max(value.abs()));
    assert!(difference(&a, &b) <= 1e-5 * largest, "{what}: {:e}", difference(&a, &b) / largest);
}

/// The same weights under timm's names: another importer, with the same borders.
fn timm(weights: &Weights) -> Module {
    let stages: [usize; 5] = [1, 2, 2, 6, 2];
    let blocks = stages.iter().enumerate();
    let blocks: Vec<String> = blocks
        .flat_map(|(stage, &count)| (0..count).map(move |block| format!("blocks.{stage}.{block}")))
        .collect();
    let mut all = Weights::new();
    for (place, (scope, _, depthwise, _)) in layers().into_iter().enumerate() {
        let (conv, norm) = match (place, depthwise) {
            (0, _) => ("conv_stem".to_owned(), "bn1".to_owned()),
            (_, true) => {
                let block = &blocks[(place - 1) / 2];
                (format!("{block}.conv_dw"), format!("{block}.bn1"))
            }
            (_, false) => {
                let block = &blocks[(place - 1) / 2];
                (format!("{block}.conv_pw"), format!("{block}.bn2"))
            }
        };
        all.insert(format!("{conv}.weight"), kernel(weights, &scope, depthwise));
        for (ours, theirs) in [
            ("gamma", "weight"),
            ("beta", "bias"),
            ("moving_mean", "running_mean"),
            ("moving_variance", "running_var"),
        ] {
            let value = weights[&format!("{scope}/BatchNorm/{ours}")].clone();
            all.insert(format!("{norm}.{theirs}"), value);
        }
    }
    let head = kernel(weights, HEAD, false);
    let dense = [head.shape()[0], head.shape()[1]];
    all.insert("classifier.weight".into(), head.reshape(dense).unwrap());
    all.insert("classifier.bias".into(), weights[&format!("{HEAD}/biases")].clone());
    let named = all.iter().map(|(name, value)| (name.as_str(), value));
    let size = BTreeMap::from([("image_size".to_owned(), "32x32".to_owned())]);
    load("timm.safetensors", &safetensors::write(named, &size).unwrap())
}

/// Values in a file of their own, which the model names: whatever it is called, in the model's folder.
#[test]
fn weights_in_a_file_of_their_own() {
    let module = support::lively_module();
    let bytes = module.export(ExportFormat::Onnx, "m").unwrap();
    let whole = onnx::read(bytes.get("m").unwrap(), &Limits::default()).unwrap();
    // The model with all larger values at `location`, and these values.
    let apart = |location: &str| {
        let (mut model, mut values) = (whole.clone(), Vec::new());
        for tensor in &mut model.graph.as_mut().unwrap().initializer {
            let Some(raw) = tensor.raw_data.take_if(|raw| raw.len() > 64) else { continue };
            let entry =
                |key: &str, value: String| StringStringEntryProto { key: key.into(), value };
            tensor.data_location = 1;
            tensor.external_data = vec![
                entry("location", location.into()),
                entry("offset", values.len().to_string()),
                entry("length", raw.len().to_string()),
            ];
            values.extend(raw);
        }
        (onnx::write(&model), values)
    };
    let (model, values) = apart("weights.bin");
    assert!(values.len() > 100_000);
    let path = save("m.onnx", &model);
    let root = path.parent().unwrap();
    let load = |path: &std::path::Path| Module::options().threads(2).load(path.to_str().unwrap());
    let text = |path: &std::path::Path| {
        let error = load(path).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error} {source:?}")
    };
    assert!(text(&path).contains("no file `weights.bin` beside the model"), "{}", text(&path));
    std::fs::write(root.join("weights.bin"), &values).unwrap();
    for path in [path.as_path(), root] {
        agree(&module, &load(path).unwrap(), "weights.bin");
    }
    std::fs::create_dir_all(root.join("deeper")).unwrap();
    std::fs::write(root.join("deeper/x"), &values).unwrap();
    std::fs::write(&path, apart("./deeper/x").0).unwrap();
    agree(&module, &load(&path).unwrap(), "deeper");
    // The file is there, but not in the folder.
    let inner = root.join("inner");
    std::fs::create_dir_all(&inner).unwrap();
    let absolute = root.join("weights.bin");
    for location in ["../weights.bin", "deeper/../../weights.bin", absolute.to_str().unwrap()] {
        std::fs::write(inner.join("m.onnx"), apart(location).0).unwrap();
        for path in [inner.join("m.onnx"), inner.clone()] {
            assert!(text(&path).contains("leaves the model's folder"), "{}", text(&path));
        }
    }
}

#[test]
fn as_pytorch_and_timm_write_it() {
    let weights = slim();
    let expected = timm(&weights);
    let styles = [
        (true, true, false, "GlobalAveragePool"),
        (false, true, true, "GlobalAveragePool"),
        (false, false, true, "ReduceMean"),
        (true, false, false, "two means"),
    ];
    for (batch_norm, clip, constant_nodes, pool) in styles {
        let style = Style { batch_norm, clip, constant_nodes, pool, epsilon: 1e-5 };
        let found = torch(&weights, &style);
        agree(&expected, &found, pool);
        let signature = found.signature("image_feature_vector").unwrap();
        assert!(signature.output("MobilenetV1/Conv2d_13_pointwise").is_some(), "{pool}");
        let features = found.call_signature("image_feature_vector", [("images", images())]);
        assert_eq!(features.unwrap()["default"].shape(), [2, 256], "{pool}");
        // Borders on both sides are not slim's: weights alone would answer something else.
        let error = found.export("safetensors".parse().unwrap(), "x").unwrap_err().to_string();
        assert!(error.contains("Conv2d_0") && error.contains("padding"), "{error}");
    }
}

/// tf2onnx and Keras: channels last outside, TensorFlow's borders, shapes that are computed.
fn tf2onnx(weights: &Weights, softmax: bool) -> Module {
    let mut w = Writer::default();
    let mut x = w.node("Transpose", &["input_1"], vec![ints("perm", &[0, 3, 1, 2])]);
    let mut size = 32;
    for (place, (scope, torch, depthwise, stride)) in layers().into_iter().enumerate() {
        let stored = kernel(weights, &scope, depthwise);
        let channels = stored.shape()[0];
        let side = stored.shape()[2] as i64;
        // Some weights go through a Transpose or a Reshape that nobody folded.
        let kernel = match (place % 3, depthwise) {
            (1, true) => {
                let flat = stored.clone().reshape([channels, 9]).unwrap();
                let flat = w.weights(&format!("{torch}/flat"), &flat);
                let shape = w.sizes(&[channels as i64, 1, 3, 3]);
                w.node("Reshape", &[&flat, &shape], Vec::new())
            }
            (2, false) => {
                let own = weights[&format!("{scope}/weights")].clone();
                let own = w.weights(&format!("{torch}/hwio"), &own);
                w.node("Transpose", &[&own], vec![ints("perm", &[3, 2, 0, 1])])
            }
            _ => w.weights(&format!("{torch}/kernel"), &stored),
        };
        let mut attributes = vec![ints("strides", &[stride; 2])];
        let before = if size % 2 == 0 && stride == 2 { 0 } else { 1 };
        match (side, place % 2) {
            (1, _) => {}
            (_, 0) => attributes.push(text("auto_pad", "SAME_UPPER")),
            // Keras pads by a layer of its own where it strides.
            _ if stride == 2 => {
                let pads = w.sizes(&[0, 0, before, before, 0, 0, 1, 1]);
                x = w.node("Pad", &[&x, &pads], vec![text("mode", "constant")]);
            }
            _ => attributes.push(ints("pads", &[before, before, 1, 1])),
        }
        if depthwise {
            attributes.push(int("group", channels as i64));
        }
        size = (size + stride - 1) / stride;
        x = w.node("Conv", &[&x, &kernel], attributes);
        let part = |leaf: &str| weights[&format!("{scope}/BatchNorm/{leaf}")].clone();
        let mut inputs = vec![x];
        for leaf in ["gamma", "beta", "moving_mean", "moving_variance"] {
            inputs.push(w.weights(&format!("{torch}/{leaf}"), &part(leaf)));
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        x = w.node("BatchNormalization", &inputs, vec![float("epsilon", 1e-3)]);
        x = w.node("Clip", &[&x], vec![float("min", 0.0), float("max", 6.0)]);
    }
    // GlobalAveragePooling2D with keepdims, Conv2D, Reshape to the classes.
    x = w.node("GlobalAveragePool", &[&x], Vec::new());
    let head = w.weights("conv_preds/kernel", &kernel(weights, HEAD, false));
    let bias = w.weights("conv_preds/bias", &weights[&format!("{HEAD}/biases")]);
    x = w.node("Conv", &[&x, &head, &bias], Vec::new());
    x = w.node("Transpose", &[&x], vec![ints("perm", &[0, 2, 3, 1])]);
    let shape = w.node("Shape", &[&x], Vec::new());
    let shape = w.node("Cast", &[&shape], vec![int("to", DataType::Int32 as i64)]);
    let (start, end) = (w.sizes(&[0]), w.sizes(&[1]));
    let batch = w.node("Slice", &[&shape, &start, &end], Vec::new());
    let classes = w.constant(Tensor::vector(vec![5i32]));
    let shape = w.node("Concat", &[&batch, &classes], vec![int("axis", 0)]);
    let shape = w.node("Cast", &[&shape], vec![int("to", DataType::Int64 as i64)]);
    x = w.node("Reshape", &[&x, &shape], Vec::new());
    if softmax {
        x = w.node("Softmax", &[&x], vec![int("axis", -1)]);
    }
    w.finish("input_1", [-1, 32, 32, 3], &x)
}

#[test]
fn as_tf2onnx_and_keras_write_it() {
    let weights = slim();
    let expected = support::lively_module();
    for softmax in [false, true] {
        let found = tf2onnx(&weights, softmax);
        agree(&expected, &found, "tf2onnx");
        // TensorFlow's borders: the weights are slim's.
        let alone = found.export("safetensors".parse().unwrap(), "x.safetensors").unwrap();
        let alone = load("x.safetensors", alone.get("x.safetensors").unwrap());
        agree(&expected, &alone, "weights");
    }
}

/// Sizes computed in other ways, and ReLUs of other bounds.
#[test]
fn sizes_and_bounds() {
    let build = |write: &dyn Fn(&mut Writer) -> String| {
        let mut w = Writer::default();
        let output = write(&mut w);
        w.finish("x", [-1, 3, 4, 4], &output)
    };
    let module = build(&|w| {
        let low = w.scalar(-0.25);
        let high = w.scalar(0.5);
        let x = w.node("Clip", &["x", &low, &high], Vec::new());
        let x = w.node("GlobalAveragePool", &[&x], Vec::new());
        let shape = w.node("Shape", &[&x], Vec::new());
        let first = w.constant(Tensor::new([], vec![0i64]).unwrap());
        let batch = w.node("Gather", &[&shape, &first], Vec::new());
        let axis = w.sizes(&[0]);
        let batch = w.node("Unsqueeze", &[&batch, &axis], Vec::new());
        let rest = w.sizes(&[3]);
        let shape = w.node("Concat", &[&batch, &rest], vec![int("axis", 0)]);
        let x = w.node("Reshape", &[&x, &shape], Vec::new());
        let weights = Tensor::new([3, 2], vec![1f32, 0.0, 0.0, 1.0, 1.0, 1.0]).unwrap();
        let weights = w.weights("w", &weights);
        w.node("MatMul", &[&x, &weights], Vec::new())
    });
    let pixels = support::pixels(48, 3);
    let answer = rows(&module.call(&Tensor::new([1, 4, 4, 3], pixels.clone()).unwrap()).unwrap());
    let mut means = [0.0f64; 3];
    for (place, &value) in pixels.iter().enumerate() {
        means[place % 3] += (f64::from(value) * 2.0 - 1.0).clamp(-0.25, 0.5) / 16.0;
    }
    let expected = [means[0] + means[2], means[1] + means[2]];
    assert!(difference(&answer[0], &expected) <= 1e-6, "{answer:?} {expected:?}");
}

/// Nothing in a network says which pixel values it wants; who wrote it, and which MobileNet it is, does.
#[test]
fn pixel_values_by_who_published_the_network() {
    let module = |producer, adds: bool| {
        let mut w = Writer { producer, ..Writer::default() };
        let pass = (0..9).map(|i: usize| f32::from(u8::from(i.is_multiple_of(4))));
        let pass = Tensor::new([3, 3, 1, 1], pass.collect::<Vec<f32>>()).unwrap();
        let kernel = w.weights("kernel", &pass);
        let mut x = w.node("Conv", &["input", &kernel], Vec::new());
        if adds {
            x = w.node("Add", &[&x, &x], Vec::new());
        }
        let x = w.node("GlobalAveragePool", &[&x], Vec::new());
        let x = w.node("Flatten", &[&x], Vec::new());
        let head = w.weights("head", &pass.reshape([3, 3]).unwrap());
        let x = w.node("Gemm", &[&x, &head], Vec::new());
        w.finish("input", [-1, 3, 4, 4], &x)
    };
    let grey = Tensor::new([1, 4, 4, 3], vec![0.5f32; 48]).unwrap();
    let imagenet = [0.485, 0.456, 0.406].into_iter().zip([0.229, 0.224, 0.225]);
    let imagenet: Vec<f64> = imagenet.map(|(mean, by)| 2.0 * (0.5 - mean) / by).collect();
    for (producer, adds, answer, said) in [
        ("pytorch", true, imagenet, "ImageNet's mean and deviation assumed"),
        ("pytorch", false, vec![0.0; 3], "[-1, 1] assumed"),
        ("tf2onnx", true, vec![0.0; 3], "[-1, 1] assumed"),
    ] {
        let module = module(producer, adds);
        let notes = module.notes();
        assert!(notes.iter().any(|note| note.contains(said)), "{producer} {adds}: {notes:?}");
        let ours = rows(&module.call(&grey).unwrap());
        assert!(difference(&ours[0], &answer) <= 1e-5, "{producer} {adds}: {ours:?} {answer:?}");
    }
}
