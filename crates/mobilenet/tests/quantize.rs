//! Out to TFLite and back, in floats and in 8 bits, and files that lie: on a tiny network made here.
//! What 8 bits lose: of Google's network, on photos.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

mod support;

use std::fs::File;
use std::io::BufReader;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use mobilenet::evaluation::LabelledImages;
use mobilenet::explain::Explainer;
use mobilenet::export::tflite::WeightType;
use mobilenet::quantize::{
    QuantizeOptions, Quantized, RangeMethod, calibration_images, carries_ranges, quantize,
};
use mobilenet::training::{Job, QuantizationAwareOptions, Shares, recipe};
use mobilenet::{
    Choice, Classifier, ExportFormat, Limits, Module, Preprocessing, Request, Tensor, synset_index,
};
use mobilenet_engine::interpret::interpret;
use mobilenet_engine::{Attributes, Graph, Shape, TensorId};
use mobilenet_formats::DType;
use mobilenet_formats::archive::{self, Compression};
use mobilenet_formats::tensorflow::messages::{
    AttrValue, CollectionDef, MetaGraphDef, SignatureDef, TensorInfo, TensorShapeProto, attr_value,
    collection_def, meta_graph_def, tensor_info, tensor_shape_proto::Dim,
};
use mobilenet_formats::tensorflow::{HubModule, SavedModel};
use mobilenet_formats::tflite::{
    BuiltinOperator, BuiltinOptions, Model, Operator, OperatorCode, PadOptions, Padding,
    QuantizationParameters, append_files, associated_files,
};
use mobilenet_train::dataset::Sample;
use ruzstd::decoding::StreamingDecoder;
use support::{SEED, Scratch, difference, pixels, rows, save, shared, tiny_network};

const SIDE: usize = 32;

/// The tiny network with weights so large that its activations neither vanish nor explode.
fn lively_module() -> Module {
    let network = tiny_network();
    let mut model = SavedModel::default();
    model.push_meta_graph(network.inference_graph());
    for variable in network.variables() {
        let value = variable.initial_tensor(SEED).unwrap();
        let shape = value.shape().to_vec();
        let gain = match (variable.name.ends_with("weights"), shape.as_slice()) {
            (true, &[h, w, _, 1]) => (2.0 / (h * w) as f32).sqrt() / 0.09,
            (true, &[h, w, inner, _]) => (2.0 / (h * w * inner) as f32).sqrt() / 0.09,
            _ => 1.0,
        };
        let values: Vec<f32> = value.as_f32().unwrap().iter().map(|value| value * gain).collect();
        model.set_variable(&variable.name, Tensor::new(shape, values).unwrap());
    }
    model.set_file("assets/labels.txt", "background\ncat\ndog\nhorse\nzebra\n");
    let files = HubModule::new(model).to_files().unwrap();
    let name = format!("lively-{:?}.tar", std::thread::current().id());
    load(&name, &archive::write(&files, Compression::None).unwrap()).unwrap()
}

fn image(seed: u32) -> Tensor {
    Tensor::new([1, SIDE, SIDE, 3], pixels(SIDE * SIDE * 3, seed)).unwrap()
}

fn load(name: &str, bytes: &[u8]) -> mobilenet::Result<Module> {
    Module::options().threads(2).load(save(name, bytes).to_str().unwrap())
}

fn logits(module: &Module, image: &Tensor) -> Vec<f64> {
    let outputs = module.call_signature("image_classification", [("images", image)]).unwrap();
    rows(&outputs["default"]).swap_remove(0)
}

fn small(options: &QuantizeOptions) -> Quantized {
    quantize(&lively_module(), (0..8).map(|seed| Ok(image(seed))), options).unwrap()
}

#[test]
fn a_module_as_tflite_gives_the_same_logits() {
    let module = lively_module();
    for (weights, tolerance) in [(WeightType::Float32, 1e-4), (WeightType::Float16, 2e-2)] {
        let bytes = module.to_tflite(weights).unwrap();
        let back = load(&format!("{weights:?}.tflite"), &bytes).unwrap();
        let (ours, theirs) = (logits(&back, &image(1)), logits(&module, &image(1)));
        let largest = theirs.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let off = difference(&ours, &theirs) / largest;
        println!("{weights:?}: {off:.1e} of the largest logit");
        assert!(off <= tolerance, "{weights:?}: {off}");
        assert_eq!(back.labels(5).unwrap(), module.labels(5).unwrap());
        assert_eq!(back.expected_image_size().unwrap(), (SIDE, SIDE));
        assert!(back.notes().is_empty(), "{:?}", back.notes());
        let vector = back.call_signature("image_feature_vector", [("images", &image(1))]);
        assert_eq!(vector.unwrap()["default"].shape(), [1, 256]);
    }
}

#[test]
fn a_quantised_module_runs_on_bytes_and_stays_near() {
    let module = lively_module();
    // Noise has no outliers to cut off: the least divergence does it no good.
    let methods = [
        (RangeMethod::MinMax, 0.1),
        (RangeMethod::Percentile(99.99), 0.1),
        (RangeMethod::Entropy, 0.6),
    ];
    for (ranges, tolerance) in methods {
        let quantized = small(&QuantizeOptions { ranges, ..QuantizeOptions::default() });
        let back = load("small.tflite", &quantized.to_tflite().unwrap()).unwrap();
        let summary = back.runner(&Request::new("image_classification")).unwrap();
        let steps = summary.plan().summary().steps;
        assert!(steps.iter().all(|step| step.kernel.contains("_u8")), "{steps:?}");
        let (ours, theirs) = (logits(&back, &image(3)), logits(&module, &image(3)));
        let spread = theirs.iter().fold(f64::MIN, |m, v| m.max(*v))
            - theirs.iter().fold(f64::MAX, |m, v| m.min(*v));
        let off = difference(&ours, &theirs) / spread;
        println!("{ranges}: {off:.3} of the spread of the logits");
        assert!(off < tolerance, "{ranges}: {off}");
    }
}

