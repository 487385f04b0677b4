//! The fastest precision that loses no more than is allowed on some photos.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use mobilenet_kernels::Precision;
use mobilenet_vision::top_k;

use super::{QuantizeOptions, calibration_images, carries_ranges, is_of_8_bits, quantize};
use crate::classifier::Classifier;
use crate::error::{Error, ErrorKind, Result};
use crate::evaluation::{EvaluationOptions, LabelledImages, Sample, evaluate};
use crate::module::{Module, Request};
use crate::options::ModuleOptions;
use crate::preprocessing::Preprocessing;

/// How often each precision is timed.
const RUNS: usize = 20;

/// A precision, how fast it is, and what it loses.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// `int8`, `bf16` or `f32`.
    pub precision: &'static str,
    /// The least time of some runs on one image.
    pub time: Duration,
    /// Top-1 accuracy lost against floats where the photos' classes are the module's; else the
    /// share of photos whose likeliest class is another. In [-1, 1].
    pub loss: f64,
}

/// What [`choose`] found.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The module in the precision chosen, the last of `candidates`.
    pub module: Module,
    /// What was tried, fastest first.
    pub candidates: Vec<Candidate>,
    /// Whether losses are of accuracy.
    pub by_label: bool,
}

/// The fastest, timed here, of int8, bf16 (where the processor has it) and f32 that loses at most
/// `most` on `photos`, or f32; of equally fast ones f32, then int8. `images` of the photos calibrate
/// int8. `options` are those that `module` was loaded with, in f32; `preprocessing` is how photos will
/// be prepared for it, and are here.
///
/// # Errors
/// If the module does not classify, none of the photos can be read, or a precision cannot be measured as
/// the floats were.
pub fn choose(
    module: &Module,
    options: &ModuleOptions,
    preprocessing: &Preprocessing,
    photos: &LabelledImages,
    images: usize,
    most: f64,
) -> Result<Choice> {
    let mut tries = vec![("f32", module.clone())];
    match eight_bits(module, options, preprocessing, Some(photos), images) {
        Ok(eight) => tries.push(("int8", eight)),
        // A network with ops that have no bytes.
        Err(error) if error.kind() == ErrorKind::Graph => {}
        Err(error) => return Err(error),
    }
    if Precision::Bf16.is_available(module.isa()) {
        let handle = module.handle();
        tries.push(("bf16", options.clone().precision(Precision::Bf16).load(handle)?));
    }
    let timed = tries
        .into_iter()
        .map(|(name, module)| Ok::<_, Error>((least_time(&module)?, name, module)));
    let timed = timed.collect::<Result<Vec<_>>>()?;
    let floats = Answers::of(module, preprocessing, photos)?;
    let by_label = matches!(floats, Answers::Right { .. });
    let (candidates, mut modules): (Vec<_>, Vec<_>) = until_good(timed, most, |other| {
        floats.loss(&floats.again(other, preprocessing, photos)?)
    })?
    .into_iter()
    .unzip();
    Ok(Choice { module: modules.pop().unwrap_or_else(|| module.clone()), candidates, by_label })
}

