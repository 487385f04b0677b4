//! A module written in every format and read back answers as before; exchange.rs goes from each
//! format into each other.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

mod support;

use std::path::{Path, PathBuf};

use mobilenet::{ExportFormat, Module, Tensor};
use support::{difference, rows};

fn load(path: &Path) -> Module {
    Module::options()
        .threads(2)
        .load(path.to_str().unwrap())
        .unwrap_or_else(|e| panic!("{path:?}: {e}"))
}

/// The output of an export called `name`, in a folder of its own.
fn export(module: &Module, format: ExportFormat, folder: &str, name: &str) -> PathBuf {
    let folder =
        std::env::temp_dir().join(format!("mobilenet-convert-{}", std::process::id())).join(folder);
    for (path, bytes) in module.export(format, name).unwrap().iter() {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    folder.join(name)
}

const FORMATS: [(&str, &str); 9] = [
    ("hub", "module"),
    ("hub-archive", "module.tar.gz"),
    ("saved-model", "saved"),
    ("frozen", "frozen.pb"),
    ("checkpoint", "model.ckpt"),
    ("onnx", "model.onnx"),
    ("tflite", "model.tflite"),
    ("safetensors", "model.safetensors"),
    ("npz", "model.npz"),
];

fn images(size: usize) -> Tensor {
    Tensor::new([2, size, size, 3], support::pixels(2 * size * size * 3, 11)).unwrap()
}

/// Relative to the largest answer: float32 rounding of constants folded in another order.
fn agree(a: &Module, b: &Module, size: usize, what: &str) {
    let (a, b) = (rows(&a.call(&images(size)).unwrap()), rows(&b.call(&images(size)).unwrap()));
    let largest = a.iter().flatten().fold(0.0f64, |most, value| most.max(value.abs()));
    for (a, b) in a.iter().zip(&b) {
        assert!(difference(a, b) <= 1e-5 * largest.max(1.0), "{what}: {}", difference(a, b));
    }
}

#[test]
fn every_format_gives_the_module_back() {
    let module = support::tiny_module();
    for (format, name) in FORMATS {
        let path = export(&module, format.parse().unwrap(), "once", name);
        let read = load(&path);
        agree(&module, &read, 32, format);
        assert_eq!(read.expected_image_size().unwrap(), (32, 32), "{format}");
        let features =
            read.call_signature("image_feature_vector", [("images", images(32))]).unwrap();
        assert_eq!(features["default"].shape(), [2, 256], "{format}");
    }
}

#[test]
fn real_files_go_into_every_format_they_fit() {
    let Some(shared) = support::shared() else { return };
    let folder = shared.join("formats/mobilenet_v1_025_192");
    let all: Vec<&str> = FORMATS.iter().map(|(format, _)| *format).collect();
    for (file, formats) in [
        ("saved_model_tf2", all.clone()),
        ("mobilenet_v1_0.25_192.h5", all.clone()),
        ("mobilenet_v1_0.25_192.onnx", all.clone()),
        ("mobilenet_v1_0.25_192_float.tflite", all.clone()),
        ("mobilenet_v1_0.25_192_frozen_google.pb", all.clone()),
    ] {
        let module = load(&folder.join(file));
        for (format, name) in FORMATS.into_iter().filter(|(format, _)| formats.contains(format)) {
            let path = export(&module, format.parse().unwrap(), &format!("real-{file}"), name);
            agree(&module, &load(&path), 192, &format!("{file} to {format}"));
        }
    }
}
