//! The values of a tensor, counted, and the range worth 256 steps.

use std::fmt;
use std::str::FromStr;

/// How the range of a tensor is found from the values it had.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum RangeMethod {
    /// From the smallest to the largest.
    MinMax,
    /// Without the outermost values: so many percent of them stay, in (50, 100].
    Percentile(f64),
    /// The range whose 256 values tell most of the distribution: the least Kullback-Leibler
    /// divergence between the two.
    Entropy,
}

impl fmt::Display for RangeMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RangeMethod::MinMax => f.write_str("minmax"),
            RangeMethod::Percentile(percent) => write!(f, "percentile:{percent}"),
            RangeMethod::Entropy => f.write_str("kl"),
        }
    }
}

impl FromStr for RangeMethod {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || format!("`{text}`: minmax, percentile:PERCENT or kl wanted");
        match text.split_once(':') {
            None if text == "minmax" => Ok(RangeMethod::MinMax),
            None if text == "kl" => Ok(RangeMethod::Entropy),
            Some(("percentile", percent)) => {
                let percent: f64 = percent.parse().map_err(|_| unknown())?;
                if percent > 50.0 && percent <= 100.0 {
                    Ok(RangeMethod::Percentile(percent))
                } else {
                    Err(format!("{percent} percent: more than 50 and at most 100 wanted"))
                }
            }
            _ => Err(unknown()),
        }
    }
}

const BINS: usize = 4096;

/// Counts of values between `-limit` and `limit`, which doubles when a value is beyond.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    bins: Vec<u64>,
    limit: f64,
    low: f64,
    high: f64,
    count: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            bins: vec![0; BINS],
            limit: 1.0,
            low: f64::INFINITY,
            high: f64::NEG_INFINITY,
            count: 0,
        }
    }
}

impl Histogram {
    /// Counts values; those that are not finite are passed over.
    pub(super) fn add(&mut self, values: &[f32]) {
        let values = || values.iter().copied().filter(|value| value.is_finite()).map(f64::from);
        let (low, high) = values()
            .fold((self.low, self.high), |(low, high), value| (low.min(value), high.max(value)));
        (self.low, self.high) = (low, high);
        while self.limit < high.max(-low) && self.limit.is_finite() {
            self.widen();
        }
        let scale = BINS as f64 / (2.0 * self.limit);
        for value in values() {
            let bin = ((value + self.limit) * scale) as usize;
            if let Some(bin) = self.bins.get_mut(bin.min(BINS - 1)) {
                *bin += 1;
            }
            self.count += 1;
        }
    }

    fn widen(&mut self) {
        let mut bins = vec![0; BINS];
        for (i, &count) in self.bins.iter().enumerate() {
            if let Some(bin) = bins.get_mut(BINS / 4 + i / 2) {
                *bin += count;
            }
        }
        self.bins = bins;
        self.limit *= 2.0;
    }

    /// The range of `method`, 0 included.
    pub(super) fn range(&self, method: RangeMethod) -> (f64, f64) {
        if self.count == 0 {
            return (0.0, 0.0);
        }
        let (low, high) = match method {
            RangeMethod::MinMax => (self.low, self.high),
            RangeMethod::Percentile(percent) => {
                let out = ((1.0 - percent / 100.0) * self.count as f64) as u64;
                (self.edge(self.bins.iter(), out), -self.edge(self.bins.iter().rev(), out))
            }
            RangeMethod::Entropy => {
                let threshold = self.threshold();
                (-threshold, threshold)
            }
        };
        (low.max(self.low).min(0.0), high.min(self.high).max(0.0))
    }

