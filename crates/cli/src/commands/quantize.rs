//! `mobilenet quantize`: a network of 8 bits out of one of floats, held against it at once.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;
use mobilenet::evaluation::{EvaluationOptions, LabelledImages, Sample, evaluate};
use mobilenet::quantize::{
    QuantizeOptions, RangeMethod, calibration_images, carries_ranges, quantize,
};
use mobilenet::{Classifier, Image, Module, Preprocessing};
use serde::Serialize;

use crate::args::{ModelArgs, PixelArgs};
use crate::failure::{Failure, Outcome, Status};
use crate::output::WholeFile;
use crate::progress::Progress;
use crate::terminal;

const EXAMPLES: &str = "\
Examples:
  mobilenet quantize --calibration photos --out small.tflite
  mobilenet quantize --calibration samples.tar --ranges percentile:99.99 --out small.tflite
  mobilenet quantize --calibration photos --evaluate labelled --out small.tflite
  mobilenet classify --module small.tflite photo.jpg

Photos need no labels: a plain folder will do. With classes, as `mobilenet evaluate` finds them, the
report has accuracies too. Calibration takes some of the photos, evenly chosen; the report compares
both networks on all, or on those of --evaluate. A module that `mobilenet fine-tune
--quantization-aware` wrote carries its ranges and needs no calibration.";

/// Make a network of 8 bits
///
/// Weights are rounded with a scale for each output channel, activations to ranges that photos
/// decide. The file is TFLite's, with labels and normalisation, for every program that reads it; it
/// takes and gives uint8.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Quantize {
    /// Compare both networks on these photos [default: those of --calibration]
    #[arg(long, value_name = "DATA")]
    evaluate: Option<PathBuf>,

    /// Write this TFLite file
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,

    /// Compare with this module instead of the one that is quantised: with that of floats, where it
    /// was trained for 8 bits
    #[arg(long, value_name = "HANDLE")]
    against: Option<String>,

    /// Calibrate on so many of the photos
    #[arg(long, value_name = "N", default_value_t = 100)]
    images: usize,

    /// How ranges are found: minmax, percentile:PERCENT or kl
    #[arg(long, value_name = "METHOD", default_value_t = QuantizeOptions::default().ranges)]
    ranges: RangeMethod,

    /// Leave biases as they are, whatever rounding the weights changes on average
    #[arg(long)]
    no_bias_correction: bool,

    /// Let channels grow that use little of their tensor's range, and shrink the weights that read
    /// them: cross-layer equalisation
    #[arg(long, alias = "equalisation")]
    equalization: bool,

    /// No progress bar
    #[arg(short, long)]
    quiet: bool,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    model: ModelArgs,

    #[command(flatten)]
    pixels: PixelArgs,
}

/// How the two networks compare.
#[derive(Serialize)]
struct Report {
    out: String,
    bytes: usize,
    calibrated_on: usize,
    ranges: String,
    bias_correction: bool,
    equalization: bool,
    images: usize,
    /// Photos whose likeliest class is the same.
    same_top1: usize,
    /// Of the logits of both networks.
    mean_difference: f64,
    largest_difference: f64,
    /// Absent where the photos' classes are not the network's.
    accuracy: Option<[Accuracy; 2]>,
}

/// Shares in [0, 1], of floats and of 8 bits.
#[derive(Serialize)]
struct Accuracy {
    top1: f64,
    top5: f64,
}

impl Quantize {
    pub(crate) fn run(self) -> Outcome {
        let open =
            |path: &Option<PathBuf>| path.as_deref().map(LabelledImages::open_any).transpose();
        let calibration = open(&self.model.calibration)?;
        let evaluation = open(&self.evaluate)?.or_else(|| calibration.clone());
        let file = WholeFile::create(&self.out)?;
        let module = self.model.open_for(&self.pixels)?;
        let carries_ranges = carries_ranges(&module);
        if calibration.is_none() && !carries_ranges {
            return Err(Failure::new(
                "the module carries no ranges: --calibration names photos that decide them",
            ));
        }
        let preprocessing = self.pixels.preprocessing(&module)?;
        let options = QuantizeOptions {
            ranges: self.ranges,
            bias_correction: !self.no_bias_correction,
            equalization: self.equalization,
        };
        let photos = calibration.as_ref().filter(|_| !carries_ranges);
        let samples = photos.map(|data| data.images.as_slice()).unwrap_or_default();
        let images = calibration_images(samples, self.images, &preprocessing);
        let calibrated_on = images.len();
        let mut progress = Progress::new(Some(calibrated_on), self.quiet, false);
        let images = images.inspect(|image| progress.step(image.is_err()));
        let quantized = quantize(&module, images, &options);
        progress.finish();
        let bytes = quantized?.to_tflite()?;
        file.write(&bytes)?;
        let report = Report {
            out: self.out.display().to_string(),
            bytes: bytes.len(),
            calibrated_on,
            ranges: if carries_ranges { "the module's".into() } else { self.ranges.to_string() },
            bias_correction: options.bias_correction && !carries_ranges,
            equalization: options.equalization && !carries_ranges,
            images: 0,
            same_top1: 0,
            mean_difference: 0.0,
            largest_difference: 0.0,
            accuracy: None,
        };
        let module = match &self.against {
            Some(handle) => self.model.opened(handle, Some(&self.pixels))?,
            None => module,
        };
        match &evaluation {
            Some(data) => self.compare(&module, &preprocessing, data, report),
            None => self.print(&report),
        }
    }