/// The lively network with half of the channels between its convolutions a hundredth as large, and
/// read by weights a hundred times as large: the same in floats, and hard to round.
fn uneven_module() -> Module {
    let lively = lively_module();
    let network = tiny_network();
    let mut model = SavedModel::default();
    model.push_meta_graph(network.inference_graph());
    let shrinks = |channel: usize| if channel.is_multiple_of(2) { 0.01 } else { 1.0 };
    for (name, shape) in lively.variables() {
        let value = lively.variable(&name).unwrap();
        let pointwise = name.contains("_pointwise/");
        let factor = |i: usize| match shape.as_slice() {
            // What a depthwise convolution reads grows back.
            &[_, _, _, 1] if !name.contains("Conv2d_1_") => 1.0 / shrinks(i),
            [channels] if pointwise && !name.contains("_13_") && name.ends_with("beta") => {
                shrinks(i % channels)
            }
            [channels] if pointwise && !name.contains("_13_") && name.ends_with("gamma") => {
                shrinks(i % channels)
            }
            _ => 1.0,
        };
        let values = value.as_f32().unwrap().iter().enumerate();
        let values: Vec<f32> = values.map(|(i, value)| value * factor(i)).collect();
        model.set_variable(&name, Tensor::new(shape.clone(), values).unwrap());
    }
    model.set_file("assets/labels.txt", "background\ncat\ndog\nhorse\nzebra\n");
    let files = HubModule::new(model).to_files().unwrap();
    load("uneven.tar", &archive::write(&files, Compression::None).unwrap()).unwrap()
}

#[test]
fn channels_of_uneven_size_are_equalised() {
    let module = uneven_module();
    let theirs = logits(&module, &image(3));
    let off = |equalization: bool| {
        let options = QuantizeOptions { equalization, ..QuantizeOptions::default() };
        let images = (0..8).map(|seed| Ok(image(seed)));
        let bytes = quantize(&module, images, &options).unwrap().to_tflite().unwrap();
        let back = load(&format!("equal-{equalization}.tflite"), &bytes).unwrap();
        difference(&logits(&back, &image(3)), &theirs)
    };
    let (without, with) = (off(false), off(true));
    println!("logits are {without:.3} apart, equalised {with:.3}");
    assert!(with < 0.5 * without, "{with} {without}");
}

/// A node, by its attributes and inputs.
fn add(graph: &mut Graph, name: &str, op: &str, more: Attributes, inputs: &[TensorId]) -> TensorId {
    graph.add(name, op, more, inputs).unwrap().into()
}

fn constant(graph: &mut Graph, name: &str, shape: &[usize], values: Vec<f32>) -> TensorId {
    let value = Tensor::new(shape, values).unwrap();
    let attributes = Attributes::new().with_dtype("dtype", DType::F32).with_tensor("value", &value);
    add(graph, name, "Const", attributes, &[])
}

/// Where a `quantops` module keeps its weights and ranges.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stored {
    Constants,
    /// `VarHandleOp` and `ReadVariableOp`.
    Resources,
    /// `VariableV2` and `Identity`.
    References,
}

/// A graph of a `quantops` module on its way.
struct Quantops {
    graph: Graph,
    stored: Stored,
    training: bool,
    variables: Vec<(String, Tensor)>,
    /// Names of the nodes that move ranges.
    updates: Vec<String>,
}

fn float() -> Attributes {
    Attributes::new().with_dtype("T", DType::F32)
}

impl Quantops {
    /// The node that holds a value, and the one that reads it.
    fn value(&mut self, name: &str, shape: &[usize], values: Vec<f32>) -> [TensorId; 2] {
        let g = &mut self.graph;
        if self.stored == Stored::Constants {
            return [constant(g, name, shape, values); 2];
        }
        self.variables.push((name.to_owned(), Tensor::new(shape, values).unwrap()));
        let dtype = || Attributes::new().with_dtype("dtype", DType::F32);
        let shape = Shape::new(shape.iter().map(|&extent| Some(extent)).collect::<Vec<_>>());
        let holds = dtype().with_shape("shape", &shape).with_string("shared_name", name);
        if self.stored == Stored::Resources {
            let handle = add(g, name, "VarHandleOp", holds, &[]);
            let read = format!("{name}/Read/ReadVariableOp");
            return [handle, add(g, &read, "ReadVariableOp", dtype(), &[handle])];
        }
        let reference = add(g, name, "VariableV2", holds, &[]);
        [reference, add(g, &format!("{name}/read"), "Identity", float(), &[reference])]
    }

