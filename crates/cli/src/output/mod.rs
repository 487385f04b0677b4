//! Answers as text, JSON or CSV on stdout, in input order. The formats are a promise to scripts;
//! `tests/classify.rs` holds them to it.

mod csv;
pub(crate) mod evaluation;
mod json;
mod staged;
mod text;
mod trained;
mod training;
pub(crate) mod vectors;
mod whole;

pub(crate) use staged::Staged;
pub(crate) use whole::WholeFile;

pub(crate) use trained::{Against, trained};
pub(crate) use training::{TrainingLog, epoch_line, learning_rates, print_line, print_text};

use std::io::{self, BufWriter, StdoutLock, Write};
use std::path::Path;

use mobilenet::Prediction;

use crate::failure::Failure;

/// What became of one image.
pub(crate) struct Answer<'a> {
    /// The path as the user gave it, or as the folder lists it.
    pub(crate) path: &'a Path,
    /// The labels, likeliest first; or why there are none.
    pub(crate) result: Result<&'a [Prediction], &'a str>,
}

/// The format of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One array of objects.
    Json,
    /// One object a line.
    Jsonl,
    /// One row a label.
    Csv,
}

/// Where the formats write.
type Out = BufWriter<StdoutLock<'static>>;

/// A format's way to write answers.
trait Writer {
    /// Writes one answer.
    fn answer(&mut self, out: &mut Out, answer: &Answer<'_>) -> Result<(), Failure>;

    /// Writes what comes after the last answer.
    fn end(&mut self, _out: &mut Out) -> Result<(), Failure> {
        Ok(())
    }
}

/// A report being written to stdout. Every answer is flushed: a pipe sees it at once, and Ctrl-C
/// loses nothing.
pub(crate) struct Report {
    writer: Box<dyn Writer>,
    out: Out,
}

impl Report {
    /// A report in `format`. Nothing is written before the first answer.
    pub(crate) fn new(format: Format) -> Report {
        let writer: Box<dyn Writer> = match format {
            Format::Text => Box::new(text::Text::new()),
            Format::Json => Box::new(json::Array::default()),
            Format::Jsonl => Box::new(json::Lines),
            Format::Csv => Box::new(csv::Rows::default()),
        };
        Report { writer, out: BufWriter::new(io::stdout().lock()) }
    }

    /// Writes one answer.
    pub(crate) fn answer(&mut self, answer: &Answer<'_>) -> Result<(), Failure> {
        self.writer.answer(&mut self.out, answer)?;
        Ok(self.out.flush()?)
    }

    /// Ends the report.
    pub(crate) fn end(mut self) -> Result<(), Failure> {
        self.writer.end(&mut self.out)?;
        Ok(self.out.flush()?)
    }
}
