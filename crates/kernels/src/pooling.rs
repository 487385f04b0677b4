//! Average and maximum over windows, and the mean of whole images.

use crate::error::{Error, Result, product};
use crate::isa::Isa;
use crate::pool::Pool;
use crate::simd::{self, Body, Simd};
use crate::window::Window;

/// What a window is reduced to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PoolKind {
    /// Mean of the pixels inside the image (padding does not count), as in TensorFlow.
    Average,
    /// Largest pixel inside the image.
    Max,
}

/// Geometry of a pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolingSpec {
    /// Mean or maximum.
    pub kind: PoolKind,
    /// `[height, width, channels]` of one input image.
    pub input: [usize; 3],
    /// Kernel, stride, dilation, padding.
    pub window: Window,
}

/// Average or maximum over windows.
#[derive(Clone, Debug)]
pub struct Pooling {
    isa: Isa,
    spec: PoolingSpec,
    output: [usize; 3],
}

impl Pooling {
    /// Prepares a pooling.
    ///
    /// # Errors
    /// A window that does not fit; an instruction set this CPU lacks.
    pub fn new(isa: Isa, spec: PoolingSpec) -> Result<Self> {
        let [height, width, channels] = spec.input;
        product("pooling input", &spec.input)?;
        let [out_height, out_width] = spec.window.output([height, width])?;
        let output = [out_height, out_width, channels];
        product("pooling output", &output)?;
        if channels == 0 {
            return Err(Error::geometry("pooling without channels"));
        }
        Ok(Self { isa: isa.require()?, spec, output })
    }

    /// `[height, width, channels]` of one output image.
    pub fn output(&self) -> [usize; 3] {
        self.output
    }

    /// Computes `output`, `[batch, height, width, channels]`, from `input` of the same layout.
    ///
    /// # Panics
    /// If a slice does not fit `batch`.
    pub fn run(&self, pool: &Pool, batch: usize, input: &[f32], output: &mut [f32]) {
        let [height, width, channels] = self.output;
        let image: usize = self.spec.input.iter().product();
        assert_eq!(input.len(), batch * image, "pooling input");
        assert_eq!(output.len(), batch * height * width * channels, "pooling output");
        pool.for_each_chunk(output, width * channels, &|y, output| {
            let image = &input[y / height * image..][..image];
            simd::call(self.isa, Row { pooling: self, y: y % height, image, output });
        });
    }
}

/// One output row.
struct Row<'a> {
    pooling: &'a Pooling,
    y: usize,
    image: &'a [f32],
    output: &'a mut [f32],
}

impl Body for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let PoolingSpec { kind, input: [height, width, channels], window } = self.pooling.spec;
        let ys = window.taps(0, self.y, height);
        for (x, to) in self.output.chunks_exact_mut(channels).enumerate() {
            let xs = window.taps(1, x, width);
            to.fill(if kind == PoolKind::Max { f32::NEG_INFINITY } else { 0.0 });
            for (ky, kx) in (ys.0..ys.1).flat_map(|ky| (xs.0..xs.1).map(move |kx| (ky, kx))) {
                let iy = (window.start(0, self.y) + (ky * window.dilation[0]) as isize) as usize;
                let ix = (window.start(1, x) + (kx * window.dilation[1]) as isize) as usize;
                let from = &self.image[(iy * width + ix) * channels..][..channels];
                match kind {
                    PoolKind::Average => to.iter_mut().zip(from).for_each(|(to, x)| *to += x),
                    PoolKind::Max => to.iter_mut().zip(from).for_each(|(to, &x)| {
                        *to = if x > *to || x.is_nan() { x } else { *to };
                    }),
                }
            }
            if kind == PoolKind::Average {
                let scale = 1.0 / ((ys.1 - ys.0) * (xs.1 - xs.0)) as f32;
                to.iter_mut().for_each(|to| *to *= scale);
            }
        }
    }
}

/// The mean of each channel over all pixels: `input` is `[batch, pixels, channels]`,
/// `output` is `[batch, channels]`.
///
/// # Panics
/// If a slice does not fit the sizes.
pub fn global_mean(
    isa: Isa,
    pool: &Pool,
    [batch, pixels, channels]: [usize; 3],
    input: &[f32],
    output: &mut [f32],
) {
    assert_eq!(input.len(), batch * pixels * channels, "mean input");
    assert_eq!(output.len(), batch * channels, "mean output");
    let image = pixels * channels;
    pool.for_each_chunk(output, channels, &|index, output| {
        mean(isa, pixels, &input[index * image..][..image], output);
    });
}

