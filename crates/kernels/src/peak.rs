//! The roof: how many multiply-adds per second one core can do with everything in registers.

use crate::isa::Isa;
use crate::simd::{self, Body, Simd};
use std::time::{Duration, Instant};

/// Multiply-adds per second of one core with `isa`, the best of short runs for about `time`.
/// Measured, because clock rates and vector units differ between CPUs of one name.
pub fn multiply_adds_per_second(isa: Isa, time: Duration) -> f64 {
    let begin = Instant::now();
    let mut best = 0.0f64;
    while begin.elapsed() < time {
        let start = Instant::now();
        let work = simd::call(isa, Chains);
        best = best.max(work as f64 / start.elapsed().as_secs_f64());
    }
    best
}

/// Independent chains of multiply-adds, enough of them to hide the latency.
struct Chains;

impl Body for Chains {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> usize {
        const CHAINS: usize = 10;
        const STEPS: usize = 10_000;
        let factor = simd.splat(std::hint::black_box(0.999));
        let term = simd.splat(std::hint::black_box(0.001));
        let mut sums = [simd.splat(std::hint::black_box(1.0)); CHAINS];
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = simd.fma(*sum, factor, term);
            }
        }
        std::hint::black_box(sums);
        CHAINS * STEPS * S::LANES
    }
}
