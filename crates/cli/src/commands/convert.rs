//! `mobilenet convert`: a module of any format as a file of another. What was written is loaded
//! again and compared with where it came from before it takes its place.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use mobilenet::{ExportFormat, Module, Scores, Tensor};
use serde::Serialize;

use crate::args::{ModelArgs, one_of};
use crate::failure::{Failure, Outcome, Status};
use crate::output::Staged;
use crate::terminal;

const EXAMPLES: &str = "\
Examples:
  mobilenet convert model.onnx model.tar.gz
  mobilenet convert mobilenet_v1_1.0_224.ckpt mobilenet.safetensors
  mobilenet convert 1.tar.gz frozen.pb
  mobilenet convert model.h5 folder --to hub
  mobilenet convert frozen.pb model.tflite --labels names.txt

Formats by the end of OUT: .tar.gz (hub module), .pb (frozen graph), .ckpt (checkpoint V2),
.tflite, .onnx, .safetensors, .npz; --to tflite-f16 writes half floats, --to hub and --to saved-model
write folders. Eight bits: `mobilenet quantize`.";

/// Images that both modules are asked about.
const SAMPLES: usize = 8;

/// Write a module in another format
///
/// The result is loaded again and run against the source on sample images; where that fails, nothing
/// is left of it.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Convert {
    /// The module to read: anything --module takes
    #[arg(value_name = "IN")]
    from: String,

    /// The file or folder to write
    #[arg(value_name = "OUT")]
    to: PathBuf,

    /// The format to write [default: by the end of OUT]
    #[arg(long = "to", value_name = "FORMAT", value_parser = one_of::<ExportFormat>(ExportFormat::names()))]
    format: Option<ExportFormat>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    model: ModelArgs,
}

/// What came of it.
#[derive(Serialize)]
struct Report {
    path: String,
    format: String,
    files: usize,
    bytes: u64,
    samples: usize,
    /// Largest absolute difference of the compared answers.
    largest_difference: f64,
    /// What was compared: logits, probabilities or features.
    compared: &'static str,
    /// Samples whose likeliest class is the same.
    same_top1: usize,
    /// Names of classes that the source has, and that the format has no place for.
    labels_left_out: usize,
}

impl Convert {
    pub(crate) fn run(self) -> Outcome {
        let name = self.to.file_name().and_then(|name| name.to_str());
        let (Some(name), Some(path)) = (name, self.to.to_str()) else {
            return Err(Failure::new("OUT must name a file or folder, in UTF-8"));
        };
        let format = self.format.or_else(|| ExportFormat::of_name(name)).ok_or_else(|| {
            let names: Vec<&str> = ExportFormat::names().collect();
            Failure::new(format!("the end of `{name}` names no format"))
                .hint(format!("say --to with one of {}", names.join(", ")))
        })?;
        let source = self.model.open_handle(&self.from)?;
        let files = source.export(format, name)?;
        let staged = Staged::write(&self.to, name, &files)?;
        let compared = self.reload(&staged).and_then(|written| {
            let labels_left_out = labels_left_out(&source, &written)?;
            Ok(Report { labels_left_out, ..compare(&source, &written)? })
        });
        let compared = compared.map_err(|failure| {
            failure.within(format_args!("{path} was not written, for it could not be loaded and compared"))
        })?;
        staged.place()?;
        let report = Report {
            path: path.to_owned(),
            format: format.to_string(),
            files: files.iter().count(),
            bytes: files.iter().map(|(_, bytes)| bytes.len() as u64).sum(),
            ..compared
        };
        if report.labels_left_out > 0 {
            let Report { labels_left_out, path, format, .. } = &report;
            terminal::note(format_args!(
                "note: {path} ({format}) has no place for the {labels_left_out} labels of {}: give them with \
                 --labels where it is used",
                self.from
            ));
        }
        self.print(&report)?;
        Ok(Status::Good)
    }

    /// What was written, as it is found by those who know no flags of this command.
    fn reload(&self, staged: &Staged<'_>) -> Result<Module, Failure> {
        Ok(self.model.hub.options().load(&staged.path().to_string_lossy())?)
    }

