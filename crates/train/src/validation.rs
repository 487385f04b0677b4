//! How good the values of the moment are: the inference graph, compiled with them, over a list
//! of samples. The same way runs what does not learn: [`Inference::visit`] gives every sample's
//! outputs.

use std::ops::ControlFlow;
use std::sync::Arc;

use mobilenet_engine::{Elements, Graph, Plan, PlanOptions, Pool, Session, Shape, TensorView};
use mobilenet_formats::Tensor;
use mobilenet_vision::metrics::Evaluation;
use mobilenet_vision::{Preprocess, Scratch};

use crate::dataset::Sample;
use crate::loader::{Loader, Maker, Place};
use crate::pictures::Pictures;
use crate::{Error, ErrorKind, Result};

/// Images run at a time.
const BATCH: usize = 64;

/// What a graph runs over.
#[derive(Clone, Copy)]
pub struct Trial<'a> {
    /// The samples.
    pub samples: &'a [Sample],
    /// What makes the input of each.
    pub maker: &'a dyn Maker,
    /// Shape of one input: height, width, channels.
    pub shape: [usize; 3],
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
    /// Tensor of the images, `[n, height, width, channels]`, values in [0, 1] for pixels.
    pub images: String,
    /// Tensor of the answers, `[n, …]`: logits, or features.
    pub logits: String,
}

/// Values of variables by name.
pub type Values<'a> =
    dyn Fn(&str) -> std::result::Result<Arc<Tensor>, mobilenet_engine::Error> + 'a;

/// What is done with a sample's index and its answers.
pub type Visit<'a> = dyn FnMut(usize, &[f32]) -> Result<ControlFlow<()>> + 'a;

impl Inference {
    /// Compiles the graph with `values` and runs it over the images of `trial`. Each image is
    /// counted once. `watch` hears how many are done, at once and then after every batch of them,
    /// and may stop it: `None`.
    ///
    /// # Errors
    /// If the graph does not compile or its logits do not fit the labels.
    pub fn score(
        &self,
        values: &Values<'_>,
        classes: usize,
        trial: Trial<'_>,
        watch: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Option<Score>> {
        let mut evaluation = Evaluation::new(classes).map_err(metrics)?;
        let mut loss = 0.0;
        let mut flow = watch(0);
        if flow.is_break() {
            return Ok(None);
        }
        let failures = self.visit(values, trial, &mut |index, logits| {
            let label = trial.samples.get(index).map_or(0, |sample| sample.label);
            loss += cross_entropy(logits, label);
            evaluation.add(logits, label).map_err(metrics)?;
            let done = evaluation.count();
            if done.is_multiple_of(BATCH as u64) {
                flow = watch(done);
            }
            Ok(flow)
        })?;
        if flow.is_break() {
            return Ok(None);
        }
        loss /= evaluation.count().max(1) as f64;
        Ok(Some(Score { evaluation, loss, failures }))
    }

    /// Compiles the graph with `values`, runs it over the samples of `trial` and calls `visit`
    /// once for each with its index and its answers, until it breaks. Returns those that could not
    /// be used.
    ///
    /// # Errors
    /// If the graph does not compile; whatever `visit` returns.
    pub fn visit(
        &self,
        values: &Values<'_>,
        trial: Trial<'_>,
        visit: &mut Visit<'_>,
    ) -> Result<Vec<(usize, String)>> {
        if trial.samples.is_empty() {
            return Ok(Vec::new());
        }
        let mut session = self.session(values, trial.shape, trial.threads)?;
        let mut seen = vec![false; trial.samples.len()];
        let [height, width, channels] = trial.shape;
        let loader = Loader {
            samples: trial.samples,
            batch_size: BATCH,
            image_len: height * width * channels,
            shuffle: None,
            shares: &[],
            threads: trial.threads,
        };
        let mut failures = Vec::new();
        loader.run(0..loader.batches_per_epoch(), trial.maker, |batch| {
            let shape = [BATCH, height, width, channels];
            let images = TensorView::new(&shape, Elements::F32(&batch.images)).map_err(model)?;
            session.run(&[images]).map_err(model)?;
            let answers = session.output(0).map_err(model)?.as_f32().unwrap_or_default();
            let rows = answers.chunks((answers.len() / BATCH).max(1));
            failures.extend(batch.failures);
            for (row, &index) in rows.zip(&batch.indices) {
                if let Some(seen) = seen.get_mut(index).filter(|seen| !**seen) {
                    *seen = true;
                    if visit(index, row)?.is_break() {
                        return Ok(false);
                    }
                }
            }
            Ok(true)
        })?;
        failures.sort_unstable();
        failures.dedup();
        Ok(failures)
    }

    /// A session for any number of inputs of `shape`, height, width, channels.
    pub(crate) fn session(
        &self,
        values: &Values<'_>,
        shape: [usize; 3],
        threads: usize,
    ) -> Result<Session> {
        let dims = std::iter::once(None).chain(shape.map(Some)).collect();
        let options = PlanOptions { threads, ..PlanOptions::default() };
        let inputs = [(self.images.as_str(), Shape::new(dims))];
        let plan = Plan::compile(&self.graph, values, &inputs, &[&self.logits], &options);
        Ok(Session::new(Arc::new(plan.map_err(model)?), Arc::new(Pool::new(threads))))
    }
}

/// Makes images as they are looked at when nothing is random.
#[derive(Clone, Copy, Debug)]
pub struct Plain<'a> {
    /// Their pixels.
    pub pictures: &'a Pictures<'a>,
    /// How pixels become input.
    pub preprocess: Preprocess,
}

impl Maker for Plain<'_> {
    fn image(&self, sample: &Sample, place: Place, image: &mut [f32]) -> Result<()> {
        let picture = self.pictures.get(place.index, &sample.source)?;
        let run = with_scratch(|scratch| self.preprocess.run_with(scratch, &picture, image));
        run.map_err(|error| {
            Error::new(ErrorKind::Data, "an image that cannot be resized").because(error)
        })
    }
}

/// Hands out rows computed before: `[samples, len]`.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a>(pub &'a [f32]);

impl Maker for Rows<'_> {
    fn image(&self, _: &Sample, place: Place, image: &mut [f32]) -> Result<()> {
        let start = place.index.saturating_mul(image.len());
        match self.0.get(start..start.saturating_add(image.len())) {
            Some(row) => image.copy_from_slice(row),
            None => return Err(Error::new(ErrorKind::Data, "a sample without features")),
        }
        Ok(())
    }
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
