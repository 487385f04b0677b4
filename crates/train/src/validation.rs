//! How good the values of the moment are: the inference graph, compiled with them, over a list
//! of images.

use std::sync::Arc;

use mobilenet_engine::{Elements, Graph, Plan, PlanOptions, Pool, Session, Shape, TensorView};
use mobilenet_formats::Tensor;
use mobilenet_vision::metrics::Evaluation;
use mobilenet_vision::{Preprocess, Scratch};

use crate::dataset::Sample;
use crate::loader::{Loader, Place};
use crate::pictures::Pictures;
use crate::{Error, ErrorKind, Result};

/// Images run at a time.
const BATCH: usize = 64;

/// What a network is tried on.
#[derive(Clone, Copy, Debug)]
pub struct Trial<'a> {
    /// The images.
    pub samples: &'a [Sample],
    /// Their pixels.
    pub pictures: &'a Pictures<'a>,
    /// How pixels become input.
    pub preprocess: Preprocess,
    /// Threads.
    pub threads: usize,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Score {
    /// Accuracy, confusion, calibration.
    pub evaluation: Evaluation,
    /// Mean cross-entropy.
    pub loss: f64,
    /// Images that could not be used: which, and why.
    pub failures: Vec<(usize, String)>,
}

/// An inference graph and where images go in and logits come out.
#[derive(Clone, Debug)]
pub struct Inference {
    /// The graph.
    pub graph: Graph,
    /// Tensor of the images, `[n, height, width, 3]`, values in [0, 1].
    pub images: String,
    /// Tensor of the logits, `[n, classes]`.
    pub logits: String,
}

/// Values of variables by name.
pub type Values<'a> =
    dyn Fn(&str) -> std::result::Result<Arc<Tensor>, mobilenet_engine::Error> + 'a;

impl Inference {
    /// Compiles the graph with `values` and runs it over the images of `trial`. Each image is
    /// counted once.
    ///
    /// # Errors
    /// If the graph does not compile or its logits do not fit the labels.
    pub fn score(&self, values: &Values<'_>, classes: usize, trial: Trial<'_>) -> Result<Score> {
        let mut session = self.session(values, trial)?;
        let evaluation = Evaluation::new(classes).map_err(metrics)?;
        let mut score = Score { evaluation, loss: 0.0, failures: Vec::new() };
        let mut seen = vec![false; trial.samples.len()];
        let shape = [BATCH, trial.preprocess.height, trial.preprocess.width, 3];
        let loader = Loader {
            samples: trial.samples,
            batch_size: BATCH,
            image_len: trial.preprocess.output_len(),
            shuffle: None,
            threads: trial.threads,
        };
        let maker =
            |sample: &Sample, place: Place, image: &mut [f32]| prepare(trial, sample, place, image);
        loader.run(0..loader.batches_per_epoch(), &maker, |batch| {
            let images = TensorView::new(&shape, Elements::F32(&batch.images)).map_err(model)?;
            session.run(&[images]).map_err(model)?;
            let logits = session.output(0).map_err(model)?.as_f32().unwrap_or_default();
            for ((row, &label), &index) in
                logits.chunks(classes.max(1)).zip(&batch.labels).zip(&batch.indices)
            {
                let Some(seen) = seen.get_mut(index).filter(|seen| !**seen) else { continue };
                *seen = true;
                score.evaluation.add(row, label).map_err(metrics)?;
                score.loss += cross_entropy(row, label);
            }
            score.failures.extend(batch.failures);
            Ok(true)
        })?;
        score.loss /= score.evaluation.count().max(1) as f64;
        score.failures.sort_unstable();
        score.failures.dedup();
        Ok(score)
    }

    fn session(&self, values: &Values<'_>, trial: Trial<'_>) -> Result<Session> {
        let Preprocess { height, width, .. } = trial.preprocess;
        let shape = Shape::new(vec![None, Some(height), Some(width), Some(3)]);
        let options = PlanOptions { threads: trial.threads, ..PlanOptions::default() };
        let inputs = [(self.images.as_str(), shape)];
        let plan = Plan::compile(&self.graph, values, &inputs, &[&self.logits], &options);
        Ok(Session::new(Arc::new(plan.map_err(model)?), Arc::new(Pool::new(trial.threads))))
    }
}

fn prepare(trial: Trial<'_>, sample: &Sample, place: Place, image: &mut [f32]) -> Result<()> {
    let picture = trial.pictures.get(place.index, &sample.source)?;
    with_scratch(|scratch| trial.preprocess.run_with(scratch, &picture, image)).map_err(|error| {
        Error::new(ErrorKind::Data, "an image that cannot be resized").because(error)
    })
}

/// Calls `work` with this thread's buffers for resizing.
pub(crate) fn with_scratch<R>(work: impl FnOnce(&mut Scratch) -> R) -> R {
    thread_local! {
        static SCRATCH: std::cell::RefCell<Scratch> = std::cell::RefCell::default();
    }
    SCRATCH.with(|scratch| work(&mut scratch.borrow_mut()))
}

/// `log(sum(exp(logits))) - logits[label]`.
fn cross_entropy(logits: &[f32], label: usize) -> f64 {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit - highest).exp()).sum();
    let own = logits.get(label).copied().unwrap_or(f32::NAN);
    sum.ln() - f64::from(own - highest)
}

fn model(error: mobilenet_engine::Error) -> Error {
    Error::new(ErrorKind::Model, "the inference graph").because(error)
}

fn metrics(error: mobilenet_vision::Error) -> Error {
    Error::new(ErrorKind::Model, "the logits do not fit the classes").because(error)
}
