//! `mobilenet bench`: how fast the module runs here, or one step of training it. The input is in
//! memory: no files, no decoding. Results of timing depend on the machine; the numbers say on what
//! they ran.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use clap::Args;
use mobilenet::{Module, Plan, Profile, Request, Runner, StepTime, TrainingStep};
use serde::Serialize;

use crate::args::ModelArgs;
use crate::failure::{Failure, Outcome, Status};
use crate::terminal::{FAINT, HEADING, Paint, STRONG};

const EXAMPLES: &str = "\
Examples:
  mobilenet bench --threads 1
  mobilenet bench --batch 32 --seconds 10
  mobilenet bench --module 1.tar.gz --isa avx2 --threads 1 --json
  mobilenet bench --train --batch 32 --threads 2 --profile

Quiet the machine first; compare numbers of one machine only. The minimum is the steadiest.";

/// Measure how fast the module runs on this machine
///
/// Times inference alone, or with --train one step of training (forward, backward, update by
/// momentum, moving averages): the images are in memory, prepared.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Bench {
    /// Images in each run
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=65536))]
    batch: u32,

    /// Measure for so long
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,

    /// The signature to call [default: image_classification]
    #[arg(long, value_name = "NAME")]
    signature: Option<String>,

    /// Time one step of training, on the graph tagged `train`
    #[arg(long, conflicts_with = "signature")]
    train: bool,

    /// Say where the time goes, step by step, also with --json
    ///
    /// With each step's share of the multiply-adds that the cores can do, which is measured too. Of a
    /// batch, which threads share between them, one image is measured on one thread.
    #[arg(long)]
    profile: bool,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    model: ModelArgs,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds up to 3600".into()),
    }
}

/// Latencies of one run, in microseconds.
#[derive(Debug, Serialize)]
struct Latency {
    min: f64,
    median: f64,
    p90: f64,
    p99: f64,
}

/// What was measured, and on what.
#[derive(Debug, Serialize)]
struct Measured {
    latency_us: Latency,
    images_per_second: f64,
    batch: u32,
    threads: usize,
    isa: String,
    runs: usize,
    multiply_adds: u64,
    gflops: f64,
    load_ms: f64,
    arena_bytes: usize,
    signature: String,
    module: String,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    profile: Option<Profiled>,
}

/// Where the time goes, on how much of the machine.
#[derive(Debug, Serialize)]
struct Profiled {
    /// Of one core, two operations a multiply-add.
    peak_gflops: f64,
    /// Images of the run that was measured, and the threads it had.
    profile_batch: usize,
    profile_threads: usize,
    profile: Vec<ProfiledStep>,
}

/// One step of the plan.
#[derive(Debug, Serialize)]
struct ProfiledStep {
    microseconds: f64,
    kernel: String,
    node: String,
    multiply_adds: u64,
    /// Share of what the cores can do in that time; 0 where nothing is multiplied.
    of_peak: f64,
}

/// What is timed.
enum Subject {
    Inference(Box<Runner>),
    Training(Box<TrainingStep>),
}

impl Subject {
    fn run(&mut self) -> Result<(), Failure> {
        match self {
            Self::Inference(runner) => runner.run()?,
            Self::Training(step) => step.run().map(|_loss| ())?,
        }
        Ok(())
    }

    /// The least time of each step of the plan.
    fn profile(&mut self) -> Result<Profile, Failure> {
        Ok(match self {
            Self::Inference(runner) => runner.profile(50)?,
            Self::Training(step) => step.profile(10)?,
        })
    }

    fn plan(&self) -> &Plan {
        match self {
            Self::Inference(runner) => runner.plan(),
            Self::Training(step) => step.plan(),
        }
    }

    fn threads(&self) -> usize {
        match self {
            Self::Inference(runner) => runner.threads(),
            Self::Training(step) => step.threads(),
        }
    }
}

impl Bench {
    pub(crate) fn run(mut self) -> Outcome {
        let start = Instant::now();
        if self.train && self.model.tags.is_empty() {
            self.model.tags.push("train".into());
        }
        let module = self.model.open()?;
        let signature = match &self.signature {
            Some(name) => module.signature(name)?.name.clone(),
            None => module.first_signature()?.to_owned(),
        };
        let mut subject = self.subject(&module, &signature)?;
        let load = start.elapsed();
        let times = measure(&mut subject, Duration::from_secs_f64(self.seconds))?;
        let mut measured =
            self.describe(&subject, &times, load, (signature, module.handle().into()));
        if self.profile {
            measured.profile = Some(profile(&mut subject)?);
        }
        let mut out = io::stdout().lock();
        if self.json {
            serde_json::to_writer(&mut out, &measured)?;
            writeln!(out)?;
        } else {
            measured.print(&mut out)?;
            let profiled = match measured.profile {
                Some(profiled) => profiled,
                None => profile(&mut subject)?.by_kernel_if_many(),
            };
            profiled.print(&mut out)?;
        }
        Ok(Status::Good)
    }

