//! [`TrainingStep`]: one step of training a module, input in memory, run again and again. It is
//! what `bench --train` times; real training reads its images from somewhere.

use std::fmt;
use std::sync::Arc;

use mobilenet_engine::Plan;
use mobilenet_formats::tensorflow::MetaGraph;
use mobilenet_train::objective::Objective;
use mobilenet_train::optimizer::Momentum;
use mobilenet_train::trainer::{StepOptions, Trainer, TrainingGraph};

use crate::error::{Error, ErrorKind, Result};
use crate::module::Module;
use crate::profile::Profile;

/// Small enough that a step repeated for hours on one batch stays finite.
const LEARNING_RATE: f32 = 1e-4;

/// One step of training: forward, backward, update by momentum, moving averages.
///
/// ```no_run
/// use mobilenet::{Module, TrainingStep};
///
/// let module = Module::options().tags(["train"]).load("1.tar.gz")?;
/// let mut step = TrainingStep::new(&module, 32)?;
/// let loss = step.run()?;
/// # Ok::<(), mobilenet::Error>(())
/// ```
pub struct TrainingStep {
    trainer: Trainer,
    batch: usize,
    threads: usize,
    images: Vec<f32>,
    labels: Vec<f32>,
}

impl fmt::Debug for TrainingStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrainingStep").field("plan", self.plan()).finish_non_exhaustive()
    }
}

impl TrainingStep {
    /// A step on `batch` images of the module's size. Images and labels are made up, image `i`
    /// of class `i`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the module was not loaded with a training graph, or gives no
    /// logits; [`ErrorKind::Training`] if its graph cannot be trained.
    pub fn new(module: &Module, batch: usize) -> Result<Self> {
        let signature = module.signature(module.classification_signature()?)?;
        let absent = |what| Error::new(ErrorKind::NotFound, format!("the signature has no {what}"));
        let images = signature.input("images").ok_or_else(|| absent("images"))?;
        let logits = signature.output("default").ok_or_else(|| absent("logits"))?;
        let hub_module = module.hub_module().ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "only modules of TensorFlow Hub have training graphs")
        })?;
        let tags: Vec<&str> = module.tags().iter().map(String::as_str).collect();
        let meta = hub_module.meta_graph(&tags)?;
        let mut graph = module.graph()?.clone();
        let regularization = meta.regularization_losses()?;
        let objective = Objective::add(&mut graph, &logits.tensor, regularization)?;
        let training = TrainingGraph {
            graph,
            images: images.tensor.clone(),
            objective,
            trainable: trainable(meta)?,
            update_ops: meta.update_ops()?.to_vec(),
        };
        let (height, width) = module.expected_image_size()?;
        let threads = module.threads();
        let options =
            StepOptions { batch_size: batch, image_size: [height, width], threads, seed: 0 };
        let variables = |name: &str| module.variable(name).map_err(unread);
        let optimizer = Box::new(Momentum { momentum: 0.9, nesterov: false });
        let trainer = Trainer::on(module.isa(), training, &variables, optimizer, options)?;
        let classes = logits.shape.as_ref().and_then(|shape| *shape.last()?).unwrap_or(1);
        let images = (0..batch * height * width * 3).map(|i| (i % 251) as f32 / 250.0).collect();
        let hot = |i: usize| f32::from(u8::from(i / classes % classes == i % classes));
        let labels = (0..batch * classes).map(hot).collect();
        Ok(TrainingStep { trainer, batch, threads, images, labels })
    }

    /// Takes the step; the loss before it.
    ///
    /// # Errors
    /// [`ErrorKind::Training`] if the loss is no longer a number.
    pub fn run(&mut self) -> Result<f32> {
        Ok(self.trainer.step(&self.images, &self.labels, LEARNING_RATE)?.loss)
    }

    /// The time of each step of the plan: the smallest of `runs` runs. The update is the
    /// optimiser's and no step of the plan.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn profile(&mut self, runs: usize) -> Result<Profile> {
        let plan = Arc::clone(self.trainer.plan());
        let found = Profile::measure(&plan, (self.batch, self.threads), runs, || {
            self.trainer.set_profiling(true);
            self.run()?;
            Ok(self.trainer.profile().unwrap_or_default().to_vec())
        });
        self.trainer.set_profiling(false);
        found
    }

    /// The number of threads it uses.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The plan that runs.
    pub fn plan(&self) -> &Plan {
        self.trainer.plan()
    }
}

fn trainable(meta: &MetaGraph) -> Result<Vec<String>> {
    let variables = meta.trainable_variables()?;
    let name = |name: String| name.trim_end_matches(":0").to_owned();
    Ok(variables.into_iter().map(|variable| name(variable.variable_name)).collect())
}

fn unread(error: Error) -> mobilenet_engine::Error {
    let message = "a variable cannot be read";
    mobilenet_engine::Error::new(mobilenet_engine::ErrorKind::NotFound, message).with_source(error)
}
