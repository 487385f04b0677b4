//! Writes the seed corpus of the fuzz target of the importers: the narrowest network in every
//! format of one file.
//!
//!     cargo run -p mobilenet --example fuzz_seeds_importers -- fuzz/corpus
#![allow(clippy::unwrap_used, reason = "a tool for developers")]

use std::path::PathBuf;

use mobilenet::builder::MobilenetV1;
use mobilenet::{ExportFormat, Module};

fn main() {
    let corpus = PathBuf::from(std::env::args().nth(1).unwrap_or("fuzz/corpus".into()));
    let folder = corpus.join("importers");
    std::fs::create_dir_all(&folder).unwrap();
    let network = MobilenetV1 { classes: Some(2), ..MobilenetV1::new(0.008, [32, 32]) };
    let mut hub = network.module(|variable| variable.initial_tensor(1)).unwrap();
    hub.saved_model_mut().set_file("assets/labels.txt", "cat\ndog\n");
    let module = Module::options().load_files(hub.to_files().unwrap(), None).unwrap();
    for name in ["frozen", "onnx", "tflite", "tflite-f16", "safetensors", "npz"] {
        let format: ExportFormat = name.parse().unwrap();
        let files = module.export(format, name).unwrap();
        std::fs::write(folder.join(name), files.get(name).unwrap()).unwrap();
    }
}
