//! Writes the seed corpora of the fuzz targets of the importers: the narrowest network in every
//! format of one file (`importers`), and models of several files (`folders`).
//!
//!     cargo run -p mobilenet --example fuzz_seeds_importers -- fuzz/corpus
#![allow(clippy::unwrap_used, reason = "a tool for developers")]
#![allow(dead_code, unreachable_pub, reason = "the tests use more of what they share")]

#[path = "../tests/support/folders.rs"]
mod folders;
#[path = "../tests/support/functions.rs"]
mod functions;

use std::path::PathBuf;

use mobilenet::{ExportFormat, MemoryFiles};

/// The names that files may have, by their place.
const NAMES: &str = include_str!("../../../fuzz/folder_names.txt");

fn main() {
    let corpus = PathBuf::from(std::env::args().nth(1).unwrap_or("fuzz/corpus".into()));
    let put = |target: &str, name: &str, bytes: &[u8]| {
        std::fs::create_dir_all(corpus.join(target)).unwrap();
        std::fs::write(corpus.join(target).join(name), bytes).unwrap();
    };
    let module = folders::narrow();
    for name in ["frozen", "onnx", "tflite", "tflite-f16", "safetensors", "npz"] {
        let format: ExportFormat = name.parse().unwrap();
        let files = module.export(format, name).unwrap();
        put("importers", name, files.get(name).unwrap());
        if name == "npz" {
            put("npy", "archive", files.get(name).unwrap());
        }
    }
    for (name, files) in folders::all() {
        put("folders", name, &packed(&files));
    }
}

/// Several files as one input: see `folder` in `fuzz/src/lib.rs`.
fn packed(files: &MemoryFiles) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(files.iter().count()).unwrap()];
    for (path, file) in files.iter() {
        let place = NAMES.lines().position(|name| name == path);
        bytes.push(u8::try_from(place.unwrap()).unwrap());
        bytes.extend(u32::try_from(file.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(file);
    }
    bytes
}
