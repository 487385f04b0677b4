//! Bytes to floats.

use super::CHUNK;
use crate::isa::Isa;
use crate::pool::Pool;
use crate::simd::{self, Body, Simd};

/// Makes floats of bytes: `f32::from(byte) * factor`, rounded once.
///
/// ```
/// use mobilenet_kernels::{Isa, Pool, widen};
/// let mut output = [0.0; 3];
/// widen(Isa::detect(), &Pool::single(), 0.5, &[0, 1, 255], &mut output);
/// assert_eq!(output, [0.0, 0.5, 127.5]);
/// ```
///
/// # Panics
/// If the slices differ in length.
pub fn widen(isa: Isa, pool: &Pool, factor: f32, input: &[u8], output: &mut [f32]) {
    assert_eq!(input.len(), output.len(), "widened bytes");
    pool.for_each_chunk(output, CHUNK, &|index, output| {
        let input = &input[index * CHUNK..][..output.len()];
        simd::call(isa, Widen { factor, input, output });
    });
}

/// Some bytes to widen; as many floats.
pub(crate) struct Widen<'a> {
    pub(crate) factor: f32,
    pub(crate) input: &'a [u8],
    pub(crate) output: &'a mut [f32],
}

impl Body for Widen<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for (to, &byte) in self.output.iter_mut().zip(self.input) {
            *to = f32::from(byte) * self.factor;
        }
    }
}
