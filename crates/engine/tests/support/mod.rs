//! What the tests share: the reference data beside the repository, modules, comparisons.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]
#![allow(dead_code, reason = "every test file uses another part")]
#![allow(clippy::unwrap_used, reason = "tests")]

pub mod network;

use std::path::PathBuf;
use std::sync::Arc;

use mobilenet_engine::{Error, ErrorKind, Graph, Plan, PlanOptions, Pool, Session, Shape};
use mobilenet_formats::safetensors::SafeTensors;
use mobilenet_formats::tensorflow::{HubModule, MetaGraph};
use mobilenet_formats::{Limits, Tensor, archive};

/// Every module of the reference data.
pub const MODULES: [&str; 8] = [
    "mobilenet_v1_025_192/classification/1",
    "mobilenet_v1_025_192/feature_vector/1",
    "mobilenet_v1_025_192/classification/3",
    "mobilenet_v1_025_128/classification/1",
    "variants/mobilenet_v1_025_192_unfused",
    "variants/mobilenet_v1_025_192_tf17style",
    "variants/mobilenet_v1_025_192_refvars",
    "variants/mobilenet_v1_025_192_nodropout",
];

/// A file of the reference data, or `None`, with the reason printed.
pub fn shared(path: &str) -> Option<Vec<u8>> {
    let root = std::env::var_os("MOBILENET_SHARED").map(PathBuf::from);
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    match std::fs::read(root.unwrap_or_else(beside).join(path)) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            println!("skipped: no reference data {path}: {error}");
            None
        }
    }
}

/// A module of the reference data.
pub fn module(name: &str) -> Option<HubModule> {
    let bytes = shared(&format!("modules/{name}.tar.gz"))?;
    let files = archive::read(&bytes, &Limits::default()).unwrap();
    Some(HubModule::read(&files, &Limits::default()).unwrap())
}

/// Golden tensors by name.
pub struct Golden(Vec<u8>);

impl Golden {
    /// `golden/{name}.safetensors`
    pub fn open(name: &str) -> Option<Self> {
        Some(Self(shared(&format!("golden/{name}.safetensors"))?))
    }

    /// The tensor `name`.
    pub fn tensor(&self, name: &str) -> Tensor {
        SafeTensors::read(&self.0, &Limits::default()).unwrap().tensor(name).unwrap()
    }

    /// The names that start with `prefix`.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        let file = SafeTensors::read(&self.0, &Limits::default()).unwrap();
        file.names().filter(|name| name.starts_with(prefix)).map(str::to_owned).collect()
    }
}

/// The variables of a module, as a plan asks for them.
pub fn variables(module: &HubModule) -> impl Fn(&str) -> Result<Arc<Tensor>, Error> {
    |name| match module.variable(name) {
        Ok(tensor) => Ok(Arc::new(tensor)),
        Err(error) => Err(Error::new(ErrorKind::NotFound, error.to_string()).with_source(error)),
    }
}

/// The tensor behind an output key of a signature.
pub fn output_name(meta: &MetaGraph, signature: &str, key: &str) -> String {
    let signature = meta.signature(signature).unwrap();
    signature.outputs[key].encoding.clone().map(|e| encoding_name(&e)).unwrap()
}

fn encoding_name(
    encoding: &mobilenet_formats::tensorflow::messages::tensor_info::Encoding,
) -> String {
    use mobilenet_formats::tensorflow::messages::tensor_info::Encoding;
    match encoding {
        Encoding::Name(name) => name.clone(),
        other => panic!("{other:?}"),
    }
}

/// `[?, height, width, 3]`, or with a number of images.
pub fn images(count: Option<usize>, height: usize, width: usize) -> Shape {
    Shape::new(vec![count, Some(height), Some(width), Some(3)])
}

/// A session of `outputs` fed by `hub_input/images:0`.
pub fn session(
    module: &HubModule,
    graph: &Graph,
    shape: Shape,
    outputs: &[&str],
    threads: usize,
) -> Session {
    let options = PlanOptions { threads, ..PlanOptions::default() };
    let inputs = [("hub_input/images:0", shape)];
    let plan = Plan::compile(graph, &variables(module), &inputs, outputs, &options).unwrap();
    Session::new(Arc::new(plan), Arc::new(Pool::new(threads)))
}

/// As `f64`.
pub fn reals(tensor: &Tensor) -> Vec<f64> {
    match (tensor.as_f32(), tensor.as_f64()) {
        (Some(values), _) => values.iter().map(|&value| value.into()).collect(),
        (_, Some(values)) => values.to_vec(),
        _ => panic!("{} is not floating point", tensor.dtype()),
    }
}

/// The largest absolute difference.
pub fn difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let worse = |worst: f64, (a, b): (&f64, &f64)| {
        let difference = (a - b).abs();
        if difference.is_nan() { f64::INFINITY } else { worst.max(difference) }
    };
    a.iter().zip(b).fold(0.0, worse)
}

/// The largest absolute value.
pub fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, value| largest.max(value.abs()))
}

/// Rows `rows` of a tensor.
pub fn rows(tensor: &Tensor, rows: &[usize]) -> Vec<f64> {
    let values = reals(tensor);
    let row = values.len() / tensor.shape()[0];
    rows.iter().flat_map(|&i| values[i * row..][..row].to_vec()).collect()
}
