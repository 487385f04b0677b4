//! A whole run: batches, steps, averages, validation, checkpoints; taken up where it was left.
//!
//! Nothing here depends on time or on threads but when a checkpoint is written, and a checkpoint
//! changes nothing: a run that was killed and resumed ends with the bits of one that was not.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mobilenet_formats::Tensor;
use mobilenet_vision::augment::Augment;
use mobilenet_vision::{Crop, DecodeOptions, Preprocess, Resize};

use crate::average::Average;
use crate::batches::{Blend, Teacher};
use crate::checkpoint::{Checkpoint, Epoch, Progress, Settings};
use crate::dataset::{Dataset, Listing, Sample};
use crate::learner::{Learner, Rest, lookup, supply};
use crate::loader::{Batch, Loader, Maker};
use crate::optimizer::Optimizer;
use crate::pictures::{Budget, Pictures};
use crate::schedule::Schedule;
use crate::trainer::{Losses, TrainingGraph};
use crate::validation::{Inference, Plain, Rows, Score, Trial};
use crate::{Error, ErrorKind, Result};

/// A network that can be trained: the graph that learns, the graph that is used, first values.
#[derive(Clone, Debug)]
pub struct Network {
    /// The graph with its objective.
    pub training: TrainingGraph,
    /// The graph for inference.
    pub inference: Inference,
    /// First value of every variable.
    pub variables: BTreeMap<String, Arc<Tensor>>,
    /// What stands between the images and the graph that learns, if not all of it does.
    pub frozen: Option<Inference>,
}

/// Features of all samples, computed before: the graph that learns begins with them.
#[derive(Clone, Debug, Default)]
pub struct Features {
    /// Values of one sample.
    pub len: usize,
    /// Of the training samples, `[n, len]`.
    pub train: Vec<f32>,
    /// Of the validation samples.
    pub validation: Vec<f32>,
}

/// How a network is trained.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Images in a batch.
    pub batch_size: usize,
    /// `[height, width]` of the images.
    pub image_size: [usize; 2],
    /// Threads; no result depends on them.
    pub threads: usize,
    /// Decides order, augmentation and dropout.
    pub seed: u64,
    /// How much of an epoch comes from each source of data; empty: as much as they hold.
    pub shares: Vec<f64>,
    /// Learning rate by epoch; its `epochs` is the length of the run.
    pub schedule: Schedule,
    /// Share of a kernel, times the learning rate, taken away each step; 0: none.
    pub weight_decay: f32,
    /// Share that the average of the weights keeps, in (0, 1); `None`: no average.
    pub ema: Option<f32>,
    /// Probability spread over all classes, in [0, 1).
    pub label_smoothing: f32,
    /// How much an image of each class counts in the loss; empty: all the same.
    pub class_weights: Vec<f32>,
    /// What is done to training images.
    pub augment: Augment,
    /// Blends of training images.
    pub blend: Blend,
    /// Which part of validation images is looked at, and how it is resized.
    pub evaluation: (Crop, Resize),
    /// Epochs without a gain before the run ends; `None`: it never ends early.
    pub patience: Option<usize>,
    /// Longest time between checkpoints.
    pub save_every: Duration,
    /// Memory for decoded images, in bytes.
    pub cache_bytes: usize,
}

