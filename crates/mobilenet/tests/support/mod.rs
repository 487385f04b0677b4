//! What the tests of this crate share: a tiny module made in code, and the reference data where
//! it is there.
#![allow(clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "this is test code")]

pub mod folders;
pub mod functions;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use mobilenet::builder::{MobilenetV1, VariableSpec};
use mobilenet::{Limits, Module, Tensor};
use mobilenet_formats::archive::{self, Compression};
use mobilenet_formats::safetensors::SafeTensors;
use mobilenet_formats::tensorflow::{HubModule, SavedModel};

/// The seed of everything random here.
pub const SEED: u64 = 20_260_101;

/// A network small enough for any machine: 0.25 deep, 32x32 pixels, 5 classes.
pub fn tiny_network() -> MobilenetV1 {
    MobilenetV1 { classes: Some(5), ..MobilenetV1::new(0.25, [32, 32]) }
}

/// A hub module of `network` with random weights; `labels` go to its assets.
pub fn archive_of(network: &MobilenetV1, labels: Option<&str>) -> Vec<u8> {
    let mut model = SavedModel::default();
    model.push_meta_graph(network.inference_graph());
    model.push_meta_graph(network.training_graph());
    for variable in network.variables() {
        model.set_variable(&variable.name, variable.initial_tensor(SEED).unwrap());
    }
    if let Some(labels) = labels {
        model.set_file("assets/labels.txt", labels);
    }
    archive::write(&HubModule::new(model).to_files().unwrap(), Compression::None).unwrap()
}

/// A file in a temporary folder of its own: tests of one process may use the same name at once.
pub fn save(name: &str, archive: &[u8]) -> PathBuf {
    static SAVED: AtomicUsize = AtomicUsize::new(0);
    let number = SAVED.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("mobilenet-tests-{}", std::process::id()));
    let folder = folder.join(number.to_string());
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    std::fs::write(&path, archive).unwrap();
    path
}

/// A folder that goes away with the test.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let name = format!("mobilenet-tests-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The tiny network with labels, loaded.
pub fn tiny_module() -> Module {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    let labels = "background\ncat\ndog\nhorse\nzebra\n";
    let path = PATH.get_or_init(|| save("tiny.tar", &archive_of(&tiny_network(), Some(labels))));
    Module::options().threads(2).load(path.to_str().unwrap()).unwrap()
}

/// Weights that keep what layers answer in range, so that every layer matters: kernels by He's rule,
/// batch norms that do something.
pub fn lively(variable: &VariableSpec) -> Tensor {
    let seed = variable.name.bytes().fold(7u32, |sum, byte| sum.wrapping_mul(31) + u32::from(byte));
    let length = variable.shape.iter().product();
    let leaf = variable.name.rsplit('/').next().unwrap_or_default();
    let inputs: usize = match leaf {
        "depthwise_weights" => 9,
        "weights" => variable.shape[..3].iter().product(),
        _ => 1,
    };
    let (low, high) = match leaf {
        "gamma" => (0.8, 1.6),
        "moving_variance" => (0.5, 1.5),
        "depthwise_weights" | "weights" => {
            // Uniform values of the variance 2 / inputs.
            let reach = (6.0 / inputs as f32).sqrt();
            (-reach, reach)
        }
        _ => (-0.3, 0.5),
    };
    let values = pixels(length, seed).into_iter().map(|value| low + (high - low) * value);
    Tensor::new(variable.shape.clone(), values.collect::<Vec<f32>>()).unwrap()
}

/// The tiny network with such weights and labels.
pub fn lively_module() -> Module {
    lively_module_of(&tiny_network())
}

/// A network of 5 classes with such weights and labels.
pub fn lively_module_of(network: &MobilenetV1) -> Module {
    let mut hub = network.module(|variable| Ok(lively(variable))).unwrap();
    hub.saved_model_mut().set_file("assets/labels.txt", "background\ncat\ndog\nhorse\nzebra\n");
    Module::options().threads(2).load_files(hub.to_files().unwrap(), None).unwrap()
}

/// Values in [0, 1] that depend on the position and on `seed`.
pub fn pixels(length: usize, seed: u32) -> Vec<f32> {
    let value = |i: u32| {
        let mixed = (i ^ seed.rotate_left(16)).wrapping_mul(0x9e37_79b9);
        ((mixed ^ (mixed >> 15)) >> 8) as f32 / (1u32 << 24) as f32
    };
    (0..length as u32).map(value).collect()
}

/// The folder of reference data, or `None` after saying why the test is skipped.
pub fn shared() -> Option<PathBuf> {
    let folder = match std::env::var_os("MOBILENET_SHARED") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
    };
    if folder.join("golden").is_dir() {
        return Some(folder);
    }
    println!("skipped: no reference data at {}", folder.display());
    None
}

/// A file of golden tensors.
pub struct Golden(Vec<u8>);

impl Golden {
    pub fn open(shared: &Path, name: &str) -> Golden {
        Golden(std::fs::read(shared.join("golden").join(format!("{name}.safetensors"))).unwrap())
    }

    pub fn tensor(&self, name: &str) -> Tensor {
        self.file().tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn names(&self) -> Vec<String> {
        self.file().names().map(str::to_owned).collect()
    }

    fn file(&self) -> SafeTensors<'_> {
        SafeTensors::read(&self.0, &Limits::default()).unwrap()
    }

    /// `[rows, …]` as rows of numbers; float64 is rounded.
    pub fn rows(&self, name: &str) -> Vec<Vec<f64>> {
        rows(&self.tensor(name))
    }
}

/// `[rows, …]` as rows of numbers.
pub fn rows(tensor: &Tensor) -> Vec<Vec<f64>> {
    let values: Vec<f64> = match (tensor.as_f32(), tensor.as_f64()) {
        (Some(values), _) => values.iter().copied().map(f64::from).collect(),
        (_, Some(values)) => values.to_vec(),
        _ => panic!("neither float32 nor float64"),
    };
    let length = values.len() / tensor.shape()[0].max(1);
    values.chunks(length).map(<[f64]>::to_vec).collect()
}

/// The rows `indices` of `[rows, …]`.
pub fn pick(tensor: &Tensor, indices: &[usize]) -> Tensor {
    let length = tensor.len() / tensor.shape()[0];
    let values = tensor.as_f32().unwrap();
    let rows = indices.iter().flat_map(|&i| values[i * length..(i + 1) * length].iter().copied());
    let mut shape = tensor.shape().to_vec();
    shape[0] = indices.len();
    Tensor::new(shape, rows.collect::<Vec<f32>>()).unwrap()
}

/// The largest absolute difference.
pub fn difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// The places of the `k` largest, largest first.
pub fn top(values: &[f64], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    order.truncate(k);
    order
}