    /// Where, coming from the negative end, more than `out` values have been passed.
    fn edge<'a>(&self, bins: impl Iterator<Item = &'a u64>, out: u64) -> f64 {
        let mut passed = 0;
        let place = bins.take_while(|&&count| {
            passed += count;
            passed <= out
        });
        -self.limit + place.count() as f64 * (2.0 * self.limit / BINS as f64)
    }

    /// The magnitude beyond which values are cut off, by the least divergence.
    fn threshold(&self) -> f64 {
        let half = BINS / 2;
        let mut folded: Vec<f64> =
            (0..half).map(|i| (self.bins[half + i] + self.bins[half - 1 - i]) as f64).collect();
        // What a relu makes 0 is exact whatever the range, and must not outweigh the rest.
        if let [zero, next, ..] = folded.as_mut_slice() {
            *zero = next.min(*zero);
        }
        // Values of one sign have all 256 steps, others share them.
        let steps = if self.low >= 0.0 || self.high <= 0.0 { 256 } else { 128 };
        let used = folded.iter().rposition(|&count| count > 0.0).map_or(half, |last| last + 1);
        let candidates = (steps.min(used)..=used).step_by(8).chain([used]);
        let best = candidates.min_by(|&a, &b| {
            divergence(&folded, a, steps).total_cmp(&divergence(&folded, b, steps))
        });
        best.unwrap_or(half) as f64 * self.limit / half as f64
    }
}

/// Kullback-Leibler divergence of counts cut off at bin `end` and told in `steps` values.
fn divergence(counts: &[f64], end: usize, steps: usize) -> f64 {
    let (kept, beyond) = counts.split_at(end.min(counts.len()));
    let outside: f64 = beyond.iter().sum();
    let total: f64 = counts.iter().sum();
    let mut sum = 0.0;
    for step in 0..steps {
        let bins = step * end / steps..(step + 1) * end / steps;
        let group = kept.get(bins.clone()).unwrap_or_default();
        let filled = group.iter().filter(|&&count| count > 0.0).count() as f64;
        let mean = group.iter().sum::<f64>() / filled.max(1.0);
        let is_last = bins.end == end;
        for (place, &count) in group.iter().enumerate() {
            let cut = if is_last && place + 1 == group.len() { outside } else { 0.0 };
            let p = (count + cut) / total;
            let q = if count > 0.0 { mean / (total - outside).max(1.0) } else { 1e-9 };
            if p > 0.0 {
                sum += p * (p / q).ln();
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_zero_and_what_was_seen() {
        let mut histogram = Histogram::default();
        histogram.add(&[0.5, 2.0, 3.75, f32::NAN, f32::INFINITY]);
        assert_eq!(histogram.range(RangeMethod::MinMax), (0.0, 3.75));
        histogram.add(&[-7.0]);
        assert_eq!(histogram.range(RangeMethod::MinMax), (-7.0, 3.75));
        assert_eq!(Histogram::default().range(RangeMethod::Entropy), (0.0, 0.0));
    }

    #[test]
    fn percentiles_leave_outliers_out() {
        let mut histogram = Histogram::default();
        let values: Vec<f32> = (0..10_000).map(|i| i as f32 / 10_000.0).collect();
        histogram.add(&values);
        histogram.add(&[100.0]);
        let (low, high) = histogram.range(RangeMethod::Percentile(99.9));
        assert!(low == 0.0 && high > 0.9 && high < 1.2, "{low} {high}");
        assert_eq!(histogram.range(RangeMethod::Percentile(100.0)).1, 100.0);
    }

    #[test]
    fn the_least_divergence_cuts_a_lonely_outlier_off() {
        let mut histogram = Histogram::default();
        let values: Vec<f32> = (0..100_000).map(|i| (i % 1000) as f32 / 1000.0).collect();
        histogram.add(&values);
        histogram.add(&[30.0]);
        let (_, high) = histogram.range(RangeMethod::Entropy);
        assert!((0.9..8.0).contains(&high), "{high}");
    }

    #[test]
    fn methods_are_written_as_they_are_read() {
        for text in ["minmax", "kl", "percentile:99.9"] {
            assert_eq!(text.parse::<RangeMethod>().unwrap().to_string(), text);
        }
        for text in ["", "percentile:20", "percentile:x", "max"] {
            assert!(text.parse::<RangeMethod>().is_err(), "{text}");
        }
    }
}
