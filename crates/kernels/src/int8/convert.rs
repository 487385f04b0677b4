//! Into bytes, out of bytes, and from one scale to another.

use super::simd::{Body, Bytes};
use super::table::{self, Kernel};
use super::{Multiplier, Quantization};
use crate::error::Result;
use crate::isa::Isa;
use crate::pool::Pool;
use std::ops::Range;

/// Values of a task.
const CHUNK: usize = 16 << 10;

/// What is done to values before they are rounded: `x * factor + shift`, each in single precision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// Multiplied first.
    pub factor: f32,
    /// Added then.
    pub shift: f32,
}

impl Affine {
    /// Leaves values as they are.
    pub const NONE: Self = Self { factor: 1.0, shift: 0.0 };
}

/// Rounds values, changed by an [`Affine`], to bytes: `round(x / scale) + zero_point`, halves away
/// from zero, the division in single precision; beyond the range the nearest byte, NaN the zero
/// point.
#[derive(Clone, Copy, Debug)]
pub struct Quantize {
    kernel: &'static Kernel,
    affine: Affine,
    to: Quantization,
    inverse: Option<Inverse>,
}

impl Quantize {
    /// Finds out how to divide.
    ///
    /// # Errors
    /// An instruction set this CPU lacks.
    pub fn new(isa: Isa, affine: Affine, to: Quantization) -> Result<Self> {
        Ok(Self { kernel: table::pick(isa)?, affine, to, inverse: Inverse::new(to) })
    }

    /// Computes `output` from an input of its length.
    ///
    /// # Panics
    /// If lengths differ.
    pub fn run(&self, pool: &Pool, input: &[f32], output: &mut [u8]) {
        assert_eq!(input.len(), output.len(), "quantised values");
        pool.for_each_chunk(output, CHUNK, &|index, output| {
            let input = &input[index * CHUNK..][..output.len()];
            (self.kernel.quantize)(QuantizeTask { how: *self, input, output });
        });
    }
}

/// Some values to round.
pub(crate) struct QuantizeTask<'a> {
    how: Quantize,
    input: &'a [f32],
    output: &'a mut [u8],
}

/// Entry of the table.
pub(crate) fn entry<S: Bytes>(task: QuantizeTask<'_>) {
    if let Some(simd) = S::new() {
        simd.call(task);
    }
}

/// Values of four of the widest vectors.
const MOST: usize = 64;

/// The nearest float below a half: with it added, truncation rounds halves away from zero and
/// nothing less.
const BELOW_HALF: f32 = 0.5 - f32::EPSILON / 4.0;

/// What divides by a scale without a division: `1 / scale` as the sum of two floats. The quotient
/// only rises with the value, as the true one does, so both round to the same bytes if they do so
/// on either side of every step; where they do not, there is no inverse.
#[derive(Clone, Copy, Debug)]
struct Inverse {
    high: f32,
    low: f32,
    /// Where bytes begin and end.
    ends: [f32; 2],
    zero_point: i32,
}

impl Inverse {
    /// Scales whose inverse, and what is computed with it, are far from the ends of floats.
    const SCALES: Range<f32> = 1e-18..1e18;

    fn new(to: Quantization) -> Option<Self> {
        let Quantization { scale, zero_point } = to;
        if !Self::SCALES.contains(&scale) {
            return None;
        }
        let (exact, zero_point) = (1.0 / f64::from(scale), i32::from(zero_point));
        let high = exact as f32;
        let low = (exact - f64::from(high)) as f32;
        let ends = [-zero_point as f32 * scale, (255 - zero_point) as f32 * scale];
        let inverse = Self { high, low, ends, zero_point };
        let equal = |byte: u8| {
            let steps = f64::from(i32::from(byte) - zero_point) - 0.5;
            // The first value of this byte.
            let mut x = (steps * f64::from(scale)) as f32;
            while divided(x, to) >= byte {
                x = x.next_down();
            }
            while divided(x, to) < byte {
                x = x.next_up();
            }
            inverse.byte(x) >= byte.into() && inverse.byte(x.next_down()) < byte.into()
        };
        (1..=255).all(equal).then_some(inverse)
    }

    /// The byte, as an integer.
    #[inline(always)]
    fn byte(&self, x: f32) -> i32 {
        let [first, last] = self.ends;
        let x = if x.is_nan() { 0.0 } else { x }.clamp(first, last);
        let quotient = x.mul_add(self.high, x * self.low);
        let rounded = quotient + BELOW_HALF.copysign(quotient);
        // SAFETY: a number, from -256 to 256.
        unsafe { rounded.to_int_unchecked::<i32>() + self.zero_point }
    }
}

/// The byte, by a division.
#[inline(always)]
fn divided(x: f32, to: Quantization) -> u8 {
    let steps = (x / to.scale).round();
    let steps = if steps.is_nan() { 0.0 } else { steps };
    let value = (steps + f32::from(to.zero_point)).clamp(0.0, 255.0);
    // SAFETY: a number, from 0 to 255.
    (unsafe { value.to_int_unchecked::<i32>() }) as u8
}

