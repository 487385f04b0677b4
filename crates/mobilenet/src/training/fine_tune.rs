//! Fine-tuning: a module's backbone, a new classifier, new photos, a new module.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::str::FromStr;

use mobilenet_formats::Tensor;
use mobilenet_formats::tensorflow::HubModule;
use mobilenet_train::checkpoint::{Checkpoint, MODULE_DIGEST};
use mobilenet_train::dataset::{Dataset, Listing, Sample};
use mobilenet_train::range_test::{Curve, Range};
use mobilenet_train::run::{Event, Features, Network, Run};

use super::backbone::Backbone;
use super::cut::{BLOCKS, CLASSIFIER, Cut};
use super::features::{self, FeatureCache, Hash};
use super::job::Job;
use super::preparing::{Tally, Watch, skipped};
use super::recipe::recipe;
use super::trained::{self, Trained};
use super::{export, freeze, network};
use crate::builder::MobilenetV1;
use crate::error::{Error, ErrorKind, Result};
use crate::module::Module;
use crate::normalization::Normalization;

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

impl Mode {
    /// The first block that learns.
    fn first(self) -> usize {
        match self {
            Self::Head => CLASSIFIER,
            Self::LastBlocks(blocks) => CLASSIFIER - blocks.clamp(1, BLOCKS),
            Self::Full => 0,
        }
    }
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
    /// The module whose backbone is used: slim's MobileNet V1 in any format, also with batch norm folded
    /// into constants.
    pub module: Module,
    /// Which part learns.
    pub mode: Mode,
    /// Patterns (`*`, `?`) of the names of variables that keep their values. The first blocks, up to
    /// one of which something learns, run folded with their moving averages, as at inference; a
    /// frozen layer after that normalises by its batch, as all that learns does. Where more than
    /// the classifier learns, a new classifier is still trained alone first.
    pub freeze: Vec<String>,
    /// Where features are kept; `None`: beside the checkpoints.
    pub feature_cache: Option<PathBuf>,
}

/// What a run learns from.
#[derive(Clone, Copy)]
struct Learning<'a> {
    job: &'a Job,
    features: Option<&'a Features>,
    data: &'a Data,
}

/// The photos.
#[derive(Clone)]
struct Data {
    dataset: Dataset,
    /// What was found, before any was taken out.
    listing: Listing,
    /// Names of the classes.
    labels: Vec<String>,
}

/// What is trained, and on what.
struct Ready {
    data: Data,
    module: HubModule,
    /// What learns.
    network: Network,
    /// What it learns from where the rest is frozen throughout.
    features: Option<Features>,
}

