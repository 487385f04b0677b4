//! The mean of each channel over all pixels, rescaled: TensorFlow Lite's `MEAN` over height and
//! width. (`AVERAGE_POOL_2D` is [`AveragePool`](super::AveragePool), which does not rescale.)

use super::{Multiplier, Quantization};
use crate::error::{Error, Result};
use crate::pool::Pool;

/// A prepared mean over `pixels` pixels.
#[derive(Clone)]
pub struct Mean {
    pixels: usize,
    multiplier: Multiplier,
    zero_points: [i32; 2],
}

impl Mean {
    /// Prepares the mean over `pixels` pixels.
    ///
    /// # Errors
    /// No pixels, or more than `2^22`; scales too far apart.
    pub fn new(pixels: usize, input: Quantization, output: Quantization) -> Result<Self> {
        if pixels == 0 || pixels > 1 << 22 {
            return Err(Error::geometry(format!("the mean over {pixels} pixels")));
        }
        let whole = Multiplier::new(f64::from(input.scale) / f64::from(output.scale))?;
        let up = (pixels.ilog2() as i32).min(31 + whole.shift).max(0);
        let mantissa = ((i64::from(whole.mantissa) << up) / pixels as i64) as i32;
        let multiplier = Multiplier { mantissa, shift: whole.shift - up };
        let zero_points = [input.zero_point, output.zero_point].map(i32::from);
        Ok(Self { pixels, multiplier, zero_points })
    }

    /// Computes `output`, `[batch, channels]`, from `input`, `[batch, pixels, channels]`.
    ///
    /// # Panics
    /// If the slices do not fit each other.
    pub fn run(&self, pool: &Pool, channels: usize, input: &[u8], output: &mut [u8]) {
        assert_eq!(input.len(), output.len() * self.pixels, "mean input");
        assert!(output.is_empty() || channels > 0 && output.len().is_multiple_of(channels));
        pool.for_each_chunk(output, channels, &|index, output| {
            let image = &input[index * channels * self.pixels..][..channels * self.pixels];
            for (c, to) in output.iter_mut().enumerate() {
                let bytes = image[c..].iter().step_by(channels);
                let sum: i32 = bytes.map(|&byte| i32::from(byte)).sum();
                let sum = sum - self.pixels as i32 * self.zero_points[0];
                let value = self.multiplier.apply(sum) + self.zero_points[1];
                *to = value.clamp(0, 255) as u8;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_near_the_real_ones() {
        let from = Quantization { scale: 0.02, zero_point: 128 };
        let to = Quantization { scale: 0.017, zero_point: 120 };
        for pixels in [1, 9, 36, 49] {
            let op = Mean::new(pixels, from, to).expect("fits");
            let input: Vec<u8> = (0..2 * pixels * 5).map(|i| (i * 37 % 251) as u8).collect();
            let mut output = [0; 10];
            op.run(&Pool::new(2), 5, &input, &mut output);
            for (i, &byte) in output.iter().enumerate() {
                let at = |p: usize| f32::from(input[(i / 5 * pixels + p) * 5 + i % 5]) - 128.0;
                let mean = (0..pixels).map(at).sum::<f32>() / pixels as f32;
                let exact = (mean * 0.02 / 0.017 + 120.0).clamp(0.0, 255.0);
                assert!((f32::from(byte) - exact).abs() < 0.55, "{pixels} {byte} {exact}");
            }
        }
        assert!(Mean::new(0, from, to).is_err());
    }
}
