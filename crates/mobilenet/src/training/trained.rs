//! What every kind of training gives: how it went, the module, and how good that is.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use mobilenet_formats::Tensor;
use mobilenet_formats::tensorflow::HubModule;
use mobilenet_train::checkpoint::{Checkpoint, Progress};
use mobilenet_train::dataset::Dataset;
use mobilenet_train::run::{Network, Outcome};
use mobilenet_train::validation::{Inference, Score};

use super::job::Job;
use super::network;
use super::preparing::{Watch, skipped, testing};
use crate::error::Result;

/// A finished or interrupted run.
#[derive(Clone, Debug)]
pub struct Trained {
    /// How it went; interrupted, too, where the test of the finished module was stopped.
    pub outcome: Outcome,
    /// The module's folder; `None` if the run was interrupted before its end.
    pub module: Option<PathBuf>,
    /// Names of the classes; empty where the run was stopped while the photos were divided.
    pub labels: Vec<String>,
    /// What the finished module makes of the test images, or of the validation images where
    /// there are none; `None` without either, and after an interruption.
    pub test: Option<Score>,
}

impl Trained {
    /// A run that was stopped before a step was taken: one that goes on is as far as its checkpoint.
    pub(super) fn stopped(job: &Job, labels: Vec<String>) -> Result<Self> {
        let folder = job.work();
        let progress = if job.resume && Checkpoint::exists(&folder) {
            Checkpoint::load(&folder)?.progress
        } else {
            Progress::default()
        };
        let outcome = Outcome { values: BTreeMap::new(), progress, interrupted: true, folder };
        Ok(Self::interrupted(outcome, labels))
    }

    /// A run that was stopped on the way.
    pub(super) fn interrupted(outcome: Outcome, labels: Vec<String>) -> Self {
        Self { outcome, module: None, labels, test: None }
    }

    /// A run whose module was written and tested; breaks: the test was stopped.
    pub(super) fn finished(
        outcome: Outcome,
        job: &Job,
        labels: Vec<String>,
        test: ControlFlow<(), Option<Score>>,
    ) -> Self {
        let outcome = Outcome { interrupted: test.is_break(), ..outcome };
        let test = test.continue_value().flatten();
        Self { outcome, module: Some(job.out.clone()), labels, test }
    }
}

/// How good the finished module is on images it has not seen. Breaks where `watch` does.
pub(super) fn test(
    job: &Job,
    module: &HubModule,
    dataset: &Dataset,
    watch: &mut Watch<'_>,
) -> Result<ControlFlow<(), Option<Score>>> {
    let Network { inference, variables, .. } = network::of(module)?;
    score(job, (&inference, &variables), dataset.classes.len(), dataset, watch)
}

/// As [`test`], for a network with its variables.
pub(super) fn score(
    job: &Job,
    (inference, variables): (&Inference, &BTreeMap<String, Arc<Tensor>>),
    classes: usize,
    dataset: &Dataset,
    watch: &mut Watch<'_>,
) -> Result<ControlFlow<(), Option<Score>>> {
    let samples = if dataset.test.is_empty() { &dataset.validation } else { &dataset.test };
    if samples.is_empty() {
        return Ok(ControlFlow::Continue(None));
    }
    let read = |name: &str| network::lookup(variables, name);
    let score = job.on_pictures(samples, |trial| {
        inference.score(&read, classes, trial, &mut testing(samples, watch))
    })?;
    let Some(score) = score else { return Ok(ControlFlow::Break(())) };
    // Validation images were told of before.
    for (index, reason) in &score.failures {
        if let Some(sample) = dataset.test.get(*index) {
            skipped(sample, reason, watch);
        }
    }
    Ok(ControlFlow::Continue(Some(score)))
}