    fn round(&mut self, name: &str, x: TensorId, ends: (f32, f32), narrow: bool) -> TensorId {
        let mut range = Vec::new();
        for (end, value, reduction) in [("min", ends.0, "Min"), ("max", ends.1, "Max")] {
            let end = format!("{name}/{end}");
            let [holder, mut read] = self.value(&end, &[], vec![value]);
            // In training, ranges of activations follow those of the batch.
            if self.training && !narrow {
                read = self.follow(&end, holder, read, x, reduction);
            }
            range.push(read);
        }
        let bits = Attributes::new().with_int("num_bits", 8).with_bool("narrow_range", narrow);
        let name = format!("{name}/FakeQuantWithMinMaxVars");
        let inputs = [x, range[0], range[1]];
        add(&mut self.graph, &name, "FakeQuantWithMinMaxVars", bits, &inputs)
    }

    /// Moves a range's end by a hundredth of the way to that of `x`, and reads it again.
    fn follow(
        &mut self,
        end: &str,
        holder: TensorId,
        read: TensorId,
        x: TensorId,
        reduction: &str,
    ) -> TensorId {
        let g = &mut self.graph;
        let axes = Tensor::new([4], vec![0i32, 1, 2, 3]).unwrap();
        let axes = Attributes::new().with_dtype("dtype", DType::I32).with_tensor("value", &axes);
        let axes = add(g, &format!("{end}/axes"), "Const", axes, &[]);
        let reduce = float().with_dtype("Tidx", DType::I32);
        let now = add(g, &format!("{end}/Batch{reduction}"), reduction, reduce, &[x, axes]);
        let off = add(g, &format!("{end}/AssignMovingAvg/sub"), "Sub", float(), &[read, now]);
        let decay = constant(g, &format!("{end}/AssignMovingAvg/decay"), &[], vec![0.01]);
        let step = add(g, &format!("{end}/AssignMovingAvg/mul"), "Mul", float(), &[off, decay]);
        let name = format!("{end}/AssignMovingAvg");
        self.updates.push(name.clone());
        if self.stored == Stored::References {
            return add(g, &name, "AssignSub", float(), &[holder, step]);
        }
        let dtype = || Attributes::new().with_dtype("dtype", DType::F32);
        add(g, &name, "AssignSubVariableOp", dtype(), &[holder, step]);
        add(g, &format!("{name}/ReadVariableOp"), "ReadVariableOp", dtype(), &[holder])
    }

    /// The weights of a layer: as `tf.contrib.quantize` leaves them, times what the batch norm scales
    /// by, where they are variables.
    fn weights(&mut self, name: &str, shape: &[usize], values: &[f32]) -> TensorId {
        if self.stored == Stored::Constants {
            return self.value(&format!("{name}/weights"), shape, values.to_vec())[1];
        }
        let halves = values.iter().map(|value| value / 2.0).collect();
        let [_, w] = self.value(&format!("{name}/weights"), shape, halves);
        let outputs = if shape[3] == 1 { shape[2] } else { shape[3] };
        let [_, gamma] = self.value(&format!("{name}/gamma"), &[outputs], vec![2.0; outputs]);
        let inputs = if shape[3] == 1 {
            let rows = Tensor::new([2], vec![outputs as i32, 1]).unwrap();
            let rows =
                Attributes::new().with_dtype("dtype", DType::I32).with_tensor("value", &rows);
            let rows = add(&mut self.graph, &format!("{name}/rows"), "Const", rows, &[]);
            let reshape = float().with_dtype("Tshape", DType::I32);
            let name = format!("{name}/scale");
            [w, add(&mut self.graph, &name, "Reshape", reshape, &[gamma, rows])]
        } else {
            [w, gamma]
        };
        add(&mut self.graph, &format!("{name}/mul_fold"), "Mul", float(), &inputs)
    }

