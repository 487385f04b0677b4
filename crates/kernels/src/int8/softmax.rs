//! Softmax of bytes in fixed point, as TensorFlow Lite's reference kernel computes it: the
//! exponential by a polynomial on a quarter and a product for each further bit, the reciprocal
//! by three Newton steps. Outputs are in steps of 1/256 from byte 0.

use super::Multiplier;
use super::multiplier::{doubling_high_product as times, rounding_shift};
use crate::error::{Error, Result};
use crate::pool::Pool;

/// Integer bits of the input of the exponential; 26 bits are left for the fraction.
const INTEGER_BITS: i32 = 5;
/// Integer bits of the sum.
const SUM_BITS: i32 = 12;

/// A prepared softmax.
#[derive(Clone)]
pub struct Softmax {
    /// The exponential of each distance from the largest byte, 31 bits of fraction.
    exponentials: Box<[i32; 256]>,
    /// Distances from here on count as 0.
    radius: usize,
}

impl Softmax {
    /// Prepares the softmax of `beta` times inputs of scale `scale`.
    ///
    /// # Errors
    /// `beta * scale` not positive.
    pub fn new(scale: f32, beta: f32) -> Result<Self> {
        let factor = f64::from(beta) * f64::from(scale) * f64::from(1 << (31 - INTEGER_BITS));
        if factor.is_nan() || factor <= 1.0 {
            return Err(Error::geometry(format!("softmax of scale {scale} times {beta}")));
        }
        let multiplier = Multiplier::nearest(factor.min(f64::from(i32::MAX)));
        let reach = 31 * (1i64 << (31 - INTEGER_BITS));
        let radius = (reach >> multiplier.shift) as usize;
        let mut exponentials = Box::new([0; 256]);
        for (distance, to) in (0..256).zip(exponentials.iter_mut()) {
            if distance as usize <= radius {
                *to = exponential(multiplier.apply(-distance));
            }
        }
        Ok(Self { exponentials, radius })
    }

    /// Computes `output` from `input`, both `[rows, columns]`.
    ///
    /// # Panics
    /// If the slices differ in length or are no whole number of rows.
    pub fn run(&self, pool: &Pool, columns: usize, input: &[u8], output: &mut [u8]) {
        assert_eq!(input.len(), output.len(), "softmax slices");
        assert!(input.is_empty() || columns > 0 && input.len().is_multiple_of(columns));
        pool.for_each_chunk(output, columns, &|index, output| {
            self.row(&input[index * columns..][..columns], output);
        });
    }

    fn row(&self, input: &[u8], output: &mut [u8]) {
        let max = input.iter().copied().max().unwrap_or(0);
        let sum = input.iter().fold(0i32, |sum, &byte| {
            let value = self.exponentials[usize::from(max - byte)];
            sum.wrapping_add(rounding_shift(value, SUM_BITS))
        });
        let (scale, over_one) = reciprocal(sum);
        let mut table = [0u8; 256];
        for (distance, to) in table.iter_mut().enumerate() {
            if distance <= self.radius {
                let value = times(scale, self.exponentials[distance]);
                *to = rounding_shift(value, over_one + 31 - 8).clamp(0, 255) as u8;
            }
        }
        for (to, &byte) in output.iter_mut().zip(input) {
            *to = table[usize::from(max - byte)];
        }
    }
}

/// `e^x` for `x <= 0` with 26 bits of fraction; 31 bits of fraction.
fn exponential(x: i32) -> i32 {
    if x == 0 {
        return i32::MAX;
    }
    let quarter = 1 << 24;
    let part = (x & (quarter - 1)) - quarter;
    let rest = part.wrapping_sub(x);
    let mut result = near_zero(up(part, INTEGER_BITS));
    // e^-(1/4), e^-(1/2) … e^-16.
    let factors = [1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242];
    for (bit, factor) in (24..).zip(factors) {
        if rest & 1 << bit != 0 {
            result = times(result, factor);
        }
    }
    result
}

/// `e^x` for `x` in `-1/4..0`, by the series around `-1/8`.
fn near_zero(x: i32) -> i32 {
    let (eighth, third) = (1895147668, 715827883);
    let x = x + (1 << 28);
    let x2 = times(x, x);
    let (x3, x4) = (times(x2, x), times(x2, x2));
    let tail = times(rounding_shift(x4, 2) + x3, third) + x2;
    eighth + times(eighth, x + rounding_shift(tail, 1))
}

/// `1 / sum` of a sum with `SUM_BITS` integer bits: 31 bits of fraction, to be shifted right by
/// the second number.
fn reciprocal(sum: i32) -> (i32, i32) {
    let room = sum.leading_zeros() as i32;
    // What is above 1 of the sum shifted to 1..2.
    let above = ((sum as u32).wrapping_shl(room as u32) as i32).wrapping_sub(i32::MIN);
    let half = ((i64::from(above) + i64::from(i32::MAX) + 1) / 2) as i32;
    // Newton's steps for 1 / half, with two integer bits.
    let mut x = 1515870810i32.wrapping_add(times(half, -1010580540));
    for _ in 0..3 {
        let rest = (1 << 29) - times(half, x);
        x = x.wrapping_add(up(times(x, rest), 2));
    }
    (up(x, 1), SUM_BITS - room)
}

/// `x * 2^bits`, held at the ends of 32 bits.
fn up(x: i32, bits: i32) -> i32 {
    (i64::from(x) << bits).clamp(i32::MIN.into(), i32::MAX.into()) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_near_the_real_ones() {
        for x in [0.0, 0.01, 0.2, 0.25, 0.3, 1.0, 2.7, 9.9, 16.0, 31.0] {
            let fixed = exponential(-(x * f64::from(1 << 26)) as i32);
            let exact = (-x).exp();
            assert!((f64::from(fixed) / f64::from(1u32 << 31) - exact).abs() < 1e-6, "{x}");
        }
    }

    #[test]
    fn rows_are_near_the_real_ones() {
        let op = Softmax::new(0.1, 1.0).expect("fits");
        let input: Vec<u8> = (0..2002).map(|i| (i * 7919 % 256) as u8).collect();
        let mut output = vec![0; 2002];
        op.run(&Pool::new(2), 1001, &input, &mut output);
        for row in 0..2 {
            let values = &input[row * 1001..][..1001];
            let total: f64 = values.iter().map(|&x| (f64::from(x) * 0.1).exp()).sum();
            for (i, &x) in values.iter().enumerate() {
                let exact = (256.0 * (f64::from(x) * 0.1).exp() / total).min(255.0);
                let byte = f64::from(output[row * 1001 + i]);
                assert!((byte - exact).abs() <= 0.51, "{i}: {byte} {exact}");
            }
        }
    }

    #[test]
    fn one_winner_takes_all() {
        let op = Softmax::new(1.0, 1.0).expect("fits");
        let mut output = [0; 3];
        op.run(&Pool::single(), 3, &[255, 0, 10], &mut output);
        assert_eq!(output, [255, 0, 0]);
        for (scale, beta) in [(0.0, 1.0), (f32::NAN, 1.0), (1.0, -1.0)] {
            assert!(Softmax::new(scale, beta).is_err());
        }
        assert!(Softmax::new(1e9, 1.0).is_ok());
    }
}
