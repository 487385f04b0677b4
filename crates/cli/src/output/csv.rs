//! CSV: `path,rank,index,label,probability,logit,error`, one row a label, ranks from 1. A failed
//! image has one row with its path and error; an image without labels (all below the threshold)
//! has none.

use mobilenet::Prediction;
use serde::Serialize;

use super::{Answer, Out, Writer};
use crate::failure::Failure;

#[derive(Default, Serialize)]
struct Row<'a> {
    path: &'a str,
    rank: Option<usize>,
    index: Option<usize>,
    label: Option<&'a str>,
    probability: Option<f32>,
    logit: Option<f32>,
    error: Option<&'a str>,
}

impl<'a> Row<'a> {
    fn new(path: &'a str, place: usize, p: &'a Prediction) -> Self {
        Row {
            path,
            rank: Some(place + 1),
            index: Some(p.index),
            label: Some(&p.label),
            probability: Some(p.probability),
            logit: p.logit,
            error: None,
        }
    }
}

const HEADER: [&str; 7] = ["path", "rank", "index", "label", "probability", "logit", "error"];

/// One row a label.
#[derive(Default)]
pub(super) struct Rows {
    begun: bool,
}

impl Rows {
    fn begin(&mut self, out: &mut Out) -> Result<(), Failure> {
        if !std::mem::replace(&mut self.begun, true) {
            csv::Writer::from_writer(out).write_record(HEADER)?;
        }
        Ok(())
    }
}

impl Writer for Rows {
    fn answer(&mut self, out: &mut Out, answer: &Answer<'_>) -> Result<(), Failure> {
        self.begin(out)?;
        let path = &answer.path.to_string_lossy();
        let mut rows = csv::WriterBuilder::new().has_headers(false).from_writer(out);
        match answer.result {
            Ok(labels) => {
                for (place, label) in labels.iter().enumerate() {
                    rows.serialize(Row::new(path, place, label))?;
                }
            }
            Err(error) => {
                rows.serialize(Row { path, error: Some(error), ..Row::default() })?;
            }
        }
        Ok(rows.flush()?)
    }

    fn end(&mut self, out: &mut Out) -> Result<(), Failure> {
        self.begin(out)
    }
}
