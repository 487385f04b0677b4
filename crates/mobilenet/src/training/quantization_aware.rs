//! Fine-tuning a classifier for 8 bits: the network learns, with its weights and what it computes
//! rounded, to answer as it does in floats.
//!
//! Photos need no labels that the network knows: what it says of them in floats is what is wanted,
//! and accuracy is agreement with that. Batch norm is in the weights from the start, as it will be.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use mobilenet_engine::Attributes;
use mobilenet_formats::tensorflow::HubModule;
use mobilenet_formats::{DType, Tensor};
use mobilenet_train::dataset::{Dataset, Listing, Sample};
use mobilenet_train::objective::Objective;
use mobilenet_train::run::{Event, Network, Run};
use mobilenet_train::trainer::TrainingGraph;
use mobilenet_train::validation::Inference;

use super::job::Job;
use super::preparing::{Tally, Watch, skipped};
use super::recipe::Recipe;
use super::teacher::{Distillation, Teacher};
use super::trained::{self, Trained};
use super::{export, network};
use crate::error::{Error, ErrorKind, Result};
use crate::export::{Bare, hub_model};
use crate::module::Module;
use crate::preprocessing::Preprocessing;
use crate::quantize::{
    Calibration, RangeMethod, Simulation, Values, calibration_images, carries_ranges, places,
    simulate,
};
use crate::signature::{Port, Signature};

/// How a module is trained for 8 bits.
///
/// ```no_run
/// use std::ops::ControlFlow;
/// use mobilenet::Module;
/// use mobilenet::training::{Job, QuantizationAwareOptions, recipe};
///
/// let job = Job::new("photos", "my-module", 192, recipe("quantization-aware")?);
/// let module = Module::load("mobilenet_v1_025_192/classification/1.tar.gz")?;
/// let options = QuantizationAwareOptions::new(job, module);
/// let tuned = options.train(&mut |_| ControlFlow::Continue(()))?;
/// # Ok::<(), mobilenet::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct QuantizationAwareOptions {
    /// Data, recipe, and where the new module goes. Labels and teacher are not used: the module
    /// is its own teacher.
    pub job: Job,
    /// The module to train further: any network that classifies.
    pub module: Module,
    /// How the ranges of what is computed are found, before they are kept.
    pub ranges: RangeMethod,
    /// So many of the training photos decide them.
    pub calibration_images: usize,
}

impl QuantizationAwareOptions {
    /// With ranges from the smallest to the largest value on 200 photos.
    pub fn new(job: Job, module: Module) -> Self {
        Self { job, module, ranges: RangeMethod::MinMax, calibration_images: 200 }
    }

