//! The mean of each channel over an image, and products of it: how a classifier ends. The means of a
//! few images stay in a near cache until their products are taken.

use crate::isa::Isa;
use crate::pointwise::Pointwise;
use crate::pool::Pool;
use crate::pooling::mean;

/// Most images whose products are taken together: so often are the weights read once.
const TOGETHER: usize = 16;

/// A mean over all pixels and the pointwise convolution that reads it.
#[derive(Clone)]
pub struct Pooled {
    isa: Isa,
    pixels: usize,
    product: Pointwise,
}

impl Pooled {
    /// For images of so many pixels; `product` reads their means.
    pub fn new(isa: Isa, pixels: usize, product: Pointwise) -> Self {
        Self { isa, pixels, product }
    }

    /// The pointwise convolution.
    pub fn product(&self) -> &Pointwise {
        &self.product
    }

    /// Floats of scratch memory that [`run`](Self::run) needs for so many threads.
    pub fn scratch_len(&self, threads: usize) -> usize {
        threads * TOGETHER * self.product.spec().inputs
    }

    /// Computes `output`, `[images, outputs]`, from `input`, `[images, pixels, channels]`.
    ///
    /// # Panics
    /// If a slice does not fit `images`.
    pub fn run(
        &self,
        pool: &Pool,
        images: usize,
        input: &[f32],
        output: &mut [f32],
        scratch: &mut [f32],
    ) {
        let spec = self.product.spec();
        let (channels, image) = (spec.inputs, self.pixels * spec.inputs);
        assert_eq!(input.len(), images * image, "mean input");
        assert_eq!(output.len(), images * spec.outputs, "product output");
        if images == 1 {
            let means = &mut scratch[..channels];
            mean(self.isa, self.pixels, input, means);
            return self.product.run(pool, 1, means, output);
        }
        let together = images.div_ceil(pool.threads()).min(TOGETHER);
        let scratch = (scratch, TOGETHER * channels);
        pool.for_each_chunk_scratch(
            output,
            together * spec.outputs,
            scratch,
            &|i, output, means| {
                let means = &mut means[..output.len() / spec.outputs * channels];
                let input = &input[i * together * image..];
                for (input, means) in
                    input.chunks_exact(image).zip(means.chunks_exact_mut(channels))
                {
                    mean(self.isa, self.pixels, input, means);
                }
                self.product.run_rows(means, output);
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activation, PointwiseSpec, global_mean};

    #[test]
    fn it_is_the_mean_and_then_the_product() {
        let spec = PointwiseSpec { inputs: 24, outputs: 37, activation: Activation::None };
        let pixels = 9;
        let weights: Vec<f32> = (0..24 * 37).map(|i| (i % 17) as f32 - 8.0).collect();
        for isa in Isa::available() {
            let product = Pointwise::new(isa, spec, &weights, None).expect("fits");
            let pooled = Pooled::new(isa, pixels, product.clone());
            for (images, threads) in [(1, 1), (1, 2), (2, 1), (7, 2), (40, 1), (40, 3)] {
                let pool = Pool::new(threads);
                let input: Vec<f32> =
                    (0..images * pixels * 24).map(|i| (i % 23) as f32 / 7.0).collect();
                let mut means = vec![0.0; images * 24];
                let mut expected = vec![0.0; images * 37];
                global_mean(isa, &pool, [images, pixels, 24], &input, &mut means);
                product.run(&pool, images, &means, &mut expected);
                let mut output = vec![f32::NAN; images * 37];
                let mut scratch = vec![0.0; pooled.scratch_len(threads)];
                pooled.run(&pool, images, &input, &mut output, &mut scratch);
                assert_eq!(output, expected, "{isa}, {images} images, {threads} threads");
            }
        }
    }
}
