//! How good a classifier is on photos whose class is known.
//!
//! [`LabelledImages`] finds the photos (`data.rs`, `table.rs`, `numbered.rs`), `classes.rs` says
//! which class of the module each one is, [`evaluate`] runs them all, and an [`Evaluated`] holds
//! what came out: numbers, for others to print.

pub(crate) mod classes;
mod data;
mod numbered;
mod table;
mod tally;

use std::ops::ControlFlow;

pub use data::LabelledImages;
pub use mobilenet_train::dataset::{Sample, Source};
use mobilenet_vision::Resize;
use mobilenet_vision::metrics::{Evaluation, Reliability};

use crate::classifier::{Classifier, Worker};
use crate::error::{Error, ErrorKind, Result};
use crate::pipeline;
use tally::Tally;

/// What [`evaluate`] does beyond counting.
#[derive(Clone, Debug, PartialEq)]
pub struct EvaluationOptions {
    /// Let the network choose among the data's classes only. For data of fewer classes than
    /// the module has, such as Tiny ImageNet's 200 of ImageNet's 1000.
    pub restrict_to_data_classes: bool,
    /// Also measure with every resize method.
    pub by_resize: bool,
    /// Most confident mistakes to keep.
    pub mistakes: usize,
}

impl Default for EvaluationOptions {
    fn default() -> Self {
        Self { restrict_to_data_classes: false, by_resize: false, mistakes: 24 }
    }
}

/// What came out of [`evaluate`].
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// The classes that were told apart: their numbers in the module, ascending.
    pub classes: Vec<usize>,
    /// Their names.
    pub labels: Vec<String>,
    /// Accuracy, confusion and calibration; its classes index `classes`.
    pub evaluation: Evaluation,
    /// The temperature that fits these photos, if one could be found.
    pub temperature: Option<Temperature>,
    /// Mistakes, most confident first; their classes index `classes`.
    pub mistakes: Vec<Mistake>,
    /// Accuracy by resize method, if asked for.
    pub by_resize: Vec<ByResize>,
    /// Photos that could not be read, in the data's order.
    pub failures: Vec<Unread>,
}

/// A factor that makes a network as sure as it is right; fitted on the photos it is measured on.
#[derive(Clone, Debug, PartialEq)]
pub struct Temperature {
    /// What logits are to be divided by.
    pub value: f64,
    /// Photos that it was fitted on: all, or evenly chosen ones where they are very many.
    pub fitted_on: usize,
    /// Calibration of the same photos with it.
    pub reliability: Reliability,
}

/// A photo taken for something else.
#[derive(Clone, Debug, PartialEq)]
pub struct Mistake {
    /// The photo.
    pub source: Source,
    /// What it is.
    pub label: usize,
    /// What it was taken for.
    pub predicted: usize,
    /// The probability given to `predicted`, in [0, 1].
    pub confidence: f32,
    /// The probability given to `label`, in [0, 1].
    pub probability: f32,
}

/// Accuracy with one resize method.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ByResize {
    /// The method.
    pub resize: Resize,
    /// The share of photos whose likeliest class is the true one; NaN for none.
    pub top_1: f64,
    /// The share of photos with the true class among the five likeliest; NaN for none.
    pub top_5: f64,
}

/// A photo that could not be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Unread {
    /// The photo.
    pub source: Source,
    /// Why.
    pub message: String,
}

