//! Training from random values: a data set and a recipe become a module.

use std::ops::ControlFlow;

use mobilenet_formats::tensorflow::HubModule;
use mobilenet_train::dataset::{Dataset, Listing};
use mobilenet_train::range_test::{Curve, Range};
use mobilenet_train::run::{Event, Run};

use super::job::Job;
use super::trained::{self, Trained};
use super::{export, network};
use crate::builder::MobilenetV1;
use crate::error::{Error, ErrorKind, Result};

/// How MobileNet V1 is trained from random values.
///
/// ```no_run
/// use std::ops::ControlFlow;
/// use mobilenet::training::{Job, TrainOptions, recipe};
///
/// let job = Job::new("photos", "my-module", 128, recipe("modern")?);
/// let options = TrainOptions { job, depth_multiplier: 0.25 };
/// let trained = options.train(&mut |_| ControlFlow::Continue(()))?;
/// println!("{:?}", trained.outcome.progress.best);
/// # Ok::<(), mobilenet::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TrainOptions {
    /// Data, recipe, and where the module goes.
    pub job: Job,
    /// Factor on every layer's channels, more than 0 and at most 8.
    pub depth_multiplier: f64,
}

impl TrainOptions {
    /// Trains and writes the module. `watch` hears of everything and may stop the run.
    ///
    /// # Errors
    /// If data or settings cannot be used, a loss is no longer a number, there is a checkpoint
    /// where none was expected (or a damaged one to resume), or a file cannot be written.
    pub fn train(&self, watch: &mut dyn FnMut(&Event<'_>) -> ControlFlow<()>) -> Result<Trained> {
        self.check()?;
        let job = &self.job;
        let Some(dataset) = job.dataset(watch)? else { return Trained::stopped(job, Vec::new()) };
        let labels = job.labels(&dataset.classes)?;
        let mut module = self.module(&dataset)?;
        let outcome =
            self.with_run(&module, &dataset, &labels, |run| run.train(&dataset, watch))?;
        if outcome.interrupted {
            return Ok(Trained::interrupted(outcome, labels));
        }
        export::finish(&mut module, &outcome.values, &labels, job)?;
        let test = trained::test(job, &module, &dataset, watch)?;
        Ok(Trained::finished(outcome, job, labels, test))
    }

    /// Tries learning rates from low to high; nothing is kept of it. The curve is empty where
    /// `watch` stopped it before its first step.
    ///
    /// # Errors
    /// As [`TrainOptions::train`]; if the range is impossible.
    pub fn test_learning_rates(
        &self,
        range: Range,
        watch: &mut dyn FnMut(&Event<'_>) -> ControlFlow<()>,
    ) -> Result<Curve> {
        self.check()?;
        let Some(dataset) = self.job.dataset(watch)? else { return Ok(Curve::default()) };
        let labels = self.job.labels(&dataset.classes)?;
        let module = self.module(&dataset)?;
        self.with_run(&module, &dataset, &labels, |run| {
            run.test_learning_rates(&dataset, range, watch)
        })
    }

    fn check(&self) -> Result<()> {
        if !(self.depth_multiplier > 0.0 && self.depth_multiplier <= 8.0) {
            let message = "the depth multiplier is above 0 and at most 8";
            return Err(Error::new(ErrorKind::Training, message));
        }
        self.job.check()
    }

    fn module(&self, dataset: &Dataset) -> Result<HubModule> {
        let builder = self.builder(dataset.classes.len());
        Ok(builder.module(|spec| spec.initial_tensor(self.job.seed))?)
    }

    /// Hands `work` the run of `module` on `dataset`.
    fn with_run<R>(
        &self,
        module: &HubModule,
        dataset: &Dataset,
        labels: &[String],
        work: impl FnOnce(Run<'_>) -> mobilenet_train::Result<R>,
    ) -> Result<R> {
        let job = &self.job;
        let mut settings = job.settings(dataset);
        settings.insert("depth multiplier".to_owned(), format!("{:?}", self.depth_multiplier));
        let teacher = job.teacher(&dataset.classes, labels)?;
        let run = Run {
            network: network::of(module)?,
            options: job.run_options(dataset, labels)?,
            optimizer: job.optimizer()?,
            folder: &job.work(),
            features: None,
            teacher: teacher.as_ref().map(|teacher| teacher as _),
            settings,
            listing: Listing::of(dataset),
            resume: job.resume,
        };
        Ok(work(run)?)
    }

    fn builder(&self, classes: usize) -> MobilenetV1 {
        let size = [self.job.image_size; 2];
        export::builder(&self.job, MobilenetV1::new(self.depth_multiplier, size), classes)
    }
}
