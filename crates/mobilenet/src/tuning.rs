//! Which kernels a plan runs, measured on this machine: [`Module::kernel_times`] shows them beside
//! each other, [`Module::tune`] chooses among them, and [`TuningFile`] keeps what was chosen, by
//! model of CPU, for the plans of later processes.
//!
//! Choices are measured on one thread and hold for any number, so that results do not depend on it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, io};

pub use mobilenet_engine::Tuning;
use mobilenet_engine::{Isa, Plan, Tunable};
use mobilenet_kernels::{Choice, Pool, Precision, Trial, cpu_model, peak, trial};

use crate::error::{Error, ErrorKind, Result};
use crate::module::{Module, Request};
use crate::runner::Runner;

/// What a choice must save to be made: less is noise.
const GAIN: f64 = 0.03;

/// The time of one kernel for one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelTime {
    /// The kernel, of a separable convolution both.
    pub kernel: String,
    /// Output rows of a strip, where they are not as the cost model says.
    pub strip_rows: Option<usize>,
    /// The least time on one thread.
    pub time: Duration,
    /// Share of the multiply-adds that the core can do, 0 to 1.
    pub of_peak: f64,
    /// Whether plans run it.
    pub picked: bool,
}

/// The kernels of one shape of layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerTimes {
    /// Its shape, such as `separable 96x96x8->16 3x3/1`.
    pub layer: String,
    /// How many layers of the network have it.
    pub count: usize,
    /// Multiply-adds of one of them.
    pub multiply_adds: usize,
    /// Every kernel that fits, the quickest first.
    pub kernels: Vec<KernelTime>,
}

/// Kernels of all layers of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelTimes {
    /// The model of the CPU.
    pub cpu: String,
    /// The instruction set.
    pub isa: Isa,
    /// Multiply-adds per second of one core, measured between the layers.
    pub peak: f64,
    /// Every shape of layer, in the order of the network.
    pub layers: Vec<LayerTimes>,
}

/// What tuning found.
#[derive(Clone, Debug)]
pub struct Tuned {
    /// The layers: the cost model's choice and the measured one; the latter has `picked` set.
    pub times: KernelTimes,
    /// The network with the cost model's choices, the least time on one thread.
    pub before: Duration,
    /// The network with the measured ones.
    pub after: Duration,
    /// The measured choices; empty where the network was not quicker with them.
    pub tuning: Tuning,
}

/// The kernels of the convolutions of MobileNet V1 with `percent` of the channels, for images of
/// `size` pixels, each measured for about `time`; `tuning` says which of them plans run.
///
/// # Errors
/// An instruction set this CPU lacks.
///
/// ```
/// use std::time::Duration;
/// use mobilenet::Isa;
/// use mobilenet::tuning::{Tuning, family_times};
///
/// let times = family_times(Isa::detect(), (25, 32), &Tuning::default(), Duration::ZERO)?;
/// assert!(times.layers[0].layer.starts_with("conv2d 32x32x3->8"));
/// assert!(times.layers.iter().all(|layer| layer.kernels.iter().any(|kernel| kernel.picked)));
/// # Ok::<(), mobilenet::Error>(())
/// ```
pub fn family_times(
    isa: Isa,
    (percent, size): (usize, usize),
    tuning: &Tuning,
    time: Duration,
) -> Result<KernelTimes> {
    let layers = mobilenet_kernels::family::layers(percent, size, 1001);
    let ops: Vec<Tunable> = layers.iter().filter_map(|layer| layer.tunable()).collect();
    measure_all(isa, &ops, tuning, time)
}

impl Module {
    /// The kernels of the convolutions that `request` runs, each measured for about `time`.
    ///
    /// # Errors
    /// As [`Module::runner`]; [`ErrorKind::Input`] where there is nothing to choose, as in 8 bits.
    pub fn kernel_times(&self, request: &Request, time: Duration) -> Result<KernelTimes> {
        let ops = convolutions(&self.plan(request)?.0, self.precision())?;
        let tuning = self.tuning().unwrap_or_default();
        measure_all(self.isa(), &ops, &tuning, time)
    }

    /// Measures kernels and strips for the convolutions that `request` runs, for about `time` each,
    /// and chooses the quickest. The choices are given back, not yet kept: see [`TuningFile`].
    ///
    /// # Errors
    /// As [`Module::kernel_times`].
    pub fn tune(&self, request: &Request, time: Duration) -> Result<Tuned> {
        let (isa, mut tuning) = (self.isa(), Tuning::default());
        let plan = self.compile_with(request, None)?;
        let ops = convolutions(&plan, self.precision())?;
        let (mut best, mut layers) = (0.0f64, Vec::new());
        for (op, count) in shapes(&ops) {
            let (times, choice) = choose(isa, &op, time)?;
            tuning.set(isa, &op, choice);
            best = best.max(peak_of(isa));
            layers.push((op, count, times));
        }
        let layer = |(op, count, times)| LayerTimes::new(&op, count, times, best);
        let layers = layers.into_iter().map(layer).collect::<Result<_>>()?;
        let mut times = KernelTimes { cpu: cpu_model(), isa, peak: best, layers };
        let (before, after) = self.compare(request, &tuning, 2 * time)?;
        if after >= before {
            tuning = Tuning::default();
            // Two lines: the cost model's kernel, and a quicker one, which is not taken after all.
            for layer in times.layers.iter_mut().filter(|layer| layer.kernels.len() == 2) {
                layer.kernels.iter_mut().for_each(|kernel| kernel.picked = !kernel.picked);
            }
        }
        Ok(Tuned { times, before, after, tuning })
    }

