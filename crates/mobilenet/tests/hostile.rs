//! Damaged and hostile model files, all the way through the importers: an error that says where,
//! never a panic. The parsers' own tests are beside them in `mobilenet-formats`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

mod support;

use mobilenet::{ExportFormat, Limits, MemoryFiles, Module, Result, Tensor};
use mobilenet_formats::onnx;
use mobilenet_formats::tensorflow::messages::{
    AttrValue, FunctionDef, GraphDef, NodeDef, attr_value::Value,
};
use mobilenet_formats::tflite::{
    BuiltinOperator, BuiltinOptions, Model, OperatorCode, Padding, Pool2DOptions, append_files,
};
use prost::Message as _;
use support::folders::{self, narrow};
use support::functions::{KERNEL, call, function, saved_model};

fn export(name: &str) -> Vec<u8> {
    let format: ExportFormat = name.parse().unwrap();
    narrow().export(format, "model").unwrap().get("model").unwrap().to_vec()
}

fn load(bytes: &[u8]) -> Result<Module> {
    let mut files = MemoryFiles::default();
    files.insert("model", bytes);
    Module::options().threads(1).load_files(files, Some("model"))
}

/// Loading and one call: what can go wrong goes wrong in either.
fn run(bytes: &[u8]) -> Result<Tensor> {
    call_once(&load(bytes)?)
}

fn run_folder(files: MemoryFiles) -> Result<Tensor> {
    call_once(&Module::options().threads(1).load_files(files, None)?)
}

fn call_once(module: &Module) -> Result<Tensor> {
    let (height, width) = module.expected_image_size()?;
    let size = height * width * 3;
    // A damaged file may ask for any size: none that a test has no memory for.
    let images =
        if size <= 1 << 16 { vec![0.5f32; size] } else { return module.call(&one_pixel()) };
    module.call(&Tensor::new([1, height, width, 3], images)?)
}

fn one_pixel() -> Tensor {
    Tensor::new([1, 1, 1, 3], vec![0.5f32; 3]).unwrap()
}

fn text(error: &mobilenet::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text += &format!(": {inner}");
        source = inner.source();
    }
    text
}

const FILES: [&str; 6] = ["frozen", "onnx", "tflite", "tflite-f16", "safetensors", "npz"];

#[test]
fn every_truncation_is_survived() {
    for name in FILES {
        let whole = export(name);
        assert!(run(&whole).is_ok(), "{name}");
        for cut in (0..whole.len()).step_by(whole.len() / 100 + 1) {
            let cut = run(&whole[..cut]);
            // TFLite files go on in the zip of their labels, which is not needed to run.
            assert!(cut.is_err() || name.starts_with("tflite"), "{name}");
        }
    }
}

#[test]
fn changed_bytes_are_survived() {
    for name in FILES {
        let whole = export(name);
        let (mut refused, mut accepted) = (0, 0);
        for place in (0..whole.len()).step_by(whole.len() / 150 + 1) {
            for change in [0x01, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[place] ^= change;
                match run(&changed) {
                    Ok(_) => accepted += 1,
                    Err(error) => {
                        assert!(!error.to_string().is_empty());
                        refused += 1;
                    }
                }
            }
        }
        println!("{name}: {refused} refused, {accepted} accepted");
    }
}

/// Each file of a model of several cut, changed, and gone.
#[test]
fn damaged_files_of_folders_are_survived() {
    for (name, files) in folders::all() {
        assert!(run_folder(files.clone()).is_ok(), "{name}");
        let (mut refused, mut accepted) = (0, 0);
        for (path, whole) in files.iter() {
            let mut damaged: Vec<Vec<u8>> = Vec::new();
            for place in (0..whole.len()).step_by(whole.len() / 40 + 1) {
                damaged.push(whole[..place].to_vec());
                for change in [0x01, 0x80, 0xff] {
                    let mut changed = whole.to_vec();
                    changed[place] ^= change;
                    damaged.push(changed);
                }
            }
            for bytes in damaged {
                let mut folder = files.clone();
                folder.insert(path, bytes);
                match run_folder(folder) {
                    Ok(_) => accepted += 1,
                    Err(error) => {
                        assert!(!error.to_string().is_empty());
                        refused += 1;
                    }
                }
            }
            let mut without = MemoryFiles::default();
            let others = files.iter().filter(|(other, _)| *other != path);
            others.for_each(|(other, bytes)| without.insert(other, bytes));
            let needed = !["tfhub_module.pb", "assets/labels.txt", "checkpoint"].contains(&path);
            assert!(run_folder(without).is_err() || !needed, "{name} without {path}");
        }
        println!("{name}: {refused} refused, {accepted} accepted");
    }
}