    fn subject(&self, module: &Module, signature: &str) -> Result<Subject, Failure> {
        if self.train {
            return Ok(Subject::Training(Box::new(TrainingStep::new(module, self.batch as usize)?)));
        }
        let size = module.expected_image_size()?;
        let request = Request::new(signature).images(self.batch as usize, size);
        let mut runner = module.parallel_runner(&request)?;
        runner.input_mut().iter_mut().enumerate().for_each(|(i, v)| *v = (i % 251) as f32 / 250.0);
        Ok(Subject::Inference(Box::new(runner)))
    }

    fn describe(
        &self,
        subject: &Subject,
        times: &[Duration],
        load: Duration,
        (signature, module): (String, String),
    ) -> Measured {
        let summary = subject.plan().summary();
        let images = f64::from(self.batch);
        // A step of training is planned for the batch, inference for one image.
        let multiply_adds = match subject {
            Subject::Inference(_) => summary.multiply_adds,
            Subject::Training(_) => summary.multiply_adds / u64::from(self.batch),
        };
        let latency_us = Latency {
            min: percentile(times, 0.0),
            median: percentile(times, 0.5),
            p90: percentile(times, 0.9),
            p99: percentile(times, 0.99),
        };
        let per_run = multiply_adds as f64 * images * 2.0;
        Measured {
            images_per_second: images * times.len() as f64 / total(times).as_secs_f64(),
            gflops: per_run / latency_us.median / 1e3,
            latency_us,
            batch: self.batch,
            threads: subject.threads(),
            isa: summary.isa,
            runs: times.len(),
            multiply_adds,
            load_ms: load.as_secs_f64() * 1e3,
            arena_bytes: summary.arena_bytes,
            signature,
            module,
            profile: None,
        }
    }
}

/// Times of single runs, sorted. At least ten, after a warm-up.
fn measure(subject: &mut Subject, duration: Duration) -> Result<Vec<Duration>, Failure> {
    let warm = Instant::now();
    while warm.elapsed() < duration.min(Duration::from_millis(300)) / 3 {
        subject.run()?;
    }
    subject.run()?;
    let mut times = Vec::with_capacity(1 << 16);
    let start = Instant::now();
    while (start.elapsed() < duration || times.len() < 10) && times.len() < 1 << 22 {
        let before = Instant::now();
        subject.run()?;
        times.push(before.elapsed());
    }
    times.sort_unstable();
    Ok(times)
}

fn total(times: &[Duration]) -> Duration {
    times.iter().sum()
}

/// The time in microseconds that the share `at` of runs did not exceed.
fn percentile(sorted: &[Duration], at: f64) -> f64 {
    let place = ((sorted.len() as f64 * at).ceil() as usize).saturating_sub(1);
    let micros = |time: &Duration| (time.as_secs_f64() * 1e7).round() / 10.0;
    sorted.get(place).map_or(f64::NAN, micros)
}

impl Measured {
    fn print(&self, out: &mut impl Write) -> Result<(), Failure> {
        let paint = Paint::stdout();
        let Latency { min, median, p90, p99 } = &self.latency_us;
        let name = |text: &str| paint.paint(HEADING, format_args!("{text:<12}"));
        writeln!(out, "{} {}", name("module"), crate::terminal::printable(&self.module))?;
        writeln!(out, "{} {}", name("signature"), crate::terminal::printable(&self.signature))?;
        writeln!(
            out,
            "{} {}, {}, batch {}",
            name("running on"),
            self.isa,
            counted(self.threads, "thread"),
            self.batch
        )?;
        writeln!(
            out,
            "{} min {}  median {median:.1}  p90 {p90:.1}  p99 {p99:.1} µs  {}",
            name("latency"),
            paint.paint(STRONG, format_args!("{min:.1}")),
            paint.paint(FAINT, format_args!("({} runs)", self.runs))
        )?;
        writeln!(
            out,
            "{} {:.1} images/s, {:.1} GFLOP/s",
            name("throughput"),
            self.images_per_second,
            self.gflops
        )?;
        let kib = self.arena_bytes.div_ceil(1024);
        writeln!(out, "{} {:.1} ms to load, {kib} KiB arena", name("also"), self.load_ms)?;
        Ok(())
    }
}

