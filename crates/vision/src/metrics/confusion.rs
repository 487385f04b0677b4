//! [`Confusion`]: which classes are taken for which, and what follows for each class.

use crate::{Error, Result};

/// More classes than this would make a matrix of a quarter of a gigabyte.
const MAX_CLASSES: usize = 8192;

/// How often pictures of each true class were taken for each class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    counts: Vec<u32>,
}

/// What the matrix says of one class. Shares are in [0, 1]; NaN where there is nothing to divide.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassReport {
    /// The class.
    pub index: usize,
    /// Pictures of this class.
    pub support: u64,
    /// Pictures taken for this class.
    pub predicted: u64,
    /// Of the pictures taken for this class, the share that is.
    pub precision: f64,
    /// Of the pictures of this class, the share recognised: its accuracy.
    pub recall: f64,
    /// The harmonic mean of precision and recall.
    pub f1: f64,
}

impl Confusion {
    pub(super) fn new(classes: usize) -> Result<Self> {
        if classes == 0 || classes > MAX_CLASSES {
            return Err(Error::argument(format!(
                "a confusion matrix takes 1 to {MAX_CLASSES} classes, not {classes}"
            )));
        }
        Ok(Self { classes, counts: vec![0; classes * classes] })
    }

    pub(super) fn add(&mut self, label: usize, predicted: usize) {
        if let Some(count) = self.counts.get_mut(label * self.classes + predicted) {
            *count = count.saturating_add(1);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) -> Result<()> {
        if self.classes != other.classes {
            let (ours, theirs) = (self.classes, other.classes);
            return Err(Error::argument(format!("cannot add {theirs} classes to {ours} classes")));
        }
        for (ours, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *ours = ours.saturating_add(*theirs);
        }
        Ok(())
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// How many pictures of class `label` were taken for `predicted`; 0 for unknown classes.
    pub fn get(&self, label: usize, predicted: usize) -> u32 {
        if predicted >= self.classes {
            return 0;
        }
        self.counts.get(label * self.classes + predicted).copied().unwrap_or(0)
    }

    /// The rows of the matrix, one for each true class: `[classes]` counts by predicted class.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[u32]> {
        self.counts.chunks_exact(self.classes)
    }

    /// A report for each class, in order.
    pub fn per_class(&self) -> Vec<ClassReport> {
        let mut predicted = vec![0u64; self.classes];
        for row in self.rows() {
            predicted.iter_mut().zip(row).for_each(|(sum, &n)| *sum += u64::from(n));
        }
        let rows = self.rows().zip(predicted).enumerate();
        rows.map(|(index, (row, predicted))| {
            let support: u64 = row.iter().map(|&n| u64::from(n)).sum();
            let correct = f64::from(self.get(index, index));
            let f1 = 2.0 * correct / (support + predicted) as f64;
            let (precision, recall) = (correct / predicted as f64, correct / support as f64);
            ClassReport { index, support, predicted, precision, recall, f1 }
        })
        .collect()
    }

    /// The `k` commonest mistakes: (true class, predicted class, count), commonest first.
    pub fn mistakes(&self, k: usize) -> Vec<(usize, usize, u32)> {
        let all = self.counts.iter().enumerate().filter(|&(_, &count)| count > 0);
        let all = all.map(|(at, &count)| (at / self.classes, at % self.classes, count));
        let mut mistakes: Vec<_> = all.filter(|(label, predicted, _)| label != predicted).collect();
        mistakes
            .sort_by_key(|&(label, predicted, count)| (std::cmp::Reverse(count), label, predicted));
        mistakes.truncate(k);
        mistakes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_and_mistakes_follow_from_the_counts() {
        let mut confusion = Confusion::new(3).unwrap();
        for (label, predicted) in [(0, 0), (0, 0), (0, 1), (1, 0), (1, 0), (1, 1)] {
            confusion.add(label, predicted);
        }
        let [first, second, third] = confusion.per_class().try_into().unwrap();
        assert_eq!((first.support, first.precision, first.recall), (3, 0.5, 2.0 / 3.0));
        assert!((first.f1 - 4.0 / 7.0).abs() < 1e-12);
        assert_eq!((second.precision, second.recall), (0.5, 1.0 / 3.0));
        assert!(third.recall.is_nan() && third.precision.is_nan());
        assert_eq!(confusion.mistakes(5), [(1, 0, 2), (0, 1, 1)]);
        assert_eq!(confusion.mistakes(1).len(), 1);
        assert_eq!((confusion.get(0, 3), confusion.get(9, 0)), (0, 0));
    }
}
