//! Distillation: a module that already knows the classes says what each training image shows, and
//! its answer counts beside the label.
//!
//! The teacher sees the very pixels that the network in training sees, augmented and blended,
//! resized to its own input. Its classes are found by label, synonym or WordNet id; what it knows
//! beyond the data's classes is left out.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use mobilenet_train::batches;
use mobilenet_vision::{Labels, Resize};

use crate::error::{Error, ErrorKind, Result};
use crate::evaluation::LabelledImages;
use crate::evaluation::classes::match_classes;
use crate::module::{Module, Request};
use crate::runner::Runner;
use crate::signature::Scores;

/// A module to learn from.
#[derive(Clone, Debug)]
pub struct Distillation {
    /// The teacher: any module with a classifier that has the data's classes.
    pub module: Module,
    /// How much its answers count beside the labels, in [0, 1].
    pub share: f32,
}

impl Distillation {
    /// What a checkpoint remembers of it.
    pub(super) fn setting(&self) -> String {
        format!("{} {:?}", self.module.handle(), self.share)
    }
}

/// Answers for batches, from as many threads as ask.
pub(super) struct Teacher<'a> {
    distillation: &'a Distillation,
    /// Its number of each of the data's classes.
    columns: Vec<usize>,
    image_size: (usize, usize),
    /// Runners that nobody uses at the moment.
    idle: Mutex<Vec<Runner>>,
}

impl<'a> Teacher<'a> {
    /// For data of `classes`, which are called `labels`.
    pub(super) fn new(
        distillation: &'a Distillation,
        classes: &[String],
        labels: &[String],
    ) -> Result<Self> {
        let Distillation { module, share } = distillation;
        if !(0.0..=1.0).contains(share) {
            let message = "the teacher's share is 0 to 1";
            return Err(Error::new(ErrorKind::Training, message));
        }
        let width = width(module)?;
        Self::of_columns(distillation, columns(classes, labels, &module.labels(width)?)?)
    }

    /// For data whose classes are the teacher's own.
    pub(super) fn of_own_classes(distillation: &'a Distillation) -> Result<Self> {
        Self::of_columns(distillation, (0..width(&distillation.module)?).collect())
    }

    fn of_columns(distillation: &'a Distillation, columns: Vec<usize>) -> Result<Self> {
        let image_size = distillation.module.expected_image_size()?;
        Ok(Self { distillation, columns, image_size, idle: Mutex::default() })
    }

    /// A runner for `count` images, used before if there is one.
    fn runner(&self, count: usize) -> Result<Runner> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = idle.iter().position(|runner| runner.input_shape()[0] == count) {
            return Ok(idle.swap_remove(at));
        }
        drop(idle);
        let module = &self.distillation.module;
        module.runner(&request(module, count, self.image_size)?)
    }

    fn answer(&self, images: &[f32], size: [usize; 2], targets: &mut [f32]) -> Result<()> {
        let classes = self.columns.len().max(1);
        let count = targets.len() / classes;
        if count == 0 {
            return Ok(());
        }
        let mut runner = self.runner(count)?;
        self.fill(images, (size[0], size[1]), runner.input_mut(), count)?;
        runner.run()?;
        let answers = runner.output(0);
        let width = (answers.len() / count).max(1);
        let mut row = vec![0.0; classes];
        for (target, answer) in targets.chunks_mut(classes).zip(answers.chunks(width)) {
            let own = self.columns.iter().map(|&column| answer.get(column).copied());
            row.clear();
            row.extend(own.map(Option::unwrap_or_default));
            probabilities(self.distillation.module.scores(), &mut row);
            let share = self.distillation.share;
            for (target, answer) in target.iter_mut().zip(&row) {
                *target += share * (answer - *target);
            }
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(runner);
        Ok(())
    }

    /// The images at the teacher's own size.
    fn fill(
        &self,
        images: &[f32],
        size: (usize, usize),
        input: &mut [f32],
        count: usize,
    ) -> Result<()> {
        if size == self.image_size {
            input.copy_from_slice(images);
            return Ok(());
        }
        let (from, to) = ((images.len() / count).max(1), (input.len() / count).max(1));
        for (image, input) in images.chunks(from).zip(input.chunks_mut(to)) {
            Resize::TF2_BILINEAR.run_f32(image, size, input, self.image_size)?;
        }
        Ok(())
    }
}

impl batches::Teacher for Teacher<'_> {
    fn blend(
        &self,
        images: &[f32],
        image_size: [usize; 2],
        targets: &mut [f32],
    ) -> mobilenet_train::Result<()> {
        self.answer(images, image_size, targets).map_err(|error| {
            let kind = mobilenet_train::ErrorKind::Model;
            mobilenet_train::Error::new(kind, "the teacher does not answer").because(error)
        })
    }
}

/// The teacher's number of each class, found by the data's own name for it or by its label.
fn columns(classes: &[String], labels: &[String], known: &Labels) -> Result<Vec<usize>> {
    let words: BTreeMap<String, String> =
        classes.iter().cloned().zip(labels.iter().cloned()).collect();
    let by = |names: &[String]| {
        let (classes, words) = (names.to_vec(), words.clone());
        match_classes(&LabelledImages { classes, words, ..LabelledImages::default() }, known)
    };
    by(classes).or_else(|error| by(labels).map_err(|_| error))
}

/// The number of classes that `module` knows.
fn width(module: &Module) -> Result<usize> {
    let mut runner = module.runner(&request(module, 1, module.expected_image_size()?)?)?;
    runner.run()?;
    Ok(runner.output(0).len())
}

/// `count` images to what the module classifies by.
fn request(module: &Module, count: usize, size: (usize, usize)) -> Result<Request> {
    Ok(Request::new(module.classification_signature()?).images(count, size))
}

/// Makes one row of scores sum to 1: softmax of logits, a share of probabilities.
fn probabilities(scores: Scores, row: &mut [f32]) {
    if scores == Scores::Logits {
        let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        row.iter_mut().for_each(|score| *score = (*score - highest).exp());
    }
    let sum: f32 = row.iter().sum();
    if sum > 0.0 {
        row.iter_mut().for_each(|score| *score /= sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn rows_sum_to_one_whatever_the_module_answers() {
        let mut logits = [1000.0, 1000.0 - 2f32.ln(), 0.0];
        probabilities(Scores::Logits, &mut logits);
        let close = |a: [f32; 3], b: [f32; 3]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4);
        assert!(close(logits, [2.0 / 3.0, 1.0 / 3.0, 0.0]), "{logits:?}");
        let mut shares = [0.2, 0.1, 0.1];
        probabilities(Scores::Probabilities, &mut shares);
        assert!(close(shares, [0.5, 0.25, 0.25]), "{shares:?}");
    }

    #[test]
    fn classes_are_found_by_folder_or_label() {
        let known = Labels::from_names(["background", "a dot", "n01443537"]).unwrap();
        let (classes, labels) = (texts(&["n01443537", "dot"]), texts(&["goldfish", "a dot"]));
        assert!(columns(&classes, &labels, &known).is_err());
        assert_eq!(columns(&classes[..1], &labels[..1], &known).unwrap(), [2]);
        assert_eq!(columns(&classes[1..], &labels[1..], &known).unwrap(), [1]);
    }
}