    /// The least times of the whole network without and with choices, on one thread, in turn.
    fn compare(
        &self,
        request: &Request,
        tuning: &Tuning,
        time: Duration,
    ) -> Result<(Duration, Duration)> {
        let tuned = Some(Arc::new(tuning.clone()));
        let mut runners = [None, tuned].into_iter().map(|tuning| {
            let plan = self.compile_with(request, tuning)?;
            let mut runner = Runner::new(plan, Arc::new(Pool::single()), self.plan(request)?.1)?;
            runner
                .input_mut()
                .iter_mut()
                .enumerate()
                .for_each(|(i, x)| *x = (i % 251) as f32 / 250.);
            Ok::<_, Error>(runner)
        });
        let (Some(before), Some(after)) = (runners.next(), runners.next()) else {
            return Ok((Duration::ZERO, Duration::ZERO));
        };
        let (mut before, mut after) = (before?, after?);
        let (mut least, start) = ([Duration::MAX; 2], Instant::now());
        while least[0] == Duration::MAX || start.elapsed() < time {
            for _ in 0..5 {
                for (runner, least) in [&mut before, &mut after].into_iter().zip(&mut least) {
                    let begin = Instant::now();
                    runner.run()?;
                    *least = (*least).min(begin.elapsed());
                }
            }
        }
        Ok((least[0], least[1]))
    }
}

/// The convolutions of a plan whose kernels are a choice, in order; that there are none is an error.
fn convolutions(plan: &Plan, precision: Precision) -> Result<Vec<Tunable>> {
    let steps = plan.summary().steps;
    let ops: Vec<Tunable> = steps.iter().filter_map(|step| step.tunable).collect();
    if !ops.is_empty() {
        return Ok(ops);
    }
    let reason = if steps.iter().any(|step| step.on_bytes) {
        "the network runs in 8 bits, for which each instruction set has one kernel".to_owned()
    } else if precision == Precision::F32 {
        "the network has no convolutions".to_owned()
    } else {
        format!("the network runs in {precision}, and only kernels of f32 are chosen among")
    };
    Err(Error::new(ErrorKind::Input, format!("there is nothing to choose: {reason}")))
}

/// Each shape once, and how often it is there.
fn shapes(ops: &[Tunable]) -> Vec<(Tunable, usize)> {
    let mut shapes: Vec<(Tunable, usize)> = Vec::new();
    for op in ops {
        match shapes.iter_mut().find(|(other, _)| other.to_string() == op.to_string()) {
            Some((_, count)) => *count += 1,
            None => shapes.push((*op, 1)),
        }
    }
    shapes
}

fn measure_all(isa: Isa, ops: &[Tunable], tuning: &Tuning, time: Duration) -> Result<KernelTimes> {
    let (mut best, mut layers) = (0.0f64, Vec::new());
    for (op, count) in shapes(ops) {
        let kept = tuning.choice(isa, &op);
        // As in plans: a choice kept by another build that does not fit is as good as none.
        let fits = Trial::new(isa, &op, kept, 1).is_ok();
        let picked = if fits { kept } else { Choice::default() };
        let mut choices = vec![picked];
        choices.extend(op.kernels(isa));
        layers.push((op, count, measure(isa, &op, &choices, 0, time)?));
        best = best.max(peak_of(isa));
    }
    let layer = |(op, count, times)| LayerTimes::new(&op, count, times, best);
    let layers = layers.into_iter().map(layer).collect::<Result<_>>()?;
    Ok(KernelTimes { cpu: cpu_model(), isa, peak: best, layers })
}

/// Multiply-adds per second just now.
fn peak_of(isa: Isa) -> f64 {
    peak::multiply_adds_per_second(isa, Duration::from_millis(1))
}

/// A choice, what it is called, its time, and whether it is the picked one.
struct Measured {
    choice: Choice,
    kernel: String,
    time: Duration,
    picked: bool,
}

