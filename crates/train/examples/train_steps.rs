//! Takes steps of plain gradient descent on a TF1 Hub module: `train_steps MODULE IMAGES LABELS RATE
//! STEPS OUT`, the module's folder, `.npy` files of images `[n, height, width, 3]` and of classes `[n]`
//! as int64, a learning rate, how many steps, and the `.npz` for the variables at the end.
//!
//! Prints the losses before each step as JSON, `[[cross-entropy, with regularisation], …]`. What
//! TensorFlow makes of the same module is asked by `interop/run`.
#![allow(clippy::print_stdout, reason = "its answer")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::{env, fs};

use mobilenet_engine::{ErrorKind, Graph};
use mobilenet_formats::tensorflow::HubModule;
use mobilenet_formats::{Limits, MemoryFiles, Tensor, npy};
use mobilenet_train::objective::Objective;
use mobilenet_train::optimizer::GradientDescent;
use mobilenet_train::trainer::{StepOptions, Trainer, TrainingGraph};

const LOGITS: &str = "MobilenetV1/Logits/SpatialSqueeze:0";
const FILES: [&str; 3] =
    ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [module, images, labels, rate, steps, out] = arguments.as_slice() else {
        return Err("usage: train_steps MODULE IMAGES LABELS RATE STEPS OUT".into());
    };
    let limits = Limits::default();
    let images = npy::read(&fs::read(images)?, &limits)?;
    let labels = npy::read(&fs::read(labels)?, &limits)?;
    let mut trainer = trainer(&open(Path::new(module))?, images.shape())?;
    let classes = trainer.classes();
    let mut targets = vec![0.0; labels.shape().iter().product::<usize>() * classes];
    for (row, &label) in targets.chunks_mut(classes).zip(labels.as_i64().ok_or("not int64")?) {
        *row.get_mut(usize::try_from(label)?).ok_or("a class beyond the logits")? = 1.0;
    }
    let images = images.as_f32().ok_or("images that are not float32")?;
    let mut losses = Vec::new();
    for _ in 0..steps.parse()? {
        let step = trainer.step(images, &targets, rate.parse()?)?;
        losses.push([step.loss, step.total_loss]);
    }
    println!("{}", serde_json::to_string(&losses)?);
    let variables: BTreeMap<String, Tensor> = trainer.variables()?.into_iter().collect();
    Ok(fs::write(out, npy::write_archive(&variables)?)?)
}

fn open(folder: &Path) -> Result<HubModule, Box<dyn Error>> {
    let mut files = MemoryFiles::default();
    for file in FILES.into_iter().chain(["tfhub_module.pb"]) {
        files.insert(file, fs::read(folder.join(file))?);
    }
    Ok(HubModule::read(&files, &Limits::default())?)
}

/// Of all trainable variables, with the module's own regularisation and update ops.
fn trainer(module: &HubModule, images: &[usize]) -> Result<Trainer, Box<dyn Error>> {
    let meta = module.meta_graph(&["train"])?;
    let mut graph = Graph::import(meta.graph_def()?)?;
    let objective = Objective::add(&mut graph, LOGITS, meta.regularization_losses()?)?;
    let name = |name: String| name.trim_end_matches(":0").to_owned();
    let training = TrainingGraph {
        graph,
        images: "hub_input/images:0".to_owned(),
        objective,
        trainable: meta.trainable_variables()?.into_iter().map(|v| name(v.variable_name)).collect(),
        update_ops: meta.update_ops()?.to_vec(),
    };
    let values = |name: &str| {
        module
            .variable(name)
            .map(Arc::new)
            .map_err(|error| mobilenet_engine::Error::new(ErrorKind::NotFound, error.to_string()))
    };
    let &[batch_size, height, width, 3] = images else {
        return Err("images of another shape".into());
    };
    let options = StepOptions { batch_size, image_size: [height, width], threads: 2, seed: 1 };
    Ok(Trainer::new(training, &values, Box::new(GradientDescent), options)?)
}
