//! Scales and zero points of 8-bit tensors, and the range of values an activation leaves.

use crate::error::{Error, Result};
use crate::int8::Multiplier;
use crate::window::Activation;

/// How the bytes of a tensor are read: `real = scale * (byte - zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantization {
    /// Step between neighbouring values; positive.
    pub scale: f32,
    /// The byte that means 0, offset as the bytes are: 128 more than the zero point of an int8
    /// tensor.
    pub zero_point: u8,
}

impl Quantization {
    /// Of a uint8 tensor.
    ///
    /// # Errors
    /// A scale that is not positive and finite; a zero point outside `0..=255`.
    pub fn uint8(scale: f32, zero_point: i64) -> Result<Self> {
        Self::new(scale, zero_point, 0)
    }

    /// Of an int8 tensor.
    ///
    /// # Errors
    /// A scale that is not positive and finite; a zero point outside `-128..=127`.
    pub fn int8(scale: f32, zero_point: i64) -> Result<Self> {
        Self::new(scale, zero_point, 128)
    }

    fn new(scale: f32, zero_point: i64, offset: i64) -> Result<Self> {
        let byte = zero_point.checked_add(offset).and_then(|byte| u8::try_from(byte).ok());
        match byte {
            Some(zero_point) if scale > 0.0 && scale.is_finite() => Ok(Self { scale, zero_point }),
            _ => Err(Error::geometry(format!("scale {scale} with zero point {zero_point}"))),
        }
    }

    /// Smallest and largest byte that an activation leaves.
    pub fn range(self, activation: Activation) -> [u8; 2] {
        let byte = |real: f32| {
            let steps = (real / self.scale).round().clamp(-1e6, 1e6) as i32;
            (i32::from(self.zero_point) + steps).clamp(0, 255) as u8
        };
        match activation {
            Activation::None => [0, 255],
            Activation::Relu => [byte(0.0), 255],
            Activation::Relu6 => [byte(0.0), byte(6.0)],
        }
    }
}

/// What is done to the sums of an op that multiplies by weights.
#[derive(Clone, Copy, Debug)]
pub struct Rescale<'a> {
    /// From sums to steps of the output: one for all output channels, or one for each.
    pub multipliers: &'a [Multiplier],
    /// The output byte that means 0.
    pub zero_point: u8,
    /// Smallest and largest output byte, as [`Quantization::range`] gives them.
    pub range: [u8; 2],
}

impl Rescale<'_> {
    /// The multiplier of each of `outputs` channels.
    pub(crate) fn each(&self, outputs: usize) -> Result<Vec<Multiplier>> {
        if self.range[0] > self.range[1] {
            return Err(Error::geometry(format!("an empty range of bytes, {:?}", self.range)));
        }
        match self.multipliers {
            [one] => Ok(vec![*one; outputs]),
            each => {
                crate::error::check_len("multipliers", each, outputs)?;
                Ok(each.to_vec())
            }
        }
    }
}

/// Weights of 8 bits: `real = scale * (value - zero_point)`.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// The values; those of uint8 models less 128, which is their bytes with the top bit flipped.
    pub values: &'a [i8],
    /// 0 in int8 models; that of uint8 models less 128.
    pub zero_point: i8,
}

impl<'a> Weights<'a> {
    /// Weights whose zero point is 0.
    pub fn symmetric(values: &'a [i8]) -> Self {
        Self { values, zero_point: 0 }
    }

    /// A value as the sums see it, in `-255..=255`.
    pub(crate) fn at(&self, index: usize) -> i32 {
        i32::from(self.values[index]) - i32::from(self.zero_point)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_activations() {
        let q = Quantization::int8(6.0 / 255.0, -128).expect("fits");
        assert_eq!(q.zero_point, 0);
        assert_eq!(q.range(Activation::Relu6), [0, 255]);
        let q = Quantization::uint8(0.1, 100).expect("fits");
        assert_eq!(q.range(Activation::Relu6), [100, 160]);
        assert_eq!(q.range(Activation::Relu), [100, 255]);
        assert_eq!(q.range(Activation::None), [0, 255]);
        let tiny = Quantization { scale: f32::MIN_POSITIVE, zero_point: 3 };
        assert_eq!(tiny.range(Activation::Relu6), [3, 255]);
    }

    #[test]
    fn hostile_scales_and_zero_points() {
        for (scale, zero) in
            [(0.0, 0), (f32::NAN, 0), (-1.0, 0), (f32::INFINITY, 0), (1.0, 256), (1.0, i64::MAX)]
        {
            assert!(Quantization::uint8(scale, zero).is_err(), "{scale} {zero}");
        }
        assert!(Quantization::int8(1.0, 128).is_err());
    }
}