    fn write(mut self) -> (MetaGraphDef, Vec<(String, Tensor)>) {
        let window = |stride: i64| {
            float().with_ints("strides", &[1, stride, stride, 1]).with_string("padding", "SAME")
        };
        let g = &mut self.graph;
        let shape = Shape::new(vec![None, Some(SIDE), Some(SIDE), Some(3)]);
        let images = Attributes::new().with_dtype("dtype", DType::F32).with_shape("shape", &shape);
        let images = add(g, "hub_input/images", "Placeholder", images, &[]);
        let two = constant(g, "two", &[], vec![2.0]);
        let one = constant(g, "one", &[], vec![1.0]);
        let x = add(g, "hub_input/Mul", "Mul", float(), &[images, two]);
        let mut x = add(g, "hub_input/Sub", "Sub", float(), &[x, one]);
        let layers: [(&str, &str, [usize; 4], i64); 4] = [
            ("Conv2d_0", "Conv2D", [3, 3, 3, 16], 2),
            ("Conv2d_1_depthwise", "DepthwiseConv2dNative", [3, 3, 16, 1], 1),
            ("Conv2d_1_pointwise", "Conv2D", [1, 1, 16, 32], 1),
            ("Logits", "Conv2D", [1, 1, 32, 5], 1),
        ];
        for (seed, (name, op, filter, stride)) in (40..).zip(layers) {
            if name == "Logits" {
                let axes = Tensor::new([2], vec![1i32, 2]).unwrap();
                let dtype = Attributes::new().with_dtype("dtype", DType::I32);
                let g = &mut self.graph;
                let axes = add(g, "axes", "Const", dtype.with_tensor("value", &axes), &[]);
                let mean = float().with_dtype("Tidx", DType::I32).with_bool("keep_dims", true);
                x = add(g, "global_pool", "Mean", mean, &[x, axes]);
            }
            let fan_in = if op == "Conv2D" { filter[..3].iter().product() } else { 9 };
            let scale = 4.0 / (fan_in as f32).sqrt();
            let values = pixels(filter.iter().product(), seed);
            let values: Vec<f32> = values.iter().map(|value| scale * (value - 0.45)).collect();
            let outputs = if op == "Conv2D" { filter[3] } else { filter[2] };
            let w = self.weights(name, &filter, &values);
            // As trained: a range around the weights that is not symmetric.
            let ends = (-0.5 * scale, 0.6 * scale);
            let w = self.round(&format!("{name}/weights_quant"), w, ends, true);
            let y = add(&mut self.graph, &format!("{name}/{op}"), op, window(stride), &[x, w]);
            let b = pixels(outputs, seed + 100).iter().map(|value| value - 0.3).collect();
            let [_, b] = self.value(&format!("{name}/bias"), &[outputs], b);
            // Folded batch norm leaves a plain sum.
            let sum = if self.stored == Stored::Constants { "BiasAdd" } else { "Add" };
            let y = add(&mut self.graph, &format!("{name}/add_fold"), sum, float(), &[y, b]);
            x = if name == "Logits" {
                self.round("Logits/act_quant", y, (-3.0, 3.5), false)
            } else {
                let y = add(&mut self.graph, &format!("{name}/Relu6"), "Relu6", float(), &[y]);
                self.round(&format!("{name}/act_quant"), y, (0.0, 6.0), false)
            };
        }
        let squeeze = float().with_ints("squeeze_dims", &[1, 2]);
        let logits = add(&mut self.graph, "SpatialSqueeze", "Squeeze", squeeze, &[x]);
        let info = |tensor: TensorId, shape: &[i64]| TensorInfo {
            encoding: Some(tensor_info::Encoding::Name(self.graph.tensor_name(tensor))),
            dtype: DType::F32.to_tensorflow(),
            tensor_shape: Some(TensorShapeProto {
                dim: shape.iter().map(|&size| Dim { size, ..Dim::default() }).collect(),
                ..TensorShapeProto::default()
            }),
        };
        let side = SIDE as i64;
        let signature = SignatureDef {
            inputs: [("images".to_owned(), info(images, &[-1, side, side, 3]))].into(),
            outputs: [("default".to_owned(), info(logits, &[-1, 5]))].into(),
            ..SignatureDef::default()
        };
        let mut graph_def = self.graph.to_graph_def();
        for node in &mut graph_def.node {
            // A range is read after it has moved.
            if let Some(update) = node.name.strip_suffix("/AssignMovingAvg/ReadVariableOp") {
                node.input.push(format!("^{update}/AssignMovingAvg"));
            }
        }
        let names = ["default", "image_classification"];
        let tags = if self.training { vec!["train".to_owned()] } else { Vec::new() };
        let updates = collection_def::NodeList { value: self.updates };
        let updates = CollectionDef { kind: Some(collection_def::Kind::NodeList(updates)) };
        let meta_graph = MetaGraphDef {
            meta_info_def: Some(meta_graph_def::MetaInfoDef { tags, ..Default::default() }),
            graph_def: Some(graph_def),
            signature_def: names.map(|name| (name.to_owned(), signature.clone())).into(),
            collection_def: [("update_ops".to_owned(), updates)].into(),
            ..MetaGraphDef::default()
        };
        (meta_graph, self.variables)
    }
}

/// A small network in the form of the hub's `quantops` modules, as `tf.contrib.quantize` writes
/// them: every tensor of weights rounded to a range of its own, relu6 and logits after them. In
/// variables it has a graph for training as well, which moves the ranges.
fn quantops_archive(stored: Stored) -> Vec<u8> {
    let mut model = SavedModel::default();
    for training in [false, true] {
        if training && stored == Stored::Constants {
            continue;
        }
        let (variables, updates) = (Vec::new(), Vec::new());
        let graph = Quantops { graph: Graph::new(), stored, training, variables, updates };
        let (meta_graph, variables) = graph.write();
        model.push_meta_graph(meta_graph);
        variables.into_iter().for_each(|(name, value)| model.set_variable(name, value));
    }
    model.set_file("assets/labels.txt", "background\ncat\ndog\nhorse\nzebra\n");
    let files = HubModule::new(model).to_files().unwrap();
    archive::write(&files, Compression::None).unwrap()
}

fn quantops_module() -> Module {
    load("quantops.tar", &quantops_archive(Stored::Constants)).unwrap()
}

#[test]
fn a_quantops_module_becomes_8_bits_with_its_own_ranges() {
    let module = quantops_module();
    assert!(carries_ranges(&module) && !carries_ranges(&lively_module()));
    let no_images = std::iter::empty();
    let quantized = quantize(&module, no_images, &QuantizeOptions::default()).unwrap();
    assert_eq!(quantized.images(), 0);
    let back = load("quantops.tflite", &quantized.to_tflite().unwrap()).unwrap();
    let runner = back.runner(&Request::new("image_classification")).unwrap();
    let steps = runner.plan().summary().steps;
    assert!(steps.iter().all(|step| step.kernel.contains("_u8")), "{steps:?}");
    let step = 6.5 / 255.0;
    for seed in 0..8 {
        let (ours, theirs) = (logits(&back, &image(seed)), logits(&module, &image(seed)));
        let spread = theirs.iter().map(|value| (value / step).round()).collect::<Vec<_>>();
        assert!(spread.iter().any(|value| *value != spread[0]), "{theirs:?}");
        let off = difference(&ours, &theirs) / step;
        println!("logits are {off:.2} of 255 steps apart");
        assert!(off < 2.5, "{ours:?} {theirs:?}");
    }
}

