//! [`Profile`]: where the time of a run goes, step by step, beside what the cores could do.

use std::time::Duration;

use mobilenet_engine::{Plan, StepInfo};
use mobilenet_kernels::{Isa, int8, peak};

use crate::error::Result;

/// How long the peak is measured, before the runs and after them.
const PEAK_TIME: Duration = Duration::from_millis(5);

/// Where the time of a run goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Every step of the plan, in order.
    pub steps: Vec<StepTime>,
    /// Images of the run that was measured.
    pub images: usize,
    /// Threads that it used.
    pub threads: usize,
    /// Multiply-adds per second that one core can do, of what the largest step multiplies: floats
    /// or bytes.
    pub peak: f64,
}

/// The time of one step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepTime {
    /// The step.
    pub step: StepInfo,
    /// The least of some runs.
    pub time: Duration,
    /// Share of the multiply-adds that the threads' cores can do in that time; 0 for what
    /// multiplies nothing. Steps in bf16 are held against float32, of which some cores do half as
    /// many.
    pub of_peak: f64,
}

impl Profile {
    /// The least times of `runs` runs of so many images on so many threads; `run` runs once and
    /// gives the time of each step.
    pub(crate) fn measure(
        plan: &Plan,
        (images, threads): (usize, usize),
        runs: usize,
        mut run: impl FnMut() -> Result<Vec<Duration>>,
    ) -> Result<Self> {
        let (isa, steps) = (plan.isa(), plan.summary().steps);
        let on_bytes = steps.iter().any(|step| step.on_bytes);
        let mut peaks = Peaks::default();
        peaks.raise(isa, on_bytes);
        let mut least = vec![Duration::MAX; steps.len()];
        for _ in 0..runs.max(1) {
            least.iter_mut().zip(run()?).for_each(|(least, time)| *least = (*least).min(time));
        }
        peaks.raise(isa, on_bytes);
        let largest = steps.iter().max_by_key(|step| step.multiply_adds);
        let peak = largest.map_or(peaks.floats, |step| peaks.of(step));
        let timed = |(step, time): (StepInfo, Duration)| StepTime {
            of_peak: match step.multiply_adds {
                0 => 0.0,
                // No step takes no time, but a clock may say so.
                work => {
                    work as f64
                        / time.max(Duration::from_nanos(1)).as_secs_f64()
                        / peaks.of(&step)
                        / threads as f64
                }
            },
            step,
            time,
        };
        let steps = steps.into_iter().zip(least).map(timed).collect();
        Ok(Profile { steps, images, threads, peak })
    }
}

/// Multiply-adds per second of one core with everything in registers.
#[derive(Default)]
struct Peaks {
    floats: f64,
    bytes: f64,
}

impl Peaks {
    /// Measures them (those of bytes where they are wanted) and keeps the larger ones.
    fn raise(&mut self, isa: Isa, on_bytes: bool) {
        self.floats = self.floats.max(peak::multiply_adds_per_second(isa, PEAK_TIME));
        if let Some(kernel) = kernel_of_bytes(isa).filter(|_| on_bytes) {
            let bytes = int8::peak::multiply_adds_per_second(kernel, PEAK_TIME);
            self.bytes = self.bytes.max(bytes);
        }
    }

    fn of(&self, step: &StepInfo) -> f64 {
        if step.on_bytes { self.bytes } else { self.floats }
    }
}

/// What plans for `isa` multiply bytes with: its own kernel, or the next that this CPU has.
fn kernel_of_bytes(isa: Isa) -> Option<&'static int8::Kernel> {
    let rank = |isa: Isa| Isa::ALL.iter().position(|&other| other == isa);
    int8::KERNELS.iter().find(|kernel| rank(kernel.isa) >= rank(isa) && kernel.is_available())
}
