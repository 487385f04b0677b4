//! `mobilenet evaluate`: how often the module is right about photos whose class is known.

use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use mobilenet::Classifier;
use mobilenet::evaluation::{Evaluated, EvaluationOptions, LabelledImages, evaluate};

use crate::args::{ModelArgs, PixelArgs};
use crate::failure::{Failure, Outcome, Status};
use crate::interrupt::Interrupt;
use crate::output::WholeFile;
use crate::output::evaluation::{About, curves, html, json, text};
use crate::progress::Progress;
use crate::terminal;

const EXAMPLES: &str = "\
Examples:
  mobilenet evaluate photos/test
  mobilenet evaluate photos/test --module my-module --html report.html
  mobilenet evaluate imagenet-samples.tar --json | jq .top1
  mobilenet evaluate list.csv --crop central:0.875 --resize tf1-legacy-bilinear
  mobilenet evaluate tiny-imagenet/val --restrict-to-data-classes --by-resize
  mobilenet evaluate 'imagenet/validation-{00000..00127}-of-00128'

DATA is a folder with a folder for each class, a folder of files named by WordNet id
(n01440764_tench.JPEG), a .tar of such a folder, or a .csv or .tsv of paths and labels; or
shards, as `mobilenet train` reads them: a TFRecord of tf.Example, a WebDataset tar, a range
in braces or a folder of those. Of data divided into test, validation and train, the first
one there is used.

Classes are named by label, WordNet id or number. In shards they have numbers: the module's
own, or all one less or one more where the module's class 0, or theirs, is \"background\".
Names in records are believed before numbers, which tell classes of one name apart.";

/// Measure how often the module is right
///
/// Accuracy in all and by class, confusion, calibration and the most confident mistakes, on
/// photos whose class is known.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Evaluate {
    /// Photos and their classes: a folder, a .tar, a .csv or .tsv, TFRecords, WebDataset tars
    #[arg(value_name = "DATA")]
    data: PathBuf,

    /// Choose among the data's classes only, as if the module had no others
    #[arg(long)]
    restrict_to_data_classes: bool,

    /// Also measure with every resize method
    #[arg(long)]
    by_resize: bool,

    /// No progress bar
    #[arg(short, long)]
    quiet: bool,

    /// Print one JSON object
    #[arg(long, help_heading = "Output")]
    json: bool,

    /// Also write a report with pictures: one file, nothing to fetch
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    html: Option<PathBuf>,

    /// Draw the curves of this training log in the report [default: a log.jsonl beside the module,
    /// else the epochs in the checkpoint of its run]
    ///
    /// What `mobilenet train --jsonl` printed: one JSON object a line.
    #[arg(long, value_name = "FILE", requires = "html", help_heading = "Output")]
    log: Option<PathBuf>,

    /// Show so many of the most confident mistakes
    #[arg(long, value_name = "N", default_value_t = 24, help_heading = "Output")]
    mistakes: usize,

    #[command(flatten)]
    model: ModelArgs,

    #[command(flatten)]
    pixels: PixelArgs,
}

impl Evaluate {
    pub(crate) fn run(self) -> Outcome {
        let data = LabelledImages::open(&self.data)?;
        let classifier = self.model.classifier(&self.pixels)?;
        let log = curves::log(self.log.as_deref(), classifier.module())?;
        let report = self.html.as_deref().map(WholeFile::create).transpose()?;
        self.mention(&data);
        let interrupt = Interrupt::watch();
        let started = Instant::now();
        let (evaluated, done) = self.evaluate(&classifier, &data, &interrupt)?;
        let about = About {
            data: &self.data,
            images: &data,
            classifier: &classifier,
            evaluated: &evaluated,
            done,
            seconds: started.elapsed().as_secs_f64(),
            log: log.as_deref(),
        };
        if let Some(report) = report {
            report.write(html::page(&about).as_bytes())?;
        }
        self.print(&about)?;
        if interrupt.pressed() {
            terminal::note(format_args!("stopped after {done} of {} photos", data.images.len()));
            return Ok(Status::Interrupted);
        }
        let failed = evaluated.failures.len();
        if failed > 0 {
            terminal::warning(format_args!("{failed} of {done} photos could not be read"));
        }
        Ok(Status::of_failures(failed))
    }

    fn mention(&self, data: &LabelledImages) {
        if self.quiet {
            return;
        }
        if let Some(split) = &data.split {
            terminal::note(format_args!("evaluating the photos in {split}"));
        }
        if data.ignored > 0 {
            let files = if data.ignored == 1 { "file is" } else { "files are" };
            terminal::note(format_args!("{} {files} no photo of a class", data.ignored));
        }
    }

    fn evaluate(
        &self,
        classifier: &Classifier,
        data: &LabelledImages,
        interrupt: &Interrupt,
    ) -> Result<(Evaluated, usize), Failure> {
        let options = EvaluationOptions {
            restrict_to_data_classes: self.restrict_to_data_classes,
            by_resize: self.by_resize,
            mistakes: self.mistakes,
        };
        let mut progress = Progress::new(Some(data.images.len()), self.quiet, false);
        let mut paths = data.images.iter();
        let evaluated = evaluate(classifier, data, &options, |failed| {
            let path = paths.next().map(|image| image.source.to_string()).unwrap_or_default();
            if let Some(message) = failed {
                progress.beside(|| terminal::error(format_args!("{path}: {message}")));
            }
            progress.step(failed.is_some());
            if interrupt.pressed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        progress.finish();
        let done = usize::try_from(progress.done()).unwrap_or(usize::MAX);
        Ok((evaluated.map_err(|e| self.advise(e))?, done))
    }

    fn advise(&self, error: mobilenet::Error) -> Failure {
        let labels = error.kind() == mobilenet::ErrorKind::Labels;
        let failure = Failure::from(error);
        if labels {
            return failure.hint(
                "name classes by the module's labels (`--labels` replaces them), by WordNet id, \
                 or by number",
            );
        }
        failure
    }

    fn print(&self, about: &About<'_>) -> Result<(), Failure> {
        let mut out = BufWriter::new(io::stdout().lock());
        if self.json { json::write(about, &mut out)? } else { text::write(about, &mut out)? }
        Ok(out.flush()?)
    }
}