    fn print(&self, report: &Report) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, report)?;
            writeln!(out)?;
            return Ok(());
        }
        let Report { path, format, samples, largest_difference, compared, same_top1, .. } = report;
        let size = terminal::bytes(report.bytes);
        writeln!(out, "{} ({format}, {size})", terminal::printable(path))?;
        writeln!(out, "largest difference of {compared} on {samples} images: {largest_difference:.1e}")?;
        writeln!(out, "same top-1 on {same_top1} of {samples}")?;
        Ok(())
    }
}

/// Both modules on the same images.
fn compare(source: &Module, written: &Module) -> Result<Report, Failure> {
    let (height, width) = source.expected_image_size()?;
    let images = samples(height, width)?;
    let answers = |module: &Module| -> Result<Tensor, Failure> {
        let name = module.first_signature()?.to_owned();
        let signature = module.signature(&name)?;
        let key = signature.inputs.first().map(|port| port.key.clone()).unwrap_or_default();
        let mut outputs = module.call_signature(&name, [(key, &images)])?;
        outputs.remove("default").ok_or_else(|| Failure::new("the signature has no output `default`"))
    };
    let (mut a, mut b) = (rows(&answers(source)?), rows(&answers(written)?));
    let probabilities = Scores::Probabilities;
    let mixed = source.scores() != written.scores();
    if mixed {
        for (module, rows) in [(source, &mut a), (written, &mut b)] {
            if module.scores() == Scores::Logits {
                rows.iter_mut().for_each(|row| softmax(row));
            }
        }
    }
    if a.len() != b.len() || a.first().map(Vec::len) != b.first().map(Vec::len) {
        return Err(Failure::new("what was written answers with another shape than its source"));
    }
    let pairs = || a.iter().zip(&b);
    let gap = |(a, b): (&Vec<f64>, &Vec<f64>)| {
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    };
    let classifies = source.signature("image_classification").is_ok();
    Ok(Report {
        path: String::new(),
        format: String::new(),
        files: 0,
        bytes: 0,
        samples: SAMPLES,
        largest_difference: pairs().map(gap).fold(0.0, f64::max),
        compared: match (classifies, mixed || source.scores() == probabilities) {
            (false, _) => "features",
            (true, true) => "probabilities",
            (true, false) => "logits",
        },
        same_top1: pairs().filter(|(a, b)| top(a) == top(b)).count(),
        labels_left_out: 0,
    })
}

/// The number of labels that only the source has.
fn labels_left_out(source: &Module, written: &Module) -> Result<usize, Failure> {
    let own = source.own_labels()?.map_or(0, |labels| labels.len());
    Ok(if written.own_labels()?.is_some() { 0 } else { own })
}

/// Smooth gradients with noise, values in [0, 1]: always the same.
fn samples(height: usize, width: usize) -> Result<Tensor, Failure> {
    let mut values = Vec::with_capacity(SAMPLES * height * width * 3);
    let mut state = 0x2545_f491u32;
    for sample in 0..SAMPLES {
        for y in 0..height {
            for x in 0..width {
                for colour in 0..3 {
                    state ^= state << 13;
                    state ^= state >> 17;
                    state ^= state << 5;
                    let noise = (state >> 8) as f32 / (1u32 << 24) as f32;
                    let phase = (x * (sample + 1) + y * (colour + 1)) as f32 / (height + width) as f32;
                    values.push(0.5 + 0.35 * (phase * 6.0).sin() + 0.15 * (2.0 * noise - 1.0));
                }
            }
        }
    }
    Tensor::new([SAMPLES, height, width, 3], values).map_err(|error| Failure::new(error.to_string()))
}

fn rows(tensor: &Tensor) -> Vec<Vec<f64>> {
    let values = tensor.as_f32().unwrap_or_default();
    let width = (values.len() / tensor.shape().first().copied().unwrap_or(1).max(1)).max(1);
    values.chunks(width).map(|row| row.iter().copied().map(f64::from).collect()).collect()
}

fn softmax(row: &mut [f64]) {
    let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    row.iter_mut().for_each(|value| *value = (*value - largest).exp());
    let sum: f64 = row.iter().sum();
    row.iter_mut().for_each(|value| *value /= sum);
}

fn top(row: &[f64]) -> Option<usize> {
    (0..row.len()).max_by(|&a, &b| row.get(a).partial_cmp(&row.get(b)).unwrap_or(std::cmp::Ordering::Equal))
}