#[test]
fn no_format_takes_noise() {
    for seed in 0..64 {
        let noise = support::pixels(512, seed);
        let noise: Vec<u8> = noise.iter().map(|value| (value * 256.0) as u8).collect();
        let said = text(&load(&noise).unwrap_err());
        assert!(said.contains("no model of a known kind") || said.contains("model"), "{said}");
    }
}

/// The TFLite file with one thing changed, and what loading or running it says.
fn tflite(change: impl Fn(&mut Model)) -> String {
    let mut model = Model::read(&export("tflite"), &Limits::default()).unwrap();
    change(&mut model);
    let mut labels = MemoryFiles::default();
    labels.insert("labels.txt", "cat\ndog\n");
    let bytes = append_files(model.write().unwrap(), &labels).unwrap();
    text(&run(&bytes).unwrap_err())
}

#[test]
fn strides_and_dilations_of_zero_in_tflite() {
    let said = tflite(|model| {
        for operator in &mut model.subgraphs[0].operators {
            if let BuiltinOptions::Conv2D(options) = &mut operator.builtin_options {
                options.stride_h = 0;
            }
        }
    });
    assert!(said.contains("stride"), "{said}");
    let said = tflite(|model| {
        for operator in &mut model.subgraphs[0].operators {
            if let BuiltinOptions::DepthwiseConv2D(options) = &mut operator.builtin_options {
                options.dilation_w_factor = 0;
            }
        }
    });
    assert!(said.contains("dilation"), "{said}");
    for (height, width) in [(0, 1), (1, 0), (-2, 1)] {
        let said = tflite(|model| {
            for operator in &mut model.subgraphs[0].operators {
                if let BuiltinOptions::DepthwiseConv2D(options) = &mut operator.builtin_options {
                    (options.stride_h, options.stride_w) = (height, width);
                }
            }
        });
        assert!(said.contains("stride"), "depthwise {height} {width}: {said}");
    }
    let said = tflite(|model| {
        for operator in &mut model.subgraphs[0].operators {
            if let BuiltinOptions::Conv2D(options) = &mut operator.builtin_options {
                options.stride_w = -3;
            }
        }
    });
    assert!(said.contains("stride"), "{said}");
}

/// The mean of the image as a pool over all of it, which is what older files have.
#[test]
fn pools_of_zero_in_tflite() {
    let pooled = |kind: BuiltinOperator, change: fn(&mut Pool2DOptions)| {
        tflite(|model| {
            let is_mean = |code: &OperatorCode| code.builtin() == BuiltinOperator::MEAN;
            let mean = model.operator_codes.iter().position(is_mean).unwrap() as u32;
            let code = model.operator_codes.len() as u32;
            model.operator_codes.push(OperatorCode::new(kind, 1));
            let graph = &mut model.subgraphs[0];
            let found = graph.operators.iter_mut().find(|found| found.opcode_index == mean);
            let operator = found.unwrap();
            let side = graph.tensors[operator.inputs[0] as usize].shape[1];
            let mut options = Pool2DOptions {
                padding: Padding::VALID,
                stride_h: 1,
                stride_w: 1,
                filter_height: side,
                filter_width: side,
                ..Pool2DOptions::default()
            };
            change(&mut options);
            operator.opcode_index = code;
            operator.inputs.truncate(1);
            operator.builtin_options = options.into();
        })
    };
    type Change = fn(&mut Pool2DOptions);
    let changes: [(Change, &str); 4] = [
        (|options| options.stride_h = 0, "stride"),
        (|options| options.stride_w = -1, "stride"),
        (|options| options.filter_height = 0, "ksize"),
        (|options| options.filter_width = i32::MIN, "ksize"),
    ];
    for kind in [BuiltinOperator::AVERAGE_POOL_2D, BuiltinOperator::MAX_POOL_2D] {
        for (change, word) in changes {
            let said = pooled(kind, change);
            println!("{kind:?}: {said}");
            assert!(said.contains(word), "{kind:?}, {word}: {said}");
        }
    }
}

