//! What kernels read beside the weights: for each vector of outputs its bias and how its sums are
//! rescaled; and memory on cache lines for all of it.

use super::simd::place;
use super::{Multiplier, Rescale};
use crate::aligned::Aligned;
use crate::error::{Result, product};

/// A field of a record: one 32-bit word for each lane.
#[derive(Clone, Copy)]
pub(crate) enum Field {
    Bias,
    Mantissa,
    /// Shift down, 0 to 31.
    Right,
    /// Shift up, 0 to 30.
    Left,
    /// The output's zero point.
    Zero,
    /// 64 bits for each even lane: halves of both roundings and the zero point, in steps of the
    /// product.
    Even,
    /// The same for odd lanes.
    Odd,
    /// One less than the shift down.
    Down,
}

impl Field {
    /// Fields of a record.
    pub(crate) const COUNT: usize = 8;

    /// Its first word in a record.
    #[inline(always)]
    pub(crate) fn start(self, lanes: usize) -> usize {
        self as usize * lanes
    }
}

/// Words or bytes, the first on a cache line.
#[derive(Clone, Default)]
pub(crate) struct Lines(Aligned);

impl Lines {
    /// So many zero bytes, rounded up to words.
    pub(crate) fn zeros(bytes: usize) -> Self {
        Self(Aligned::zeros(bytes.div_ceil(4)))
    }

    pub(crate) fn bytes(&self) -> &[i8] {
        let words: &[f32] = &self.0;
        // SAFETY: four bytes for each float, every bit pattern of which is four bytes.
        unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), 4 * words.len()) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [i8] {
        let words: &mut [f32] = &mut self.0;
        // SAFETY: four bytes for each float, every bit pattern of which is a float.
        unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), 4 * words.len()) }
    }

    fn words_mut(&mut self) -> &mut [i32] {
        let words: &mut [f32] = &mut self.0;
        // SAFETY: one integer for each float, of one size and alignment.
        unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), words.len()) }
    }
}

/// Records of all vectors, and what all outputs share.
#[derive(Clone)]
pub(crate) struct Records {
    lines: Lines,
    lanes: usize,
    /// Smallest and largest output byte.
    pub(crate) range: [u8; 2],
    zero_point: u8,
    /// Whether each vector can be rescaled the fast way.
    fast: Vec<bool>,
}

impl Records {
    /// Room for so many vectors.
    pub(crate) fn new(lanes: usize, vectors: usize, rescale: &Rescale<'_>) -> Result<Self> {
        let words = product("records", &[vectors, Field::COUNT, lanes, 4])?;
        Ok(Self {
            lines: Lines::zeros(words),
            lanes,
            range: rescale.range,
            zero_point: rescale.zero_point,
            fast: vec![true; vectors],
        })
    }

    /// Fills the records of the block of `vectors` vectors from `first` on; `output` gives bias and
    /// multiplier of an output of the block, if it exists.
    pub(crate) fn fill(
        &mut self,
        first: usize,
        vectors: usize,
        output: impl Fn(usize) -> Option<(i32, Multiplier)>,
    ) {
        for vector in 0..vectors {
            for lane in 0..self.lanes {
                let nothing = (0, Multiplier { mantissa: 0, shift: -1 });
                let (bias, multiplier) = output(place(vectors, vector, lane)).unwrap_or(nothing);
                self.set(first + vector, lane, bias, multiplier);
            }
        }
    }

    fn set(&mut self, vector: usize, lane: usize, bias: i32, multiplier: Multiplier) {
        let Multiplier { mantissa, shift } = multiplier;
        // A factor of 0 may shift as it likes.
        let shift = if mantissa == 0 { -1 } else { shift };
        let (left, right) = (shift.max(0), (-shift).max(0));
        // What is negative before the zero point is added is held to the range anyway.
        let fast = (1..=21).contains(&right) && self.range[0] >= self.zero_point;
        self.fast[vector] &= fast;
        let rounding = if fast {
            let zero = i64::from(self.zero_point) << (31 + right);
            zero + (1i64 << 30) + (1i64 << (30 + right))
        } else {
            0
        };
        let lanes = self.lanes;
        let record = vector * Field::COUNT * lanes;
        let zero_point = i32::from(self.zero_point);
        let words = &mut self.lines.words_mut()[record..][..Field::COUNT * lanes];
        let mut put = |field: Field, at: usize, word| words[field.start(lanes) + at] = word;
        put(Field::Bias, lane, bias);
        put(Field::Mantissa, lane, mantissa);
        put(Field::Right, lane, right);
        put(Field::Left, lane, left);
        put(Field::Zero, lane, zero_point);
        put(Field::Down, lane, (right - 1).max(0));
        let field = if lane.is_multiple_of(2) { Field::Even } else { Field::Odd };
        put(field, lane / 2 * 2, rounding as i32);
        put(field, lane / 2 * 2 + 1, (rounding >> 32) as i32);
    }

    /// The record of a vector.
    #[inline(always)]
    pub(crate) fn at(&self, vector: usize) -> *const i32 {
        let start = 4 * vector * Field::COUNT * self.lanes;
        let bytes = &self.lines.bytes()[start..][..4 * Field::COUNT * self.lanes];
        bytes.as_ptr().cast()
    }

    /// Whether some vectors can all be rescaled the fast way.
    pub(crate) fn is_fast(&self, vectors: std::ops::Range<usize>) -> bool {
        self.fast[vectors].iter().all(|&fast| fast)
    }
}

/// A weight in `-255..=255` as the sum of bytes: what does not fit goes into further passes.
#[inline]
pub(crate) fn split(weight: i32) -> impl Iterator<Item = i8> {
    let mut rest = weight;
    std::iter::from_fn(move || {
        let part = rest.clamp(-128, 127);
        rest -= part;
        (part != 0).then_some(part as i8)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_add_up() {
        for weight in -255..=255 {
            let parts: Vec<i32> = split(weight).map(i32::from).collect();
            assert_eq!(parts.iter().sum::<i32>(), weight);
            assert!(parts.len() <= 3);
        }
    }
}
