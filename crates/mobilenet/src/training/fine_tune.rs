//! Fine-tuning: a module's backbone, a new classifier, new photos, a new module.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::str::FromStr;

use mobilenet_formats::Tensor;
use mobilenet_formats::tensorflow::HubModule;
use mobilenet_train::checkpoint::Checkpoint;
use mobilenet_train::dataset::{Dataset, Sample};
use mobilenet_train::range_test::{Curve, Range};
use mobilenet_train::run::{Event, Features, Network, Outcome, Run};
use mobilenet_train::validation::Score;

use super::cut::{BLOCKS, Cut};
use super::features::{self, FeatureCache};
use super::job::Job;
use super::recipe::recipe;
use super::{export, freeze, network};
use crate::builder::MobilenetV1;
use crate::error::{Error, ErrorKind, Result};
use crate::module::Module;

/// Channels of the last layer at depth multiplier 1.
const FULL_WIDTH: f64 = 1024.0;

/// Which part of the network learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The new classifier alone, on features computed once.
    Head,
    /// The classifier and this many of the last blocks, 1 to 13.
    LastBlocks(usize),
    /// Everything.
    Full,
}

impl FromStr for Mode {
    type Err = String;

    /// `head`, `full` or `last-blocks:N`.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let blocks = || text.strip_prefix("last-blocks:")?.parse().ok();
        match (text, blocks()) {
            ("head", _) => Ok(Self::Head),
            ("full", _) => Ok(Self::Full),
            (_, Some(blocks)) if (1..=BLOCKS).contains(&blocks) => Ok(Self::LastBlocks(blocks)),
            _ => Err(format!("write head, full, or last-blocks:N with N from 1 to {BLOCKS}")),
        }
    }
}

/// How a module is trained further.
///
/// ```no_run
/// use std::ops::ControlFlow;
/// use mobilenet::Module;
/// use mobilenet::training::{FineTuneOptions, Job, Mode, recipe};
///
/// let job = Job::new("clothing", "my-module", 192, recipe("head")?);
/// let module = Module::load("mobilenet_v1_025_192/feature_vector/1.tar.gz")?;
/// let options = FineTuneOptions {
///     job,
///     module,
///     mode: Mode::Head,
///     freeze: Vec::new(),
///     feature_cache: None,
/// };
/// let tuned = options.train(&mut |_| ControlFlow::Continue(()))?;
/// # Ok::<(), mobilenet::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct FineTuneOptions {
    /// Data, recipe, and where the new module goes.
    pub job: Job,
    /// The module whose backbone is used.
    pub module: Module,
    /// Which part learns.
    pub mode: Mode,
    /// Patterns (`*`, `?`) of the names of variables that keep their values. Where more than the
    /// classifier learns, a new classifier is still trained alone first.
    pub freeze: Vec<String>,
    /// Where features are kept; `None`: beside the checkpoints.
    pub feature_cache: Option<PathBuf>,
}

/// What a run learns from.
#[derive(Clone, Copy)]
struct Learning<'a> {
    job: &'a Job,
    features: Option<&'a Features>,
    dataset: &'a Dataset,
    labels: &'a [String],
}

/// A finished or interrupted run.
#[derive(Clone, Debug)]
pub struct Tuned {
    /// How it went.
    pub outcome: Outcome,
    /// The module's folder; `None` if the run was interrupted.
    pub module: Option<PathBuf>,
    /// Names of the classes.
    pub labels: Vec<String>,
    /// What the finished module makes of the test images, or of the validation images where
    /// there are none; `None` without either, and after an interruption.
    pub test: Option<Score>,
}

/// What is trained, and on what.
struct Ready {
    dataset: Dataset,
    labels: Vec<String>,
    module: HubModule,
    network: Network,
    features: Option<Features>,
}

