//! Real modules against TensorFlow's numbers, in float32 and recomputed in float64.
//!
//! Tolerances: logits 1e-4 absolute (TensorFlow's own float32 is up to 4.9e-5 from float64),
//! end points and feature vectors 1e-4 of their largest value.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

mod support;

use mobilenet_engine::Graph;
use mobilenet_formats::Tensor;
use support::{Golden, MODULES, difference, images, largest, module, reals, rows, session};

/// The golden file of a module; all with the weights of 025_192 agree.
fn golden_of(name: &str) -> Option<Golden> {
    let size = if name.contains("_128") { "128" } else { "192" };
    Golden::open(&format!("mobilenet_v1_025_{size}_classification_1"))
}

/// (key in `inputs`, prefix in the golden file, rows there)
fn inputs_of(name: &str) -> &'static [(&'static str, &'static str, &'static [usize])] {
    if name.contains("_128") {
        return &[("128/plain", "plain", &[1, 4])];
    }
    &[("192/plain", "plain", &[0, 1, 4, 17]), ("192/slim_eval", "slim_eval", &[0, 1, 4, 17])]
}

const FEATURES: &str = "hub_output/feature_vector/SpatialSqueeze:0";
const LOGITS: &str = "MobilenetV1/Logits/SpatialSqueeze:0";

#[test]
fn logits_and_feature_vectors_of_every_module_agree_with_tensorflow() {
    let Some(inputs) = Golden::open("inputs") else { return };
    for name in MODULES {
        let (Some(module), Some(golden)) = (module(name), golden_of(name)) else { return };
        let meta = module.meta_graph(&[]).unwrap();
        let graph = Graph::import(meta.graph_def().unwrap()).unwrap();
        let is_classifier = graph.find("MobilenetV1/Logits/SpatialSqueeze").is_some();
        let outputs = if is_classifier { vec![FEATURES, LOGITS] } else { vec![FEATURES] };
        for (key, prefix, indices) in inputs_of(name) {
            let x = inputs.tensor(key);
            let size = x.shape()[1];
            let mut session = session(&module, &graph, images(None, size, size), &outputs, 1);
            let got = session.call(&[&x]).unwrap();
            for suffix in ["", "_float64"] {
                let wanted =
                    rows(&golden.tensor(&format!("{prefix}/feature_vector{suffix}")), indices);
                let worst = difference(&reals(&got[0]), &wanted) / largest(&wanted);
                println!("{name} {key} features{suffix}: {worst:.2e} of the largest");
                assert!(worst < 1e-4);
                if is_classifier {
                    let wanted = rows(&golden.tensor(&format!("{prefix}/logits{suffix}")), indices);
                    let worst = difference(&reals(&got[1]), &wanted);
                    println!("{name} {key} logits{suffix}: {worst:.2e}");
                    assert!(worst < 1e-4);
                }
            }
        }
    }
}

#[test]
fn every_end_point_agrees_with_tensorflow_alone_and_together() {
    let Some(golden) = Golden::open("endpoints_025_192") else { return };
    let x = golden.tensor("images");
    for name in MODULES.into_iter().filter(|name| !name.contains("_128")) {
        let Some(module) = module(name) else { return };
        let meta = module.meta_graph(&[]).unwrap();
        let graph = Graph::import(meta.graph_def().unwrap()).unwrap();
        let signature = meta.signature("image_feature_vector").unwrap();
        let keys: Vec<&String> = signature.outputs.keys().filter(|key| *key != "default").collect();
        let keys: Vec<&String> = keys
            .into_iter()
            .filter(|key| !golden.names(&format!("endpoint/{key}")).is_empty())
            .collect();
        let names: Vec<String> = keys
            .iter()
            .map(|key| support::output_name(meta, "image_feature_vector", key))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(names.len() >= 27, "{names:?}");
        let together =
            session(&module, &graph, images(None, 192, 192), &names, 1).call(&[&x]).unwrap();
        let mut worst = 0.0f64;
        for ((key, tensor), got) in keys.iter().zip(&names).zip(&together) {
            let wanted = reals(&golden.tensor(&format!("endpoint/{key}")));
            assert_eq!(got.shape(), golden.tensor(&format!("endpoint/{key}")).shape(), "{key}");
            let alone = session(&module, &graph, images(Some(1), 192, 192), &[tensor], 1);
            let alone = { alone }.call(&[&x]).unwrap();
            for got in [got, &alone[0]] {
                let difference = difference(&reals(got), &wanted) / largest(&wanted);
                assert!(difference < 1e-4, "{name} {key}: {difference:.2e}");
                worst = worst.max(difference);
            }
        }
        println!("{name}: {} end points within {worst:.2e} of their largest value", names.len());
    }
}

