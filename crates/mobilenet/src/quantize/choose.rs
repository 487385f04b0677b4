//! The fastest precision that loses no more than is allowed on some photos.

use std::ops::ControlFlow;

use mobilenet_kernels::Precision;

use super::{QuantizeOptions, calibration_images, carries_ranges, is_of_8_bits, quantize};
use crate::classifier::Classifier;
use crate::error::{Error, ErrorKind, Result};
use crate::evaluation::{EvaluationOptions, LabelledImages, evaluate};
use crate::module::Module;
use crate::options::ModuleOptions;

/// A precision, and what it loses.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// `int8`, `bf16` or `f32`.
    pub precision: &'static str,
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

/// The fastest of int8, bf16 (where the processor has it) and f32 that loses at most `most` on
/// `photos`; `images` of them calibrate int8. `options` are those that `module` was loaded with,
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
    let floats = Answers::of(module, photos)?;
    let mut candidates = Vec::new();
    let eight = eight_bits(module, options, Some(photos), images)?;
    let mut tries = vec![("int8", eight)];
    if Precision::Bf16.is_available(module.isa()) {
        let handle = module.handle();
        tries.push(("bf16", options.clone().precision(Precision::Bf16).load(handle)?));
    }
    for (precision, candidate) in tries {
        let loss = floats.loss(&Answers::of(&candidate, photos)?);
        candidates.push(Candidate { precision, loss });
        if loss <= most {
            return Ok(Choice {
                module: candidate,
                candidates,
                by_label: floats.accuracy.is_some(),
            });
        }
    }
    candidates.push(Candidate { precision: "f32", loss: 0.0 });
    Ok(Choice { module: module.clone(), candidates, by_label: floats.accuracy.is_some() })
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
            let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
            Ok(best.unwrap_or(0))
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
        let other_best = self.best.iter().zip(&other.best).filter(|(a, b)| a != b).count();
        other_best as f64 / self.best.len().max(1) as f64
    }
}
