//! The sum of two tensors of bytes, as MobileNet V2's branches meet.

use super::multiplier::{doubling_high_product, rounding_shift};
use super::{Multiplier, Quantization};
use crate::error::Result;
use crate::pool::Pool;

/// Bits that both inputs are shifted up by before they are brought to one scale.
const UP: u32 = 20;
/// Bytes of a task.
const CHUNK: usize = 4 << 10;

/// The prepared sum of two tensors of one shape.
#[derive(Clone)]
pub struct Add {
    /// What each byte of each input contributes.
    tables: Box<[[i32; 256]; 2]>,
    multiplier: Multiplier,
    zero_point: i32,
    range: [i32; 2],
}

impl Add {
    /// Prepares the sum of inputs quantised as `inputs` say; `range` is the smallest and largest
    /// output byte, as [`Quantization::range`] gives them.
    ///
    /// # Errors
    /// Scales too far apart.
    pub fn new(inputs: [Quantization; 2], output: Quantization, range: [u8; 2]) -> Result<Self> {
        let twice = 2.0 * f64::from(inputs[0].scale.max(inputs[1].scale));
        let factor = twice / (f64::from(1u32 << UP) * f64::from(output.scale));
        let mut tables = Box::new([[0; 256]; 2]);
        for (table, input) in tables.iter_mut().zip(inputs) {
            let multiplier = Multiplier::new(f64::from(input.scale) / twice)?;
            for (byte, to) in (0..).zip(table) {
                *to = below_one(multiplier, (byte - i32::from(input.zero_point)) << UP);
            }
        }
        let (zero_point, range) = (i32::from(output.zero_point), range.map(i32::from));
        Ok(Self { tables, multiplier: Multiplier::new(factor)?, zero_point, range })
    }

    /// Computes `output` from two inputs of its length.
    ///
    /// # Panics
    /// If lengths differ.
    pub fn run(&self, pool: &Pool, inputs: [&[u8]; 2], output: &mut [u8]) {
        assert!(inputs.iter().all(|input| input.len() == output.len()), "inputs of a sum");
        pool.for_each_chunk(output, CHUNK, &|index, output| {
            let from = index * CHUNK..index * CHUNK + output.len();
            let pairs = inputs[0][from.clone()].iter().zip(&inputs[1][from]);
            for (to, (&a, &b)) in output.iter_mut().zip(pairs) {
                let sum = self.tables[0][usize::from(a)] + self.tables[1][usize::from(b)];
                let value = self.multiplier.apply(sum).wrapping_add(self.zero_point);
                *to = value.clamp(self.range[0], self.range[1]) as u8;
            }
        });
    }
}

/// As [`Multiplier::apply`], for factors of at most one half.
fn below_one(multiplier: Multiplier, x: i32) -> i32 {
    rounding_shift(doubling_high_product(x, multiplier.mantissa), -multiplier.shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_near_the_real_ones() {
        let a = Quantization { scale: 0.02, zero_point: 100 };
        let b = Quantization { scale: 0.05, zero_point: 7 };
        let to = Quantization { scale: 0.06, zero_point: 60 };
        let op = Add::new([a, b], to, [0, 250]).expect("fits");
        let left: Vec<u8> = (0..=255).collect();
        let right: Vec<u8> = (0..=255).map(|i: u8| i.wrapping_mul(77)).collect();
        let mut sums = vec![0; 256];
        op.run(&Pool::new(2), [&left, &right], &mut sums);
        let real = |q: Quantization, byte| q.scale * (f32::from(byte) - f32::from(q.zero_point));
        for i in 0..256 {
            let sum = real(a, left[i]) + real(b, right[i]);
            let exact = (sum / to.scale + 60.0).clamp(0.0, 250.0);
            assert!((f32::from(sums[i]) - exact).abs() <= 0.51, "{i}: {} {exact}", sums[i]);
        }
    }
}
