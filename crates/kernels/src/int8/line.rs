//! Rescaling by a line in floats: one fused multiply-add in place of a 64-bit product and two
//! roundings.
//!
//! `trunc((sum + offset) * factor + shift)` is 256 more than the byte, and not near what the
//! integers give but equal to it for every sum that can occur. Both only rise with the sum, so they
//! are equal if they pass every byte at the same sum. The offset puts the bytes where floats are
//! `2^-15` apart, from 256 to 512: there exactly what is not below `n - 2^-16` is rounded to the
//! whole number `n` or more. So each byte bounds the shift from both sides, and what all bounds
//! leave is an interval; where it is empty there is no line.

use super::Multiplier;

/// Byte 0 in a line's values: the first float of those that are `2^-15` apart.
pub(crate) const ZERO: i32 = 256;

/// Half the distance of floats from there on.
const HALF: f64 = 1.0 / (1u32 << 16) as f64;

/// For doubles: with this added to a line's shift the whole number nearest to a value is the byte,
/// as what is not below `n - 2^-16` is there made more than halfway to `n`. Doubles are so fine that
/// [`Line::new`] left room for their rounding.
#[cfg(any(test, all(target_arch = "wasm32", target_feature = "simd128")))]
pub(crate) const NEAREST: f64 = HALF - 0.5 - ZERO as f64;

/// What is known of the sums of an output and of what becomes of them.
#[derive(Clone, Copy)]
pub(crate) struct Sums {
    pub(crate) bias: i32,
    pub(crate) multiplier: Multiplier,
    /// The sum of its weights; wraps.
    pub(crate) weights: i32,
    /// The sum of its products is never further from 0, nor is any part of it.
    pub(crate) products: i64,
}

impl Sums {
    /// Of an output that does not exist.
    pub(crate) const NONE: Self = Self {
        bias: 0,
        multiplier: Multiplier { mantissa: 0, shift: -1 },
        weights: 0,
        products: 0,
    };

    /// Of an output with these weights.
    pub(crate) fn new(
        bias: i32,
        multiplier: Multiplier,
        weights: impl Iterator<Item = i32>,
    ) -> Self {
        let none = Self { bias, multiplier, ..Self::NONE };
        weights.fold(none, |sums, weight| Self {
            weights: sums.weights.wrapping_add(weight),
            products: sums.products + 255 * i64::from(weight).abs(),
            ..sums
        })
    }
}

/// `trunc((sum + offset) * factor + shift)`, the multiplication and addition rounded once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) offset: i32,
    pub(crate) factor: f32,
    pub(crate) shift: f32,
}

impl Line {
    /// The line for outputs of a zero point and a range, if there is one.
    pub(crate) fn new(sums: &Sums, zero_point: u8, range: [u8; 2]) -> Option<Self> {
        let bias = i64::from(sums.bias);
        let ends = [bias - sums.products, bias + sums.products];
        let [least, most] = ends.map(|end| i32::try_from(end).ok());
        let (least, most) = (least?, most?);
        let Multiplier { mantissa, shift } = sums.multiplier;
        let right = -shift;
        let byte = |sum| {
            let byte = i64::from(sums.multiplier.apply(sum)) + i64::from(zero_point);
            byte.clamp(range[0].into(), range[1].into())
        };
        // Without a shift down what is added last may wrap.
        if (right >= 1 || mantissa == 0) && byte(least) == byte(most) {
            let value = ZERO as f32 + byte(least) as f32;
            return Some(Self { offset: 0, factor: 0.0, shift: value });
        }
        // Below the zero point halves are rounded the other way, which no line does.
        if range[0] < zero_point || !(1..=21).contains(&right) {
            return None;
        }
        let zero = ZERO + i32::from(zero_point);
        let exact = f64::from(mantissa) / (1i64 << (31 + right)) as f64;
        let half = 1.0 / (2i64 << right) as f64;
        let offset = ((f64::from(zero) + 0.5 + half) / exact) as i64;
        if i64::from(most) + offset > i32::MAX.into() {
            return None;
        }
        let factor = exact as f32;
        let at = |sum: i64| (sum + offset) as f64 * f64::from(factor);
        let (least, most) = (i64::from(least), i64::from(most));
        let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
        let steps = [i32::from(range[0]) + 1, range[1].into()];
        let steps = steps.map(|byte| i64::from(byte - i32::from(zero_point)));
        for (step, sum) in (steps[0]..=steps[1]).zip(Passes::new(mantissa, right, steps[0])) {
            let bound = f64::from(zero) + step as f64 - HALF;
            // The sums on both sides of the step; up to here integers are floats.
            let (before, after) = (most.min(sum - 1), least.max(sum));
            if before.max(after.min(most)) + offset > 1 << 24 {
                return None;
            }
            if sum > least {
                high = high.min(bound - at(before));
            }
            if sum > most {
                break;
            }
            low = low.max(bound - at(after));
        }
        let shift = (0.5 * (low + high)) as f32;
        // What doubles cannot tell from equal does not count as less. No line leads to infinities.
        let room = (f64::from(shift) - low).min(high - f64::from(shift));
        (room > 1e-12 && room < 1.0).then_some(Self { offset: offset as i32, factor, shift })
    }

    /// What kernels compute of a sum, less [`ZERO`].
    #[cfg(test)]
    fn apply(self, sum: i32) -> i32 {
        ((sum + self.offset) as f32).mul_add(self.factor, self.shift) as i32 - ZERO
    }

    /// As [`apply`](Self::apply), in doubles.
    #[cfg(test)]
    fn apply_double(self, sum: i32) -> i32 {
        let product = f64::from(sum + self.offset) * f64::from(self.factor);
        (product + (f64::from(self.shift) + NEAREST)).round_ties_even() as i32
    }
}