/// As the hub's modules keep them, with a second graph that moves the ranges in training.
#[test]
fn weights_and_ranges_of_quantops_may_be_variables() {
    let small = |module: &Module| {
        let quantized = quantize(module, [], &QuantizeOptions::default()).unwrap();
        load("quantops.tflite", &quantized.to_tflite().unwrap()).unwrap()
    };
    let constants = quantops_module();
    let expected = small(&constants);
    for stored in [Stored::Resources, Stored::References] {
        let path = save("quantops.tar", &quantops_archive(stored));
        let path = path.to_str().unwrap();
        let module = Module::options().threads(2).load(path).unwrap();
        assert!(carries_ranges(&module), "{stored:?}");
        assert!(module.variables().iter().any(|(name, _)| name == "Conv2d_0/act_quant/max"));
        let training = Module::options().tags(["train"]).load(path).unwrap();
        assert!(carries_ranges(&training), "{stored:?}");
        let ours = small(&module);
        for seed in 0..4 {
            let image = image(seed);
            assert_eq!(logits(&module, &image), logits(&constants, &image), "{stored:?}");
            assert_eq!(logits(&ours, &image), logits(&expected, &image), "{stored:?}");
        }
        let runner = ours.runner(&Request::new("image_classification")).unwrap();
        let steps = runner.plan().summary().steps;
        assert!(steps.iter().all(|step| step.kernel.contains("_u8")), "{stored:?}: {steps:?}");
    }
}

/// A network of 8 bits goes out as it came in, by every format that holds its integers, to the same
/// bytes; the others say which node they cannot hold.
#[test]
fn eight_bits_are_written_as_they_were_read() {
    let first = load("first.tflite", &small(&QuantizeOptions::default()).to_tflite().unwrap());
    let first = first.unwrap();
    let through = |module: &Module, format: ExportFormat, name: &str| {
        load(name, module.export(format, name).unwrap().get(name).unwrap()).unwrap()
    };
    let answers = |module: &Module| logits(module, &image(3));
    let expected = answers(&first);
    for (format, name) in [
        (ExportFormat::TfLite, "second.tflite"),
        (ExportFormat::HubArchive, "second.tar.gz"),
        (ExportFormat::FrozenGraph, "second.pb"),
    ] {
        let second = through(&first, format, name);
        assert_eq!(answers(&second), expected, "{name}");
        if format != ExportFormat::FrozenGraph {
            let third = through(&second, ExportFormat::TfLite, "third.tflite");
            assert_eq!(answers(&third), expected, "{name} and back");
        }
    }
    let refused = |module: &Module, format: ExportFormat, said: &[&str]| {
        let text = module.export(format, "x").unwrap_err().to_string();
        assert!(said.iter().all(|said| text.contains(said)), "{format}: {text}");
    };
    let elsewhere = ["write a frozen graph, a SavedModel or a hub module"];
    let floats_only = [ExportFormat::Onnx, ExportFormat::Checkpoint, ExportFormat::SafeTensors];
    for format in floats_only.into_iter().chain([ExportFormat::Numpy]) {
        refused(&first, format, &[&["(UniformQuantize)"][..], &elsewhere].concat());
    }
    refused(&first, ExportFormat::TfLiteHalf, &["UniformQuantize", "write `tflite`"]);
    let again = quantize(&first, [Ok(image(0))], &QuantizeOptions::default()).unwrap_err();
    assert!(again.to_string().contains("is of 8 bits already"), "{again}");

    let ranges = quantops_module();
    for (format, name) in
        [(ExportFormat::HubArchive, "q.tar.gz"), (ExportFormat::FrozenGraph, "q.pb")]
    {
        assert_eq!(answers(&through(&ranges, format, name)), answers(&ranges), "{name}");
    }
    let node = "_quant/FakeQuantWithMinMaxVars`: FakeQuantWithMinMaxVars has no place";
    refused(&ranges, ExportFormat::Onnx, &["(FakeQuantWithMinMaxVars)", elsewhere[0]]);
    refused(&ranges, ExportFormat::TfLite, &[node, "`mobilenet quantize` writes the 8 bits"]);
    refused(&ranges, ExportFormat::SafeTensors, &["(FakeQuantWithMinMaxVars)", elsewhere[0]]);
}

/// The graph says what its rounding approximates: plain arithmetic on it comes to the same steps.
#[test]
fn the_plan_on_bytes_is_the_graph_in_plain_arithmetic() {
    let quantized = small(&QuantizeOptions::default());
    let back = load("plain.tflite", &quantized.to_tflite().unwrap()).unwrap();
    let graph = quantized.graph();
    let (images, output) = (image(5), "probability");
    let name =
        graph.nodes().find(|(_, node)| node.op_name == "Placeholder").unwrap().1.name.clone();
    let none = |name: &str| panic!("no variable {name}");
    let plain = interpret(graph, &none, &[(&name, &images)], &[output]).unwrap();
    let plain: Vec<f64> = plain[0].as_f64().unwrap().to_vec();
    let outputs = back.call_signature("image_classification", [("images", &images)]).unwrap();
    let ours = rows(&outputs["MobilenetV1/Predictions"]).swap_remove(0);
    let off = difference(&ours, &plain) * 256.0;
    println!("probabilities are {off:.2} of 256 steps apart");
    assert!(off <= 3.0, "{ours:?} {plain:?}");
}

