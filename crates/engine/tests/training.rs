//! The training graph run forwards: batch statistics, moving averages, regularisation, dropout.
//!
//! Tolerances: TensorFlow's own float32 is up to 3.2e-4 from float64 in the logits and 3.7e-8
//! (relative, L2) in the moving averages at momentum 0.9997; a smaller momentum lets more of its
//! error through, 5e-7 at 0.99.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

mod support;

use std::sync::Arc;

use mobilenet_engine::{Graph, Plan, PlanOptions, Pool, Session, Shape};
use mobilenet_formats::Tensor;
use mobilenet_formats::tensorflow::HubModule;
use mobilenet_vision::{Crop, DecodeOptions, Preprocess, Resize, decode};
use support::{Golden, difference, images, module, reals, variables};

const IMAGES: &str = "hub_input/images:0";
const LOGITS: &str = "MobilenetV1/Logits/SpatialSqueeze:0";
const PHOTOS: [&str; 8] = [
    "n01440764_tench.JPEG",
    "n01443537_goldfish.JPEG",
    "n02096051_Airedale.JPEG",
    "n02391049_zebra.JPEG",
    "n07920052_espresso.JPEG",
    "n04146614_school_bus.JPEG",
    "n07745940_strawberry.JPEG",
    "n11939491_daisy.JPEG",
];

/// The batch of the goldens, `[8, 192, 192, 3]`.
fn batch() -> Option<Tensor> {
    let resize: Resize = "tf2-bilinear".parse().unwrap();
    let preprocess = Preprocess { crop: Crop::None, resize, height: 192, width: 192 };
    let row = 192 * 192 * 3;
    let mut pixels = vec![0.0; 8 * row];
    for (photo, out) in PHOTOS.iter().zip(pixels.chunks_exact_mut(row)) {
        let bytes = support::shared(&format!("images/{photo}"))?;
        preprocess.run(&decode(&bytes, &DecodeOptions::default()).unwrap(), out).unwrap();
    }
    Some(Tensor::new([8, 192, 192, 3], pixels).unwrap())
}

/// A session of the training graph that gives `outputs` and runs the update ops.
fn train(
    module: &HubModule,
    inputs: &[(&str, Shape)],
    outputs: &[&str],
    threads: usize,
) -> Session {
    let meta = module.meta_graph(&["train"]).unwrap();
    let graph = Graph::import(meta.graph_def().unwrap()).unwrap();
    let targets = meta.update_ops().unwrap().to_vec();
    let options = PlanOptions { threads, targets, ..PlanOptions::default() };
    let plan = Plan::compile(&graph, &variables(module), inputs, outputs, &options).unwrap();
    Session::new(Arc::new(plan), Arc::new(Pool::new(threads)))
}

/// The largest relative L2 difference of the moving averages.
fn worst_average(session: &Session, golden: &Golden, prefix: &str, suffix: &str) -> f64 {
    let mut worst = 0.0f64;
    assert_eq!(session.variables().len(), 54);
    for name in session.variables() {
        let wanted = reals(&golden.tensor(&format!("{prefix}after_update/{name}{suffix}")));
        let got = reals(&session.variable(name).unwrap().to_tensor().unwrap());
        let square = |sum: f64, x: f64| sum + x * x;
        let off = got.iter().zip(&wanted).map(|(a, b)| a - b).fold(0.0, square).sqrt();
        worst = worst.max(off / wanted.iter().copied().fold(0.0, square).sqrt());
    }
    worst
}