    fn compare(
        &self,
        module: &Module,
        preprocessing: &Preprocessing,
        data: &LabelledImages,
        mut report: Report,
    ) -> Outcome {
        let ours = self.model.options()?.load(&self.out.display().to_string())?;
        let classifier = |module: &Module| {
            Classifier::options().preprocessing(preprocessing.clone()).build(module.clone())
        };
        let Ok(floats) = classifier(module) else {
            terminal::note("feature vectors are not compared");
            return self.print(&report);
        };
        let small = classifier(&ours)?;
        agreement(&floats, &small, data, &mut report)?;
        let accuracy = |classifier: &Classifier| {
            let options = EvaluationOptions { mistakes: 0, ..EvaluationOptions::default() };
            evaluate(classifier, data, &options, |_| ControlFlow::Continue(()))
                .map(|found| Accuracy { top1: found.top_1(), top5: found.top_5() })
        };
        report.accuracy = match (accuracy(&floats), accuracy(&small)) {
            (Ok(floats), Ok(small)) => Some([floats, small]),
            _ => None,
        };
        self.print(&report)
    }

    fn print(&self, report: &Report) -> Outcome {
        let mut out = io::stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, report)?;
            writeln!(out)?;
        } else {
            report.write(&mut out)?;
        }
        out.flush()?;
        Ok(Status::Good)
    }
}

impl Report {
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let how = [
            (self.equalization, ", channels equalised"),
            (self.bias_correction, ", biases corrected"),
        ];
        let how: String = how.iter().filter(|(done, _)| *done).map(|(_, text)| *text).collect();
        writeln!(out, "{}: {} bytes", self.out, self.bytes)?;
        match self.calibrated_on {
            0 => writeln!(out, "ranges: {}", self.ranges)?,
            photos => writeln!(out, "calibrated on {photos} photos, {}{how}", self.ranges)?,
        }
        if self.images == 0 {
            return Ok(());
        }
        writeln!(out, "same top 1 on {} of {} photos", self.same_top1, self.images)?;
        let (mean, largest) = (self.mean_difference, self.largest_difference);
        writeln!(out, "logits differ by {mean:.3} on average, {largest:.3} at most")?;
        if let Some([floats, small]) = &self.accuracy {
            let percent = |share: f64| format!("{:.1} %", 100.0 * share);
            let pair = |a: f64, b: f64| format!("{} -> {}", percent(a), percent(b));
            writeln!(out, "top 1  {}", pair(floats.top1, small.top1))?;
            writeln!(out, "top 5  {}", pair(floats.top5, small.top5))?;
        }
        Ok(())
    }
}

/// How far the logits of two classifiers are apart.
fn agreement(
    floats: &Classifier,
    small: &Classifier,
    data: &LabelledImages,
    report: &mut Report,
) -> Result<(), Failure> {
    let (mut a, mut b) = (floats.worker(), small.worker());
    let (mut sum, mut count, mut read) = (0.0, 0usize, 0usize);
    for sample in &data.images {
        let Ok(image) = decode(floats.preprocessing(), sample) else { continue };
        let (a, b) = (a.logits(&image)?, b.logits(&image)?);
        read += 1;
        report.same_top1 += usize::from(best(&a) == best(&b));
        for (a, b) in a.iter().zip(&b) {
            let off = f64::from((a - b).abs());
            report.largest_difference = report.largest_difference.max(off);
            sum += off;
            count += 1;
        }
    }
    report.images = read;
    report.mean_difference = sum / count.max(1) as f64;
    Ok(())
}

fn best(logits: &[f32]) -> Option<usize> {
    (0..logits.len()).max_by(|&a, &b| {
        let at = |i: usize| logits.get(i).copied().unwrap_or(f32::NEG_INFINITY);
        at(a).total_cmp(&at(b)).then(b.cmp(&a))
    })
}

fn decode(preprocessing: &Preprocessing, sample: &Sample) -> mobilenet::Result<Image> {
    preprocessing.decode(&sample.source.read()?)
}