/// The file with an operator of its own for the borders of each strided window.
fn with_pads(bytes: &[u8]) -> Vec<u8> {
    let mut model = Model::read(bytes, &Limits::default()).unwrap();
    let borders = Tensor::new([4, 2], vec![0i32, 0, 0, 1, 0, 1, 0, 0]).unwrap();
    let borders = model.add_constant(&borders).unwrap();
    let code = model.operator_codes.len() as u32;
    model.operator_codes.push(OperatorCode::new(BuiltinOperator::PAD, 2));
    let graph = &mut model.subgraphs[0];
    let pads = graph.tensors.len() as i32;
    graph.tensors.push(borders);
    let mut operators = Vec::new();
    for mut operator in std::mem::take(&mut graph.operators) {
        let padding = match &mut operator.builtin_options {
            BuiltinOptions::Conv2D(conv) if conv.stride_h == 2 => Some(&mut conv.padding),
            BuiltinOptions::DepthwiseConv2D(conv) if conv.stride_h == 2 => Some(&mut conv.padding),
            _ => None,
        };
        if let Some(padding) = padding {
            *padding = Padding::VALID;
            let input = operator.inputs[0];
            let mut padded = graph.tensors[input as usize].clone();
            padded.shape[1] += 1;
            padded.shape[2] += 1;
            padded.shape_signature.clear();
            padded.name = format!("padded {}", operators.len());
            operator.inputs[0] = graph.tensors.len() as i32;
            graph.tensors.push(padded);
            operators.push(Operator {
                opcode_index: code,
                inputs: vec![input, pads],
                outputs: vec![operator.inputs[0]],
                builtin_options: PadOptions {}.into(),
                ..Operator::default()
            });
        }
        operators.push(operator);
    }
    graph.operators = operators;
    let labels = associated_files(bytes, &Limits::default()).unwrap();
    append_files(model.write().unwrap(), &labels).unwrap()
}

/// Zeros that an operator puts around an image are those that a window finds there: the same bytes, and
/// nothing runs in floats.
#[test]
fn pads_of_their_own_change_no_byte() {
    let bytes = small(&QuantizeOptions::default()).to_tflite().unwrap();
    let padded = with_pads(&bytes);
    let count = |bytes: &[u8]| {
        let model = Model::read(bytes, &Limits::default()).unwrap();
        let is_pad = |options: &BuiltinOptions| matches!(options, BuiltinOptions::Pad(_));
        let operators = model.subgraphs[0].operators.iter();
        operators.filter(|operator| is_pad(&operator.builtin_options)).count()
    };
    assert_eq!((count(&bytes), count(&padded)), (0, 5));
    let (plain, padded) = (load("plain.tflite", &bytes), load("padded.tflite", &padded));
    let (plain, padded) = (plain.unwrap(), padded.unwrap());
    let runner = padded.runner(&Request::new("image_classification")).unwrap();
    let steps = runner.plan().summary().steps;
    assert!(steps.iter().all(|step| step.kernel.contains("_u8")), "{steps:?}");
    for seed in 0..4 {
        assert_eq!(logits(&padded, &image(seed)), logits(&plain, &image(seed)));
    }
    // Out again, they are an operator still.
    let again = padded.to_tflite(WeightType::Float32).unwrap();
    assert_eq!(count(&again), 5);
    let again = load("again.tflite", &again).unwrap();
    assert_eq!(logits(&again, &image(5)), logits(&plain, &image(5)));
}

/// Borders that TensorFlow's `SAME` does not have, as networks of PyTorch bring them, are written as an
/// operator of their own, in floats and in 8 bits.
#[test]
fn explicit_borders_are_quantised() {
    let borders = pytorch_like_module();
    let floats = load("borders.tflite", &borders.to_tflite(WeightType::Float32).unwrap()).unwrap();
    let images = (0..8).map(|seed| Ok(image(seed)));
    let small = quantize(&borders, images, &QuantizeOptions::default()).unwrap();
    let small = load("borders.tflite", &small.to_tflite().unwrap()).unwrap();
    let runner = small.runner(&Request::new("image_classification")).unwrap();
    let steps = runner.plan().summary().steps;
    assert!(steps.iter().all(|step| step.kernel.contains("_u8")), "{steps:?}");
    let theirs = logits(&borders, &image(3));
    let spread = theirs.iter().fold(f64::MIN, |m, v| m.max(*v))
        - theirs.iter().fold(f64::MAX, |m, v| m.min(*v));
    assert!(difference(&logits(&floats, &image(3)), &theirs) <= 1e-4 * spread);
    let off = difference(&logits(&small, &image(3)), &theirs) / spread;
    println!("{off:.3} of the spread of the logits");
    assert!(off < 0.1, "{off}");
}

