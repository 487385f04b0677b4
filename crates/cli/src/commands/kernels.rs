//! `mobilenet kernels`: every kernel beside every layer it fits, with its time and share of the
//! core's peak. The library measures; here it is asked and shown.

use std::io::{self, BufWriter, Write};
use std::time::Duration;

use clap::Args;
use mobilenet::tuning::{self, KernelTimes, TuningFile};
use mobilenet::{Isa, Request};
use serde::Serialize;

use crate::args::{ModelArgs, Precision};
use crate::failure::{Failure, Outcome, Status};
use crate::terminal::{FAINT, GOOD, HEADING, Paint};

const EXAMPLES: &str = "\
Examples:
  mobilenet kernels
  mobilenet kernels --module 1.tar.gz --isa avx2
  mobilenet kernels --multiplier 1.0 --size 224 --json

One thread; quiet the machine first. `mobilenet tune` lets plans run the quickest.";

/// Flags that say something of a module, where there is none.
const OF_MODULES: [&str; 5] = ["mean", "std", "tags", "moving_averages", "calibration"];

/// Time each kernel on each layer
///
/// For each shape of layer of a network: the kernels that fit, their least times, and the share of
/// the multiply-adds that the core can do. A star marks what plans run.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Kernels {
    /// Instead of the module: MobileNet V1 with this share of the channels
    #[arg(long, value_name = "M", value_parser = multiplier, conflicts_with_all = OF_MODULES)]
    multiplier: Option<f64>,

    /// Instead of the module: MobileNet V1 for images of this many pixels a side
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u16).range(32..=1024), conflicts_with_all = OF_MODULES)]
    size: Option<u16>,

    /// Measure each layer for so long
    #[arg(long, value_name = "SECONDS", default_value_t = 0.1, value_parser = super::tune::seconds)]
    seconds: f64,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    model: ModelArgs,
}

fn multiplier(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(multiplier) if (0.05..=4.0).contains(&multiplier) => Ok(multiplier),
        _ => Err("a multiplier is a number from 0.05 to 4".into()),
    }
}

impl Kernels {
    pub(crate) fn run(self) -> Outcome {
        let time = Duration::from_secs_f64(self.seconds);
        let times = match (self.multiplier, self.size) {
            (None, None) => {
                let module = self.model.open()?;
                module.kernel_times(&Request::new(module.first_signature()?), time)?
            }
            (multiplier, size) => {
                self.refuse_module()?;
                let percent = (multiplier.unwrap_or(0.25) * 100.0).round() as usize;
                let isa = self.model.run.isa.unwrap_or_else(Isa::detect);
                let hub = self.model.hub.options().hub()?;
                let kept = TuningFile::of_this_cpu(hub.cache_dir()).load();
                tuning::family_times(isa, (percent, size.unwrap_or(192).into()), &kept, time)?
            }
        };
        let mut out = BufWriter::new(io::stdout().lock());
        if self.json {
            serde_json::to_writer(&mut out, &Shown::of(&times))?;
            writeln!(out)?;
        } else {
            show(&mut out, &times)?;
        }
        out.flush()?;
        Ok(Status::Good)
    }

    /// --multiplier and --size stand instead of a module: one that is named is a contradiction, and
    /// so is a precision that kernels are not chosen in.
    fn refuse_module(&self) -> Result<(), Failure> {
        if self.model.names_module() {
            return Err(Failure::new("--multiplier and --size stand instead of --module: give either"));
        }
        match self.model.run.precision {
            None | Some(Precision::Floats(mobilenet::Precision::F32)) => Ok(()),
            Some(_) => Err(Failure::new("the kernels of --multiplier and --size are those of f32")
                .hint("leave out --precision, and unset MOBILENET_PRECISION")),
        }
    }
}

/// The times as JSON has them.
#[derive(Serialize)]
pub(super) struct Shown {
    cpu: String,
    isa: String,
    /// Of one core, two operations a multiply-add.
    peak_gflops: f64,
    layers: Vec<Layer>,
}

#[derive(Serialize)]
struct Layer {
    layer: String,
    count: usize,
    multiply_adds: usize,
    kernels: Vec<Kernel>,
}

#[derive(Serialize)]
struct Kernel {
    kernel: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    strip_rows: Option<usize>,
    microseconds: f64,
    of_peak: f64,
    picked: bool,
}

impl Shown {
    pub(super) fn of(times: &KernelTimes) -> Self {
        let rounded = |value: f64| (value * 1e3).round() / 1e3;
        let kernel = |kernel: &tuning::KernelTime| Kernel {
            kernel: kernel.kernel.clone(),
            strip_rows: kernel.strip_rows,
            microseconds: rounded(kernel.time.as_secs_f64() * 1e6),
            of_peak: rounded(kernel.of_peak),
            picked: kernel.picked,
        };
        let layer = |layer: &tuning::LayerTimes| Layer {
            layer: layer.layer.clone(),
            count: layer.count,
            multiply_adds: layer.multiply_adds,
            kernels: layer.kernels.iter().map(kernel).collect(),
        };
        Shown {
            cpu: times.cpu.clone(),
            isa: times.isa.to_string(),
            peak_gflops: rounded(times.peak * 2e-9),
            layers: times.layers.iter().map(layer).collect(),
        }
    }
}

/// A table, a line for each kernel below the line of its layer.
pub(super) fn show(out: &mut dyn Write, times: &KernelTimes) -> Result<(), Failure> {
    let paint = Paint::stdout();
    let peak = times.peak * 2e-9;
    writeln!(out, "{}, {}: peak {peak:.1} GFLOP/s on one core", times.cpu, times.isa)?;
    for layer in &times.layers {
        let count = if layer.count > 1 { format!(" ({} times)", layer.count) } else { String::new() };
        let work = format!("{:.2} M multiply-adds", layer.multiply_adds as f64 / 1e6);
        let name = paint.paint(HEADING, &layer.layer);
        writeln!(out, "\n{name}{count}  {}", paint.paint(FAINT, work))?;
        for kernel in &layer.kernels {
            let us = kernel.time.as_secs_f64() * 1e6;
            let rows = kernel.strip_rows.map(|rows| format!(", strips of {rows}"));
            let line = format!(
                "{us:>9.1} µs {:>5.1}%  {}{}",
                kernel.of_peak * 100.0,
                kernel.kernel,
                rows.unwrap_or_default()
            );
            match kernel.picked {
                true => writeln!(out, "{}", paint.paint(GOOD, format_args!("*{line}")))?,
                false => writeln!(out, " {line}")?,
            }
        }
    }
    Ok(())
}
