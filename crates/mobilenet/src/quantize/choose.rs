//! The fastest precision that loses no more than is allowed on some photos.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use mobilenet_kernels::Precision;
use mobilenet_vision::top_k;

use super::{QuantizeOptions, calibration_images, carries_ranges, is_of_8_bits, quantize};
use crate::classifier::Classifier;
use crate::error::{Error, ErrorKind, Result};
use crate::evaluation::{EvaluationOptions, LabelledImages, evaluate};
use crate::module::{Module, Request};
use crate::options::ModuleOptions;

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
/// `most` on `photos`, or f32; `images` of them calibrate int8. `options` are those that `module` was loaded with,
/// in f32.
///
/// # Errors
/// If the module does not classify, or none of the photos can be read.
pub fn choose(
    module: &Module,
    options: &ModuleOptions,
    photos: &LabelledImages,
    images: usize,
    most: f64,
) -> Result<Choice> {
    let mut tries = vec![("f32", module.clone())];
    match eight_bits(module, options, Some(photos), images) {
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
    let mut timed = timed.collect::<Result<Vec<_>>>()?;
    timed.sort_by_key(|(time, ..)| *time);
    let floats = Answers::of(module, photos)?;
    let by_label = floats.accuracy.is_some();
    let mut candidates = Vec::new();
    for (time, precision, module) in timed {
        let is_floats = precision == "f32";
        let loss = if is_floats { 0.0 } else { floats.loss(&Answers::of(&module, photos)?) };
        candidates.push(Candidate { precision, time, loss });
        if is_floats || loss <= most {
            return Ok(Choice { module, candidates, by_label });
        }
    }
    Ok(Choice { module: module.clone(), candidates, by_label })
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
/// else calibrated on `images` of `photos`.
///
/// # Errors
/// [`ErrorKind::Input`] where photos are needed and there are none; as [`quantize`].
pub fn eight_bits(
    module: &Module,
    options: &ModuleOptions,
    photos: Option<&LabelledImages>,
    images: usize,
) -> Result<Module> {
    if is_of_8_bits(module) {
        return Ok(module.clone());
    }
    let preprocessing = module.preprocessing()?;
    let samples = match photos {
        _ if carries_ranges(module) => &[],
        Some(photos) => photos.images.as_slice(),
        None => {
            let message = "the module carries no ranges for 8 bits, and there are no photos to \
                           calibrate on";
            return Err(Error::new(ErrorKind::Input, message));
        }
    };
    let images = calibration_images(samples, images, &preprocessing);
    let options = options.clone().precision(Precision::F32);
    quantize(module, images, &QuantizeOptions::default())?.to_module(module, &options)
}

/// What a module makes of photos.
struct Answers {
    best: Vec<Option<usize>>,
    accuracy: Option<f64>,
}

impl Answers {
    fn of(module: &Module, photos: &LabelledImages) -> Result<Self> {
        let classifier = Classifier::new(module.clone())?;
        let options = EvaluationOptions { mistakes: 0, ..EvaluationOptions::default() };
        let found = evaluate(&classifier, photos, &options, |_| ControlFlow::Continue(()));
        if let Ok(found) = found {
            return Ok(Self { best: Vec::new(), accuracy: Some(found.top_1()) });
        }
        let mut worker = classifier.worker();
        let mut answer = |bytes: Vec<u8>| -> Result<usize> {
            let logits = worker.logits(&classifier.preprocessing().decode(&bytes)?)?;
            Ok(top_k(&logits, 1).first().map_or(0, |best| best.index))
        };
        let read = photos.images.iter().map(|sample| sample.source.read().ok());
        let best: Vec<_> = read.map(|bytes| bytes.and_then(|bytes| answer(bytes).ok())).collect();
        if best.iter().all(Option::is_none) {
            return Err(Error::new(ErrorKind::Input, "none of the photos can be used"));
        }
        Ok(Self { best, accuracy: None })
    }

    fn loss(&self, other: &Self) -> f64 {
        if let (Some(own), Some(other)) = (self.accuracy, other.accuracy) {
            return own - other;
        }
        let answers = self.best.iter().zip(&other.best);
        let answers: Vec<_> = answers.filter(|(own, _)| own.is_some()).collect();
        let others = answers.iter().filter(|(own, other)| own != other).count();
        others as f64 / answers.len().max(1) as f64
    }
}