#[test]
fn tensors_out_of_order_in_tflite() {
    let said = tflite(|model| model.subgraphs[0].operators.reverse());
    assert!(said.contains("before it is computed"), "{said}");
    let said = tflite(|model| {
        let operators = &mut model.subgraphs[0].operators;
        operators[1].outputs = operators[0].outputs.clone();
    });
    assert!(said.contains("twice"), "{said}");
    // A loop: the first operator takes what the last one gives.
    let said = tflite(|model| {
        let graph = &mut model.subgraphs[0];
        let last = graph.operators.last().unwrap().outputs[0];
        graph.operators[0].inputs[0] = last;
    });
    assert!(said.contains("before it is computed"), "{said}");
    for index in [i32::MAX, -7] {
        let said = tflite(|model| model.subgraphs[0].operators[0].inputs[0] = index);
        assert!(said.contains("missing") || said.contains("tensor"), "{said}");
        let said = tflite(|model| model.subgraphs[0].outputs[0] = index);
        assert!(said.contains("tensor"), "{said}");
    }
    let said = tflite(|model| model.subgraphs[0].operators[0].opcode_index = 1 << 20);
    assert!(said.contains("no code"), "{said}");
    let said = tflite(|model| model.subgraphs.clear());
    assert!(said.contains("no graph"), "{said}");
    let said = tflite(|model| model.subgraphs[0].inputs.clear());
    assert!(said.contains("0 inputs"), "{said}");
}

/// The ONNX file with one thing changed, and what loading or running it says.
fn onnx(change: impl Fn(&mut onnx::GraphProto)) -> String {
    let mut model = onnx::read(&export("onnx"), &Limits::default()).unwrap();
    change(model.graph.as_mut().unwrap());
    text(&run(&onnx::write(&model)).unwrap_err())
}

fn set(graph: &mut onnx::GraphProto, op: &str, attribute: &str, values: &[i64]) {
    let convolutions = graph.node.iter_mut().filter(|node| node.op_type == op);
    for node in convolutions {
        node.attribute.retain(|found| found.name != attribute && found.name != "auto_pad");
        node.attribute.push(onnx::AttributeProto {
            name: attribute.into(),
            r#type: onnx::AttributeType::Ints as i32,
            ints: values.to_vec(),
            ..Default::default()
        });
    }
}

#[test]
fn attributes_out_of_range_in_onnx() {
    for (attribute, values) in [
        ("strides", &[0, 0][..]),
        ("strides", &[-1, 1]),
        ("strides", &[i64::MAX, 1]),
        ("dilations", &[0, 1]),
        ("pads", &[-1, 0, 0, 0]),
        ("pads", &[i64::MAX; 4]),
        ("pads", &[1; 3]),
    ] {
        let said = onnx(|graph| set(graph, "Conv", attribute, values));
        assert!(said.contains(attribute), "{attribute} {values:?}: {said}");
    }
    let said = onnx(|graph| {
        for node in graph.node.iter_mut().filter(|node| node.op_type == "Conv") {
            node.attribute.retain(|found| found.name != "group");
            node.attribute.push(onnx::AttributeProto {
                name: "group".into(),
                r#type: onnx::AttributeType::Int as i32,
                i: Some(i64::MIN),
                ..Default::default()
            });
        }
    });
    assert!(said.contains("group"), "{said}");
}

/// No bytes, but sides whose product is more than a number holds.
#[test]
fn empty_kernels_with_huge_sides_in_onnx() {
    let said = onnx(|graph| {
        let name = graph.node.iter().find(|node| node.op_type == "Conv").unwrap().input[1].clone();
        let kernel = graph.initializer.iter_mut().find(|found| found.name == name).unwrap();
        (kernel.dims, kernel.float_data) = (vec![0, 3, 1 << 32, 1 << 32], vec![]);
        kernel.raw_data = kernel.raw_data.is_some().then(Vec::new);
    });
    assert!(said.contains("empty kernel"), "{said}");
}

