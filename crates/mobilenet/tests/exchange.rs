//! Every way from one format to another: what can hold the network gives it back, and what cannot
//! says so.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

mod support;

use std::path::Path;

use mobilenet::builder::MobilenetV1;
use mobilenet::{ErrorKind, ExportFormat, Module, Normalization, Tensor};
use mobilenet_formats::tensorflow::messages::{AttrValue, GraphDef, attr_value::Value};
use prost::Message as _;
use support::{difference, rows, save};

/// A format, and what it keeps besides the network.
struct Format {
    name: &'static str,
    output: &'static str,
    labels: bool,
    /// The weights are variables when it is read.
    variables: bool,
    /// How far answers may be apart, relative to the largest.
    tolerance: f64,
}

/// float32 rounding of constants folded in another order.
const FLOATS: f64 = 1e-5;
/// Each weight of 28 layers rounded to 11 bits, by 2.4e-4 of it on average.
const HALVES: f64 = 2e-3;

const fn format(name: &'static str, output: &'static str, labels: bool, variables: bool) -> Format {
    Format { name, output, labels, variables, tolerance: FLOATS }
}

const FORMATS: [Format; 10] = [
    format("hub", "module", true, true),
    format("hub-archive", "module.tar.gz", true, true),
    format("saved-model", "saved", true, true),
    format("frozen", "frozen.pb", false, false),
    format("checkpoint", "model.ckpt", false, true),
    format("onnx", "model.onnx", true, false),
    format("tflite", "model.tflite", true, false),
    format("safetensors", "model.safetensors", true, true),
    format("npz", "model.npz", false, true),
    Format { tolerance: HALVES, ..format("tflite-f16", "half.tflite", true, false) },
];

fn load(path: &Path) -> Module {
    let loaded = Module::options().threads(1).load(path.to_str().unwrap());
    loaded.unwrap_or_else(|e| panic!("{path:?}: {e}"))
}

/// `module` in another format and back.
fn through(module: &Module, format: &Format) -> Module {
    let to: ExportFormat = format.name.parse().unwrap();
    let files = module.export(to, format.output).unwrap_or_else(|e| panic!("{}: {e}", format.name));
    let folder = save("empty", b"").with_file_name(format.name);
    for (path, bytes) in files.iter() {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    load(&folder.join(format.output))
}

fn logits(module: &Module) -> Vec<f64> {
    let images = Tensor::new([2, 32, 32, 3], support::pixels(2 * 32 * 32 * 3, 11)).unwrap();
    rows(&module.call(&images).unwrap()).concat()
}

fn agree(a: &[f64], b: &[f64], tolerance: f64, what: &str) {
    let largest = a.iter().fold(1.0f64, |most, value| most.max(value.abs()));
    let off = difference(a, b) / largest;
    println!("{what}: {off:.1e}");
    assert!(off <= tolerance, "{what}: {off:e}");
}

/// The network in `first`, from there into `second`, and back into `first`.
fn round_trips(first: &Format) {
    let tiny = support::lively_module();
    let start = through(&tiny, first);
    // From here on, what the first format keeps.
    let expected = logits(&start);
    agree(&logits(&tiny), &expected, first.tolerance, first.name);
    assert_eq!(start.variables().is_empty(), !first.variables, "{}", first.name);
    assert_eq!(start.own_labels().unwrap().is_some(), first.labels, "{}", first.name);
    for second in &FORMATS {
        let what = format!("{} to {}", first.name, second.name);
        if second.name.starts_with("tflite") && !first.labels {
            let error = start.export(second.name.parse().unwrap(), "x").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Labels, "{what}: {error}");
            continue;
        }
        let there = through(&start, second);
        // What is rounded already stays.
        let tolerance = if first.tolerance == HALVES { FLOATS } else { second.tolerance };
        agree(&expected, &logits(&there), tolerance, &what);
        assert_eq!(there.expected_image_size().unwrap(), (32, 32), "{what}");
        assert_eq!(there.own_labels().unwrap().is_some(), first.labels && second.labels, "{what}");
        let end_point = "MobilenetV1/Conv2d_7_pointwise";
        let features = there.signature("image_feature_vector").unwrap();
        assert!(features.output(end_point).is_some(), "{what}: no {end_point}");
        if second.labels || !first.name.starts_with("tflite") {
            let back = logits(&through(&there, first));
            agree(&expected, &back, tolerance, &format!("{what} and back"));
        }
    }
}

