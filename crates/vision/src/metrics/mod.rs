//! How good a classifier is: accuracy, confusion, calibration.
//!
//! Everything adds up over pictures and can be merged over threads; where the logits come from
//! and how the report is shown is the caller's business.

mod calibration;
mod confusion;

pub use calibration::{Bin, Reliability, fit_temperature};
pub use confusion::{ClassReport, Confusion};

use crate::{Error, Result, softmax, top_k};

/// Accuracy, confusion and calibration over the pictures added so far.
///
/// ```
/// use mobilenet_vision::metrics::Evaluation;
/// let mut evaluation = Evaluation::new(3)?;
/// evaluation.add(&[2.0, 1.0, 0.0], 0)?;
/// evaluation.add(&[2.0, 1.0, 0.0], 1)?;
/// assert_eq!((evaluation.top_1(), evaluation.top_5()), (0.5, 1.0));
/// # Ok::<(), mobilenet_vision::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    count: u64,
    in_first: u64,
    in_first_five: u64,
    confusion: Confusion,
    reliability: Reliability,
}

impl Evaluation {
    /// For logits of `classes` classes.
    ///
    /// # Errors
    /// If there are no classes, or more than 8192 (the confusion matrix grows with the square).
    pub fn new(classes: usize) -> Result<Self> {
        let confusion = Confusion::new(classes)?;
        let reliability = Reliability::default();
        Ok(Self { count: 0, in_first: 0, in_first_five: 0, confusion, reliability })
    }

    /// Adds a picture: its `logits`, `[classes]`, and its true class. NaN counts as wrong.
    ///
    /// # Errors
    /// If `logits` has another length or `label` is no class.
    pub fn add(&mut self, logits: &[f32], label: usize) -> Result<()> {
        let classes = self.confusion.classes();
        if logits.len() != classes || label >= classes {
            let count = logits.len();
            return Err(Error::argument(format!(
                "{count} logits and label {label} do not fit {classes} classes"
            )));
        }
        let best = top_k(logits, 5);
        let first = best.first().filter(|first| !first.score.is_nan()).map(|first| first.index);
        let correct = first == Some(label);
        let five = best.iter().any(|b| b.index == label && !b.score.is_nan());
        self.count += 1;
        self.in_first += u64::from(correct);
        self.in_first_five += u64::from(five);
        if let Some(predicted) = first {
            self.confusion.add(label, predicted);
            let confidence = softmax(logits).get(predicted).copied().unwrap_or(0.0);
            self.reliability.add(confidence, correct);
        }
        Ok(())
    }

    /// Adds what another evaluation of as many classes has counted.
    ///
    /// # Errors
    /// If it has another number of classes.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.confusion.merge(&other.confusion)?;
        self.reliability.merge(&other.reliability);
        self.count += other.count;
        self.in_first += other.in_first;
        self.in_first_five += other.in_first_five;
        Ok(())
    }

    /// Pictures added.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The share of pictures whose likeliest class is the true one, in [0, 1]; NaN for none.
    pub fn top_1(&self) -> f64 {
        self.in_first as f64 / self.count as f64
    }

    /// The share of pictures with the true class among the five likeliest; NaN for none.
    pub fn top_5(&self) -> f64 {
        self.in_first_five as f64 / self.count as f64
    }

    /// True against predicted classes.
    pub fn confusion(&self) -> &Confusion {
        &self.confusion
    }

    /// Confidence against accuracy.
    pub fn reliability(&self) -> &Reliability {
        &self.reliability
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_parts_equals_counting_everything() {
        let rows = [([3.0, 1.0, 0.0], 0), ([0.0, 1.0, 2.0], 1), ([5.0, 5.0, 1.0], 1)];
        let mut whole = Evaluation::new(3).unwrap();
        let mut parts = [Evaluation::new(3).unwrap(), Evaluation::new(3).unwrap()];
        for (i, (logits, label)) in rows.iter().enumerate() {
            whole.add(logits, *label).unwrap();
            parts[i % 2].add(logits, *label).unwrap();
        }
        let [mut first, second] = parts;
        first.merge(&second).unwrap();
        assert_eq!((first.count(), first.top_1()), (3, 1.0 / 3.0));
        assert_eq!(first.confusion(), whole.confusion());
        assert!(
            (first.reliability().expected_error() - whole.reliability().expected_error()).abs()
                < 1e-12
        );
    }

    #[test]
    fn top_five_needs_the_class_among_five_and_nan_is_wrong() {
        let mut evaluation = Evaluation::new(7).unwrap();
        let falling: Vec<f32> = (0..7u8).map(|i| -f32::from(i)).collect();
        evaluation.add(&falling, 4).unwrap();
        evaluation.add(&falling, 5).unwrap();
        assert_eq!((evaluation.top_1(), evaluation.top_5()), (0.0, 0.5));
        evaluation.add(&[f32::NAN; 7], 0).unwrap();
        assert_eq!((evaluation.count(), evaluation.top_5()), (3, 1.0 / 3.0));
    }

    #[test]
    fn wrong_sizes_are_errors() {
        let mut evaluation = Evaluation::new(2).unwrap();
        assert!(evaluation.add(&[0.0; 3], 0).is_err());
        assert!(evaluation.add(&[0.0; 2], 2).is_err());
        assert!(evaluation.merge(&Evaluation::new(3).unwrap()).is_err());
        assert!(Evaluation::new(0).is_err());
        assert!(Evaluation::new(1 << 20).is_err());
    }
}