/// A small file whose constants are large because it uses them again and again.
#[test]
fn constants_used_without_end_in_onnx() {
    let mut model = onnx::read(&export("onnx"), &Limits::default()).unwrap();
    let graph = model.graph.as_mut().unwrap();
    let turned = graph.node.iter().find(|node| node.op_type == "Transpose").unwrap();
    let convolve = |number: usize| onnx::NodeProto {
        op_type: "Conv".into(),
        input: vec![format!("image{number}"), "large".into()],
        output: vec![format!("image{}", number + 1)],
        attribute: vec![onnx::AttributeProto {
            name: "auto_pad".into(),
            r#type: onnx::AttributeType::String as i32,
            s: Some(b"SAME_UPPER".to_vec()),
            ..Default::default()
        }],
        ..Default::default()
    };
    let first = onnx::NodeProto {
        op_type: "Identity".into(),
        input: vec![turned.output[0].clone()],
        output: vec!["image0".into()],
        ..Default::default()
    };
    graph.node.extend(std::iter::once(first).chain((0..100).map(convolve)));
    graph.initializer.push(onnx::TensorProto {
        name: "large".into(),
        data_type: 1,
        dims: vec![3, 3, 32, 32],
        float_data: vec![0.0; 9 << 10],
        ..Default::default()
    });
    let path = support::save("again.onnx", &onnx::write(&model));
    let limits = Limits { file_bytes: 1 << 20, ..Limits::default() };
    let loaded = Module::options().limits(limits).load(path.to_str().unwrap());
    let said = text(&loaded.map(drop).unwrap_err());
    assert!(said.contains("each time they are used"), "{said}");
}

#[test]
fn graphs_that_go_in_circles_in_onnx() {
    let said = onnx(|graph| {
        let last = graph.node.last().unwrap().output[0].clone();
        graph.node[0].input[0] = last;
    });
    assert!(said.contains("comes from nowhere"), "{said}");
    let said = onnx(|graph| graph.initializer.clear());
    assert!(said.contains("comes from nowhere"), "{said}");
    let said = onnx(|graph| graph.input.clear());
    assert!(said.contains("one input of images"), "{said}");
    let said = onnx(|graph| graph.node[0].op_type = "Loop".into());
    assert!(said.contains("Loop"), "{said}");
}

/// The frozen graph with one node changed, and what loading or running it says.
fn frozen(change: impl Fn(&mut GraphDef)) -> String {
    let mut graph = GraphDef::decode(export("frozen").as_slice()).unwrap();
    change(&mut graph);
    text(&run(&graph.encode_to_vec()).unwrap_err())
}

#[test]
fn frozen_graphs_that_make_no_sense() {
    let strided = |graph: &mut GraphDef, strides: &[i64]| {
        let list = mobilenet_formats::tensorflow::messages::attr_value::ListValue {
            i: strides.to_vec(),
            ..Default::default()
        };
        for node in graph.node.iter_mut().filter(|node| node.op == "Conv2D") {
            let value = Some(Value::List(list.clone().into()));
            node.attr.insert("strides".into(), AttrValue { value });
        }
    };
    for strides in [&[1, 0, 0, 1][..], &[1, -2, 1, 1], &[1, 1], &[i64::MAX; 4]] {
        let said = frozen(|graph| strided(graph, strides));
        assert!(said.contains("stride"), "{strides:?}: {said}");
    }
    let said = frozen(|graph| {
        let names: Vec<String> = graph.node.iter().map(|node| node.name.clone()).collect();
        let convolution = graph.node.iter_mut().find(|node| node.op == "Conv2D").unwrap();
        convolution.input[0] = names.last().unwrap().clone();
    });
    assert!(said.contains("cycle") || said.contains("loop") || said.contains("circle"), "{said}");
    let said = frozen(|graph| graph.node[0].input.push("nobody".into()));
    assert!(said.contains("nobody"), "{said}");
    let said = frozen(|graph| {
        let twice = graph.node[0].clone();
        graph.node.push(twice);
    });
    assert!(!said.is_empty(), "{said}");
}

/// The SavedModel of functions, its graph changed, in use.
fn functions(change: impl FnOnce(&mut GraphDef)) -> Result<Tensor> {
    let module = Module::options().threads(1).load_files(saved_model(change), None)?;
    module.call(&Tensor::new([1, 4, 4, 3], [0.75f32, 0.5, 1.0].repeat(16))?)
}

fn library(graph: &mut GraphDef) -> &mut Vec<FunctionDef> {
    &mut graph.library.as_mut().unwrap().function
}

