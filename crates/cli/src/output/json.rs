//! JSON: `{"path", "predictions": [{"index", "label", "probability", "logit"}]}`, or
//! `{"path", "error"}`. Scripts rely on it: fields may be added, none may change.

use std::io::Write;

use mobilenet::Prediction;
use serde::Serialize;

use super::{Answer, Out, Writer};
use crate::failure::Failure;

#[derive(Serialize)]
#[serde(untagged)]
enum Object<'a> {
    Good { path: &'a str, predictions: Vec<Label<'a>> },
    Bad { path: &'a str, error: &'a str },
}

#[derive(Serialize)]
struct Label<'a> {
    index: usize,
    label: &'a str,
    probability: f32,
    /// Null where the network gives probabilities only.
    logit: Option<f32>,
}

impl<'a> From<&'a Prediction> for Label<'a> {
    fn from(p: &'a Prediction) -> Self {
        Label { index: p.index, label: &p.label, probability: p.probability, logit: p.logit }
    }
}

fn write(out: &mut Out, answer: &Answer<'_>) -> Result<(), Failure> {
    let path = &answer.path.to_string_lossy();
    let object = match answer.result {
        Ok(labels) => Object::Good { path, predictions: labels.iter().map(Label::from).collect() },
        Err(error) => Object::Bad { path, error },
    };
    Ok(serde_json::to_writer(out, &object)?)
}

/// One object a line.
pub(super) struct Lines;

impl Writer for Lines {
    fn answer(&mut self, out: &mut Out, answer: &Answer<'_>) -> Result<(), Failure> {
        write(out, answer)?;
        Ok(out.write_all(b"\n")?)
    }
}

/// One array, an object a line.
#[derive(Default)]
pub(super) struct Array {
    begun: bool,
}

impl Writer for Array {
    fn answer(&mut self, out: &mut Out, answer: &Answer<'_>) -> Result<(), Failure> {
        out.write_all(if self.begun { b",\n" } else { b"[\n" })?;
        self.begun = true;
        write(out, answer)
    }

    fn end(&mut self, out: &mut Out) -> Result<(), Failure> {
        Ok(out.write_all(if self.begun { b"\n]\n" } else { b"[]\n" })?)
    }
}