/// Classifies every photo of `data`, on all threads of the module, and counts.
///
/// `watch` hears of each photo in order (the error of one that cannot be read); when it breaks,
/// the rest is left out. Results do not depend on the number of threads.
///
/// # Errors
/// [`ErrorKind::Labels`] if the module does not have the data's classes, [`ErrorKind::Input`] if
/// they are too many to count. Photos that cannot be read are not errors.
pub fn evaluate(
    classifier: &Classifier,
    data: &LabelledImages,
    options: &EvaluationOptions,
    mut watch: impl FnMut(Option<&str>) -> ControlFlow<()>,
) -> Result<Evaluated> {
    let task = Task::new(classifier, data, options)?;
    let mut tally = Tally::new(&task.columns, &task.resizes, options.mistakes)?;
    let mut broken = None;
    let threads = classifier.module().threads();
    let worker = || {
        let mut workers = task.workers();
        move |sample: &Sample| run(&mut workers, &sample.source)
    };
    let mut samples = data.images.iter();
    pipeline::ordered(data.images.iter(), threads, worker, |outcome| {
        let Some(sample) = samples.next() else { return ControlFlow::Break(()) };
        let label = task.truth.get(sample.label).copied().unwrap_or_default();
        match tally.add(sample, label, &outcome) {
            Ok(()) => watch(outcome.err().as_deref()),
            Err(error) => {
                broken = Some(error);
                ControlFlow::Break(())
            }
        }
    });
    match broken {
        Some(error) => Err(error),
        None => Ok(tally.finish(classifier.labels(), &task.columns)),
    }
}

/// The logits of one photo by each resize method, or why it cannot be read.
type Outcome = std::result::Result<Vec<Vec<f32>>, String>;

/// What is the same for all photos.
struct Task {
    /// By resize method; the first is the one that counts.
    classifiers: Vec<Classifier>,
    resizes: Vec<Resize>,
    /// The module's number of each class that is told apart.
    columns: Vec<usize>,
    /// The place in `columns` of each class of the data.
    truth: Vec<usize>,
}

impl Task {
    fn new(
        classifier: &Classifier,
        data: &LabelledImages,
        options: &EvaluationOptions,
    ) -> Result<Task> {
        let module_classes = classes::match_classes(data, classifier.labels())?;
        let columns: Vec<usize> = if options.restrict_to_data_classes {
            let mut some = module_classes.clone();
            some.sort_unstable();
            some.dedup();
            some
        } else {
            (0..classifier.labels().len()).collect()
        };
        let place = |class: &usize| columns.binary_search(class).unwrap_or_default();
        let truth = module_classes.iter().map(place).collect();
        let mut classifiers = vec![classifier.clone()];
        let mut resizes = Vec::new();
        if options.by_resize {
            resizes.extend(Resize::all());
            for resize in &resizes {
                classifiers.push(with_resize(classifier, *resize)?);
            }
        }
        Ok(Task { classifiers, resizes, columns, truth })
    }

    fn workers(&self) -> Vec<Worker> {
        self.classifiers.iter().map(Classifier::worker).collect()
    }
}

fn with_resize(classifier: &Classifier, resize: Resize) -> Result<Classifier> {
    let mut chosen = classifier.preprocessing().clone();
    chosen.resize = resize;
    let options = Classifier::options().labels(classifier.labels().clone()).preprocessing(chosen);
    options.build(classifier.module().clone())
}

fn run(workers: &mut [Worker], source: &Source) -> Outcome {
    let text = |error: Error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
    };
    let file = source.read().map_err(|e| {
        let cause = std::error::Error::source(&e).map(ToString::to_string);
        cause.unwrap_or_else(|| e.to_string())
    })?;
    let Some(first) = workers.first() else { return Ok(Vec::new()) };
    let image = first.decode(&file).map_err(text)?;
    workers.iter_mut().map(|worker| worker.log_scores(&image).map_err(text)).collect()
}

impl Evaluated {
    /// The share of photos whose likeliest class is the true one, in [0, 1]; NaN for none.
    pub fn top_1(&self) -> f64 {
        self.evaluation.top_1()
    }

    /// The share of photos with the true class among the five likeliest; NaN for none.
    pub fn top_5(&self) -> f64 {
        self.evaluation.top_5()
    }

    /// The name of a class that was told apart.
    pub fn label(&self, class: usize) -> &str {
        self.labels.get(class).map_or("", String::as_str)
    }
}

fn too_many(error: mobilenet_vision::Error) -> Error {
    Error::because(ErrorKind::Input, "the module has too many classes to count", error)
}