macro_rules! round_trips {
    ($($name:ident: $place:expr,)*) => {
        $(#[test]
        fn $name() {
            round_trips(&FORMATS[$place]);
        })*
    };
}

round_trips! {
    from_a_hub_module: 0,
    from_a_hub_archive: 1,
    from_a_saved_model: 2,
    from_a_frozen_graph: 3,
    from_a_checkpoint: 4,
    from_onnx: 5,
    from_tflite: 6,
    from_safetensors: 7,
    from_a_numpy_archive: 8,
    from_tflite_of_halves: 9,
}

/// A network for images of any size ("version 3") keeps the usual one, wherever it goes and from there.
#[test]
fn a_network_for_any_size_keeps_the_usual_one() {
    let network = MobilenetV1 { configurable: true, ..support::tiny_network() };
    let start = support::lively_module_of(&network);
    let expected = logits(&start);
    for first in &FORMATS {
        let there = through(&start, first);
        agree(&expected, &logits(&there), first.tolerance, first.name);
        assert_eq!(there.expected_image_size().unwrap(), (32, 32), "{}", first.name);
        for second in FORMATS.iter().filter(|second| !second.name.starts_with("tflite")) {
            let what = format!("{} to {}", first.name, second.name);
            let back = through(&there, second);
            agree(&expected, &logits(&back), first.tolerance.max(second.tolerance), &what);
            assert_eq!(back.expected_image_size().ok(), Some((32, 32)), "{what}");
        }
    }
}

/// Weights alone hold no graph: what they want to see travels beside them.
#[test]
fn another_normalisation_travels_with_the_weights() {
    let range = Normalization::new([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]).unwrap();
    let weights = support::lively_module().export(ExportFormat::SafeTensors, "x").unwrap();
    let path = save("x.safetensors", weights.get("x").unwrap());
    let chosen = Module::options().threads(1).normalization(range);
    let chosen = chosen.load(path.to_str().unwrap()).unwrap();
    let expected = logits(&chosen);
    assert!(difference(&expected, &logits(&load(&path))) > 1e-2);
    for format in &FORMATS {
        agree(&expected, &logits(&through(&chosen, format)), format.tolerance, format.name);
    }
}

/// A graph that is not slim's network goes nowhere that holds slim's weights alone.
#[test]
fn other_networks_are_refused_by_node() {
    let frozen = support::lively_module().export(ExportFormat::FrozenGraph, "x").unwrap();
    let graph = GraphDef::decode(frozen.get("x").unwrap()).unwrap();
    let changed = |node: &str, op: Option<&str>, attribute: Option<(&str, Value)>| {
        let mut graph = graph.clone();
        let found = graph.node.iter_mut().find(|found| found.name.ends_with(node)).unwrap();
        op.into_iter().for_each(|op| found.op = op.to_owned());
        if let Some((key, value)) = attribute {
            found.attr.insert(key.to_owned(), AttrValue { value: Some(value) });
        }
        load(&save("changed.pb", &graph.encode_to_vec()))
    };
    let valid = Value::S(b"VALID".to_vec());
    for (module, said) in [
        (changed("Conv2d_3_pointwise/Relu6", Some("Relu"), None), ["Conv2d_3_pointwise", "`Relu`"]),
        (
            changed("Conv2d_0/Conv2D", None, Some(("padding", valid))),
            ["Conv2d_0", "padding is VALID, not SAME"],
        ),
    ] {
        for name in ["checkpoint", "safetensors", "npz"] {
            let error = module.export(name.parse().unwrap(), "x").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Graph);
            let text = error.to_string();
            assert!(said.iter().all(|said| text.contains(said)), "{name}: {text}");
        }
        // As a hub module it is the graph of constants.
        let hub = through(&module, &FORMATS[1]);
        assert!(hub.variables().is_empty());
        agree(&logits(&module), &logits(&hub), FLOATS, "hub");
    }
}