/// The mean of each channel of one image, in the calling thread.
pub(crate) fn mean(isa: Isa, pixels: usize, image: &[f32], output: &mut [f32]) {
    simd::call(isa, Mean { pixels, image, output });
}

struct Mean<'a> {
    pixels: usize,
    image: &'a [f32],
    output: &'a mut [f32],
}

impl Body for Mean<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let channels = self.output.len();
        let scale = simd.splat(1.0 / self.pixels as f32);
        let mut first = 0;
        while first < channels {
            let vectors = if channels - first >= 4 * S::LANES { 4 } else { 1 };
            let count = (channels - first).min(vectors * S::LANES);
            if vectors == 4 {
                self.columns::<S, 4>(simd, first, scale);
            } else {
                self.some_columns(simd, first, count, scale);
            }
            first += count;
        }
    }
}

impl Mean<'_> {
    #[inline(always)]
    fn columns<S: Simd, const N: usize>(&mut self, simd: S, first: usize, scale: S::V) {
        let channels = self.output.len();
        assert!(first + N * S::LANES <= channels && self.image.len() >= self.pixels * channels);
        let mut sums = [simd.splat(0.0); N];
        for pixel in 0..self.pixels {
            for (vector, sum) in sums.iter_mut().enumerate() {
                // SAFETY: inside the image by the assert.
                let x = unsafe {
                    let at = pixel * channels + first + vector * S::LANES;
                    simd.load(self.image.as_ptr().add(at))
                };
                *sum = simd.add(*sum, x);
            }
        }
        for (vector, sum) in sums.into_iter().enumerate() {
            // SAFETY: inside the output by the assert.
            unsafe {
                let to = self.output.as_mut_ptr().add(first + vector * S::LANES);
                simd.store(to, simd.mul(sum, scale));
            }
        }
    }

    #[inline(always)]
    fn some_columns<S: Simd>(&mut self, simd: S, first: usize, count: usize, scale: S::V) {
        let channels = self.output.len();
        assert!(first + count <= channels && count <= S::LANES);
        assert!(self.image.len() >= self.pixels * channels);
        let mut sum = simd.splat(0.0);
        for pixel in 0..self.pixels {
            // SAFETY: inside the image by the assert.
            let x =
                unsafe { simd.load_part(self.image.as_ptr().add(pixel * channels + first), count) };
            sum = simd.add(sum, x);
        }
        // SAFETY: inside the output by the assert.
        unsafe {
            let to = self.output.as_mut_ptr().add(first);
            simd.store_part(to, simd.mul(sum, scale), count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_do_not_count_padding() {
        let window = Window::same([2, 2], [2, 2], [1, 1], [3, 3]);
        let input = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
        let run = |kind| {
            let op = Pooling::new(Isa::detect(), PoolingSpec { kind, input: [3, 3, 1], window });
            let mut output = [0.0; 4];
            op.expect("fits").run(&Pool::new(2), 1, &input, &mut output);
            output
        };
        assert_eq!(run(PoolKind::Average), [3.0, 4.5, 7.5, 9.0]);
        assert_eq!(run(PoolKind::Max), [5.0, 6.0, 8.0, 9.0]);
    }

    #[test]
    fn mean_of_any_number_of_channels() {
        for isa in Isa::available() {
            for channels in [1, 3, 8, 16, 17, 64, 65, 100, 256] {
                let input: Vec<f32> = (0..2 * 9 * channels).map(|i| (i % 23) as f32).collect();
                let mut output = vec![0.0; 2 * channels];
                global_mean(isa, &Pool::new(2), [2, 9, channels], &input, &mut output);
                for (i, &mean) in output.iter().enumerate() {
                    let (image, channel) = (i / channels, i % channels);
                    let sum: f32 =
                        (0..9).map(|p| input[(image * 9 + p) * channels + channel]).sum();
                    assert!((mean - sum / 9.0).abs() < 1e-5, "{isa} {channels}");
                }
            }
        }
    }
}
