//! Dividing a data set by what its images contain.

use std::ops::ControlFlow;

use sha2::{Digest as _, Sha256};

use super::{Dataset, Sample};
use crate::{Error, ErrorKind, Result};

/// Shares of an undivided data set that training does not see.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares {
    /// For validation, in [0, 1).
    pub validation: f64,
    /// For the test at the end, in [0, 1).
    pub test: f64,
}

impl Default for Shares {
    /// A tenth each, as `retrain.py` had it.
    fn default() -> Self {
        Self { validation: 0.1, test: 0.1 }
    }
}

impl Shares {
    /// Refuses shares that leave nothing to train on.
    pub(super) fn check(self) -> Result<()> {
        let valid = |share: f64| (0.0..1.0).contains(&share);
        let Self { validation, test } = self;
        if valid(validation) && valid(test) && validation + test < 1.0 {
            return Ok(());
        }
        let message = format!(
            "shares of {validation} for validation and {test} for test leave nothing to train on"
        );
        Err(Error::new(ErrorKind::Options, message))
    }

    /// Those that `dataset` does not bring itself.
    fn missing(self, dataset: &Dataset) -> Self {
        let undivided = dataset.validation.is_empty();
        Self {
            validation: if undivided { self.validation } else { 0.0 },
            test: if undivided && dataset.test.is_empty() { self.test } else { 0.0 },
        }
    }

    fn is_nothing(self) -> bool {
        self.validation + self.test == 0.0
    }
}

/// How many images [`divide`] reads.
pub(super) fn count(dataset: &Dataset, shares: Shares) -> usize {
    if shares.missing(dataset).is_nothing() { 0 } else { dataset.train.len() }
}

/// Fills what is empty of validation and test from the training images. `each` is called after
/// each image that was read; where it breaks, the images that were not are gone.
///
/// An image's place follows from the SHA-256 of its bytes alone, so copies of one image never
/// stand on both sides. One that cannot be read stays where it is: whoever learns from the images
/// passes over it and tells of it. A class that would lose its last training image keeps them all.
pub(super) fn divide(
    dataset: &mut Dataset,
    shares: Shares,
    each: &mut dyn FnMut() -> ControlFlow<()>,
) -> ControlFlow<()> {
    let missing = shares.missing(dataset);
    if missing.is_nothing() {
        return ControlFlow::Continue(());
    }
    let Shares { validation, test } = missing;
    let mut train = Vec::with_capacity(dataset.train.len());
    for sample in std::mem::take(&mut dataset.train) {
        match place(&sample) {
            Ok(place) if place < validation => dataset.validation.push(sample),
            Ok(place) if place < validation + test => dataset.test.push(sample),
            _ => train.push(sample),
        }
        each()?;
    }
    dataset.train = train;
    return_lost_classes(dataset);
    ControlFlow::Continue(())
}

/// Uniform in [0, 1) by content.
fn place(sample: &Sample) -> Result<f64> {
    let digest = Sha256::digest(sample.source.read()?);
    let mut head = [0; 8];
    head.copy_from_slice(&digest[..8]);
    Ok((u64::from_be_bytes(head) >> 11) as f64 / (1_u64 << 53) as f64)
}

fn return_lost_classes(dataset: &mut Dataset) {
    let counts = dataset.count_by_class(&dataset.train);
    let lost = |sample: &Sample| counts.get(sample.label) == Some(&0);
    let back: Vec<Sample> = [&mut dataset.validation, &mut dataset.test]
        .into_iter()
        .flat_map(|side| side.extract_if(.., |sample| lost(sample)).collect::<Vec<_>>())
        .collect();
    dataset.train.extend(back);
}
