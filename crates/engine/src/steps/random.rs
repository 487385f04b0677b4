//! Random numbers: a counter-based generator, so that values depend on the session's seed, the
//! run, the node and the position alone, never on threads.
//!
//! The generator is Philox 4x32 with ten rounds (Salmon et al., "Parallel random numbers: as easy
//! as 1, 2, 3", 2011), which TensorFlow uses too; its key schedule differs from TensorFlow's.

use std::sync::Arc;

use super::{Call, Kernel, Recipe, Site, floats_mut};
use crate::error::Result;
use crate::ops::Distribution;

#[derive(Clone, Debug)]
pub(crate) struct Random {
    distribution: Distribution,
    /// From the node's seeds and its place in the program.
    stream: u64,
}

impl Random {
    pub(crate) fn new(distribution: Distribution, seeds: [i64; 2], place: u64) -> Self {
        let [a, b] = seeds.map(i64::cast_unsigned);
        let stream = a.rotate_left(32) ^ b ^ place.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Self { distribution, stream }
    }

    fn fill(&self, out: &mut [f32], mut draw: impl FnMut(u64) -> [u32; 4]) {
        let mut words = (0u64..).flat_map(&mut draw);
        for out in out {
            *out = loop {
                let Some(word) = words.next() else { break 0.0 };
                match self.distribution {
                    Distribution::Uniform => break uniform(word),
                    Distribution::TruncatedNormal => {
                        let other = words.next().unwrap_or(0);
                        let x = normal(word, other);
                        if x.abs() < 2.0 {
                            break x;
                        }
                    }
                }
            };
        }
    }
}

/// In `[0, 1)`, from the 23 low bits, as TensorFlow does it.
fn uniform(word: u32) -> f32 {
    f32::from_bits(0x3F80_0000 | (word & 0x007F_FFFF)) - 1.0
}

/// Box and Muller's transform.
fn normal(a: u32, b: u32) -> f32 {
    let radius = (-2.0 * uniform(a).max(1.0e-7).ln()).sqrt();
    radius * (std::f32::consts::TAU * uniform(b)).cos()
}

/// Ten rounds of Philox 4x32.
fn philox(counter: [u64; 2], key: u64) -> [u32; 4] {
    let low = |x: u64| x as u32;
    let high = |x: u64| (x >> 32) as u32;
    let mut c = [low(counter[0]), high(counter[0]), low(counter[1]), high(counter[1])];
    let mut k = [low(key), high(key)];
    for _ in 0..10 {
        let a = u64::from(c[0]) * 0xD251_1F53;
        let b = u64::from(c[2]) * 0xCD9E_8D57;
        c = [high(b) ^ c[1] ^ k[0], low(b), high(a) ^ c[3] ^ k[1], low(a)];
        k = [k[0].wrapping_add(0x9E37_79B9), k[1].wrapping_add(0xBB67_AE85)];
    }
    c
}

impl Recipe for Random {
    fn prepare(&self, _site: &Site) -> Result<Arc<dyn Kernel>> {
        Ok(Arc::new(self.clone()))
    }
}

impl Kernel for Random {
    fn name(&self) -> String {
        match self.distribution {
            Distribution::Uniform => "random uniform".into(),
            Distribution::TruncatedNormal => "random truncated normal".into(),
        }
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let (run, key) = (call.run, call.seed ^ self.stream);
        let out = floats_mut(call.outputs[0])?;
        self.fill(out, |block| philox([block, run], key));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers of the authors' Random123 library.
    #[test]
    fn philox_gives_its_known_answers() {
        assert_eq!(philox([0, 0], 0), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        let ones = u64::MAX;
        assert_eq!(
            philox([ones, ones], ones),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
    }

    #[test]
    fn uniform_values_fill_their_range() {
        let random = Random::new(Distribution::Uniform, [1, 2], 0);
        let mut out = [0.0; 4096];
        random.fill(&mut out, |block| philox([block, 0], 7));
        let mean = out.iter().sum::<f32>() / 4096.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
        assert!(out.iter().all(|x| (0.0..1.0).contains(x)));
    }
}
