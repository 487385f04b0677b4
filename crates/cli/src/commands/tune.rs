//! `mobilenet tune`: lets the library measure which kernels are the quickest here, and keeps its
//! choices for later runs.

use std::io::{self, BufWriter, Write};
use std::time::Duration;

use clap::Args;
use mobilenet::tuning::TuningFile;
use mobilenet::{Module, Request};
use serde::Serialize;

use super::kernels::{self, Shown};
use crate::args::ModelArgs;
use crate::failure::{Outcome, Status};
use crate::terminal;

const EXAMPLES: &str = "\
Examples:
  mobilenet tune --module 1.tar.gz
  mobilenet tune --isa avx2 --seconds 1
  mobilenet tune --clear

Quiet the machine first: choices made on a busy one are kept like others.";

/// Choose kernels by measurement, for later runs
///
/// Times every kernel, and every height of strips, for each convolution of the module on one thread.
/// What is quicker than the cost model's choice by more than noise is kept in the cache folder, for
/// this model of CPU; every command then runs it. Results do not depend on the number of threads.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Tune {
    /// Measure each layer for so long
    #[arg(long, value_name = "SECONDS", default_value_t = 0.5, value_parser = seconds)]
    seconds: f64,

    /// Forget all choices that were made for this CPU
    #[arg(long)]
    clear: bool,

    /// Measure, but keep nothing
    #[arg(long)]
    dry_run: bool,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    model: ModelArgs,
}

pub(super) fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=60.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds up to 60".into()),
    }
}

#[derive(Serialize)]
struct Report {
    before_us: f64,
    after_us: f64,
    choices: usize,
    #[serde(flatten)]
    times: Shown,
}

impl Tune {
    pub(crate) fn run(self) -> Outcome {
        let hub = self.model.hub.options().hub()?;
        let file = TuningFile::of_this_cpu(hub.cache_dir());
        if self.clear {
            file.remove()?;
            return Ok(Status::Good);
        }
        let module = self.model.open()?;
        self.tune(&module, &file)
    }

    fn tune(&self, module: &Module, file: &TuningFile) -> Outcome {
        let request = Request::new(module.first_signature()?);
        let tuned = module.tune(&request, Duration::from_secs_f64(self.seconds))?;
        let us = |time: Duration| (time.as_secs_f64() * 1e7).round() / 10.0;
        let (before_us, after_us) = (us(tuned.before), us(tuned.after));
        let choices = tuned.tuning.len();
        let mut out = BufWriter::new(io::stdout().lock());
        if self.json {
            let times = Shown::of(&tuned.times);
            let report = Report { before_us, after_us, choices, times };
            serde_json::to_writer(&mut out, &report)?;
            writeln!(out)?;
        } else {
            kernels::show(&mut out, &tuned.times)?;
            writeln!(out, "\nthe network: {before_us:.1} µs before, {after_us:.1} µs after")?;
        }
        out.flush()?;
        if self.dry_run {
            return Ok(Status::Good);
        }
        file.add(&tuned)?;
        let path = file.path().display();
        match choices {
            0 => terminal::note(format_args!("nothing was quicker than the cost model's choices")),
            _ => terminal::note(format_args!("{choices} choices kept in {path}")),
        }
        Ok(Status::Good)
    }
}