    /// Trains and writes the module: a graph of floats with `FakeQuant…` nodes, of which
    /// [`quantize`](crate::quantize::quantize) makes 8 bits without calibration. Accuracy, in
    /// what `watch` hears and in the result, is agreement with the module of floats.
    ///
    /// # Errors
    /// If the module does not classify, has ops that cannot be rounded or ranges already, data or
    /// settings cannot be used (L2 regularisation, dropout and label smoothing cannot), a loss is no longer a number, there is a checkpoint where none was
    /// expected (or a damaged one to resume), or a file cannot be written.
    pub fn train(&self, watch: &mut dyn FnMut(&Event<'_>) -> ControlFlow<()>) -> Result<Trained> {
        let job = &self.job;
        job.check()?;
        check(&job.recipe)?;
        if carries_ranges(&self.module) {
            let message = "the module carries ranges for 8 bits already: quantise it";
            return Err(Error::new(ErrorKind::Training, message));
        }
        let side = job.image_size;
        if self.module.expected_image_size()? != (side, side) {
            let message = format!("the module does not take {side}x{side} pixels");
            return Err(Error::new(ErrorKind::Training, message));
        }
        let bare = Bare::of(&self.module)?;
        let labels = bare.labels.iter().flat_map(|labels| labels.iter().map(str::to_owned));
        let labels: Vec<String> = labels.collect();
        let Some(mut dataset) = job.dataset(watch)? else { return Trained::stopped(job, labels) };
        let listing = Listing::of(&dataset);
        let places = places(&bare)?;
        let calibration = Calibration::of_images(&bare, &places, &self.pixels(&dataset)?)?;
        let simulate =
            |values: Option<&Values>| simulate(&bare, &places, &calibration, self.ranges, values);
        let rounded = simulate(None)?;
        let (floats, width) = of_floats(&bare)?;
        let Dataset { train, validation, test, .. } = &mut dataset;
        let photos = train.len() + validation.len() + test.len();
        let mut tally = Tally::new("answers", photos, watch);
        for samples in [train, validation, test] {
            self.answer(&floats, samples, &mut tally, watch)?;
            if tally.flow().is_break() {
                return Trained::stopped(job, labels);
            }
        }
        dataset.classes.clone_from(&labels);
        let distillation = Distillation { module: self.module.clone(), share: 1.0 };
        let teacher = Teacher::of_own_classes(&distillation)?;
        let mut settings = job.settings(&dataset);
        settings.insert("module".to_owned(), self.module.handle().to_owned());
        settings.insert("ranges".to_owned(), self.ranges.to_string());
        settings.insert("calibration images".to_owned(), self.calibration_images.to_string());
        let run = Run {
            network: network_of(&rounded)?,
            options: job.run_options(&dataset, &labels)?,
            optimizer: job.optimizer()?,
            folder: &job.work(),
            features: None,
            teacher: Some(&teacher),
            settings,
            listing,
            resume: job.resume,
        };
        let outcome = run.train(&dataset, watch)?;
        if outcome.interrupted {
            return Ok(Trained::interrupted(outcome, labels));
        }
        let values = outcome.values.iter();
        let values: Values =
            values.map(|(name, value)| (name.clone(), value.clone().into())).collect();
        self.write(simulate(Some(&values))?, width, &bare)?;
        let test = trained::score(job, (&inference(&rounded), &values), width, &dataset, watch)?;
        Ok(Trained::finished(outcome, job, labels, test))
    }

    /// Some of the training photos as the network sees them.
    fn pixels(&self, dataset: &Dataset) -> Result<Vec<Tensor>> {
        let preprocessing = self.job.preprocessing();
        let images = calibration_images(&dataset.train, self.calibration_images, &preprocessing);
        // A photo that cannot be used is reported when it is learnt from.
        let tensors: Vec<Tensor> = images.filter_map(Result::ok).collect();
        if tensors.is_empty() {
            let message = "none of the photos to calibrate on can be used";
            return Err(Error::new(ErrorKind::Training, message));
        }
        Ok(tensors)
    }

    /// Labels `samples` with what the network of floats makes of them; those that cannot be used
    /// are taken out, as are all from where `watch` stops the `tally`.
    fn answer(
        &self,
        floats: &Inference,
        samples: &mut Vec<Sample>,
        tally: &mut Tally,
        watch: &mut Watch<'_>,
    ) -> Result<()> {
        let mut answers: Vec<Option<usize>> = vec![None; samples.len()];
        let none = |name: &str| network::lookup(&BTreeMap::new(), name);
        let failures = self.job.on_pictures(samples, |trial| {
            floats.visit(&none, trial, &mut |index, logits| {
                if let Some(answer) = answers.get_mut(index) {
                    *answer = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
                }
                Ok(tally.count(watch))
            })
        })?;
        for (index, reason) in &failures {
            if let Some(sample) = samples.get(*index) {
                skipped(sample, reason, watch);
            }
            if let Some(answer) = answers.get_mut(*index) {
                *answer = None;
            }
        }
        let mut answers = answers.into_iter();
        samples.retain_mut(|sample| match answers.next().flatten() {
            Some(answer) => {
                sample.label = answer;
                true
            }
            None => false,
        });
        Ok(())
    }

    fn write(&self, learnt: Simulation, classes: usize, bare: &Bare) -> Result<()> {
        let side = Some(self.job.image_size);
        let port = |key: &str, tensor: &str, shape: Vec<Option<usize>>| Port {
            key: key.to_owned(),
            tensor: tensor.to_owned(),
            dtype: DType::F32,
            shape: Some(shape),
        };
        let mut graph = learnt.graph;
        let images = port("images", &learnt.images, vec![None, side, side, Some(3)]);
        let logits = port("default", &learnt.logits, vec![None, Some(classes)]);
        let signature = |name: &str, output: Port| Signature {
            name: name.to_owned(),
            inputs: vec![images.clone()],
            outputs: vec![output],
        };
        let mut signatures =
            vec![signature("default", logits.clone()), signature("image_classification", logits)];
        if let Some(features) = &learnt.features {
            let pooled = graph.tensor(features)?;
            let name = "hub_output/feature_vector/SpatialSqueeze";
            let attributes =
                Attributes::new().with_dtype("T", DType::F32).with_ints("squeeze_dims", &[1, 2]);
            let vector = graph.add(name, "Squeeze", attributes, &[pooled])?.into();
            let shape = vec![None, graph.fact(vector).shape.last()];
            let output = port("default", &graph.tensor_name(vector), shape);
            signatures.push(signature("image_feature_vector", output));
        }
        let mut model =
            hub_model(graph.to_graph_def(), &signatures, bare.size, bare.labels.as_ref());
        let record = self.job.preprocessing().to_record();
        model.set_file(Preprocessing::RECORD, record);
        export::write(&HubModule::new(model), &self.job.out)
    }
}

/// Refuses settings that would do nothing: what is wanted are the network's own answers, whole, of
/// the graph as it is.
fn check(recipe: &Recipe) -> Result<()> {
    let rules = [
        (recipe.l2_regularization == 0.0, "no L2 regularisation (weight decay works)"),
        (recipe.dropout_keep == 1.0, "no dropout"),
        (recipe.label_smoothing == 0.0, "no label smoothing"),
    ];
    let Some((_, rule)) = rules.into_iter().find(|(holds, _)| !holds) else { return Ok(()) };
    let message = format!(
        "a network that is trained for 8 bits learns its own answers, with {rule}; give 0 for it, or \
         take the recipe quantization-aware"
    );
    Err(Error::new(ErrorKind::Training, message))
}

/// The network of floats up to its logits, and how many they are.
fn of_floats(bare: &Bare) -> Result<(Inference, usize)> {
    let softmax = bare.graph.tensor(&bare.output)?;
    let logits = bare.graph.node(softmax.node).inputs.first().copied();
    let logits = logits.filter(|_| bare.labels.is_some()).ok_or_else(|| {
        let message = "only a network that classifies can learn from its own answers";
        Error::new(ErrorKind::Training, message)
    })?;
    let width = bare.graph.fact(logits).shape.last().unwrap_or(0);
    let inference = Inference {
        graph: bare.graph.clone(),
        images: bare.images.clone(),
        logits: bare.graph.tensor_name(logits),
    };
    Ok((inference, width))
}

fn inference(rounded: &Simulation) -> Inference {
    Inference {
        graph: rounded.graph.clone(),
        images: rounded.images.clone(),
        logits: rounded.logits.clone(),
    }
}

fn network_of(rounded: &Simulation) -> Result<Network> {
    let mut graph = rounded.graph.clone();
    let objective = Objective::add(&mut graph, &rounded.logits, &[])?;
    let training = TrainingGraph {
        graph,
        images: rounded.images.clone(),
        objective,
        trainable: rounded.variables.keys().cloned().collect(),
        update_ops: Vec::new(),
    };
    let (inference, variables) = (inference(rounded), rounded.variables.clone());
    Ok(Network { training, inference, variables, frozen: None })
}