#[test]
fn batch_statistics_and_moving_averages_agree_with_tensorflow() {
    let (Some(golden), Some(x)) = (Golden::open("train"), batch()) else { return };
    let Some(module) = module("variants/mobilenet_v1_025_192_nodropout") else { return };
    let losses = module.meta_graph(&["train"]).unwrap().regularization_losses().unwrap();
    let mut outputs = vec![LOGITS];
    outputs.extend(losses.iter().map(String::as_str));
    let inputs = [(IMAGES, images(Some(8), 192, 192))];
    let mut first: Option<Vec<Tensor>> = None;
    for threads in [1, 2] {
        let mut session = train(&module, &inputs, &outputs, threads);
        let got = session.call(&[&x]).unwrap();
        for (suffix, tolerance) in [("", 3.5e-4), ("_float64", 1e-4)] {
            let wanted = reals(&golden.tensor(&format!("logits{suffix}")));
            let worst = difference(&reals(&got[0]), &wanted);
            println!("training logits{suffix}: {worst:.2e}");
            assert!(worst < tolerance);
        }
        let sum: f64 = got[1..].iter().map(|loss| reals(loss)[0]).sum();
        let wanted = reals(&golden.tensor("reg_loss_float64"))[0];
        println!("regularisation loss: {:.2e}", (sum - wanted).abs());
        assert!((sum - wanted).abs() < 2e-8);
        let each: Vec<f64> = got[1..].iter().map(|loss| reals(loss)[0]).collect();
        let worst = difference(&each, &reals(&golden.tensor("reg_losses")));
        println!("each of them: {worst:.2e}");
        assert!(worst < 2e-8);
        let worst = worst_average(&session, &golden, "", "#float64");
        println!("moving averages: {worst:.2e}");
        assert!(worst < 5e-8);
        assert_eq!(*first.get_or_insert_with(|| got.clone()), got, "{threads} threads");
    }
}

#[test]
fn unfused_batch_norm_agrees_with_tensorflow() {
    let (Some(golden), Some(x)) = (Golden::open("train"), batch()) else { return };
    // With dropout, which changes the logits but no moving average.
    let Some(module) = module("variants/mobilenet_v1_025_192_unfused") else { return };
    let inputs = [(IMAGES, images(Some(8), 192, 192))];
    let mut session = train(&module, &inputs, &[LOGITS], 2);
    session.call(&[&x]).unwrap();
    let worst = worst_average(&session, &golden, "unfused/", "");
    println!("moving averages: {worst:.2e}");
    assert!(worst < 5e-8);
}

#[test]
fn old_variables_and_old_batch_norm_are_trained_alike() {
    let (Some(golden), Some(x)) = (Golden::open("train"), batch()) else { return };
    for name in ["refvars", "tf17style"] {
        let Some(module) = module(&format!("variants/mobilenet_v1_025_192_{name}")) else { return };
        let inputs = [(IMAGES, images(Some(8), 192, 192))];
        let mut session = train(&module, &inputs, &[LOGITS], 2);
        session.call(&[&x]).unwrap();
        let worst = worst_average(&session, &golden, "", "#float64");
        println!("{name}, moving averages: {worst:.2e}");
        assert!(worst < 5e-8);
    }
}

#[test]
fn the_momentum_of_version_3_is_an_input() {
    let (Some(golden), Some(x)) = (Golden::open("train"), batch()) else { return };
    let Some(module) = module("mobilenet_v1_025_192/classification/3") else { return };
    let momentum = ("hub_input/batch_norm_momentum:0", Shape::scalar());
    let pixels = (IMAGES, images(Some(8), 192, 192));
    let mut session = train(&module, &[pixels.clone(), momentum], &[LOGITS], 2);
    let given = Tensor::new([], vec![0.997f32]).unwrap();
    session.call(&[&x, &given]).unwrap();
    let worst = worst_average(&session, &golden, "v3/momentum_0.997/", "");
    println!("momentum 0.997: {worst:.2e}");
    assert!(worst < 1e-6);
    let mut session = train(&module, &[pixels], &[LOGITS], 2);
    session.call(&[&x]).unwrap();
    let worst = worst_average(&session, &golden, "v3/momentum_0.99/", "");
    println!("momentum 0.99 by default: {worst:.2e}");
    assert!(worst < 1e-6);
}

#[test]
fn dropout_draws_by_seed_and_run() {
    let (Some(module), Some(x)) = (module("mobilenet_v1_025_192/classification/1"), batch()) else {
        return;
    };
    let graph = Graph::import(module.meta_graph(&["train"]).unwrap().graph_def().unwrap()).unwrap();
    let dropped = "MobilenetV1/Logits/Dropout_1b/dropout/random_uniform/RandomUniform";
    let mut session =
        support::session(&module, &graph, images(Some(8), 192, 192), &[LOGITS, dropped], 2);
    session.set_seed(7, 0);
    let (first, second) = (session.call(&[&x]).unwrap(), session.call(&[&x]).unwrap());
    assert_ne!(first[1], second[1], "another run draws other numbers");
    session.set_seed(7, 0);
    assert_eq!(session.call(&[&x]).unwrap(), first, "the same run draws the same");
    session.set_seed(8, 0);
    assert_ne!(session.call(&[&x]).unwrap()[1], first[1], "another seed draws others");
}