/// Functions `f0`, `f1` …, each of `calls` calls of the next; the last gives its argument. The first
/// stands before the network.
fn tower(graph: &mut GraphDef, height: usize, calls: usize) {
    for level in 0..height {
        let last = level + 1 == height;
        let next = format!("f{}", level + 1);
        let nodes: Vec<NodeDef> = match last {
            true => Vec::new(),
            false => (0..calls).map(|n| call(&format!("c{n}"), &next, &["x"])).collect(),
        };
        let gives = if last { "x" } else { "c0:output:0" };
        library(graph).push(function(&format!("f{level}"), &["x"], nodes, gives));
    }
    let pool = library(graph).iter_mut().find(|f| f.signature.as_ref().unwrap().name == "pool");
    let pool = pool.unwrap();
    pool.node_def.insert(0, call("tower", "f0", &["x"]));
    pool.node_def.iter_mut().find(|node| node.op == "Mean").unwrap().input[0] =
        "tower:output:0".into();
}

#[test]
fn functions_are_written_out() {
    let [r, g, b] = [0.5, 0.0, 1.0];
    let expected = [0, 1].map(|n| r * KERNEL[n] + g * KERNEL[2 + n] + b * KERNEL[4 + n]);
    for height in [0, 1, 29] {
        let answer = functions(|graph| {
            if height > 0 {
                tower(graph, height, 1)
            }
        })
        .unwrap();
        let answer = answer.as_f32().unwrap();
        assert!(answer.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{answer:?}");
    }
    assert!(functions(|graph| tower(graph, 6, 3)).is_ok());
}

#[test]
fn functions_that_call_themselves() {
    let itself = |graph: &mut GraphDef| {
        for function in library(graph) {
            function.node_def.insert(0, call("again", "pool", &["x"]));
        }
        library(graph).retain(|f| f.signature.as_ref().unwrap().name == "pool");
        graph.node.last_mut().unwrap().clone_from(&call(
            "serve",
            "pool",
            &["serving_default_images"],
        ));
    };
    let in_turns = |graph: &mut GraphDef| {
        library(graph)[1].node_def.push(call("back", "serve", &["x", "x"]));
    };
    let said = text(&functions(itself).unwrap_err());
    assert!(said.contains("nest more than 32 deep"), "{said}");
    let said = text(&functions(in_turns).unwrap_err());
    assert!(said.contains("nest more than 32 deep"), "{said}");
}

#[test]
fn functions_beyond_depth_and_size() {
    // 32 levels, two of which are the model's own.
    assert!(functions(|graph| tower(graph, 30, 1)).is_ok());
    for (height, calls) in [(31, 1), (400, 1), (25, 2), (4, 100)] {
        let said = text(&functions(|graph| tower(graph, height, calls)).unwrap_err());
        assert!(said.contains("nest more than 32 deep or are too large"), "{height}: {said}");
    }
    // No call, but more nodes than a graph of ours has.
    let said = functions(|graph| {
        let idle = support::functions::node("idle", "NoOp", &[], Vec::new());
        let number = |n: usize| NodeDef { name: format!("idle{n}"), ..idle.clone() };
        library(graph)[1].node_def.extend((0..1 << 18).map(number));
    });
    assert!(text(&said.unwrap_err()).contains("too large"));
}

#[test]
fn functions_that_make_no_sense() {
    let said = functions(|graph| library(graph).truncate(1)).unwrap_err();
    assert!(text(&said).contains("calls `pool`, which is not there"), "{}", text(&said));
    let said = functions(|graph| library(graph)[1].signature.as_mut().unwrap().input_arg.clear());
    assert!(text(&said.unwrap_err()).contains("calls `pool` with 1 of 0 inputs"));
    let cuts: [fn(&mut GraphDef); 8] = [
        |graph| library(graph)[0].ret.clear(),
        |graph| library(graph)[1].ret.clear(),
        |graph| library(graph)[0].node_def.clear(),
        |graph| library(graph)[1].node_def.clear(),
        |graph| graph.node.clear(),
        |graph| {
            let far = format!("nobody:output:{}", u64::MAX);
            library(graph)[1].node_def[1].input[0] = far;
        },
        |graph| library(graph)[1].node_def[1].input[0] = "mean:output:0".into(),
        |graph| {
            let shared = "elsewhere".as_bytes().to_vec();
            let shared = AttrValue { value: Some(Value::S(shared)) };
            graph.node[1].attr.insert("shared_name".into(), shared);
        },
    ];
    for cut in cuts {
        let said = text(&functions(cut).unwrap_err());
        println!("{said}");
        assert!(!said.is_empty());
    }
}