#[test]
fn a_module_of_version_3_takes_any_size() {
    let name = "mobilenet_v1_025_192/classification/3";
    let (Some(module), Some(inputs)) = (module(name), Golden::open("inputs")) else { return };
    let Some(golden) = Golden::open("mobilenet_v1_025_192_classification_3") else { return };
    let graph = Graph::import(module.meta_graph(&[]).unwrap().graph_def().unwrap()).unwrap();
    let x = inputs.tensor("128/plain");
    let got = session(&module, &graph, images(None, 128, 128), &[LOGITS], 1).call(&[&x]).unwrap();
    let wanted = rows(&golden.tensor("size_128/logits"), &[1, 4]);
    let worst = difference(&reals(&got[0]), &wanted);
    println!("128x128: {worst:.2e}");
    assert!(worst < 1e-4);
}

#[test]
fn a_module_of_version_3_takes_photos_as_they_are() {
    let name = "mobilenet_v1_025_192/classification/3";
    let (Some(module), Some(photos)) = (module(name), Golden::open("decoded")) else { return };
    let Some(golden) = Golden::open("mobilenet_v1_025_192_classification_3") else { return };
    let graph = Graph::import(module.meta_graph(&[]).unwrap().graph_def().unwrap()).unwrap();
    for file in ["n01443537_goldfish.JPEG", "n02817516_bearskin.JPEG"] {
        let rgb = photos.tensor(&format!("{file}/rgb"));
        let &[height, width, _] = rgb.shape() else { panic!("an image has rank 3") };
        let x: Vec<f32> =
            rgb.as_u8().unwrap().iter().map(|&v| f32::from(v) * (1.0 / 255.0)).collect();
        let x = Tensor::new([1, height, width, 3], x).unwrap();
        let outputs = [LOGITS, "MobilenetV1/MobilenetV1/Conv2d_13_pointwise/Relu6:0"];
        let got =
            session(&module, &graph, images(None, height, width), &outputs, 1).call(&[&x]).unwrap();
        let logits = reals(&golden.tensor(&format!("native_size/{file}/logits")));
        let features = golden.tensor(&format!("native_size/{file}/Conv2d_13_pointwise"));
        assert_eq!(got[1].shape(), features.shape());
        let worst = difference(&reals(&got[0]), &logits);
        println!("{file}, {height}x{width}: {worst:.2e}");
        // At 95x95 the nine last pixels weigh most: TensorFlow's float32 is 6.4e-5 from float64.
        assert!(worst < 1e-4);
        let features = reals(&features);
        assert!(difference(&reals(&got[1]), &features) / largest(&features) < 1e-4);
    }
}

#[test]
fn frozen_graphs_agree_with_tensorflow() {
    use mobilenet_engine::{Error, ErrorKind, Plan, PlanOptions, Pool, Session, Shape};
    use mobilenet_formats::tensorflow::messages::GraphDef;
    use prost::Message as _;

    let Some(golden) = Golden::open("endpoints_025_192") else { return };
    let x = golden.tensor("images");
    let slim: Vec<f32> = x.as_f32().unwrap().iter().map(|x| 2.0 * x - 1.0).collect();
    let slim = Tensor::new(x.shape(), slim).unwrap();
    let wanted = reals(&golden.tensor("endpoint/MobilenetV1/Logits"));
    let none = |name: &str| Err(Error::new(ErrorKind::NotFound, name));
    for (file, input, x, count) in [
        ("mobilenet_v1_0.25_192_frozen_google.pb", "input:0", &slim, Some(1)),
        ("mobilenet_v1_0.25_192_frozen_module.pb", "images:0", &x, None),
    ] {
        let path = format!("formats/mobilenet_v1_025_192/{file}");
        let Some(bytes) = support::shared(&path) else { return };
        let definition = GraphDef::decode(bytes.as_slice()).unwrap();
        let graph = Graph::import(&definition).unwrap();
        assert!(graph.to_graph_def() == definition);
        let shape: Shape = images(count, 192, 192);
        let outputs = ["MobilenetV1/Logits/SpatialSqueeze", "MobilenetV1/Predictions/Reshape_1"];
        let plan =
            Plan::compile(&graph, &none, &[(input, shape)], &outputs, &PlanOptions::default());
        let got = Session::new(plan.unwrap().into(), Pool::single().into()).call(&[x]).unwrap();
        let worst = difference(&reals(&got[0]), &wanted);
        println!("{file}: {worst:.2e}");
        assert!(worst < 1e-4);
        assert!((reals(&got[1]).iter().sum::<f64>() - 1.0).abs() < 1e-5);
    }
}

#[test]
fn every_meta_graph_survives_a_round_trip() {
    for name in MODULES {
        let Some(module) = module(name) else { return };
        for meta in module.saved_model().meta_graphs() {
            let definition = meta.graph_def().unwrap();
            assert!(Graph::import(definition).unwrap().to_graph_def() == *definition, "{name}");
        }
    }
}