/// Of `timed`, fastest first, those up to the first that is of floats, or by `loss` loses at most
/// `most`. One whose loss is no number is not good.
fn until_good<T>(
    mut timed: Vec<(Duration, &'static str, T)>,
    most: f64,
    mut loss: impl FnMut(&T) -> Result<f64>,
) -> Result<Vec<(Candidate, T)>> {
    timed.sort_by_key(|(time, ..)| *time);
    let mut tried = Vec::new();
    for (time, precision, module) in timed {
        let is_floats = precision == "f32";
        let loss = if is_floats { 0.0 } else { loss(&module)? };
        tried.push((Candidate { precision, time, loss }, module));
        if is_floats || loss <= most {
            break;
        }
    }
    Ok(tried)
}

/// The least time of some runs on one image.
fn least_time(module: &Module) -> Result<Duration> {
    let mut runner = module.runner(&Request::new(module.classification_signature()?))?;
    runner.run()?;
    let mut least = Duration::MAX;
    for _ in 0..RUNS {
        let start = Instant::now();
        runner.run()?;
        least = least.min(start.elapsed());
    }
    Ok(least)
}

/// `module` on bytes: itself if it is of 8 bits already, else quantised to the ranges it carries,
/// else calibrated on `images` of `photos`, prepared by `preprocessing`.
///
/// # Errors
/// [`ErrorKind::Input`] where photos are needed and there are none; as [`quantize`].
pub fn eight_bits(
    module: &Module,
    options: &ModuleOptions,
    preprocessing: &Preprocessing,
    photos: Option<&LabelledImages>,
    images: usize,
) -> Result<Module> {
    if is_of_8_bits(module) {
        return Ok(module.clone());
    }
    let samples = match photos {
        _ if carries_ranges(module) => &[],
        Some(photos) => photos.images.as_slice(),
        None => {
            let message = "the module carries no ranges for 8 bits, and there are no photos to \
                           calibrate on";
            return Err(Error::new(ErrorKind::Input, message));
        }
    };
    let images = calibration_images(samples, images, preprocessing);
    let options = options.clone().precision(Precision::F32);
    quantize(module, images, &QuantizeOptions::default())?.to_module(module, &options)
}

/// What a module makes of photos.
#[derive(Debug)]
enum Answers {
    /// How many of the photos that it answered it called by their name.
    Right { right: f64, answered: u64 },
    /// The likeliest class of each photo, where it answered: the photos' classes are not its own.
    Classes(Vec<Option<usize>>),
}

impl Answers {
    fn of(module: &Module, by: &Preprocessing, photos: &LabelledImages) -> Result<Self> {
        let classifier = Classifier::options().preprocessing(by.clone()).build(module.clone())?;
        let found = Self::right(&classifier, photos);
        let found = found.unwrap_or_else(|_| Self::classes(&classifier, photos));
        let none = match &found {
            Self::Right { answered, .. } => *answered == 0,
            Self::Classes(best) => best.iter().all(Option::is_none),
        };
        if none {
            return Err(Error::new(ErrorKind::Input, "none of the photos can be used"));
        }
        Ok(found)
    }

    /// What another module makes of them, counted in the same way.
    fn again(&self, module: &Module, by: &Preprocessing, photos: &LabelledImages) -> Result<Self> {
        let classifier = Classifier::options().preprocessing(by.clone()).build(module.clone())?;
        match self {
            Self::Right { .. } => Self::right(&classifier, photos),
            Self::Classes(_) => Ok(Self::classes(&classifier, photos)),
        }
    }

    fn right(classifier: &Classifier, photos: &LabelledImages) -> Result<Self> {
        let options = EvaluationOptions { mistakes: 0, ..EvaluationOptions::default() };
        let found = evaluate(classifier, photos, &options, |_| ControlFlow::Continue(()))?;
        let answered = found.evaluation.count();
        let right = if answered == 0 { 0.0 } else { (found.top_1() * answered as f64).round() };
        Ok(Self::Right { right, answered })
    }

    fn classes(classifier: &Classifier, photos: &LabelledImages) -> Self {
        let mut worker = classifier.worker();
        let mut answer = |sample: &Sample| -> Result<Option<usize>> {
            let image = classifier.preprocessing().decode(&sample.source.read()?)?;
            Ok(top_k(&worker.logits(&image)?, 1).first().map(|best| best.index))
        };
        let best = photos.images.iter().map(|sample| answer(sample).ok().flatten());
        Self::Classes(best.collect())
    }

    /// The share of the photos answered here that `other` loses: a photo that it does not answer is lost.
    ///
    /// # Errors
    /// If the two were not counted in the same way.
    fn loss(&self, other: &Self) -> Result<f64> {
        let (lost, of): (f64, u64) = match (self, other) {
            (Self::Right { right, answered }, Self::Right { right: others, .. }) => {
                (right - others, *answered)
            }
            (Self::Classes(own), Self::Classes(others)) if own.len() == others.len() => {
                let answers = own.iter().zip(others).filter(|(own, _)| own.is_some());
                let (other, all): (Vec<_>, Vec<_>) = answers.partition(|(own, other)| own != other);
                (other.len() as f64, (other.len() + all.len()) as u64)
            }
            _ => {
                let message =
                    "a precision's answers to the photos cannot be held against the floats'";
                return Err(Error::new(ErrorKind::Input, message));
            }
        };
        Ok(lost / of.max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is tried of made-up candidates: precision, microseconds, what it loses.
    fn tried(candidates: &[(&'static str, u64, f64)], most: f64) -> Vec<&'static str> {
        let timed = candidates.iter().map(|&(name, us, loss)| {
            (Duration::from_micros(us), name, if name == "f32" { f64::NAN } else { loss })
        });
        let tried = until_good(timed.collect(), most, |loss| Ok(*loss)).unwrap();
        tried.into_iter().map(|(candidate, _)| candidate.precision).collect()
    }

    #[test]
    fn the_fastest_within_the_limit_is_the_last_one_tried() {
        let all = |int8, bf16| [("f32", 30, 0.0), ("int8", 10, int8), ("bf16", 20, bf16)];
        assert_eq!(tried(&all(0.009, 0.0), 0.01), ["int8"], "just below");
        assert_eq!(tried(&all(0.01, 0.0), 0.01), ["int8"], "the limit itself is allowed");
        assert_eq!(tried(&all(0.010_001, 0.0), 0.01), ["int8", "bf16"], "just above");
        assert_eq!(tried(&all(0.02, 0.02), 0.01), ["int8", "bf16", "f32"], "none is good");
        assert_eq!(tried(&all(-0.01, 0.0), 0.0), ["int8"], "a gain");
        assert_eq!(tried(&all(0.0, 0.0), -0.01), ["int8", "bf16", "f32"], "only gains allowed");
        // Slower than floats is never tried, whatever it loses.
        assert_eq!(tried(&[("f32", 5, 0.0), ("int8", 10, 0.0), ("bf16", 7, 0.0)], 1.0), ["f32"]);
        let ties = [("f32", 10, 0.0), ("int8", 10, 0.0), ("bf16", 10, 0.0)];
        assert_eq!(tried(&ties, 1.0), ["f32"], "nothing is lost for nothing");
        assert_eq!(tried(&[("f32", 11, 0.0), ties[1], ties[2]], 1.0), ["int8"]);
    }

    #[test]
    fn what_cannot_be_measured_is_never_taken() {
        assert_eq!(tried(&[("f32", 30, 0.0), ("int8", 10, f64::NAN)], 1.0), ["int8", "f32"]);
        assert_eq!(tried(&[("f32", 30, 0.0), ("int8", 10, 0.0)], f64::NAN), ["int8", "f32"]);
        let timed = vec![(Duration::ZERO, "int8", ()), (Duration::from_micros(1), "f32", ())];
        let broken = |_: &()| Err(Error::new(ErrorKind::Graph, "no answer"));
        assert_eq!(until_good(timed, 1.0, broken).unwrap_err().to_string(), "no answer");

        let right = Answers::Right { right: 6.0, answered: 8 };
        let classes = Answers::Classes(vec![Some(1), Some(2), None, Some(3), Some(4)]);
        for (own, other) in [(&right, &classes), (&classes, &right)] {
            assert!(own.loss(other).is_err());
        }
        assert!(classes.loss(&Answers::Classes(Vec::new())).is_err());
        // Not answered is wrong, and what floats did not answer does not count.
        let half = Answers::Right { right: 4.0, answered: 4 };
        assert!((right.loss(&half).unwrap() - 0.25).abs() < 1e-12);
        let others = Answers::Classes(vec![Some(1), Some(7), Some(9), None, Some(4)]);
        assert!((classes.loss(&others).unwrap() - 0.5).abs() < 1e-12);
        assert!(classes.loss(&classes).unwrap() == 0.0 && right.loss(&right).unwrap() == 0.0);
    }
}
