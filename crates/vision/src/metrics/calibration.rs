//! Calibration: does 80 % sure mean right in 80 % of cases, and the temperature that makes it so.
//!
//! After Guo et al., "On Calibration of Modern Neural Networks" (2017): equal-width confidence
//! bins, expected calibration error, and one temperature that divides all logits.

use crate::{Error, Result};

/// Bins of equal width.
const BINS: usize = 15;

/// Pictures whose confidence lies in one interval.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bin {
    /// Pictures.
    pub count: u64,
    /// Pictures classified rightly.
    pub correct: u64,
    /// The sum of their confidences.
    confidence: f64,
}

impl Bin {
    /// Their mean confidence, in [0, 1]; NaN for none.
    pub fn confidence(&self) -> f64 {
        self.confidence / self.count as f64
    }

    /// The share classified rightly, in [0, 1]; NaN for none.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.count as f64
    }
}

/// Confidence against accuracy, in 15 bins of equal width.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reliability([Bin; BINS]);

impl Reliability {
    pub(super) fn add(&mut self, confidence: f32, correct: bool) {
        let place = (f64::from(confidence) * BINS as f64).ceil() as usize;
        if let Some(bin) = self.0.get_mut(place.clamp(1, BINS) - 1) {
            bin.count += 1;
            bin.correct += u64::from(correct);
            bin.confidence += f64::from(confidence);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (ours, theirs) in self.0.iter_mut().zip(&other.0) {
            ours.count += theirs.count;
            ours.correct += theirs.correct;
            ours.confidence += theirs.confidence;
        }
    }

    /// The bins, least confident first; bin `i` of `n` holds confidences in `(i/n, (i+1)/n]`.
    pub fn bins(&self) -> &[Bin] {
        &self.0
    }

    /// The expected calibration error: the mean gap between confidence and accuracy, weighted by
    /// pictures, in [0, 1]; NaN for none.
    pub fn expected_error(&self) -> f64 {
        let count: u64 = self.0.iter().map(|bin| bin.count).sum();
        let gaps = self.0.iter().map(|bin| (bin.confidence - bin.correct as f64).abs());
        gaps.sum::<f64>() / count as f64
    }
}

/// The temperature that, dividing `logits`, `[n, classes]`, makes their softmax fit `labels`,
/// `[n]`, best: the least mean cross entropy, between 0.01 and 100.
///
/// # Errors
/// If there are no rows, the sizes do not fit, or a logit is not finite.
///
/// ```
/// // Twice as sure as right: logits of a coin that falls on its first side in 3 of 4 throws.
/// let logits = [2.0 * 3f32.ln(), 0.0].repeat(4);
/// let temperature = mobilenet_vision::metrics::fit_temperature(&logits, 2, &[0, 0, 0, 1])?;
/// assert!((temperature - 2.0).abs() < 1e-3);
/// # Ok::<(), mobilenet_vision::Error>(())
/// ```
pub fn fit_temperature(logits: &[f32], classes: usize, labels: &[usize]) -> Result<f64> {
    let fits = labels.len().checked_mul(classes) == Some(logits.len());
    if labels.is_empty() || !fits || labels.iter().any(|&label| label >= classes) {
        return Err(Error::argument(format!(
            "{} logits and {} labels do not fit {classes} classes",
            logits.len(),
            labels.len()
        )));
    }
    if logits.iter().any(|v| !v.is_finite()) {
        return Err(Error::argument("a logit is not finite"));
    }
    // Cross entropy is convex in 1 / temperature, so its slope has one zero: halve the interval,
    // evenly in the logarithm.
    let (mut low, mut high) = (-(100f64.ln()), 100f64.ln());
    while high - low > 1e-7 {
        let middle = (low + high) / 2.0;
        if slope(logits, classes, labels, middle.exp()) > 0.0 {
            high = middle
        } else {
            low = middle
        }
    }
    Ok((-(low + high) / 2.0).exp())
}

/// The slope of the summed cross entropy in the factor that multiplies the logits.
fn slope(logits: &[f32], classes: usize, labels: &[usize], factor: f64) -> f64 {
    let rows = logits.chunks_exact(classes).zip(labels);
    rows.map(|(row, &label)| {
        let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let (mut total, mut mean) = (0.0, 0.0);
        for &logit in row {
            let power = ((f64::from(logit) - largest) * factor).exp();
            total += power;
            mean += power * f64::from(logit);
        }
        mean / total - row.get(label).copied().map_or(0.0, f64::from)
    })
    .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_the_weighted_gap() {
        let mut reliability = Reliability::default();
        for (confidence, correct) in [(0.9, true), (0.9, false), (0.2, false), (1.0, true)] {
            reliability.add(confidence, correct);
        }
        let expected = ((1.8f64 - 1.0).abs() + 0.2 + 0.0) / 4.0;
        assert!((reliability.expected_error() - expected).abs() < 1e-6);
        assert_eq!(reliability.bins()[14].count, 1);
        assert!(Reliability::default().expected_error().is_nan());
    }

    #[test]
    fn all_right_wants_the_coldest_and_all_wrong_the_hottest() {
        let logits = [1.0, 0.0, 1.0, 0.0];
        assert!(fit_temperature(&logits, 2, &[0, 0]).unwrap() < 0.011);
        assert!(fit_temperature(&logits, 2, &[1, 1]).unwrap() > 99.0);
    }

    #[test]
    fn bad_rows_are_errors() {
        assert!(fit_temperature(&[], 2, &[]).is_err());
        assert!(fit_temperature(&[0.0; 4], 2, &[0, 2]).is_err());
        assert!(fit_temperature(&[f32::NAN, 0.0], 2, &[0]).is_err());
    }
}