/// What a run tells while it goes on.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// It begins, or goes on after `step` steps.
    Started {
        /// Steps done before.
        step: u64,
        /// Steps in all.
        steps: u64,
        /// Steps in an epoch.
        per_epoch: u64,
        /// Images in a batch.
        batch_size: usize,
    },
    /// There is no checkpoint to go on from: the run begins at its start.
    NothingToResume {
        /// Where checkpoints go.
        folder: &'a Path,
    },
    /// Before the first step, all images are gone through once.
    Preparing {
        /// What for: `division` of undivided data, `hashes`, `features`, `answers`, or `classifier`,
        /// which is trained on features.
        what: &'static str,
        /// Images done.
        done: u64,
        /// Images in all.
        total: u64,
    },
    /// A step was taken.
    Stepped {
        /// Steps done.
        step: u64,
        /// Learning rate of the step.
        learning_rate: f64,
        /// Losses before the step.
        losses: Losses,
        /// Share of the batch that was right.
        accuracy: f64,
    },
    /// The values of the moment are validated at the end of an epoch. Stopped here, the run
    /// validates them again when it goes on.
    Validating {
        /// Images done.
        done: u64,
        /// Images in all.
        total: u64,
    },
    /// The finished module is tested on images that it has not learned from.
    Testing {
        /// Images done.
        done: u64,
        /// Images in all.
        total: u64,
    },
    /// An epoch is over.
    Epoch(&'a Epoch),
    /// An image cannot be used; others stand in for it.
    Skipped {
        /// Which one.
        source: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// A checkpoint was written.
    Saved {
        /// Where.
        path: &'a Path,
        /// Steps done.
        step: u64,
    },
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Values to use: those that validated best, or the last ones without validation.
    pub values: BTreeMap<String, Tensor>,
    /// How it went.
    pub progress: Progress,
    /// Whether it was stopped before its end; a checkpoint was written.
    pub interrupted: bool,
    /// Where the checkpoints are.
    pub folder: PathBuf,
}

/// What a run is made of, besides its data.
pub struct Run<'a> {
    /// What learns.
    pub network: Network,
    /// How it learns.
    pub options: RunOptions,
    /// How a gradient moves a variable.
    pub optimizer: Box<dyn Optimizer>,
    /// Where checkpoints go.
    pub folder: &'a Path,
    /// Features to learn from in the place of images; the network's graphs then take them.
    pub features: Option<&'a Features>,
    /// Who is asked what each training image shows, besides its label.
    pub teacher: Option<&'a dyn Teacher>,
    /// Everything that decides the result, by name: a checkpoint goes on only under the same.
    pub settings: Settings,
    /// What the data listed before anything was taken out or labelled anew: a checkpoint goes on only
    /// with the same.
    pub listing: Listing,
    /// Go on from the folder's checkpoint; without one, from the start.
    pub resume: bool,
}

impl Run<'_> {
    /// Trains. `watch` hears of everything and may stop the run: then a checkpoint is written.
    ///
    /// # Errors
    /// If the network cannot be trained, a loss is no longer a number, the checkpoint is damaged
    /// or of another run, or the disk refuses.
    pub fn train(
        self,
        dataset: &Dataset,
        watch: &mut dyn FnMut(&Event<'_>) -> ControlFlow<()>,
    ) -> Result<Outcome> {
        let Self {
            network,
            options,
            optimizer,
            folder,
            features,
            teacher,
            settings,
            listing,
            resume,
        } = self;
        let (learner, Rest { inference, variables }) = Learner::new(network, optimizer, &options)?;
        let average = options.ema.map(|decay| Average::new(decay, &learner.trainer)).transpose()?;
        let progress = Progress::default();
        let best = BTreeMap::new();
        let state = State { learner, average, best, progress, settings, listing };
        let budget = Budget::new(options.cache_bytes);
        let pictures =
            |samples: &[Sample]| Pictures::new(samples.len(), &budget, DecodeOptions::default());
        let (train, validation) = (pictures(&dataset.train), pictures(&dataset.validation));
        let classes = state.learner.trainer.classes();
        let (loader, batches) = supply(&options, dataset, &train, features, teacher, classes);
        let sitting = Sitting {
            state,
            inference,
            variables,
            features,
            options: &options,
            dataset,
            validation: &validation,
            folder,
            watch,
            saved: Instant::now(),
            began: Instant::now(),
            interrupted: false,
        };
        sitting.run(&loader, &batches, resume)
    }
}

/// What a checkpoint holds.
struct State {
    learner: Learner,
    average: Option<Average>,
    best: BTreeMap<String, Tensor>,
    progress: Progress,
    settings: Settings,
    listing: Listing,
}

impl State {
    fn checkpoint(&self) -> Result<Checkpoint> {
        let mut checkpoint =
            Checkpoint::of(&self.learner.trainer, self.progress.clone(), self.settings.clone())?;
        checkpoint.listing = Some(self.listing.clone());
        checkpoint.best = self.best.clone();
        if let Some(average) = &self.average {
            checkpoint.average = average.values().clone();
        }
        Ok(checkpoint)
    }

    fn restore(&mut self, checkpoint: Checkpoint, seed: u64) -> Result<()> {
        checkpoint.check_listing(&self.listing)?;
        checkpoint.check_settings(&self.settings)?;
        checkpoint.restore(&mut self.learner.trainer, seed)?;
        if let Some(average) = &mut self.average {
            average.restore(checkpoint.average);
        }
        (self.best, self.progress) = (checkpoint.best, checkpoint.progress);
        Ok(())
    }

