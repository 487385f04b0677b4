//! What kernels read beside the weights: for each vector of outputs its bias and how its sums are
//! rescaled; and memory on cache lines for all of it.

use super::line::{Line, Sums};
use super::simd::place;
use super::table::Kernel;
use super::{Multiplier, Rescale};
use crate::aligned::Aligned;
use crate::error::{Result, product};

/// A field of a record: one 32-bit word for each lane.
#[derive(Clone, Copy)]
pub(crate) enum Field {
    /// With the offset of the line, where there is one, and what was taken from the inputs.
    Bias,
    Mantissa,
    /// Shift down, 0 to 31.
    Right,
    /// Shift up, 0 to 30.
    Left,
    /// The output's zero point.
    Zero,
    /// Of the [`Line`], a float.
    Factor,
    /// Of the [`Line`], a float.
    Shift,
}

impl Field {
    /// Fields of a record.
    pub(crate) const COUNT: usize = 7;

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
    /// What this kernel takes from each input.
    offset: i32,
    /// Whether it rescales by lines.
    pub(crate) takes_lines: bool,
}

impl Records {
    /// Room for so many vectors.
    pub(crate) fn new(kernel: &Kernel, vectors: usize, rescale: &Rescale<'_>) -> Result<Self> {
        let lanes = kernel.lanes;
        let words = product("records", &[vectors, Field::COUNT, lanes, 4])?;
        Ok(Self {
            lines: Lines::zeros(words),
            lanes,
            range: rescale.range,
            zero_point: rescale.zero_point,
            offset: kernel.offset,
            takes_lines: kernel.takes_lines,
        })
    }

    /// Fills the records of the block of `vectors` vectors from `first` on; `output` gives the sums
    /// of an output of the block, if it exists. Whether the block is rescaled by lines.
    pub(crate) fn fill(
        &mut self,
        first: usize,
        vectors: usize,
        output: impl Fn(usize) -> Option<Sums>,
    ) -> bool {
        let sums: Vec<_> = (0..vectors * self.lanes)
            .map(|i| output(place(vectors, i / self.lanes, i % self.lanes)).unwrap_or(Sums::NONE))
            .collect();
        let line = |sums| Line::new(sums, self.zero_point, self.range);
        let lines = self.takes_lines.then(|| sums.iter().map(line).collect::<Option<Vec<_>>>());
        let lines = lines.flatten();
        for (i, sums) in sums.iter().enumerate() {
            let line = lines.as_ref().map(|lines| lines[i]);
            self.set(first + i / self.lanes, i % self.lanes, sums, line);
        }
        lines.is_some()
    }

    fn set(&mut self, vector: usize, lane: usize, sums: &Sums, line: Option<Line>) {
        let Multiplier { mantissa, shift } = sums.multiplier;
        let bias = sums.bias.wrapping_add(sums.weights.wrapping_mul(self.offset));
        let lanes = self.lanes;
        let record = vector * Field::COUNT * lanes;
        let words = &mut self.lines.words_mut()[record..][..Field::COUNT * lanes];
        let mut put = |field: Field, word| words[field.start(lanes) + lane] = word;
        put(Field::Bias, bias.wrapping_add(line.map_or(0, |line| line.offset)));
        put(Field::Mantissa, mantissa);
        put(Field::Right, (-shift).max(0));
        put(Field::Left, shift.max(0));
        put(Field::Zero, i32::from(self.zero_point));
        if let Some(line) = line {
            put(Field::Factor, line.factor.to_bits() as i32);
            put(Field::Shift, line.shift.to_bits() as i32);
        }
    }

    /// The record of a vector.
    #[inline(always)]
    pub(crate) fn at(&self, vector: usize) -> *const i32 {
        let start = 4 * vector * Field::COUNT * self.lanes;
        let bytes = &self.lines.bytes()[start..][..4 * Field::COUNT * self.lanes];
        bytes.as_ptr().cast()
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