impl Body for QuantizeTask<'_> {
    /// Plain Rust, which the compiler makes vectors of; integers are packed by a kernel, as the
    /// compiler's way of doing that takes most of the time.
    #[inline(always)]
    fn run<S: Bytes>(self, simd: S) {
        let Quantize { affine: Affine { factor, shift }, to, inverse, .. } = self.how;
        let (mut output, mut input) = (self.output, self.input);
        if let (Some(inverse), true) = (inverse, S::FUSED) {
            let (block, range) = (4 * S::LANES, simd.range([0, 255]));
            while output.len() >= block {
                let (to, left) = output.split_at_mut(block);
                let (from, after) = input.split_at(block);
                let mut values = [0; MOST];
                for (value, &x) in values[..block].iter_mut().zip(from) {
                    *value = inverse.byte(x * factor + shift) + S::ZERO;
                }
                let (from, to, lanes) = (values.as_ptr(), to.as_mut_ptr(), S::LANES);
                // SAFETY: four vectors of values and of bytes.
                unsafe {
                    let group = [
                        simd.load(from),
                        simd.load(from.add(lanes)),
                        simd.load(from.add(2 * lanes)),
                        simd.load(from.add(3 * lanes)),
                    ];
                    let to = [to, to.add(lanes), to.add(2 * lanes), to.add(3 * lanes)];
                    simd.scatter(group, to, &range);
                }
                (output, input) = (left, after);
            }
        }
        for (byte, &x) in output.iter_mut().zip(input) {
            *byte = divided(x * factor + shift, to);
        }
    }
}

/// The real values of bytes: `scale * (byte - zero_point)`, in single precision.
///
/// # Panics
/// If lengths differ.
pub fn dequantize(pool: &Pool, from: Quantization, input: &[u8], output: &mut [f32]) {
    assert_eq!(input.len(), output.len(), "dequantised bytes");
    let zero_point = i32::from(from.zero_point);
    pool.for_each_chunk(output, CHUNK, &|index, output| {
        let input = &input[index * CHUNK..][..output.len()];
        for (x, &byte) in output.iter_mut().zip(input) {
            *x = from.scale * (i32::from(byte) - zero_point) as f32;
        }
    });
}

/// The bytes of int8 values: each with 128 added.
///
/// # Panics
/// If lengths differ.
pub fn offset(input: &[i8], output: &mut [u8]) {
    assert_eq!(input.len(), output.len(), "values of int8");
    output.iter_mut().zip(input).for_each(|(to, &x)| *to = x as u8 ^ 0x80);
}

/// The int8 values of bytes: each with 128 taken away.
///
/// # Panics
/// If lengths differ.
pub fn restore(input: &[u8], output: &mut [i8]) {
    assert_eq!(input.len(), output.len(), "bytes of int8 values");
    output.iter_mut().zip(input).for_each(|(to, &x)| *to = (x ^ 0x80) as i8);
}

/// Bytes of one scale and zero point to those of another: TensorFlow Lite's `QUANTIZE` between
/// tensors of 8 bits.
#[derive(Clone)]
pub struct Requantize {
    table: Box<[u8; 256]>,
}

impl Requantize {
    /// Prepares the change.
    ///
    /// # Errors
    /// Scales too far apart.
    pub fn new(from: Quantization, to: Quantization) -> Result<Self> {
        let multiplier = Multiplier::new(f64::from(from.scale) / f64::from(to.scale))?;
        let mut table = Box::new([0; 256]);
        for (byte, entry) in (0..).zip(table.iter_mut()) {
            let value = multiplier.apply(byte - i32::from(from.zero_point));
            *entry = value.wrapping_add(i32::from(to.zero_point)).clamp(0, 255) as u8;
        }
        Ok(Self { table })
    }

    /// Computes `output` from an input of its length.
    ///
    /// # Panics
    /// If lengths differ.
    pub fn run(&self, pool: &Pool, input: &[u8], output: &mut [u8]) {
        assert_eq!(input.len(), output.len(), "requantised bytes");
        pool.for_each_chunk(output, CHUNK, &|index, output| {
            let input = &input[index * CHUNK..][..output.len()];
            output.iter_mut().zip(input).for_each(|(to, &x)| *to = self.table[usize::from(x)]);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let q = Quantization { scale: 0.25, zero_point: 100 };
        let input = [0.0, 0.125, -0.125, 1.0, 1e30, f32::NEG_INFINITY, f32::NAN, 0.374];
        let mut bytes = [0; 8];
        let isa = Isa::detect();
        Quantize::new(isa, Affine::NONE, q).expect("detected").run(
            &Pool::new(2),
            &input,
            &mut bytes,
        );
        assert_eq!(bytes, [100, 101, 99, 104, 255, 0, 100, 101]);
        let signed = Affine { factor: 2.0, shift: -1.0 };
        let mut half = [0; 3];
        Quantize::new(isa, signed, q).expect("detected").run(
            &Pool::single(),
            &[0.5, 0.625, f32::NAN],
            &mut half,
        );
        assert_eq!(half, [100, 101, 100]);
        let mut back = [0.0; 8];
        dequantize(&Pool::new(2), q, &bytes, &mut back);
        assert_eq!(back, [0.0, 0.25, -0.25, 1.0, 38.75, -25.0, 0.0, 0.25]);
    }

    #[test]
    fn int8_values_and_their_bytes() {
        let (mut bytes, mut values) = ([0; 4], [0; 4]);
        offset(&[-128, -1, 0, 127], &mut bytes);
        assert_eq!(bytes, [0, 127, 128, 255]);
        restore(&bytes, &mut values);
        assert_eq!(values, [-128, -1, 0, 127]);
    }

    #[test]
    fn from_scale_to_scale() {
        let from = Quantization { scale: 0.5, zero_point: 128 };
        let to = Quantization { scale: 0.25, zero_point: 0 };
        let mut output = [0; 4];
        let op = Requantize::new(from, to).expect("fits");
        op.run(&Pool::single(), &[127, 128, 130, 255], &mut output);
        assert_eq!(output, [0, 0, 4, 254]);
    }
}