    /// The values to use now: the averages, where there are any.
    fn values(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut values: BTreeMap<String, Tensor> =
            self.learner.trainer.variables()?.into_iter().collect();
        for (name, average) in self.average.iter().flat_map(Average::values) {
            if let Some(value) = values.get_mut(name) {
                *value = Tensor::new(value.shape().to_vec(), average.clone()).map_err(|error| {
                    Error::new(ErrorKind::Model, "an average of another shape").because(error)
                })?;
            }
        }
        Ok(values)
    }
}

/// One sitting of a run: from its start or a checkpoint to its end or an interruption.
struct Sitting<'a> {
    state: State,
    inference: Inference,
    variables: BTreeMap<String, Arc<Tensor>>,
    features: Option<&'a Features>,
    options: &'a RunOptions,
    dataset: &'a Dataset,
    validation: &'a Pictures<'a>,
    folder: &'a Path,
    watch: &'a mut dyn FnMut(&Event<'_>) -> ControlFlow<()>,
    saved: Instant,
    began: Instant,
    interrupted: bool,
}

impl Sitting<'_> {
    fn run(mut self, loader: &Loader<'_>, batches: &dyn Maker, resume: bool) -> Result<Outcome> {
        // A run that was killed before its first checkpoint has nothing to go on from.
        if resume && Checkpoint::exists(self.folder) {
            self.state.restore(Checkpoint::load(self.folder)?, self.options.seed)?;
        } else if resume {
            let folder = self.folder;
            self.tell(&Event::NothingToResume { folder });
        }
        let options = self.options;
        let per_epoch = loader.batches_per_epoch();
        let steps = ((options.schedule.epochs * per_epoch as f64).round() as u64).max(1);
        let step = self.state.progress.step;
        self.tell(&Event::Started { step, steps, per_epoch, batch_size: options.batch_size });
        if self.owes_validation(per_epoch, steps) {
            self.end_epoch(per_epoch)?;
            self.save()?;
        }
        if !self.interrupted && !self.is_over(steps) {
            loader.run(step..steps, batches, |batch| self.step(&batch, per_epoch, steps))?;
        }
        self.finish(per_epoch, steps)
    }

    fn tell(&mut self, event: &Event<'_>) {
        if (self.watch)(event).is_break() {
            self.interrupted = true;
        }
    }

    fn is_over(&self, steps: u64) -> bool {
        let progress = &self.state.progress;
        let lost = |patience: usize| progress.epochs_without_gain >= patience;
        progress.step >= steps || self.options.patience.is_some_and(lost)
    }

    /// Whether an epoch has ended and does not count yet, because its validation was stopped.
    fn owes_validation(&self, per_epoch: u64, steps: u64) -> bool {
        let progress = &self.state.progress;
        let step = progress.step;
        let ends = step > 0 && (step.is_multiple_of(per_epoch) || step == steps);
        ends && progress.history.last().is_none_or(|epoch| epoch.step < step)
    }

    /// The learning rate of the step after `done` steps.
    fn learning_rate(&self, done: u64, per_epoch: u64) -> f64 {
        self.options.schedule.at(done as f64 / per_epoch as f64)
    }

    /// One step and what follows it. False: no more.
    fn step(&mut self, batch: &Batch, per_epoch: u64, steps: u64) -> Result<bool> {
        self.report_failures(&batch.failures)?;
        let done = self.state.progress.step;
        let learning_rate = self.learning_rate(done, per_epoch);
        let (losses, right) = self.state.learner.step(batch, learning_rate as f32)?;
        if let Some(average) = &mut self.state.average {
            average.update(&self.state.learner.trainer)?;
        }
        let progress = &mut self.state.progress;
        progress.step += 1;
        progress.running.0 += f64::from(losses.loss);
        progress.running.1 += right;
        progress.running.2 += batch.labels.len() as u64;
        let step = progress.step;
        let accuracy = right as f64 / batch.labels.len().max(1) as f64;
        self.tell(&Event::Stepped { step, learning_rate, losses, accuracy });
        if step.is_multiple_of(per_epoch) || step == steps {
            self.end_epoch(per_epoch)?;
            self.save()?;
        } else if self.interrupted || self.saved.elapsed() >= self.options.save_every {
            self.save()?;
        }
        Ok(!self.interrupted && !self.is_over(steps))
    }

    fn report_failures(&mut self, failures: &[(usize, String)]) -> Result<()> {
        for (index, reason) in failures {
            let Some(sample) = self.dataset.train.get(*index) else { continue };
            self.report_failure(&sample.source.to_string(), reason);
        }
        if self.dataset.train.len() <= self.state.progress.skipped.len() {
            let message = "none of the training images can be used";
            return Err(Error::new(ErrorKind::Data, message));
        }
        Ok(())
    }

    fn report_failure(&mut self, source: &str, reason: &str) {
        let skipped = &mut self.state.progress.skipped;
        if skipped.insert(source.to_owned(), reason.to_owned()).is_none() {
            self.tell(&Event::Skipped { source, reason });
        }
    }

    /// Validates and enters the epoch into the history, unless validation is stopped.
    fn end_epoch(&mut self, per_epoch: u64) -> Result<()> {
        let ControlFlow::Continue(score) = self.validate()? else { return Ok(()) };
        let learning_rate = self.learning_rate(self.state.progress.step - 1, per_epoch);
        let seconds = self.count_seconds();
        let progress = &mut self.state.progress;
        let (loss, right, images) = std::mem::take(&mut progress.running);
        let steps = progress.step - (progress.step - 1) / per_epoch * per_epoch;
        let epoch = Epoch {
            epoch: progress.step as f64 / per_epoch as f64,
            step: progress.step,
            learning_rate,
            train_loss: loss / steps as f64,
            train_top_1: right as f64 / images.max(1) as f64,
            validation_loss: score.as_ref().map(|score| score.loss),
            top_1: score.as_ref().map(|score| score.evaluation.top_1()),
            top_5: score.as_ref().map(|score| score.evaluation.top_5()),
            seconds,
        };
        progress.history.push(epoch.clone());
        if let Some(top_1) = epoch.top_1 {
            if progress.best.is_none_or(|(best, _)| top_1 > best) {
                progress.best = Some((top_1, epoch.step));
                progress.epochs_without_gain = 0;
                self.state.best = self.state.values()?;
            } else {
                progress.epochs_without_gain += 1;
            }
        }
        self.tell(&Event::Epoch(&epoch));
        Ok(())
    }

    /// How good the values of the moment are; `None` without images to validate with. Breaks where
    /// `watch` does.
    fn validate(&mut self) -> Result<ControlFlow<(), Option<Score>>> {
        if self.dataset.validation.is_empty() {
            return Ok(ControlFlow::Continue(None));
        }
        let values = self.state.values()?;
        let read = |name: &str| match values.get(name) {
            Some(value) => Ok(Arc::new(value.clone())),
            None => lookup(&self.variables, name),
        };
        let [height, width] = self.options.image_size;
        let (crop, resize) = self.options.evaluation;
        let preprocess = Preprocess { crop, resize, height, width };
        let plain = Plain { pictures: self.validation, preprocess };
        let rows = self.features.map(|features| (Rows(&features.validation), features.len));
        let (maker, shape): (&dyn Maker, _) = match &rows {
            Some((rows, len)) => (rows, [1, 1, *len]),
            None => (&plain, [height, width, 3]),
        };
        let (samples, threads) = (&*self.dataset.validation, self.options.threads);
        let trial = Trial { samples, maker, shape, threads };
        let classes = self.state.learner.trainer.classes();
        let (watch, interrupted) = (&mut *self.watch, &mut self.interrupted);
        let total = samples.len() as u64;
        let score = self.inference.score(&read, classes, trial, &mut |done| {
            *interrupted |= watch(&Event::Validating { done, total }).is_break();
            if *interrupted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        let Some(score) = score else { return Ok(ControlFlow::Break(())) };
        for (index, reason) in &score.failures {
            if let Some(sample) = self.dataset.validation.get(*index) {
                self.report_failure(&sample.source.to_string(), reason);
            }
        }
        Ok(ControlFlow::Continue(Some(score)))
    }

    fn count_seconds(&mut self) -> f64 {
        let sitting = std::mem::replace(&mut self.began, Instant::now()).elapsed();
        self.state.progress.seconds += sitting.as_secs_f64();
        self.state.progress.seconds
    }

    fn save(&mut self) -> Result<()> {
        self.count_seconds();
        let path = self.state.checkpoint()?.save(self.folder)?;
        self.saved = Instant::now();
        let step = self.state.progress.step;
        self.tell(&Event::Saved { path: &path, step });
        Ok(())
    }

    fn finish(self, per_epoch: u64, steps: u64) -> Result<Outcome> {
        let ended = self.is_over(steps) && !self.owes_validation(per_epoch, steps);
        let interrupted = self.interrupted && !ended;
        let best = &self.state.best;
        let values = if best.is_empty() { self.state.values()? } else { best.clone() };
        Ok(Outcome {
            values,
            progress: self.state.progress,
            interrupted,
            folder: self.folder.to_path_buf(),
        })
    }
}
