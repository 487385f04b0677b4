//! Softmax and its logarithm along the last axis.

use crate::elementwise::exp::exp;
use crate::isa::Isa;
use crate::pool::Pool;
use crate::reduce::sum;
use crate::simd::{self, Body, Simd};

/// `output[r, c] = e^input[r, c] / sum_c e^input[r, c]`, stable for large values.
/// Both slices: `[rows, columns]`.
///
/// # Panics
/// If the slices differ in length or are no whole number of rows.
pub fn softmax(isa: Isa, pool: &Pool, columns: usize, input: &[f32], output: &mut [f32]) {
    rows(isa, pool, columns, input, output, false);
}

/// The logarithm of [`softmax`].
///
/// # Panics
/// As for [`softmax`].
pub fn log_softmax(isa: Isa, pool: &Pool, columns: usize, input: &[f32], output: &mut [f32]) {
    rows(isa, pool, columns, input, output, true);
}

fn rows(isa: Isa, pool: &Pool, columns: usize, input: &[f32], output: &mut [f32], log: bool) {
    assert_eq!(input.len(), output.len(), "softmax slices");
    assert!(input.is_empty() || columns > 0 && input.len().is_multiple_of(columns), "softmax rows");
    pool.for_each_chunk(output, columns, &|index, output| {
        let input = &input[index * columns..][..columns];
        simd::call(isa, Row { input, output, log });
    });
}

struct Row<'a> {
    input: &'a [f32],
    output: &'a mut [f32],
    log: bool,
}

impl Body for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Row { input, output, log } = self;
        let mut lanes = [f32::NEG_INFINITY; 16];
        for chunk in input.chunks(16) {
            for (max, &x) in lanes.iter_mut().zip(chunk) {
                *max = if x > *max { x } else { *max };
            }
        }
        let max = lanes.into_iter().fold(f32::NEG_INFINITY, f32::max);
        // Infinite logits: the row is NaN, as in TensorFlow.
        for (to, &x) in output.iter_mut().zip(input) {
            *to = exp(x - max);
        }
        let total = sum(output);
        if log {
            let shift = max + total.ln() as f32;
            output.iter_mut().zip(input).for_each(|(to, x)| *to = x - shift);
        } else {
            let scale = (1.0 / total) as f32;
            output.iter_mut().for_each(|to| *to *= scale);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_double_precision() {
        let input: Vec<f32> = (0..2002).map(|i| ((i * 7919) % 613) as f32 / 20.0 - 10.0).collect();
        for isa in Isa::available() {
            let (mut plain, mut log) = (vec![0.0; 2002], vec![0.0; 2002]);
            softmax(isa, &Pool::new(2), 1001, &input, &mut plain);
            log_softmax(isa, &Pool::new(2), 1001, &input, &mut log);
            for row in 0..2 {
                let range = row * 1001..(row + 1) * 1001;
                let total: f64 = input[range.clone()].iter().map(|&x| f64::from(x).exp()).sum();
                for i in range {
                    let exact = f64::from(input[i]).exp() / total;
                    assert!((f64::from(plain[i]) - exact).abs() <= 3e-6 * exact);
                    assert!((f64::from(log[i]) - exact.ln()).abs() <= 4e-6);
                }
            }
        }
    }

    #[test]
    fn large_values_and_nan() {
        let mut output = [0.0; 2];
        softmax(Isa::detect(), &Pool::single(), 2, &[1000.0, 1000.0], &mut output);
        assert_eq!(output, [0.5, 0.5]);
        softmax(Isa::detect(), &Pool::single(), 2, &[f32::NAN, 0.0], &mut output);
        assert!(output[0].is_nan() && output[1].is_nan());
    }
}
