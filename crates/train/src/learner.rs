//! What a run is made from: the part that takes steps, and the supply of batches for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use mobilenet_engine::{Elements, Session, TensorView};
use mobilenet_formats::Tensor;

use crate::batches::{Batches, Stock, Teacher};
use crate::dataset::Dataset;
use crate::loader::{Batch, Loader};
use crate::optimizer::Optimizer;
use crate::pictures::Pictures;
use crate::run::{Features, Network, RunOptions};
use crate::trainer::{Losses, StepOptions, Trainer};
use crate::validation::{Inference, Rows};
use crate::{Error, ErrorKind, Result};

/// Takes steps on batches: what does not learn runs first, as at inference.
pub(crate) struct Learner {
    pub(crate) trainer: Trainer,
    frozen: Option<Session>,
    /// `[n, height, width, 3]` of the images.
    images: [usize; 4],
}

/// What validation needs of a network.
pub(crate) struct Rest {
    pub(crate) inference: Inference,
    pub(crate) variables: BTreeMap<String, Arc<Tensor>>,
}

impl Learner {
    /// Compiles what learns and what does not.
    pub(crate) fn new(
        network: Network,
        optimizer: Box<dyn Optimizer>,
        options: &RunOptions,
    ) -> Result<(Self, Rest)> {
        let Network { training, inference, variables, frozen } = network;
        let step_options = StepOptions {
            batch_size: options.batch_size,
            image_size: options.image_size,
            threads: options.threads,
            seed: options.seed,
        };
        let initial = |name: &str| lookup(&variables, name);
        let [height, width] = options.image_size;
        let frozen = frozen.map(|f| f.session(&initial, [height, width, 3], options.threads));
        let trainer = Trainer::new(training, &initial, optimizer, step_options)?
            .with_weight_decay(options.weight_decay);
        let images = [options.batch_size, height, width, 3];
        let learner = Self { trainer, frozen: frozen.transpose()?, images };
        Ok((learner, Rest { inference, variables }))
    }

    /// One step; the losses before it, and how many images of the batch were right.
    pub(crate) fn step(&mut self, batch: &Batch, learning_rate: f32) -> Result<(Losses, u64)> {
        let trainer = &mut self.trainer;
        let input = match &mut self.frozen {
            Some(session) => through(session, &self.images, &batch.images)?,
            None => batch.images.as_slice(),
        };
        let losses = match batch.weights.as_slice() {
            [] => trainer.step(input, &batch.targets, learning_rate)?,
            weights => trainer.step_weighted(input, &batch.targets, weights, learning_rate)?,
        };
        let right = count_right(trainer.logits()?, trainer.classes(), &batch.labels);
        Ok((losses, right))
    }
}

/// Where a run's batches come from.
pub(crate) fn supply<'a>(
    options: &'a RunOptions,
    dataset: &'a Dataset,
    pictures: &'a Pictures<'a>,
    features: Option<&'a Features>,
    teacher: Option<&'a dyn Teacher>,
    classes: usize,
) -> (Loader<'a>, Batches<'a>) {
    let (stock, image_len) = match features {
        Some(features) => (Stock::Features(Rows(&features.train)), features.len),
        None => {
            let [height, width] = options.image_size;
            (Stock::Pictures(pictures, &options.augment), height * width * 3)
        }
    };
    let loader = Loader {
        samples: &dataset.train,
        batch_size: options.batch_size,
        image_len,
        shuffle: Some(options.seed),
        shares: &options.shares,
        threads: options.threads,
    };
    let batches = Batches {
        stock,
        image_size: options.image_size,
        classes,
        label_smoothing: options.label_smoothing,
        blend: options.blend,
        class_weights: &options.class_weights,
        teacher,
        seed: options.seed,
    };
    (loader, batches)
}

/// What the part that does not learn makes of `images`.
fn through<'s>(session: &'s mut Session, shape: &[usize; 4], images: &[f32]) -> Result<&'s [f32]> {
    let failed = |error: mobilenet_engine::Error| {
        Error::new(ErrorKind::Model, "the part that does not learn").because(error)
    };
    let images = TensorView::new(shape, Elements::F32(images)).map_err(failed)?;
    session.run(&[images]).map_err(failed)?;
    Ok(session.output(0).map_err(failed)?.as_f32().unwrap_or_default())
}

/// The value of a variable.
pub(crate) fn lookup(
    variables: &BTreeMap<String, Arc<Tensor>>,
    name: &str,
) -> std::result::Result<Arc<Tensor>, mobilenet_engine::Error> {
    variables.get(name).cloned().ok_or_else(|| {
        let message = format!("the network has no variable {name:?}");
        mobilenet_engine::Error::new(mobilenet_engine::ErrorKind::NotFound, message)
    })
}

/// Rows whose highest logit is their label's.
fn count_right(logits: &[f32], classes: usize, labels: &[usize]) -> u64 {
    let is_right = |(row, &label): (&[f32], &usize)| {
        let own = row.get(label).copied().unwrap_or(f32::NAN);
        row.iter().all(|&other| other <= own)
    };
    logits.chunks(classes.max(1)).zip(labels).filter(|&pair| is_right(pair)).count() as u64
}
