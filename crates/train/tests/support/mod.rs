//! What the tests share: a real module with its objective, a batch, golden numbers.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests")]
#![allow(dead_code, reason = "every test file uses another part")]

use std::path::PathBuf;
use std::sync::Arc;

use mobilenet_engine::{Error, ErrorKind, Graph};
use mobilenet_formats::safetensors::SafeTensors;
use mobilenet_formats::tensorflow::HubModule;
use mobilenet_formats::tensorflow::messages::NodeDef;
use mobilenet_formats::{Limits, Tensor, archive};
use mobilenet_train::objective::Objective;
use mobilenet_train::trainer::TrainingGraph;

const MODULE: &str = "variants/mobilenet_v1_025_192_nodropout";

fn shared(path: &str) -> Option<Vec<u8>> {
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared"));
    let root = std::env::var_os("MOBILENET_SHARED").map_or_else(beside, PathBuf::from);
    std::fs::read(root.join(path))
        .inspect_err(|error| println!("skipped: no reference data {path}: {error}"))
        .ok()
}

/// Golden tensors by name.
pub struct Golden(Vec<u8>);

impl Golden {
    pub fn open(name: &str) -> Option<Self> {
        shared(&format!("golden/{name}.safetensors")).map(Self)
    }

    pub fn tensor(&self, name: &str) -> Tensor {
        SafeTensors::read(&self.0, &Limits::default()).unwrap().tensor(name).unwrap()
    }

    pub fn has(&self, name: &str) -> bool {
        SafeTensors::read(&self.0, &Limits::default()).unwrap().tensor(name).is_ok()
    }

    pub fn reals(&self, name: &str) -> Vec<f64> {
        let tensor = self.tensor(name);
        match (tensor.as_f32(), tensor.as_f64()) {
            (Some(values), _) => values.iter().map(|&value| value.into()).collect(),
            (_, Some(values)) => values.to_vec(),
            _ => panic!("{name} is {}", tensor.dtype()),
        }
    }
}

/// The module without dropout.
pub fn module() -> Option<HubModule> {
    module_named(MODULE)
}

/// A module of the reference data.
pub fn module_named(name: &str) -> Option<HubModule> {
    let bytes = shared(&format!("modules/{name}.tar.gz"))?;
    let files = archive::read(&bytes, &Limits::default()).unwrap();
    Some(HubModule::read(&files, &Limits::default()).unwrap())
}

/// The variables of a module, as a plan asks for them.
pub fn variables(module: &HubModule) -> impl Fn(&str) -> Result<Arc<Tensor>, Error> {
    |name| match module.variable(name) {
        Ok(tensor) => Ok(Arc::new(tensor)),
        Err(error) => Err(Error::new(ErrorKind::NotFound, error.to_string())),
    }
}

/// The graph of these tags with its objective.
pub fn training_graph(module: &HubModule, tags: &[&str]) -> TrainingGraph {
    training_graph_of(module, tags, |_| ())
}

/// As [`training_graph`], of nodes that `change` has had.
pub fn training_graph_of(
    module: &HubModule,
    tags: &[&str],
    change: impl Fn(&mut NodeDef),
) -> TrainingGraph {
    let meta = module.meta_graph(tags).unwrap();
    let mut definition = meta.graph_def().unwrap().clone();
    definition.node.iter_mut().for_each(change);
    let mut graph = Graph::from_graph_def(definition).unwrap();
    let regularization = meta.regularization_losses().unwrap().to_vec();
    let objective =
        Objective::add(&mut graph, "MobilenetV1/Logits/SpatialSqueeze:0", &regularization).unwrap();
    let trainable: Vec<String> = meta
        .trainable_variables()
        .unwrap()
        .iter()
        .map(|variable| variable.variable_name.trim_end_matches(":0").to_owned())
        .collect();
    assert_eq!((regularization.len(), trainable.len()), (15, 83));
    let update_ops = meta.update_ops().unwrap().to_vec();
    assert_eq!(update_ops.len(), if tags.is_empty() { 0 } else { 54 });
    let images = "hub_input/images:0".to_owned();
    TrainingGraph { graph, images, objective, trainable, update_ops }
}

/// Images and wanted probabilities.
pub fn batch(golden: &Golden) -> (Vec<f32>, Vec<f32>) {
    let images = golden.tensor("images").as_f32().unwrap().to_vec();
    let mut labels = vec![0.0; 8 * 1001];
    for (row, label) in golden.tensor("labels").as_i64().unwrap().iter().enumerate() {
        labels[row * 1001 + *label as usize] = 1.0;
    }
    (images, labels)
}

/// `|got - want| / |want|`.
pub fn relative<T: Copy + Into<f64>>(got: &[T], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let gap = norm(&mut got.iter().zip(want).map(|(&got, want)| got.into() - want));
    gap / norm(&mut want.iter().copied()).max(1e-30)
}