/// Times those of `choices` that fit, each kernel and strip once; `picked` is one of them.
fn measure(
    isa: Isa,
    op: &Tunable,
    choices: &[Choice],
    picked: usize,
    time: Duration,
) -> Result<Vec<Measured>> {
    let (mut found, mut trials): (Vec<Measured>, Vec<Trial>) = (Vec::new(), Vec::new());
    for (index, &choice) in choices.iter().enumerate() {
        let trial = match Trial::new(isa, op, choice, 1) {
            Ok(trial) => trial,
            // The pick must fit; of the others this is how one finds out.
            Err(error) if index == picked => return Err(unfit(error)),
            Err(_) => continue,
        };
        let kernel = trial.kernel();
        let same = |other: &Measured| other.kernel == kernel && other.choice.rows == choice.rows;
        if !found.iter().any(same) {
            let picked = index == picked;
            found.push(Measured { choice, kernel, time: Duration::MAX, picked });
            trials.push(trial);
        }
    }
    let times = trial::least_times(&mut trials, time);
    found.iter_mut().zip(times).for_each(|(measured, time)| measured.time = time);
    Ok(found)
}

/// The quickest kernel and strip for `op`, if it is quicker than the cost model's by more than
/// noise; and the times of both.
fn choose(isa: Isa, op: &Tunable, time: Duration) -> Result<(Vec<Measured>, Choice)> {
    let model = Choice::default();
    let quickest = |measured: &[Measured]| {
        let least = measured.iter().min_by_key(|measured| measured.time);
        least.map_or(model, |measured| measured.choice)
    };
    let mut choices = vec![model];
    choices.extend(op.kernels(isa));
    let kernel = quickest(&measure(isa, op, &choices, 0, time / 3)?);
    let strips = op.strips().into_iter().map(|rows| Choice { rows: Some(rows), ..kernel });
    let choices: Vec<Choice> = [model, kernel].into_iter().chain(strips).collect();
    let choice = quickest(&measure(isa, op, &choices, 0, time / 3)?);
    // Once more, only these two: the least of many is too good to be true.
    let mut last = measure(isa, op, &[model, choice], 0, time / 3)?;
    let [before, after] = last.as_mut_slice() else { return Ok((last, model)) };
    if after.time.as_secs_f64() < before.time.as_secs_f64() * (1.0 - GAIN) {
        (before.picked, after.picked) = (false, true);
        return Ok((last, choice));
    }
    last.truncate(1);
    Ok((last, model))
}

fn unfit(error: mobilenet_kernels::Error) -> Error {
    Error::because(ErrorKind::Input, "these kernels cannot be measured", error)
}

impl LayerTimes {
    fn new(op: &Tunable, count: usize, times: Vec<Measured>, peak: f64) -> Result<Self> {
        let multiply_adds = op.multiply_adds().map_err(unfit)?;
        let mut kernels: Vec<KernelTime> = times
            .into_iter()
            .map(|Measured { choice, kernel, time, picked }| KernelTime {
                of_peak: multiply_adds as f64 / time.as_secs_f64() / peak,
                strip_rows: choice.rows,
                kernel,
                time,
                picked,
            })
            .collect();
        kernels.sort_by_key(|kernel| kernel.time);
        Ok(LayerTimes { layer: op.to_string(), count, multiply_adds, kernels })
    }
}

/// Where the choices for this model of CPU are kept: a text file in the cache folder.
#[derive(Clone, Debug)]
pub struct TuningFile {
    path: PathBuf,
}

/// Bytes of the largest file of choices that is read.
const MAX_BYTES: u64 = 1 << 20;

impl TuningFile {
    /// The file for this CPU in a cache folder; it need not exist.
    pub fn of_this_cpu(cache_dir: &Path) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let name: String = cpu_model().chars().map(plain).collect();
        let words: Vec<&str> = name.split('-').filter(|word| !word.is_empty()).collect();
        TuningFile { path: cache_dir.join("tuning").join(format!("{}.txt", words.join("-"))) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The choices in it; none where there is no file, or one that cannot be read: the cost model
    /// then decides.
    pub fn load(&self) -> Tuning {
        match fs::metadata(&self.path) {
            Ok(metadata) if metadata.len() <= MAX_BYTES => {}
            _ => return Tuning::default(),
        }
        fs::read_to_string(&self.path)
            .map_or_else(|_| Tuning::default(), |text| Tuning::parse(&text))
    }

    /// Adds choices to those in it; whoever reads it meanwhile sees the old file or the new one.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the folder cannot be written.
    pub fn add(&self, tuned: &Tuned) -> Result<()> {
        let mut all = self.load();
        let layers = tuned.times.layers.iter().map(|layer| layer.layer.clone());
        all.update(tuned.times.isa, &layers.collect::<Vec<_>>(), &tuned.tuning);
        let failed = |e| {
            let message = format!("cannot write {}", self.path.display());
            Error::because(ErrorKind::Io, message, e)
        };
        self.write(&all.to_string()).map_err(failed)
    }

    /// Forgets all choices.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if there is a file that cannot be removed.
    pub fn remove(&self) -> Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let message = format!("cannot remove {}", self.path.display());
                Err(Error::because(ErrorKind::Io, message, error))
            }
            _ => Ok(()),
        }
    }

    fn write(&self, text: &str) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let temporary = self.path.with_extension(format!("{}.tmp", std::process::id()));
        let written = fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}