impl FineTuneOptions {
    /// Trains and writes the module. `watch` hears of everything and may stop the run.
    ///
    /// # Errors
    /// If the module is no MobileNet V1, data or settings cannot be used, a loss is no longer a
    /// number, there is a checkpoint where none was expected (or a damaged one to resume), or a file
    /// cannot be written.
    pub fn train(&self, watch: &mut dyn FnMut(&Event<'_>) -> ControlFlow<()>) -> Result<Tuned> {
        let job = &self.job;
        let Ready { dataset, labels, mut module, network, features } = self.ready(watch)?;
        let learning =
            Learning { job, features: features.as_ref(), dataset: &dataset, labels: &labels };
        let outcome = self.with_run(network, learning, |run| run.train(&dataset, watch))?;
        if outcome.interrupted {
            return Ok(Tuned { outcome, module: None, labels, test: None });
        }
        export::finish(&mut module, &outcome.values, &labels, job)?;
        let test = self.test(&module, &dataset, watch)?;
        Ok(Tuned { outcome, module: Some(job.out.clone()), labels, test })
    }

    /// Tries learning rates from low to high; nothing is kept of it but features.
    ///
    /// # Errors
    /// As [`FineTuneOptions::train`]; if the range is impossible.
    pub fn test_learning_rates(
        &self,
        range: Range,
        watch: &mut dyn FnMut(&Event<'_>) -> ControlFlow<()>,
    ) -> Result<Curve> {
        let job = &self.job;
        let Ready { dataset, labels, network, features, .. } = self.ready(watch)?;
        let learning =
            Learning { job, features: features.as_ref(), dataset: &dataset, labels: &labels };
        self.with_run(network, learning, |run| run.test_learning_rates(&dataset, range, watch))
    }

    /// All that training wants, from settings that can be.
    fn ready(&self, watch: &mut dyn FnMut(&Event<'_>) -> ControlFlow<()>) -> Result<Ready> {
        self.check()?;
        let mut dataset = self.job.dataset()?;
        let labels = self.job.labels(&dataset.classes)?;
        self.job.class_weights.of(&dataset, &labels)?;
        let mut module = self.fresh_module(labels.len())?;
        let (network, features) = self.prepare(&mut module, &mut dataset, &labels, watch)?;
        Ok(Ready { dataset, labels, module, network, features })
    }

    /// Refuses what cannot be before anything takes time.
    fn check(&self) -> Result<()> {
        if self.mode == Mode::Head && self.job.distillation.is_some() {
            let message = "a classifier alone learns from cached features, of which a teacher can \
                say nothing; let blocks learn too, with the mode last-blocks:N or full";
            return Err(Error::new(ErrorKind::Training, message));
        }
        self.job.check()
    }

    /// What learns, and the features it learns from where the rest is frozen throughout.
    fn prepare(
        &self,
        module: &mut HubModule,
        dataset: &mut Dataset,
        labels: &[String],
        watch: &mut dyn FnMut(&Event<'_>) -> ControlFlow<()>,
    ) -> Result<(Network, Option<Features>)> {
        freeze::check(&self.freeze, &module.saved_model().variable_names())?;
        if self.mode == Mode::Head {
            let (mut network, features) = self.head(module, dataset, watch)?;
            freeze::apply(&self.freeze, &mut network)?;
            return Ok((network, Some(features)));
        }
        self.warmed_up(module, dataset, labels, watch)?;
        let mut network = network::of(module)?;
        if let Mode::LastBlocks(blocks) = self.mode {
            let cut = Cut::before_blocks(blocks);
            network.frozen = Some(cut.frozen(&network));
            cut.apply(&mut network);
        }
        freeze::apply(&self.freeze, &mut network)?;
        Ok((network, None))
    }

    /// The module's backbone with a new classifier.
    fn fresh_module(&self, classes: usize) -> Result<HubModule> {
        let builder = export::builder(&self.job, self.backbone()?, classes);
        let known: BTreeMap<String, Vec<usize>> = self.module.variables().into_iter().collect();
        let mut failed = None;
        let module = builder.module(|spec| {
            if spec.name.contains("/Logits/") {
                return spec.initial_tensor(self.job.seed);
            }
            if known.get(&spec.name) != Some(&spec.shape) {
                failed.get_or_insert_with(|| no_backbone(&spec.name));
                return spec.initial_tensor(self.job.seed);
            }
            match self.module.variable(&spec.name) {
                Ok(value) => Ok(Tensor::clone(&value)),
                Err(error) => {
                    failed.get_or_insert(error);
                    spec.initial_tensor(self.job.seed)
                }
            }
        })?;
        failed.map_or(Ok(module), Err)
    }

    /// Which MobileNet V1 the module is, by the width of its last layer.
    fn backbone(&self) -> Result<MobilenetV1> {
        let last = "MobilenetV1/Conv2d_13_pointwise/weights";
        let variables = self.module.variables();
        let shape = variables.iter().find(|(name, _)| name == last).map(|(_, shape)| shape);
        match shape.map(Vec::as_slice) {
            Some([1, 1, _, width]) => {
                let size = [self.job.image_size; 2];
                Ok(MobilenetV1::new(*width as f64 / FULL_WIDTH, size))
            }
            _ => Err(no_backbone(last)),
        }
    }

    /// The classifier alone, and the features it learns from.
    fn head(
        &self,
        module: &HubModule,
        dataset: &mut Dataset,
        watch: &mut dyn FnMut(&Event<'_>) -> ControlFlow<()>,
    ) -> Result<(Network, Features)> {
        let cut = Cut::before_classifier();
        let mut network = network::of(module)?;
        let features = self.features(&cut, &network, dataset, watch)?;
        cut.apply(&mut network);
        cut.apply_to_inference(&mut network);
        Ok((network, features))
    }

    /// Trains the classifier first, so that the backbone does not follow a random one; quick, and
    /// left out when a run is resumed.
    fn warmed_up(
        &self,
        module: &mut HubModule,
        dataset: &Dataset,
        labels: &[String],
        watch: &mut dyn FnMut(&Event<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        if self.job.resume && Checkpoint::exists(&self.job.work()) {
            return Ok(());
        }
        // Photos without features leave this copy alone: a run that is resumed has them all too.
        let dataset = &mut dataset.clone();
        let job = Job {
            out: self.job.work().join("head"),
            recipe: recipe("head")?,
            steps: None,
            distillation: None,
            patience: None,
            resume: false,
            ..self.job.clone()
        };
        let _ = std::fs::remove_dir_all(&job.out);
        let mut quiet = |event: &Event<'_>| match event {
            Event::Skipped { .. } => watch(event),
            _ => ControlFlow::Continue(()),
        };
        let (network, features) = self.head(module, dataset, &mut quiet)?;
        let learning = Learning { job: &job, features: Some(&features), dataset, labels };
        let outcome = self.with_run(network, learning, |run| run.train(dataset, &mut quiet))?;
        for (name, value) in outcome.values {
            module.saved_model_mut().set_variable(name, value);
        }
        let _ = std::fs::remove_dir_all(&job.out);
        Ok(())
    }

    /// Hands `work` the run of `network`.
    fn with_run<R>(
        &self,
        network: Network,
        learning: Learning<'_>,
        work: impl FnOnce(Run<'_>) -> mobilenet_train::Result<R>,
    ) -> Result<R> {
        let Learning { job, features, dataset, labels } = learning;
        let teacher = job.teacher(&dataset.classes, labels)?;
        let mut settings = job.settings(dataset);
        settings.insert("mode".to_owned(), format!("{:?}", self.mode));
        settings.insert("module".to_owned(), self.module.handle().to_owned());
        if !self.freeze.is_empty() {
            settings.insert("freeze".to_owned(), self.freeze.join(" "));
        }
        let run = Run {
            network,
            options: job.run_options(dataset, labels)?,
            optimizer: job.optimizer()?,
            folder: &job.work(),
            features,
            teacher: teacher.as_ref().map(|teacher| teacher as _),
            settings,
            resume: job.resume,
        };
        Ok(work(run)?)
    }

    /// Features of all training and validation photos; photos that cannot be used leave the data.
    fn features(
        &self,
        cut: &Cut,
        network: &Network,
        dataset: &mut Dataset,
        watch: &mut dyn FnMut(&Event<'_>) -> ControlFlow<()>,
    ) -> Result<Features> {
        let backbone = network.variables.iter().filter(|(name, _)| !name.contains("/Logits/"));
        let values = backbone.map(|(name, value)| (name.as_str(), &**value));
        let key = features::key(values, &self.job.preprocessing().to_string());
        let folder = self.feature_cache.clone().unwrap_or_else(|| self.job.work());
        let last = network.variables.get("MobilenetV1/Logits/Conv2d_1c_1x1/weights");
        let len = last.and_then(|weights| weights.shape().get(2).copied()).unwrap_or(0);
        let mut cache = FeatureCache::open(&folder, &key, len);
        let mut rows =
            |samples: &mut Vec<Sample>| self.rows(&mut cache, cut, network, samples, watch);
        let train = rows(&mut dataset.train)?;
        let validation = rows(&mut dataset.validation)?;
        cache.save()?;
        Ok(Features { len, train, validation })
    }

    /// The features of `samples` in order; those that have none are taken out.
    fn rows(
        &self,
        cache: &mut FeatureCache,
        cut: &Cut,
        network: &Network,
        samples: &mut Vec<Sample>,
        watch: &mut dyn FnMut(&Event<'_>) -> ControlFlow<()>,
    ) -> Result<Vec<f32>> {
        let mut hashes: Vec<Option<[u8; 32]>> = Vec::with_capacity(samples.len());
        let mut missing: Vec<(Sample, [u8; 32])> = Vec::new();
        for sample in samples.iter() {
            match features::hash(sample) {
                Ok(hash) => {
                    if cache.get(&hash).is_none() {
                        missing.push((sample.clone(), hash));
                    }
                    hashes.push(Some(hash));
                }
                Err(error) => {
                    skipped(sample, &error.to_string(), watch);
                    hashes.push(None);
                }
            }
        }
        let (unknown, their_hashes): (Vec<Sample>, Vec<[u8; 32]>) = missing.into_iter().unzip();
        let read = |name: &str| network::lookup(&network.variables, name);
        let failures = self.job.on_pictures(&unknown, |trial| {
            cut.frozen(network).visit(&read, trial, &mut |index, row| {
                if let Some(hash) = their_hashes.get(index) {
                    cache.insert(*hash, row);
                }
                Ok(())
            })
        })?;
        for (index, reason) in &failures {
            if let Some(sample) = unknown.get(*index) {
                skipped(sample, reason, watch);
            }
        }
        let mut rows = Vec::new();
        let mut hashes = hashes.into_iter();
        samples.retain(|_| match hashes.next().flatten().and_then(|hash| cache.get(&hash)) {
            Some(row) => {
                rows.extend_from_slice(row);
                true
            }
            None => false,
        });
        Ok(rows)
    }

    /// How good the finished module is on images it has not seen.
    fn test(
        &self,
        module: &HubModule,
        dataset: &Dataset,
        watch: &mut dyn FnMut(&Event<'_>) -> ControlFlow<()>,
    ) -> Result<Option<Score>> {
        let samples = if dataset.test.is_empty() { &dataset.validation } else { &dataset.test };
        if samples.is_empty() {
            return Ok(None);
        }
        let network = network::of(module)?;
        let read = |name: &str| network::lookup(&network.variables, name);
        let classes = dataset.classes.len();
        let score = self
            .job
            .on_pictures(samples, |trial| network.inference.score(&read, classes, trial))?;
        // Validation images were told of before.
        for (index, reason) in &score.failures {
            if let Some(sample) = dataset.test.get(*index) {
                skipped(sample, reason, watch);
            }
        }
        Ok(Some(score))
    }
}

/// Tells of a photo that cannot be used.
fn skipped(sample: &Sample, reason: &str, watch: &mut dyn FnMut(&Event<'_>) -> ControlFlow<()>) {
    let source = sample.source.to_string();
    let _ = watch(&Event::Skipped { source: &source, reason });
}

fn no_backbone(name: &str) -> Error {
    Error::new(
        ErrorKind::Training,
        format!(
            "only MobileNet V1 modules with slim's variables can be fine-tuned; this one has no \
             {name:?} of the shape that goes with its width"
        ),
    )
}