/// The least sums whose outputs are so many steps above the zero point, one step after the other.
struct Passes {
    mantissa: i64,
    /// One less than the sum, and what is left of the division that gave it.
    sum: i64,
    rest: i64,
    step: [i64; 2],
}

impl Passes {
    fn new(mantissa: i32, right: i32, first: i64) -> Self {
        let mantissa = i64::from(mantissa);
        // The high product that is rounded to the step, and the product that is rounded to that.
        let high = (first << right) - (1 << (right - 1));
        let least = (high << 31) - (1 << 30) - 1;
        let step = 1i64 << (31 + right);
        Self {
            mantissa,
            sum: least / mantissa,
            rest: least % mantissa,
            step: [step / mantissa, step % mantissa],
        }
    }
}

impl Iterator for Passes {
    type Item = i64;

    fn next(&mut self) -> Option<i64> {
        let sum = self.sum + 1;
        self.sum += self.step[0];
        self.rest += self.step[1];
        if self.rest >= self.mantissa {
            (self.sum, self.rest) = (self.sum + 1, self.rest - self.mantissa);
        }
        Some(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(multiplier: Multiplier, zero_point: u8, range: [u8; 2], sum: i32) -> i32 {
        let byte = multiplier.apply(sum) + i32::from(zero_point);
        byte.clamp(i32::from(range[0]), i32::from(range[1]))
    }

    /// Every sum near a step of either, the ends, and a walk between them.
    fn check(factor: f64, zero_point: u8, range: [u8; 2], products: i64) -> bool {
        check_biased(-1000, factor, (zero_point, range), products)
    }

    fn check_biased(
        bias: i32,
        factor: f64,
        (zero_point, range): (u8, [u8; 2]),
        products: i64,
    ) -> bool {
        let multiplier = Multiplier::new(factor).expect("a factor");
        let sums = Sums { bias, multiplier, weights: 0, products };
        let Some(line) = Line::new(&sums, zero_point, range) else { return false };
        let (least, most) = (bias - products as i32, bias + products as i32);
        let steps = (0..=256).map(|step| (f64::from(step) - 0.5) / factor);
        let near = steps
            .filter(|&sum| sum.abs() < 1e9)
            .flat_map(|sum| (-3..=3).map(move |d| sum as i32 + d));
        let walk = (least..=most).step_by((products as usize / 500).max(1));
        for sum in near.chain(walk).chain([least, -1, 0, 1, most]) {
            if (least..=most).contains(&sum) {
                let expected = expected(multiplier, zero_point, range, sum);
                for value in [line.apply(sum), line.apply_double(sum)] {
                    let byte = value.clamp(i32::from(range[0]), i32::from(range[1]));
                    assert_eq!(byte, expected, "{sum} times {factor}: {line:?}");
                }
            }
        }
        true
    }

    #[test]
    fn lines_are_equal_to_integers() {
        let (mut lines, mut count) = (0, 0);
        for i in 0..4000u32 {
            // Factors from 2^-14 to 0.5, mantissas all over.
            let factor = 0.499 * 2f64.powf(-13.0 * f64::from(i) / 4000.0);
            for (zero_point, range) in [(0, [0, 255]), (117, [117, 240]), (3, [8, 8])] {
                count += 1;
                lines += usize::from(check(factor, zero_point, range, 9_000_000));
            }
        }
        assert!(lines * 10 >= count * 9, "{lines} of {count}");
    }

    /// Where the largest sums are no floats, and where they just are.
    #[test]
    fn sums_up_to_the_last_integers_that_are_floats() {
        let (mut lines, mut count) = (0, 0);
        for i in 0..4000i64 {
            let factor = 1.4e-5 * (1.0 + i as f64 / 2000.0);
            let multiplier = Multiplier::new(factor).expect("a factor");
            let mut passes = Passes::new(multiplier.mantissa, -multiplier.shift, 1 + i % 255);
            let most = passes.next().expect("a sum") - 1 - i % 3;
            count += 1;
            let bias = most as i32 - 1_000_000;
            lines += usize::from(check_biased(bias, factor, (0, [0, 255]), 1_000_000));
        }
        assert!(lines > count / 10 && lines < count, "{lines} of {count}");
        let multiplier = Multiplier { mantissa: 1_672_360_152, shift: -15 };
        let sums = Sums { bias: 4_245_213, multiplier, weights: 0, products: 1_750_830 };
        assert_eq!(Line::new(&sums, 0, [0, 255]), None, "the largest sum is no float");
    }

    #[test]
    fn what_no_sum_passes_is_a_constant() {
        for factor in [0.0, 1e-9, 3e-8] {
            assert!(check(factor, 0, [0, 255], 1_000_000), "{factor}");
        }
        assert!(check(0.001, 10, [200, 255], 1_000), "below the range");
        assert!(check_biased(-9_999, 0.001, (200, [0, 255]), 100), "below the zero point");
        assert!(check_biased(1 << 30, 2e-8, (0, [0, 255]), 1_000_000), "a bias alone");
    }

    #[test]
    fn no_line_where_it_cannot_be() {
        assert!(!check(0.01, 20, [3, 240], 1_000_000), "below the zero point");
        assert!(!check(1.0, 0, [0, 255], 1_000_000), "no shift down");
        assert!(!check_biased(i32::MAX - 50, 0.999_999_999_5, (200, [0, 255]), 0), "wraps");
        assert!(!check(0.01, 0, [0, 255], 1 << 31), "sums may wrap");
        assert!(!check(0.01, 0, [0, 255], (1 << 31) - 2000), "sums with the offset may wrap");
        assert!(!check(1e-6, 0, [0, 255], 1 << 29), "sums that are no floats");
    }
}
