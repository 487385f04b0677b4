//! Average over windows of bytes.

use crate::error::{Error, Result, product};
use crate::pool::Pool;
use crate::window::Window;

/// Geometry of an average pooling of bytes. Input and output share scale and zero point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AveragePoolSpec {
    /// `[height, width, channels]` of one input image.
    pub input: [usize; 3],
    /// Kernel, stride, dilation, padding. Padding does not count.
    pub window: Window,
    /// The bytes are those of an int8 tensor: halves are rounded away from its value 0.
    pub signed: bool,
    /// Smallest and largest output byte, as
    /// [`Quantization::range`](super::Quantization::range) gives them.
    pub range: [u8; 2],
}

/// A prepared average pooling.
#[derive(Clone, Debug)]
pub struct AveragePool {
    spec: AveragePoolSpec,
    output: [usize; 3],
}

impl AveragePool {
    /// Prepares a pooling.
    ///
    /// # Errors
    /// A window that does not fit; no channels; an empty range.
    pub fn new(spec: AveragePoolSpec) -> Result<Self> {
        let [height, width, channels] = spec.input;
        product("pooling input", &spec.input)?;
        let [out_height, out_width] = spec.window.output([height, width])?;
        let output = [out_height, out_width, channels];
        product("pooling output", &output)?;
        if channels == 0 || spec.range[0] > spec.range[1] {
            return Err(Error::geometry("pooling without channels or with an empty range"));
        }
        Ok(Self { spec, output })
    }

    /// `[height, width, channels]` of one output image.
    pub fn output(&self) -> [usize; 3] {
        self.output
    }

    /// Computes `output`, `[batch, height, width, channels]`, from `input` of the same layout.
    ///
    /// # Panics
    /// If a slice does not fit `batch`.
    pub fn run(&self, pool: &Pool, batch: usize, input: &[u8], output: &mut [u8]) {
        let [height, width, channels] = self.output;
        let image: usize = self.spec.input.iter().product();
        assert_eq!(input.len(), batch * image, "pooling input");
        assert_eq!(output.len(), batch * height * width * channels, "pooling output");
        pool.for_each_chunk(output, channels, &|index, output| {
            let (y, x) = (index / width, index % width);
            let image = &input[y / height * image..][..image];
            for (block, to) in output.chunks_mut(BLOCK).enumerate() {
                self.pixel(image, [y % height, x, block * BLOCK], to);
            }
        });
    }

    /// Some channels of an output pixel.
    fn pixel(&self, image: &[u8], [y, x, first]: [usize; 3], output: &mut [u8]) {
        let AveragePoolSpec { input: [height, width, channels], window, signed, range } = self.spec;
        let (ys, xs) = (window.taps(0, y, height), window.taps(1, x, width));
        let mut sums = [0u32; BLOCK];
        for (ky, kx) in (ys.0..ys.1).flat_map(|ky| (xs.0..xs.1).map(move |kx| (ky, kx))) {
            let iy = (window.start(0, y) + (ky * window.dilation[0]) as isize) as usize;
            let ix = (window.start(1, x) + (kx * window.dilation[1]) as isize) as usize;
            let from = &image[(iy * width + ix) * channels + first..][..output.len()];
            sums.iter_mut().zip(from).for_each(|(sum, &byte)| *sum += u32::from(byte));
        }
        let count = ((ys.1 - ys.0) * (xs.1 - xs.0)).max(1) as i64;
        let zero = if signed { 128 } else { 0 };
        for (to, sum) in output.iter_mut().zip(sums) {
            let sum = i64::from(sum) - count * zero;
            let half = if sum > 0 { count / 2 } else { -(count / 2) };
            *to = ((sum + half) / count + zero).clamp(range[0].into(), range[1].into()) as u8;
        }
    }
}

/// Channels summed at a time.
const BLOCK: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(signed: bool, bytes: [u8; 4]) -> u8 {
        let window = Window::valid([2, 2], [1, 1], [1, 1]);
        let spec = AveragePoolSpec { input: [2, 2, 1], window, signed, range: [0, 255] };
        let mut output = [0];
        AveragePool::new(spec).expect("fits").run(&Pool::single(), 1, &bytes, &mut output);
        output[0]
    }

    #[test]
    fn halves_are_rounded_away_from_zero() {
        assert_eq!(pool(false, [1, 2, 1, 2]), 2);
        assert_eq!(pool(true, [129, 130, 129, 130]), 130);
        // -1.5 of int8 is -2.
        assert_eq!(pool(true, [127, 126, 127, 126]), 126);
        assert_eq!(pool(false, [127, 126, 127, 126]), 127);
    }

    #[test]
    fn padding_does_not_count() {
        let window = Window::same([2, 2], [2, 2], [1, 1], [3, 3]);
        let spec = AveragePoolSpec { input: [3, 3, 1], window, signed: false, range: [0, 7] };
        let op = AveragePool::new(spec).expect("fits");
        let mut output = [0; 4];
        op.run(&Pool::new(2), 1, &[1, 2, 3, 4, 5, 6, 7, 8, 9], &mut output);
        assert_eq!(output, [3, 5, 7, 7]);
    }
}
