//! `mobilenet classify`: labels for photos. Arguments become a [`Choice`] of labels and a stream
//! of paths; each thread reads, decodes and runs its own photos; a [`Report`] writes the answers
//! in input order.

use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;
use mobilenet::{Choice, Classifier, DecodeOptions, Prediction, Worker, pipeline};

use crate::ahead::Ahead;
use crate::args::{InputArgs, ModelArgs, PixelArgs};
use crate::failure::{Failure, Outcome, Status, chain};
use crate::inputs::{Kind, Unreadable};
use crate::interrupt::Interrupt;
use crate::output::{Answer, Format, Report};
use crate::progress::Progress;
use crate::terminal;

const EXAMPLES: &str = "\
Examples:
  mobilenet classify photo.jpg
  mobilenet classify --top 1 *.jpg
  mobilenet classify -r holiday --jsonl > labels.jsonl
  find . -name '*.jpg' -print0 | mobilenet classify -0 - --csv
  mobilenet classify --allow 'tabby, tabby cat' --allow 'Egyptian cat' cat.jpg
  mobilenet classify --threshold 0.5 -r inbox --jsonl | jq -r '.predictions[0].label'

A file that cannot be read is reported and the rest goes on; the exit status is then 1.";

/// Name what photos show
///
/// Prints the likeliest labels of each photo, in the order of the inputs.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Classify {
    #[command(flatten)]
    inputs: InputArgs,

    #[command(flatten)]
    labels: LabelArgs,

    #[command(flatten)]
    format: FormatArgs,

    #[command(flatten)]
    model: ModelArgs,

    #[command(flatten)]
    pixels: PixelArgs,
}

/// Which labels are printed.
#[derive(Args, Debug)]
#[command(next_help_heading = "Labels")]
struct LabelArgs {
    /// Print at most this many labels for each image
    #[arg(short = 'n', long, value_name = "N", default_value_t = 5, value_parser = count)]
    top: usize,

    /// Print only labels of at least this probability, 0 to 1
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = probability)]
    threshold: f32,

    /// Print only these labels: a name, one of its synonyms, or an index; may be repeated
    #[arg(long, value_name = "LABEL")]
    allow: Vec<String>,

    /// Never print these labels; may be repeated
    #[arg(long, value_name = "LABEL")]
    deny: Vec<String>,
}

/// How answers are printed.
#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
#[group(multiple = false)]
struct FormatArgs {
    /// Print one JSON array
    #[arg(long)]
    json: bool,

    /// Print one JSON object a line: {"path", "predictions": […]} or {"path", "error"}
    #[arg(long)]
    jsonl: bool,

    /// Print CSV, one row for each label
    #[arg(long)]
    csv: bool,
}

impl FormatArgs {
    fn format(&self) -> Format {
        match self {
            Self { json: true, .. } => Format::Json,
            Self { jsonl: true, .. } => Format::Jsonl,
            Self { csv: true, .. } => Format::Csv,
            _ => Format::Text,
        }
    }
}

fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("a number of labels is 1 or more".into()),
    }
}

fn probability(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(p) if (0.0..=1.0).contains(&p) => Ok(p),
        _ => Err("a probability is a number from 0 to 1".into()),
    }
}

impl LabelArgs {
    fn choice(&self, classifier: &Classifier) -> Result<Choice, Failure> {
        let choice = Choice::top(self.top).threshold(self.threshold);
        let labels = classifier.labels();
        Ok(choice.allow(labels, &self.allow)?.deny(labels, &self.deny)?)
    }
}

impl Classify {
    pub(crate) fn run(self) -> Outcome {
        let ahead = self.ahead();
        let classifier = self.model.classifier(&self.pixels)?;
        let choice = self.labels.choice(&classifier)?;
        let inputs = self.inputs.stream(Kind::Images);
        let interrupt = Interrupt::watch();
        let mut run = Run::new(self.format.format(), inputs.total(), self.inputs.quiet);

        let decode = classifier.preprocessing().decode;
        let work = || {
            let mut worker = classifier.worker();
            let task = Task { choice: &choice, ahead: ahead.as_ref(), decode };
            move |input| task.classify(input, &mut worker)
        };
        let threads = classifier.module().threads();
        pipeline::ordered(interrupt.until(inputs), threads, work, |done| run.take(&done));
        run.end(&interrupt)
    }

    /// The first photo, on a thread of its own where there may be one.
    fn ahead(&self) -> Option<Ahead> {
        let alone = self.model.run.threads.is_some_and(|threads| threads.get() == 1);
        let options = self.pixels.decoding().filter(|_| !alone)?;
        Ahead::start(self.inputs.first()?, options)
    }
}

/// What became of one input, from a worker to the report.
struct Done {
    path: PathBuf,
    result: Result<Vec<Prediction>, String>,
}

/// What is done with each input.
#[derive(Clone, Copy)]
struct Task<'a> {
    choice: &'a Choice,
    ahead: Option<&'a Ahead>,
    decode: DecodeOptions,
}

impl Task<'_> {
    fn classify(self, input: Result<PathBuf, Unreadable>, worker: &mut Worker) -> Done {
        let path = match input {
            Ok(path) => path,
            Err(Unreadable { path, message }) => return Done { path, result: Err(message) },
        };
        let result = match self.ahead.and_then(|ahead| ahead.take(&path, self.decode)) {
            Some(image) => image.and_then(|image| worker.classify_image(&image, self.choice)),
            None => worker.classify_path(&path, self.choice),
        };
        Done { path, result: result.map_err(|e| chain(&e)) }
    }
}

/// The state of a run on the main thread.
struct Run {
    report: Report,
    progress: Progress,
    /// Whether errors are told on stderr too, because the report has no place for them.
    loud: bool,
    failed: usize,
    broken: Option<Failure>,
}

impl Run {
    fn new(format: Format, total: Option<usize>, quiet: bool) -> Run {
        Run {
            report: Report::new(format),
            progress: Progress::new(total, quiet, terminal::stdout_is_terminal()),
            loud: format == Format::Text,
            failed: 0,
            broken: None,
        }
    }

    fn take(&mut self, done: &Done) -> ControlFlow<()> {
        if let Err(error) = &done.result {
            self.failed += 1;
            if self.loud {
                self.progress.beside(|| terminal::error(format_args!("{}: {error}", done.path.display())));
            }
        }
        self.progress.step(done.result.is_err());
        let result = done.result.as_deref().map_err(String::as_str);
        match self.report.answer(&Answer { path: &done.path, result }) {
            Ok(()) => ControlFlow::Continue(()),
            Err(failure) => {
                self.broken = Some(failure);
                ControlFlow::Break(())
            }
        }
    }

    fn end(self, interrupt: &Interrupt) -> Outcome {
        self.progress.finish();
        if let Some(failure) = self.broken {
            return Err(failure);
        }
        self.report.end()?;
        if interrupt.pressed() {
            terminal::note(format_args!("stopped after {} images", self.progress.done()));
            return Ok(Status::Interrupted);
        }
        if self.failed > 0 && self.progress.done() > 1 {
            terminal::warning(format_args!("{} of {} inputs failed", self.failed, self.progress.done()));
        }
        Ok(Status::of_failures(self.failed))
    }
}
