//! The roof of the kernels of bytes: how many multiply-adds per second one core can do with
//! everything in registers.

use super::simd::{Body, Bytes};
use super::table::Kernel;
use std::time::{Duration, Instant};

/// Multiply-adds per second of one core with the instructions of `kernel`, the best of short runs
/// for about `time`; 0 if the CPU cannot run it.
pub fn multiply_adds_per_second(kernel: &Kernel, time: Duration) -> f64 {
    let begin = Instant::now();
    let mut best = 0.0f64;
    while kernel.is_available() && begin.elapsed() < time {
        let start = Instant::now();
        (kernel.peak)();
        let work = CHAINS * STEPS * kernel.lanes * 4;
        best = best.max(work as f64 / start.elapsed().as_secs_f64());
    }
    best
}

const CHAINS: usize = 10;
const STEPS: usize = 10_000;

/// Entry of the table: independent chains of dot products, enough of them to hide the latency.
pub(crate) fn entry<S: Bytes>() {
    if let Some(simd) = S::new() {
        simd.call(Chains);
    }
}

struct Chains;

impl Body for Chains {
    #[inline(always)]
    fn run<S: Bytes>(self, simd: S) {
        let bytes = std::hint::black_box([3; 64]);
        let zeros = [0; 16];
        // SAFETY: no vector has more than 64 bytes.
        unsafe {
            let (a, w) = (simd.spread(bytes.as_ptr()), simd.factors(bytes.as_ptr().cast()));
            let mut sums = [simd.load(zeros.as_ptr()); CHAINS];
            for _ in 0..STEPS {
                for sum in &mut sums {
                    *sum = simd.dot_spread(*sum, a, w);
                }
            }
            std::hint::black_box(sums);
        }
    }
}
