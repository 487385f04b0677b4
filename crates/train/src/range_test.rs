//! Which learning rate suits: steps at rates from tiny to huge (Smith, 2015), and where along the
//! way the loss fell best.

use std::ops::ControlFlow;

use mobilenet_vision::DecodeOptions;

use crate::dataset::Dataset;
use crate::learner::{Learner, supply};
use crate::pictures::{Budget, Pictures};
use crate::run::{Event, Run};
use crate::{Error, ErrorKind, Result};

/// Share of the old value that the smoothed loss keeps.
const SMOOTHING: f64 = 0.9;

/// Loss, in multiples of the best, at which the test ends.
const LOST: f64 = 4.0;

/// Steps before a rise of the loss ends the test.
const SETTLED: usize = 10;

/// Rates to try: each step's is the one before times a factor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// Rate of the first step.
    pub from: f64,
    /// Rate of the last step.
    pub to: f64,
    /// Steps.
    pub steps: usize,
}

impl Default for Range {
    fn default() -> Self {
        Self { from: 1e-5, to: 10.0, steps: 100 }
    }
}

impl Range {
    fn at(&self, step: usize) -> f64 {
        let share = step as f64 / (self.steps.max(2) - 1) as f64;
        self.from * (self.to / self.from).powf(share)
    }
}

/// A rate and the loss before the step at it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Learning rate.
    pub learning_rate: f64,
    /// Cross-entropy of the batch.
    pub loss: f64,
    /// The same, smoothed over the steps before.
    pub smoothed: f64,
}

/// What came of the test.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// Each step until the loss was lost or the range ended.
    pub points: Vec<Point>,
}

impl Curve {
    fn push(&mut self, learning_rate: f64, loss: f64) {
        let steps = self.points.len() as i32;
        let weight = |steps: i32| 1.0 - SMOOTHING.powi(steps);
        let before = self.points.last().map_or(0.0, |last| last.smoothed * weight(steps));
        let smoothed = (before * SMOOTHING + loss * (1.0 - SMOOTHING)) / weight(steps + 1);
        self.points.push(Point { learning_rate, loss, smoothed });
    }

    /// Whether going on tells nothing more.
    fn is_lost(&self) -> bool {
        let best = self.points.iter().map(|point| point.smoothed).fold(f64::INFINITY, f64::min);
        let last = self.points.last().map_or(0.0, |last| last.smoothed);
        self.points.len() > SETTLED && last > LOST * best
    }

    /// The rate to train with: a tenth of the one at which the smoothed loss was lowest, or
    /// where it fell steepest, whichever is less. `None` where it never fell.
    ///
    /// ```
    /// assert_eq!(mobilenet_train::range_test::Curve::default().suggestion(), None);
    /// ```
    #[must_use]
    pub fn suggestion(&self) -> Option<f64> {
        let by_loss = |a: &&Point, b: &&Point| a.smoothed.total_cmp(&b.smoothed);
        let lowest = self.points.iter().min_by(by_loss)?;
        let steepest = self.steepest()?;
        Some((lowest.learning_rate / 10.0).min(steepest))
    }

    /// The rate in the middle of the stretch over which the smoothed loss fell most.
    fn steepest(&self) -> Option<f64> {
        let reach = (self.points.len() / 20).max(1);
        let falls = self.points.windows(2 * reach + 1).filter_map(|window| {
            let (first, last) = (window.first()?, window.last()?);
            Some((first.smoothed - last.smoothed, window.get(reach)?.learning_rate))
        });
        let (fall, rate) = falls.max_by(|a, b| a.0.total_cmp(&b.0))?;
        (fall > 0.0).then_some(rate)
    }
}

impl Run<'_> {
    /// Takes steps at rates from low to high and tells how the loss went; nothing is kept.
    ///
    /// # Errors
    /// If the network cannot be trained, or the range is impossible.
    pub fn test_learning_rates(
        self,
        dataset: &Dataset,
        range: Range,
        watch: &mut dyn FnMut(&Event<'_>) -> ControlFlow<()>,
    ) -> Result<Curve> {
        if !(range.from > 0.0 && range.from < range.to && range.to.is_finite() && range.steps > 1) {
            let message = "learning rates are tested from above 0 to a higher one";
            return Err(Error::new(ErrorKind::Options, message));
        }
        let Self { network, options, optimizer, features, teacher, .. } = self;
        let (mut learner, _) = Learner::new(network, optimizer, &options)?;
        let budget = Budget::new(options.cache_bytes);
        let pictures = Pictures::new(dataset.train.len(), &budget, DecodeOptions::default());
        let classes = learner.trainer.classes();
        let (loader, batches) = supply(&options, dataset, &pictures, features, teacher, classes);
        let mut curve = Curve::default();
        let (steps, batch_size) = (range.steps as u64, options.batch_size);
        let per_epoch = loader.batches_per_epoch();
        if watch(&Event::Started { step: 0, steps, per_epoch, batch_size }).is_break() {
            return Ok(curve);
        }
        loader.run(0..steps, &batches, |batch| {
            let learning_rate = range.at(curve.points.len());
            let (losses, right) = match learner.step(&batch, learning_rate as f32) {
                Err(error) if error.kind() == ErrorKind::Diverged => return Ok(false),
                result => result?,
            };
            curve.push(learning_rate, losses.loss.into());
            let step = curve.points.len() as u64;
            let accuracy = right as f64 / batch.labels.len().max(1) as f64;
            let told = watch(&Event::Stepped { step, learning_rate, losses, accuracy });
            Ok(told.is_continue() && !curve.is_lost())
        })?;
        Ok(curve)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(loss: impl Fn(f64) -> f64) -> Curve {
        let range = Range::default();
        let mut curve = Curve::default();
        for step in 0..range.steps {
            let rate = range.at(step);
            curve.push(rate, loss(rate));
            if curve.is_lost() {
                break;
            }
        }
        curve
    }

    #[test]
    fn the_range_is_even_in_the_logarithm() {
        let range = Range { from: 1e-4, to: 1.0, steps: 5 };
        for (step, rate) in [1e-4, 1e-3, 1e-2, 1e-1, 1.0].into_iter().enumerate() {
            assert!((range.at(step) / rate - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn a_valley_suggests_its_slope_and_ends_once_it_is_lost() {
        // Falls from 2 around 0.01 to 0.5, and explodes from 1 on.
        let valley = curve(|rate| 0.5 + 1.5 / (1.0 + (rate / 0.01).powi(2)) + rate.powi(4));
        let last = valley.points.last().unwrap().learning_rate;
        assert!((1.0..5.0).contains(&last), "{last}");
        let suggestion = valley.suggestion().unwrap();
        assert!((0.005..0.06).contains(&suggestion), "{suggestion}");
        assert!((valley.points[0].smoothed - valley.points[0].loss).abs() < 1e-9);
    }

    #[test]
    fn a_loss_that_only_rises_suggests_nothing() {
        assert_eq!(curve(|rate| 1.0 + rate).suggestion(), None);
    }
}
