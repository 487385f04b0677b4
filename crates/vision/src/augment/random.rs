//! Random numbers from a [`Key`]: SplitMix64 (Steele, Lea and Flood, 2014), and what is drawn
//! from it.

use super::Key;

/// The golden ratio's fraction, the step of SplitMix64.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// A stream of random numbers.
pub(super) struct Random(u64);

impl Random {
    /// Streams of different keys have nothing to do with each other.
    pub(super) fn new(key: Key) -> Self {
        let mixed = [key.epoch, key.index].iter().fold(scramble(key.seed), |state, &part| {
            scramble(state.wrapping_add(STEP) ^ scramble(part))
        });
        Self(mixed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        scramble(self.0)
    }

    /// Evenly in [0, 1).
    pub(super) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// Evenly in [low, high).
    pub(super) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Evenly in 0..count; 0 for none.
    pub(super) fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.next()) * count as u128) >> 64) as usize
    }

    /// True with this probability.
    pub(super) fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// From the normal distribution (Marsaglia's polar method).
    fn normal(&mut self) -> f64 {
        loop {
            let (x, y) = (f64::from(self.between(-1.0, 1.0)), f64::from(self.between(-1.0, 1.0)));
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                return x * (-2.0 * square.ln() / square).sqrt();
            }
        }
    }

    /// From the gamma distribution of this shape (Marsaglia and Tsang, 2000).
    fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            let unit = f64::from(self.unit()).max(f64::MIN_POSITIVE);
            return self.gamma(shape + 1.0) * unit.powf(1.0 / shape);
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            let unit = f64::from(self.unit()).max(f64::MIN_POSITIVE);
            if v > 0.0 && unit.ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }

    /// From the beta distribution with both parameters `alpha`, in [0, 1].
    pub(super) fn beta(&mut self, alpha: f64) -> f32 {
        let (a, b) = (self.gamma(alpha), self.gamma(alpha));
        if a + b > 0.0 { (a / (a + b)) as f32 } else { 1.0 }
    }
}

fn scramble(mut value: u64) -> u64 {
    value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random() -> Random {
        Random::new(Key { seed: 42, epoch: 0, index: 0 })
    }

    #[test]
    fn the_distributions_have_their_means_and_spreads() {
        let mut random = random();
        let mean_and_spread = |draw: &mut dyn FnMut() -> f64| {
            let values: Vec<f64> = (0..20_000).map(|_| draw()).collect();
            let mean = values.iter().sum::<f64>() / 20_000.0;
            let square = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 20_000.0;
            (mean, square)
        };
        let (mean, square) = mean_and_spread(&mut || f64::from(random.unit()));
        assert!((mean - 0.5).abs() < 0.01 && (square - 1.0 / 12.0).abs() < 0.003);
        let (mean, square) = mean_and_spread(&mut || random.normal());
        assert!(mean.abs() < 0.03 && (square - 1.0).abs() < 0.05);
        for alpha in [0.2, 1.0, 4.0] {
            let (mean, square) = mean_and_spread(&mut || f64::from(random.beta(alpha)));
            let expected = 1.0 / (4.0 * (2.0 * alpha + 1.0));
            assert!((mean - 0.5).abs() < 0.015 && (square - expected).abs() < 0.01, "{alpha}");
        }
    }

    #[test]
    fn counts_stay_below_and_keys_differ() {
        let mut random = random();
        assert!((0..1000).all(|_| random.below(3) < 3));
        assert_eq!(random.below(0), 0);
        let key = |seed, epoch, index| Random::new(Key { seed, epoch, index }).next();
        let all = [key(0, 0, 0), key(1, 0, 0), key(0, 1, 0), key(0, 0, 1), key(1, 1, 0)];
        assert!((0..5).all(|i| (0..i).all(|j| all[i] != all[j])));
    }
}