/// Where the time goes, step by step: the smallest of some runs.
fn profile(subject: &mut Subject) -> Result<Profiled, Failure> {
    let found = subject.profile()?;
    let step = |StepTime { step, time, of_peak }: StepTime| ProfiledStep {
        microseconds: rounded(time.as_secs_f64() * 1e6),
        node: step.nodes.last().map(|node| shorten(node).to_owned()).unwrap_or_default(),
        kernel: step.kernel,
        multiply_adds: step.multiply_adds,
        of_peak: rounded(of_peak),
    };
    Ok(Profiled {
        peak_gflops: rounded(found.peak * 2e-9),
        profile_batch: found.images,
        profile_threads: found.threads,
        profile: found.steps.into_iter().map(step).collect(),
    })
}

/// To three places.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

impl Profiled {
    /// A plan of hundreds of steps, as one of training has, is summed by kernel, slowest first.
    fn by_kernel_if_many(self) -> Self {
        if self.profile.len() <= 100 {
            return self;
        }
        let mut sums: BTreeMap<String, (ProfiledStep, usize)> = BTreeMap::new();
        for step in self.profile {
            match sums.get_mut(&step.kernel) {
                Some((sum, count)) => {
                    let (before, more) = (sum.microseconds, step.microseconds);
                    sum.microseconds += more;
                    if sum.microseconds > 0.0 {
                        let shares = sum.of_peak * before + step.of_peak * more;
                        sum.of_peak = shares / sum.microseconds;
                    }
                    sum.multiply_adds += step.multiply_adds;
                    *count += 1;
                }
                None => {
                    sums.insert(step.kernel.clone(), (step, 1));
                }
            }
        }
        let mut profile: Vec<ProfiledStep> = sums
            .into_values()
            .map(|(sum, count)| ProfiledStep { node: format!("{count} steps"), ..sum })
            .collect();
        profile.sort_by(|a, b| b.microseconds.total_cmp(&a.microseconds));
        Profiled { profile, ..self }
    }

    fn print(&self, out: &mut impl Write) -> Result<(), Failure> {
        let paint = Paint::stdout();
        let images = counted(self.profile_batch, "image");
        let threads = counted(self.profile_threads, "thread");
        let peak = self.peak_gflops;
        let on = format!("{images} on {threads}; the peak of one core is {peak:.1} GFLOP/s");
        writeln!(out, "\n{} {on}", paint.paint(HEADING, format_args!("{:<12}", "profile")))?;
        let steps = &self.profile;
        let all: f64 = steps.iter().map(|step| step.microseconds).sum();
        let width = steps.iter().map(|step| step.kernel.len()).max().unwrap_or(0);
        let heading = format!(
            "{:>9} {:>5} {:>7} {:>7}  {:<width$} node",
            "µs", "%", "GFLOP/s", "of peak", "kernel"
        );
        writeln!(out, "{}", paint.paint(HEADING, heading))?;
        for ProfiledStep { microseconds, kernel, node, multiply_adds, of_peak } in steps {
            let share = microseconds / all * 100.0;
            let (gflops, of_peak) = match multiply_adds {
                0 => (String::new(), String::new()),
                &work => (
                    format!("{:.1}", work as f64 * 2.0 / microseconds / 1e3),
                    format!("{:.0}%", of_peak * 100.0),
                ),
            };
            let numbers = format!("{microseconds:>9.1} {share:>5.1} {gflops:>7} {of_peak:>7}");
            writeln!(out, "{numbers}  {kernel:<width$} {node}")?;
        }
        Ok(())
    }
}

/// A number of things.
fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// A node's name without the scopes that all share.
fn shorten(node: &str) -> &str {
    node.strip_prefix("MobilenetV1/MobilenetV1/").unwrap_or(node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_runs_that_happened() {
        let times: Vec<_> = (1..=100).map(Duration::from_micros).collect();
        let at = |share| percentile(&times, share);
        assert_eq!([at(0.0), at(0.5), at(0.9), at(0.99)], [1.0, 50.0, 90.0, 99.0]);
        assert!(percentile(&[], 0.5).is_nan());
    }
}