/// The lively network with a border of one pixel on every side of each strided window.
fn pytorch_like_module() -> Module {
    let lively = lively_module();
    let mut graph = tiny_network().inference_graph();
    let nodes = &mut graph.graph_def.as_mut().unwrap().node;
    let mut strided = 0;
    for node in nodes.iter_mut() {
        let strides = node.attr.get("strides").and_then(|attr| attr.value.clone());
        if matches!(strides, Some(attr_value::Value::List(list)) if list.i == [1, 2, 2, 1]) {
            let list =
                attr_value::ListValue { i: vec![0, 0, 1, 1, 1, 1, 0, 0], ..Default::default() };
            let mut set = |name: &str, value: attr_value::Value| {
                node.attr.insert(name.into(), AttrValue { value: Some(value) });
            };
            set("padding", attr_value::Value::S(b"EXPLICIT".to_vec()));
            set("explicit_paddings", attr_value::Value::List(list.into()));
            strided += 1;
        }
    }
    assert_eq!(strided, 5);
    let mut model = SavedModel::default();
    model.push_meta_graph(graph);
    for (name, _) in lively.variables() {
        model.set_variable(name.clone(), (*lively.variable(&name).unwrap()).clone());
    }
    model.set_file("assets/labels.txt", "background\ncat\ndog\nhorse\nzebra\n");
    let files = HubModule::new(model).to_files().unwrap();
    load("borders.tar", &archive::write(&files, Compression::None).unwrap()).unwrap()
}

type Lie = fn(&mut Model);

/// What is changed, and a word of the error.
const LIES: &[(&str, Lie, &str)] = &[
    ("a scale of 0", |model| scales(model, |q| q.scale.fill(0.0)), "scale"),
    ("a scale that is no number", |model| scales(model, |q| q.scale.fill(f32::NAN)), "scale"),
    (
        "a zero point beyond the type",
        |model| scales(model, |q| q.zero_point.fill(700)),
        "zero point",
    ),
    (
        "more scales than channels",
        |model| {
            scales(model, |q| {
                q.scale = vec![1.0; 7];
                q.zero_point = vec![0; 7];
                q.quantized_dimension = 0;
            })
        },
        "scales",
    ),
    (
        "strides of 0",
        |model| {
            for operator in &mut model.subgraphs[0].operators {
                if let BuiltinOptions::Conv2D(options) = &mut operator.builtin_options {
                    options.stride_h = 0;
                }
            }
        },
        "strides",
    ),
    (
        "an empty window",
        |model| {
            for operator in &mut model.subgraphs[0].operators {
                if let BuiltinOptions::DepthwiseConv2D(options) = &mut operator.builtin_options {
                    options.dilation_w_factor = -1;
                }
            }
        },
        "dilations",
    ),
    (
        "a buffer that is not there",
        |model| {
            for tensor in &mut model.subgraphs[0].tensors {
                if tensor.buffer != 0 {
                    tensor.buffer = 9999;
                }
            }
        },
        "buffer 9999",
    ),
    (
        "weights that were cut off",
        |model| {
            for buffer in model.buffers.iter_mut().skip(1) {
                buffer.data.truncate(buffer.data.len() / 2);
            }
        },
        "byte",
    ),
    (
        "a tensor that is not there",
        |model| model.subgraphs[0].operators[3].inputs[0] = 5000,
        "tensor 5000",
    ),
    (
        "an operator that reads its own output",
        |model| {
            let operator = &mut model.subgraphs[0].operators[2];
            operator.inputs[0] = operator.outputs[0];
        },
        "before it is computed",
    ),
    (
        "an operator without outputs",
        |model| model.subgraphs[0].operators[1].outputs.clear(),
        "outputs",
    ),
    ("an operator of no code", |model| model.subgraphs[0].operators[1].opcode_index = 77, "code"),
    ("no input", |model| model.subgraphs[0].inputs.clear(), "input"),
    (
        "grey images",
        |model| {
            let input = model.subgraphs[0].inputs[0] as usize;
            model.subgraphs[0].tensors[input].shape[3] = 1;
        },
        "colour",
    ),
    (
        "negative sides",
        |model| {
            let input = model.subgraphs[0].inputs[0] as usize;
            model.subgraphs[0].tensors[input].shape[1] = -32;
        },
        "negative",
    ),
    ("no graph", |model| model.subgraphs.clear(), "no graph"),
];

fn scales(model: &mut Model, change: impl Fn(&mut QuantizationParameters)) {
    for tensor in &mut model.subgraphs[0].tensors {
        if let Some(quantization) = &mut tensor.quantization {
            change(quantization);
        }
    }
}

#[test]
fn files_that_lie_are_refused_in_words() {
    let bytes = small(&QuantizeOptions::default()).to_tflite().unwrap();
    let honest = Model::read(&bytes, &Limits::default()).unwrap();
    let labels = associated_files(&bytes, &Limits::default()).unwrap();
    for (what, lie, word) in LIES {
        let mut model = honest.clone();
        lie(&mut model);
        let written = append_files(model.write().unwrap(), &labels).unwrap();
        let loaded = load("lie.tflite", &written);
        let loaded = loaded.and_then(|module| {
            module.call_signature("image_classification", [("images", &image(0))])
        });
        let error = loaded.map(|_| ()).expect_err(what);
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(inner) = source {
            text = format!("{text}: {inner}");
            source = inner.source();
        }
        println!("{what}: {text}");
        assert!(text.contains(word), "{what}: {text}");
    }
}

#[test]
fn nothing_to_calibrate_on_is_said() {
    let error = quantize(&lively_module(), [], &QuantizeOptions::default()).unwrap_err();
    assert!(error.to_string().contains("no images"), "{error}");
}

/// The network 0.25/192 with Google's weights.
fn real_module(shared: &Path) -> Module {
    let archive = shared.join("modules/mobilenet_v1_025_192/classification/1.tar.gz");
    Module::load(archive.to_str().unwrap()).unwrap()
}

