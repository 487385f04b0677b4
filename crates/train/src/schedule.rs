//! Learning rate by step: warm-up, then constant, cosine, exponential or in stages.

use crate::{Error, ErrorKind, Result};

/// The shape of the learning rate over a run, as a factor on its peak.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Decay {
    /// The peak throughout.
    Constant,
    /// Half a cosine from the peak to `floor` times the peak.
    Cosine {
        /// Factor at the end, in [0, 1].
        floor: f64,
    },
    /// Times `factor` after every `epochs`, in stairs: slim's schedule with 0.94 and 2.5.
    Exponential {
        /// Factor of one stair, in (0, 1].
        factor: f64,
        /// Length of a stair.
        epochs: f64,
    },
    /// Times `factor` at each of these epochs.
    Steps {
        /// Where it falls, ascending.
        epochs: Vec<f64>,
        /// By how much, in (0, 1].
        factor: f64,
    },
}

impl Decay {
    /// Refuses numbers that no schedule has.
    ///
    /// # Errors
    /// [`ErrorKind::Options`] with the rule that is broken.
    pub fn check(&self) -> Result<()> {
        let falls = |factor: f64| factor > 0.0 && factor <= 1.0;
        let later = |epoch: f64| epoch > 0.0 && epoch.is_finite();
        let (holds, rule) = match self {
            Self::Constant => return Ok(()),
            Self::Cosine { floor } => {
                ((0.0..=1.0).contains(floor), "a cosine ends at 0 to 1 of the learning rate")
            }
            Self::Exponential { factor, epochs } => (
                falls(*factor) && later(*epochs),
                "an exponential schedule falls by a factor above 0 and up to 1, after each so many \
                 epochs above 0",
            ),
            Self::Steps { epochs, factor } => (
                falls(*factor)
                    && !epochs.is_empty()
                    && epochs.iter().all(|&epoch| later(epoch))
                    && epochs.is_sorted_by(|a, b| a < b),
                "a step schedule falls by a factor above 0 and up to 1, at epochs above 0 in ascending \
                 order",
            ),
        };
        if holds { Ok(()) } else { Err(Error::new(ErrorKind::Options, rule)) }
    }
}

/// Warm-up and decay together.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Highest learning rate.
    pub peak: f64,
    /// Epochs of linear rise from nothing.
    pub warmup_epochs: f64,
    /// Length of the run.
    pub epochs: f64,
    /// What comes after the warm-up.
    pub decay: Decay,
}

impl Schedule {
    /// The learning rate at a moment of the run, in epochs from its start.
    ///
    /// ```
    /// use mobilenet_train::schedule::{Decay, Schedule};
    ///
    /// let schedule = Schedule {
    ///     peak: 0.1, warmup_epochs: 1.0, epochs: 11.0, decay: Decay::Cosine { floor: 0.0 },
    /// };
    /// assert_eq!(schedule.at(0.5), 0.05);
    /// assert_eq!(schedule.at(1.0), 0.1);
    /// assert!((schedule.at(6.0) - 0.05).abs() < 1e-9);
    /// assert!(schedule.at(11.0).abs() < 1e-9);
    /// ```
    #[must_use]
    pub fn at(&self, epoch: f64) -> f64 {
        if epoch < self.warmup_epochs {
            return self.peak * epoch / self.warmup_epochs;
        }
        self.peak * self.factor(epoch)
    }

    fn factor(&self, epoch: f64) -> f64 {
        match &self.decay {
            Decay::Constant => 1.0,
            Decay::Cosine { floor } => {
                let span = (self.epochs - self.warmup_epochs).max(f64::MIN_POSITIVE);
                let share = ((epoch - self.warmup_epochs) / span).clamp(0.0, 1.0);
                floor + (1.0 - floor) * 0.5 * (1.0 + (std::f64::consts::PI * share).cos())
            }
            Decay::Exponential { factor, epochs } => factor.powf((epoch / epochs).floor()),
            Decay::Steps { epochs, factor } => {
                let passed = epochs.iter().filter(|&&edge| epoch >= edge).count();
                factor.powi(i32::try_from(passed).unwrap_or(i32::MAX))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slims_stairs() {
        let decay = Decay::Exponential { factor: 0.94, epochs: 2.5 };
        let schedule = Schedule { peak: 0.045, warmup_epochs: 0.0, epochs: 100.0, decay };
        assert_eq!(schedule.at(2.49), 0.045);
        assert!((schedule.at(5.0) - 0.045 * 0.94 * 0.94).abs() < 1e-12);
    }

    #[test]
    fn steps_fall_where_they_should() {
        let decay = Decay::Steps { epochs: vec![3.0, 6.0], factor: 0.1 };
        let schedule = Schedule { peak: 1.0, warmup_epochs: 0.0, epochs: 9.0, decay };
        let rates: Vec<f64> = [0.0, 2.9, 3.0, 6.5].map(|epoch| schedule.at(epoch)).to_vec();
        assert_eq!(rates[..2], [1.0, 1.0]);
        assert!((rates[2] - 0.1).abs() < 1e-12 && (rates[3] - 0.01).abs() < 1e-12);
    }

    #[test]
    fn impossible_schedules_are_refused() {
        let steps = |epochs: &[f64], factor| Decay::Steps { epochs: epochs.to_vec(), factor };
        assert!(steps(&[1.0, 2.5], 1.0).check().is_ok());
        assert!(Decay::Cosine { floor: 0.0 }.check().is_ok() && Decay::Constant.check().is_ok());
        for decay in [
            steps(&[], 0.1),
            steps(&[2.0, 2.0], 0.1),
            steps(&[0.0], 0.1),
            steps(&[f64::NAN], 0.1),
            steps(&[1.0], 0.0),
            steps(&[1.0], 1.5),
            Decay::Exponential { factor: 0.5, epochs: 0.0 },
            Decay::Exponential { factor: f64::NAN, epochs: 1.0 },
            Decay::Cosine { floor: -0.1 },
        ] {
            assert_eq!(decay.check().unwrap_err().kind(), ErrorKind::Options, "{decay:?}");
        }
    }
}
