//! Finding and reading the reference data; tests skip with a printed reason where it is absent.
#![allow(dead_code, unreachable_pub)] // each test file uses a part
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::path::PathBuf;

use safetensors::{Dtype, SafeTensors};

/// A file or folder of the reference data, or `None` (and a printed reason) where it is absent.
pub fn shared(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("MOBILENET_SHARED").map(PathBuf::from);
    let root =
        root.unwrap_or_else(|| [env!("CARGO_MANIFEST_DIR"), "../../../shared"].iter().collect());
    let path = root.join(name);
    if !path.exists() {
        println!("skipped: {} is absent", path.display());
        return None;
    }
    Some(path)
}

/// A golden file's bytes.
pub fn golden(name: &str) -> Option<Vec<u8>> {
    shared(&format!("golden/{name}.safetensors")).map(|path| std::fs::read(path).unwrap())
}

/// A float tensor's shape and values.
pub fn floats(file: &SafeTensors<'_>, name: &str) -> (Vec<usize>, Vec<f32>) {
    let tensor = file.tensor(name).unwrap();
    assert_eq!(tensor.dtype(), Dtype::F32, "{name}");
    let values = tensor.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    (tensor.shape().to_vec(), values)
}

/// Mean and maximum absolute difference.
pub fn difference<'a>(
    ours: impl IntoIterator<Item = &'a f32>,
    theirs: impl IntoIterator<Item = &'a f32>,
) -> (f64, f64) {
    let (mut sum, mut max, mut count) = (0.0, 0.0f64, 0);
    for (a, b) in ours.into_iter().zip(theirs) {
        let d = (f64::from(*a) - f64::from(*b)).abs();
        sum += d;
        max = max.max(if d.is_nan() { f64::INFINITY } else { d });
        count += 1;
    }
    (sum / f64::from(count.max(1)), max)
}

/// A line of `images.json`.
pub struct Sample {
    pub file: String,
    pub height: usize,
    pub width: usize,
    pub rgb_sha256: String,
    pub bytes: Vec<u8>,
}

/// The 24 test images.
pub fn samples() -> Vec<Sample> {
    let Some(folder) = shared("images") else { return Vec::new() };
    let list = std::fs::read(folder.join("images.json")).unwrap();
    let list: Vec<serde_json::Value> = serde_json::from_slice(&list).unwrap();
    let sample = |entry: &serde_json::Value| {
        let file = entry["file"].as_str().unwrap().to_owned();
        Sample {
            bytes: std::fs::read(folder.join(&file)).unwrap(),
            height: entry["height"].as_u64().unwrap() as usize,
            width: entry["width"].as_u64().unwrap() as usize,
            rgb_sha256: entry["rgb_sha256"].as_str().unwrap().to_owned(),
            file,
        }
    };
    list.iter().map(sample).collect()
}