/// The 200 labelled photos of ImageNet.
fn photos(shared: &Path) -> LabelledImages {
    let data = LabelledImages::open(&shared.join("data/imagenet-samples-200.tar")).unwrap();
    assert_eq!(data.images.len(), 200);
    data
}

/// Unpacks the 3,068 photos of clothes that are there to train on, a folder for each class. None of
/// them is among the 200.
fn clothes(shared: &Path, root: &Path) -> PathBuf {
    let folder = root.join("clothes");
    let file = File::open(shared.join("data/clothing-small.tar.zst")).unwrap();
    let mut archive = tar::Archive::new(StreamingDecoder::new(BufReader::new(file)).unwrap());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        let Ok(inside) = path.strip_prefix("clothing-small/train") else { continue };
        if entry.header().entry_type().is_file() {
            let path = folder.join(inside);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            entry.unpack(path).unwrap();
        }
    }
    folder
}

/// The likeliest class of each photo.
fn answers(module: &Module, pixels: &Preprocessing, data: &LabelledImages) -> Vec<usize> {
    let options = Classifier::options().preprocessing(pixels.clone());
    let mut worker = options.build(module.clone()).unwrap().worker();
    let mut answer = |sample: &Sample| {
        let file = sample.source.read().unwrap();
        worker.classify_bytes(&file, &Choice::top(1)).unwrap()[0].index
    };
    data.images.iter().map(&mut answer).collect()
}

/// Holds a network of 8 bits against its floats on the 200 photos, whole and as slim's evaluation
/// crops them: it may lose so many `points` of top 1, of which a photo is half a one.
fn keeps_its_accuracy(shared: &Path, floats: &Module, small: &Quantized, name: &str, points: f64) {
    let small = load("real.tflite", &small.to_tflite().unwrap()).unwrap();
    let data = photos(shared);
    let whole = floats.preprocessing().unwrap();
    let mut cropped = whole.clone();
    cropped.crop = "central:0.875".parse().unwrap();
    cropped.resize = "tf1-legacy-bilinear".parse().unwrap();
    for (way, pixels) in [("whole", whole), ("cropped", cropped)] {
        let [floats, small] = [floats, &small].map(|module| answers(module, &pixels, &data));
        let top_1 = |answers: &[usize]| {
            let right = |(answer, sample): &(&usize, &Sample)| {
                synset_index(&data.classes[sample.label]) == Some(**answer)
            };
            100.0 * answers.iter().zip(&data.images).filter(right).count() as f64 / 200.0
        };
        let (was, is) = (top_1(&floats), top_1(&small));
        let same = floats.iter().zip(&small).filter(|(a, b)| a == b).count();
        println!("{name}, {way}: top 1 {was} % -> {is} %, as in floats on {same} of 200 photos");
        assert!(is >= was - points, "{name}, {way}: {was} % -> {is} %");
        // It is 178 to 186; with biases that are not moved, 156.
        assert!(same >= 165, "{name}, {way}: {same}");
    }
}

/// Calibration alone loses at most 1.5 points, whether it sees those photos or 200 of another kind.
#[test]
fn the_real_network_keeps_its_accuracy() {
    let Some(shared) = shared() else { return };
    let scratch = Scratch::new("calibration");
    let module = real_module(&shared);
    let clothes = LabelledImages::open(&clothes(&shared, &scratch.0)).unwrap();
    let pixels = module.preprocessing().unwrap();
    for (name, data) in [("on the photos", photos(&shared)), ("on 200 of clothes", clothes)] {
        let images = calibration_images(&data.images, 200, &pixels);
        let small = quantize(&module, images, &QuantizeOptions::default()).unwrap();
        keeps_its_accuracy(&shared, &module, &small, name, 1.5);
    }
}

/// Trained rounded it loses at most 0.5 points: for one epoch of the recipe, on all 3,068 photos of
/// clothes, whose labels are not used. With one third of them or another the loss
/// on whole photos is 0.5 or 1.0.
#[test]
fn the_real_network_trained_for_8_bits_keeps_its_accuracy() {
    let Some(shared) = shared() else { return };
    let scratch = Scratch::new("aware");
    let module = real_module(&shared);
    let mut recipe = recipe("quantization-aware").unwrap();
    recipe.epochs = 1.0;
    let out = scratch.0.join("aware");
    let mut job = Job::new(clothes(&shared, &scratch.0), &out, 192, recipe);
    job.shares = Shares { validation: 0.0, test: 0.0 };
    let options = QuantizationAwareOptions::new(job, module.clone());
    let trained = options.train(&mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(trained.outcome.progress.step, 3068 / 32);
    let aware = Module::load(out.to_str().unwrap()).unwrap();
    let no_images = std::iter::empty();
    let small = quantize(&aware, no_images, &QuantizeOptions::default()).unwrap();
    keeps_its_accuracy(&shared, &module, &small, "trained rounded", 0.5);
}

#[test]
fn a_network_of_8_bits_says_what_to_explain_instead() {
    let bytes = small(&QuantizeOptions::default()).to_tflite().unwrap();
    let classifier = Classifier::new(load("explained.tflite", &bytes).unwrap()).unwrap();
    let error = Explainer::new(&classifier, None).err().unwrap().to_string();
    assert!(error.contains("8 bits has no gradients: explain the module of floats"), "{error}");
}
