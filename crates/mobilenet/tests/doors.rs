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

use std::path::{Path, PathBuf};

use mobilenet::{ErrorKind, Module, Scores};
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
    let difference = difference_from_golden(&shared, &module);
    println!("{file}: {difference:e}");
    assert!(difference <= 1e-4, "{file}: {difference:e}");
    assert_eq!(module.expected_image_size().unwrap(), (192, 192));
    let golden = Golden::open(&shared, "endpoints_025_192");
    let images = golden.tensor("images");
    let outputs = module.call_signature("image_feature_vector", [("images", &images)]).unwrap();
    for key in ["Conv2d_0", "Conv2d_3_depthwise", "Conv2d_13_pointwise"] {
        let key = format!("MobilenetV1/{key}");
        let expected = golden.tensor(&format!("endpoint/{key}"));
        let (a, b) = (rows(&outputs[&key]), rows(&expected));
        assert!(difference_of(&a[0], &b[0]) <= 1e-3, "{file}: {key}");
    }
    assert_eq!(outputs["default"].shape(), [1, 256]);
}

fn difference_of(a: &[f64], b: &[f64]) -> f64 {
    difference(a, b)
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
