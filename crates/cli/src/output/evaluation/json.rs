//! JSON: one object. `top1` and `top5` are fractions of the photos that could be read, `n` in
//! number. Scripts rely on it: fields may be added, none may change. What cannot be computed
//! (accuracy of no photos) is null.

use std::io::Write;

use mobilenet::metrics::Reliability;
use serde::Serialize;

use super::About;
use crate::failure::Failure;

#[derive(Serialize)]
struct Object<'a> {
    module: &'a str,
    data: &'a str,
    split: Option<&'a str>,
    n: u64,
    failed: usize,
    top1: f64,
    top5: f64,
    seconds: f64,
    preprocessing: Preprocessing,
    calibration: Calibration,
    per_class: Vec<Class<'a>>,
    confusion: Matrix,
    confused: Vec<Confused<'a>>,
    mistakes: Vec<Mistake<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    by_resize: Vec<Resized>,
    failures: Vec<Unread<'a>>,
}

#[derive(Serialize)]
struct Preprocessing {
    crop: String,
    resize: String,
    height: usize,
    width: usize,
    ignore_exif: bool,
}

/// `ece` is the expected calibration error; `temperature` divides the logits.
#[derive(Serialize)]
struct Calibration {
    ece: f64,
    bins: Vec<Bin>,
    temperature: Option<f64>,
    fitted_on: usize,
    ece_after: Option<f64>,
    bins_after: Vec<Bin>,
}

#[derive(Serialize)]
struct Bin {
    from: f64,
    to: f64,
    count: u64,
    confidence: f64,
    accuracy: f64,
}

/// `top1` is the share of its photos recognised (recall).
#[derive(Serialize)]
struct Class<'a> {
    index: usize,
    label: &'a str,
    n: u64,
    predicted: u64,
    top1: f64,
    precision: f64,
    f1: f64,
}

/// `counts[i][j]`: photos of the class `indices[i]` taken for the class `indices[j]`.
#[derive(Serialize)]
struct Matrix {
    indices: Vec<usize>,
    counts: Vec<Vec<u32>>,
}

#[derive(Serialize)]
struct Confused<'a> {
    label: &'a str,
    predicted: &'a str,
    count: u32,
}

#[derive(Serialize)]
struct Mistake<'a> {
    path: String,
    label: &'a str,
    predicted: &'a str,
    confidence: f32,
    probability: f32,
}

#[derive(Serialize)]
struct Resized {
    resize: &'static str,
    top1: f64,
    top5: f64,
}

#[derive(Serialize)]
struct Unread<'a> {
    path: String,
    error: &'a str,
}

/// Pairs of classes in `confused`.
const CONFUSED: usize = 50;

/// Writes the object.
pub(crate) fn write(about: &About<'_>, out: &mut dyn Write) -> Result<(), Failure> {
    let data = about.data.to_string_lossy();
    serde_json::to_writer_pretty(&mut *out, &object(about, &data))?;
    Ok(writeln!(out)?)
}

fn object<'a>(about: &'a About<'_>, data: &'a str) -> Object<'a> {
    let evaluated = about.evaluated;
    let mistakes = evaluated.mistakes.iter().map(|mistake| Mistake {
        path: mistake.source.to_string(),
        label: evaluated.label(mistake.label),
        predicted: evaluated.label(mistake.predicted),
        confidence: mistake.confidence,
        probability: mistake.probability,
    });
    let by_resize = evaluated.by_resize.iter().map(|by| Resized {
        resize: by.resize.name(),
        top1: by.top_1,
        top5: by.top_5,
    });
    let failures = evaluated
        .failures
        .iter()
        .map(|unread| Unread { path: unread.source.to_string(), error: &unread.message });
    let confused = evaluated.evaluation.confusion().mistakes(CONFUSED);
    let confused = confused.into_iter().map(|(label, predicted, count)| Confused {
        label: evaluated.label(label),
        predicted: evaluated.label(predicted),
        count,
    });
    Object {
        module: about.classifier.module().handle(),
        data,
        split: about.images.split.as_deref(),
        n: about.count(),
        failed: evaluated.failures.len(),
        top1: evaluated.top_1(),
        top5: evaluated.top_5(),
        seconds: about.seconds,
        preprocessing: preprocessing(about),
        calibration: calibration(about),
        per_class: per_class(about),
        confusion: matrix(about),
        confused: confused.collect(),
        mistakes: mistakes.collect(),
        by_resize: by_resize.collect(),
        failures: failures.collect(),
    }
}

fn preprocessing(about: &About<'_>) -> Preprocessing {
    let chosen = about.classifier.preprocessing();
    Preprocessing {
        crop: chosen.crop.to_string(),
        resize: chosen.resize.to_string(),
        height: chosen.height,
        width: chosen.width,
        ignore_exif: chosen.decode.ignore_exif,
    }
}

fn calibration(about: &About<'_>) -> Calibration {
    let reliability = about.evaluated.evaluation.reliability();
    let temperature = about.evaluated.temperature.as_ref();
    let after = temperature.map(|fitted| &fitted.reliability);
    Calibration {
        ece: reliability.expected_error(),
        bins: bins(reliability),
        temperature: temperature.map(|fitted| fitted.value),
        fitted_on: temperature.map_or(0, |fitted| fitted.fitted_on),
        ece_after: after.map(Reliability::expected_error),
        bins_after: after.map(bins).unwrap_or_default(),
    }
}

fn bins(reliability: &Reliability) -> Vec<Bin> {
    let bins = reliability.bins();
    let edge = |place: usize| place as f64 / bins.len() as f64;
    let bin = |(place, bin): (usize, &mobilenet::metrics::Bin)| Bin {
        from: edge(place),
        to: edge(place + 1),
        count: bin.count,
        confidence: bin.confidence(),
        accuracy: bin.accuracy(),
    };
    bins.iter().enumerate().map(bin).collect()
}

fn per_class<'a>(about: &'a About<'_>) -> Vec<Class<'a>> {
    let index = |class: usize| about.evaluated.classes.get(class).copied().unwrap_or(class);
    let class = |class: mobilenet::metrics::ClassReport| Class {
        index: index(class.index),
        label: about.evaluated.label(class.index),
        n: class.support,
        predicted: class.predicted,
        top1: class.recall,
        precision: class.precision,
        f1: class.f1,
    };
    about.classes().into_iter().map(class).collect()
}

fn matrix(about: &About<'_>) -> Matrix {
    let confusion = about.evaluated.evaluation.confusion();
    let places: Vec<usize> = about.classes().iter().map(|class| class.index).collect();
    let row = |&label: &usize| places.iter().map(|&taken| confusion.get(label, taken)).collect();
    let index = |&class: &usize| about.evaluated.classes.get(class).copied().unwrap_or(class);
    Matrix { indices: places.iter().map(index).collect(), counts: places.iter().map(row).collect() }
}
