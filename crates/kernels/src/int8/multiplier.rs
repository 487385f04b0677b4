//! Real factors as 31-bit mantissas and shifts, and the rounding of TensorFlow Lite's reference
//! kernels: a doubling high product that rounds halves up, then a shift that rounds halves away
//! from zero.

use crate::error::{Error, Result};

/// A real factor as `mantissa / 2^31 * 2^shift`, mantissa 0 or in `2^30..2^31`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Multiplier {
    pub(crate) mantissa: i32,
    pub(crate) shift: i32,
}

impl Multiplier {
    /// The nearest multiplier of a factor that is 0 or positive; factors below `2^-32` become 0.
    ///
    /// # Errors
    /// A factor that is negative, not a number, or `2^30` and more.
    pub fn new(factor: f64) -> Result<Self> {
        if !(0.0..1e9).contains(&factor) {
            return Err(Error::geometry(format!("{factor} is no factor between scales")));
        }
        Ok(Self::nearest(factor))
    }

    /// The nearest multiplier of a factor in `0..2^31`.
    pub(crate) fn nearest(factor: f64) -> Self {
        let (fraction, mut shift) = split(factor);
        let mut mantissa = (fraction * f64::from(1u32 << 31)).round() as i64;
        if mantissa == 1 << 31 {
            mantissa /= 2;
            shift += 1;
        }
        if shift < -31 {
            return Self { mantissa: 0, shift: 0 };
        }
        Self { mantissa: mantissa as i32, shift }
    }

    /// `input * weights / output` as TensorFlow Lite computes it for convolutions of int8:
    /// all in double precision. One for each scale of the weights.
    ///
    /// # Errors
    /// Scales whose factor is no [`Multiplier`], such as an output scale of 0.
    pub fn for_int8(input: f32, weights: f32, output: f32) -> Result<Self> {
        Self::new(f64::from(input) * f64::from(weights) / f64::from(output))
    }

    /// `input * weights / output` as TensorFlow Lite computes it for convolutions of uint8 and
    /// for fully connected layers with one weight scale: the product in single precision.
    ///
    /// # Errors
    /// As [`for_int8`](Self::for_int8).
    pub fn for_uint8(input: f32, weights: f32, output: f32) -> Result<Self> {
        Self::new(f64::from(input * weights) / f64::from(output))
    }

    /// `x` times the factor, rounded twice as the reference kernels do.
    /// What leaves 32 bits wraps.
    #[inline]
    pub fn apply(self, x: i32) -> i32 {
        let x = x.wrapping_shl(self.shift.max(0) as u32);
        rounding_shift(doubling_high_product(x, self.mantissa), (-self.shift).max(0))
    }
}

/// `x = fraction * 2^exponent`, the fraction 0 or in `[0.5, 1)`.
fn split(x: f64) -> (f64, i32) {
    if x == 0.0 {
        return (0.0, 0);
    }
    let bits = x.to_bits();
    let exponent = (bits >> 52) as i32;
    if exponent == 0 {
        // Below every factor that is not rounded to 0.
        return (0.5, -1022);
    }
    (f64::from_bits(bits & !(0x7ff << 52) | 1022 << 52), exponent - 1022)
}

/// `a b / 2^31`, halves rounded up.
#[inline(always)]
pub(crate) fn doubling_high_product(a: i32, b: i32) -> i32 {
    if a == i32::MIN && b == i32::MIN {
        return i32::MAX;
    }
    ((i64::from(a) * i64::from(b) + (1 << 30)) >> 31) as i32
}

/// `x / 2^shift`, halves rounded away from zero; `shift` in `0..=31`.
#[inline(always)]
pub(crate) fn rounding_shift(x: i32, shift: i32) -> i32 {
    let shift = shift.clamp(0, 31);
    let mask = ((1i64 << shift) - 1) as i32;
    let threshold = (mask >> 1) + i32::from(x < 0);
    (x >> shift) + i32::from(x & mask > threshold)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mantissas_and_shifts() {
        let parts = |factor| Multiplier::new(factor).map(|m| (m.mantissa, m.shift));
        assert_eq!(parts(0.0), Ok((0, 0)));
        assert_eq!(parts(1.0), Ok((1 << 30, 1)));
        assert_eq!(parts(0.25), Ok((1 << 30, -1)));
        assert_eq!(parts(1.0 - f64::EPSILON), Ok((1 << 30, 1)), "rounding carries");
        assert_eq!(parts(0.3 / 3.0), Ok((1717986918, -3)));
        assert_eq!(parts(1e-300), Ok((0, 0)));
        assert_eq!(parts(f64::MIN_POSITIVE / 8.0), Ok((0, 0)));
        for bad in [-0.5, f64::NAN, f64::INFINITY, 1e12] {
            assert!(Multiplier::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn roundings() {
        assert_eq!(doubling_high_product(3, 1 << 30), 2, "1.5 up");
        assert_eq!(doubling_high_product(-3, 1 << 30), -1, "-1.5 up");
        assert_eq!(doubling_high_product(i32::MIN, i32::MIN), i32::MAX);
        assert_eq!(rounding_shift(3, 1), 2, "1.5 away from zero");
        assert_eq!(rounding_shift(-3, 1), -2, "-1.5 away from zero");
        assert_eq!(rounding_shift(-5, 2), -1);
        assert_eq!(rounding_shift(-7, 0), -7);
        assert_eq!(rounding_shift(i32::MIN, 31), -1);
        assert_eq!(rounding_shift(i32::MAX, 31), 1);
    }

    #[test]
    fn products_are_near_the_real_ones() {
        for factor in [0.000_123, 0.004, 0.5, 0.75, 1.0, 3.7] {
            let multiplier = Multiplier::new(factor).expect("a factor");
            for x in [0, 1, -1, 77, -1000, 123_456, -7_654_321] {
                let exact = f64::from(x) * factor;
                assert!((f64::from(multiplier.apply(x)) - exact).abs() <= 1.0, "{x} {factor}");
            }
        }
    }
}