impl FineTuneOptions {
    /// Trains and writes the module. `watch` hears of everything and may stop the run.
    ///
    /// # Errors
    /// If the module is no MobileNet V1, data or settings cannot be used, a loss is no longer a
    /// number, there is a checkpoint where none was expected (or a damaged one to resume), or a file
    /// cannot be written.
    pub fn train(&self, watch: &mut dyn FnMut(&Event<'_>) -> ControlFlow<()>) -> Result<Trained> {
        let job = &self.job;
        let Ready { data, mut module, network, features } = match self.ready(watch)? {
            ControlFlow::Continue(ready) => ready,
            ControlFlow::Break(labels) => return Trained::stopped(job, labels),
        };
        let learning = Learning { job, features: features.as_ref(), data: &data };
        let outcome = self.with_run(network, learning, |run| run.train(&data.dataset, watch))?;
        let Data { dataset, labels, .. } = data;
        if outcome.interrupted {
            return Ok(Trained::interrupted(outcome, labels));
        }
        export::finish(&mut module, &outcome.values, &labels, job)?;
        let test = trained::test(job, &module, &dataset, watch)?;
        Ok(Trained::finished(outcome, job, labels, test))
    }

    /// Tries learning rates from low to high; nothing is kept of it but features. The curve is empty
    /// where `watch` stopped it before its first step.
    ///
    /// # Errors
    /// As [`FineTuneOptions::train`]; if the range is impossible.
    pub fn test_learning_rates(
        &self,
        range: Range,
        watch: &mut dyn FnMut(&Event<'_>) -> ControlFlow<()>,
    ) -> Result<Curve> {
        let job = &self.job;
        let ControlFlow::Continue(ready) = self.ready(watch)? else { return Ok(Curve::default()) };
        let Ready { data, network, features, .. } = ready;
        let learning = Learning { job, features: features.as_ref(), data: &data };
        let test = |run: Run<'_>| run.test_learning_rates(&data.dataset, range, watch);
        self.with_run(network, learning, test)
    }

    /// All that training wants, from settings that can be; or the names of the classes, as far as
    /// they are known where `watch` stopped it.
    fn ready(&self, watch: &mut Watch<'_>) -> Result<ControlFlow<Vec<String>, Ready>> {
        self.check()?;
        let Some(dataset) = self.job.dataset(watch)? else {
            return Ok(ControlFlow::Break(Vec::new()));
        };
        let listing = Listing::of(&dataset);
        let labels = self.job.labels(&dataset.classes)?;
        self.job.class_weights.of(&dataset, &labels)?;
        let mut module = self.fresh_module(labels.len())?;
        let mut data = Data { dataset, listing, labels };
        Ok(match self.prepare(&mut module, &mut data, watch)? {
            Some((network, features)) => {
                ControlFlow::Continue(Ready { data, module, network, features })
            }
            None => ControlFlow::Break(data.labels),
        })
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

    /// All that comes before the first step; `None`: `watch` stopped it.
    fn prepare(
        &self,
        module: &mut HubModule,
        data: &mut Data,
        watch: &mut Watch<'_>,
    ) -> Result<Option<(Network, Option<Features>)>> {
        freeze::check(&self.freeze, &module.saved_model().variable_names())?;
        if self.mode == Mode::Head {
            let head = self.head(module, &mut data.dataset, watch)?;
            let Some((mut network, features)) = head else { return Ok(None) };
            freeze::apply(&self.freeze, &mut network)?;
            return Ok(Some((network, Some(features))));
        }
        if self.warm_up(module, data, watch)?.is_break() {
            return Ok(None);
        }
        let mut network = network::of(module)?;
        let frozen = freeze::first_learning(&self.freeze, &network.training.trainable)?;
        if let Some(cut) = Cut::before(self.mode.first().max(frozen)) {
            network.frozen = Some(cut.frozen(&network));
            cut.apply(&mut network);
        }
        freeze::apply(&self.freeze, &mut network)?;
        Ok(Some((network, None)))
    }

    /// The module's backbone with a new classifier.
    fn fresh_module(&self, classes: usize) -> Result<HubModule> {
        let Backbone { depth_multiplier, values, normalization } = Backbone::of(&self.module)?;
        let network = MobilenetV1::new(depth_multiplier, [self.job.image_size; 2]);
        let builder = export::builder(&self.job, network, classes);
        let module = builder.module(|spec| match values.get(&spec.name) {
            Some(value) => Ok(Tensor::clone(value)),
            None => spec.initial_tensor(self.job.seed),
        })?;
        network::normalised(module, normalization)
    }

    /// The classifier alone, and the features it learns from; `None`: `watch` stopped it.
    fn head(
        &self,
        module: &HubModule,
        dataset: &mut Dataset,
        watch: &mut Watch<'_>,
    ) -> Result<Option<(Network, Features)>> {
        let cut = Cut::before_classifier();
        let mut network = network::of(module)?;
        let normalization = network::normalization(module);
        let features = self.features(&cut, &network, normalization, dataset, watch)?;
        let Some(features) = features else { return Ok(None) };
        cut.apply(&mut network);
        cut.apply_to_inference(&mut network);
        Ok(Some((network, features)))
    }

    /// Trains the classifier first, so that the backbone does not follow a random one; quick, and
    /// left out when a run is resumed. Breaks where `watch` does.
    fn warm_up(
        &self,
        module: &mut HubModule,
        data: &Data,
        watch: &mut Watch<'_>,
    ) -> Result<ControlFlow<()>> {
        if self.job.resume && Checkpoint::exists(&self.job.work()) {
            return Ok(ControlFlow::Continue(()));
        }
        // Photos without features leave this copy alone: a run that is resumed has them all too.
        let mut data = data.clone();
        let job = Job {
            out: self.job.work().join("head"),
            recipe: recipe("head")?,
            steps: None,
            rmsprop_decay: None,
            epsilon: None,
            distillation: None,
            patience: None,
            resume: false,
            ..self.job.clone()
        };
        let _ = std::fs::remove_dir_all(&job.out);
        let head = self.head(module, &mut data.dataset, watch)?;
        let Some((network, features)) = head else { return Ok(ControlFlow::Break(())) };
        let learning = Learning { job: &job, features: Some(&features), data: &data };
        let (mut batch, mut total) = (0, 0);
        // Its steps are not those of the run.
        let mut watch = |event: &Event<'_>| match event {
            Event::Started { steps, batch_size, .. } => {
                batch = *batch_size as u64;
                total = steps * batch;
                ControlFlow::Continue(())
            }
            Event::Stepped { step, .. } => {
                watch(&Event::Preparing { what: "classifier", done: step * batch, total })
            }
            _ => ControlFlow::Continue(()),
        };
        let outcome =
            self.with_run(network, learning, |run| run.train(&data.dataset, &mut watch))?;
        let _ = std::fs::remove_dir_all(&job.out);
        if outcome.interrupted {
            return Ok(ControlFlow::Break(()));
        }
        for (name, value) in outcome.values {
            module.saved_model_mut().set_variable(name, value);
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Hands `work` the run of `network`.
    fn with_run<R>(
        &self,
        network: Network,
        learning: Learning<'_>,
        work: impl FnOnce(Run<'_>) -> mobilenet_train::Result<R>,
    ) -> Result<R> {
        let Learning { job, features, data: Data { dataset, listing, labels } } = learning;
        let teacher = job.teacher(&dataset.classes, labels)?;
        let mut settings = job.settings(dataset);
        settings.insert("mode".to_owned(), format!("{:?}", self.mode));
        settings.insert("module".to_owned(), self.module.handle().to_owned());
        if !self.freeze.is_empty() {
            settings.insert("freeze".to_owned(), self.freeze.join(" "));
        }
        settings.insert(MODULE_DIGEST.to_owned(), backbone_key(&network, ""));
        let folded = network.frozen.as_ref().map(|part| part.logits.as_str());
        let usual = Cut::before(self.mode.first());
        if let Some(folded) =
            folded.filter(|folded| usual.is_none_or(|cut| cut.tensor() != *folded))
        {
            settings.insert("layers folded up to".to_owned(), folded.to_owned());
        }
        let run = Run {
            network,
            options: job.run_options(dataset, labels)?,
            optimizer: job.optimizer()?,
            folder: &job.work(),
            features,
            teacher: teacher.as_ref().map(|teacher| teacher as _),
            settings,
            listing: listing.clone(),
            resume: job.resume,
        };
        Ok(work(run)?)
    }

    /// Features of all training and validation photos; photos that cannot be used leave the data.
    /// `None`: `watch` stopped it, and what was computed is kept.
    fn features(
        &self,
        cut: &Cut,
        network: &Network,
        normalization: Normalization,
        dataset: &mut Dataset,
        watch: &mut Watch<'_>,
    ) -> Result<Option<Features>> {
        let mut words = self.job.preprocessing().to_string();
        if normalization != Normalization::SIGNED {
            words += &format!(" {normalization:?}");
        }
        let key = backbone_key(network, &words);
        let folder = self.feature_cache.clone().unwrap_or_else(|| self.job.work());
        let last = network.variables.get("MobilenetV1/Logits/Conv2d_1c_1x1/weights");
        let len = last.and_then(|weights| weights.shape().get(2).copied()).unwrap_or(0);
        let mut cache = FeatureCache::open(&folder, &key, len);
        let photos = dataset.train.len() + dataset.validation.len();
        let mut tally = Tally::new("hashes", photos, watch);
        let mut hashed = |samples: &mut Vec<Sample>| {
            let photos = features::hashed(std::mem::take(samples), &mut tally, watch);
            tally.flow().is_continue().then_some(photos)
        };
        let Some(train) = hashed(&mut dataset.train) else { return Ok(None) };
        let Some(validation) = hashed(&mut dataset.validation) else { return Ok(None) };
        let missing = |(_, hash): &&(Sample, Hash)| cache.get(hash).is_none();
        let missing = train.iter().chain(&validation).filter(missing).cloned().unzip();
        if self.compute(&mut cache, cut, network, missing, watch)?.is_break() {
            return Ok(None);
        }
        let (train_rows, validation_rows);
        (dataset.train, train_rows) = cache.rows(train);
        (dataset.validation, validation_rows) = cache.rows(validation);
        Ok(Some(Features { len, train: train_rows, validation: validation_rows }))
    }

    /// Computes the features of photos and keeps them, where `watch` breaks those computed by then.
    fn compute(
        &self,
        cache: &mut FeatureCache,
        cut: &Cut,
        network: &Network,
        (samples, hashes): (Vec<Sample>, Vec<Hash>),
        watch: &mut Watch<'_>,
    ) -> Result<ControlFlow<()>> {
        let read = |name: &str| network::lookup(&network.variables, name);
        let mut tally = Tally::new("features", samples.len(), watch);
        let visited = self.job.on_pictures(&samples, |trial| {
            cut.frozen(network).visit(&read, trial, &mut |index, row| {
                if let Some(hash) = hashes.get(index) {
                    cache.insert(*hash, row);
                }
                let flow = tally.count(watch);
                if tally.is_round() {
                    cache.save_after(self.job.save_every)?;
                }
                Ok(flow)
            })
        });
        cache.save()?;
        for (index, reason) in &visited? {
            if let Some(sample) = samples.get(*index) {
                skipped(sample, reason, watch);
            }
        }
        Ok(tally.flow())
    }
}

/// Names what all but the classifier makes of photos that are prepared as `words` say.
fn backbone_key(network: &Network, words: &str) -> String {
    let backbone = network.variables.iter().filter(|(name, _)| !name.contains("/Logits/"));
    features::key(backbone.map(|(name, value)| (name.as_str(), &**value)), words)
}
