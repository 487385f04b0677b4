//! Depthwise convolution of output rows: the choice of the path, and the path for any geometry,
//! one pixel and one vector of channels at a time.

use super::{DepthwiseTask, Geometry, Path, flat, three};
use crate::simd::{Body, Simd};

/// Entry of the table.
pub(crate) fn entry<S: Simd>(task: DepthwiseTask<'_>) {
    if let Some(simd) = S::new() {
        simd.call(Rows(task));
    }
}

struct Rows<'a>(DepthwiseTask<'a>);

impl Body for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let DepthwiseTask { geometry, rows, input, output } = self.0;
        let [height, width, channels] = geometry.output;
        let row = width * channels;
        if row == 0 {
            return;
        }
        assert_eq!(output.len(), rows.len() * row, "output rows");
        let image = geometry.image();
        let mut y = rows.start;
        let mut output = output;
        while y < rows.end {
            // Rows of one image.
            let count = (height - y % height).min(rows.end - y);
            let (part, rest) = output.split_at_mut(count * row);
            some_rows(simd, geometry, y % height, &input[y / height * image..][..image], part);
            output = rest;
            y += count;
        }
    }
}

/// Output rows `y..` of one image by the path that was chosen for the geometry.
#[inline(always)]
fn some_rows<S: Simd>(simd: S, geometry: &Geometry, y: usize, image: &[f32], output: &mut [f32]) {
    let [_, width, channels] = geometry.output;
    match geometry.path {
        Path::Flat => return flat::rows(simd, geometry, y, image, output),
        Path::Three => return three::rows(simd, geometry, y, image, output),
        Path::Any => {}
    }
    for (line, output) in output.chunks_exact_mut(width * channels).enumerate() {
        for (x, pixel) in output.chunks_exact_mut(channels).enumerate() {
            any_pixel(simd, geometry, (y + line, x), image, pixel);
        }
    }
}

/// One output pixel of any geometry.
#[inline(always)]
fn any_pixel<S: Simd>(
    simd: S,
    geometry: &Geometry,
    (y, x): (usize, usize),
    image: &[f32],
    pixel: &mut [f32],
) {
    let spec = &geometry.spec;
    let [height, width, _] = spec.input;
    let ys = spec.window.taps(0, y, height);
    let xs = spec.window.taps(1, x, width);
    let (y0, x0) = (spec.window.start(0, y), spec.window.start(1, x));
    let (low, high) = spec.activation.bounds();
    let mut first = 0;
    for chunk in pixel.chunks_mut(S::LANES) {
        let mut sum = simd.splat(0.0);
        for ky in ys.0..ys.1 {
            for kx in xs.0..xs.1 {
                let iy = (y0 + (ky * spec.window.dilation[0]) as isize) as usize;
                let ix = (x0 + (kx * spec.window.dilation[1]) as isize) as usize;
                let from = &image[(iy * width + ix) * spec.input[2]..][..spec.input[2]];
                let tap = ky * spec.window.kernel[1] + kx;
                let weights = &geometry.weights[tap * geometry.stride + first..][..S::LANES];
                let x = channels(simd, spec.multiplier, from, first, chunk.len());
                // SAFETY: the slice has a whole vector.
                sum = simd.fma(x, unsafe { simd.load(weights.as_ptr()) }, sum);
            }
        }
        // SAFETY: bias is padded to whole vectors.
        let bias = unsafe { simd.load(geometry.bias[first..][..S::LANES].as_ptr()) };
        let sum = simd.clamp(simd.add(sum, bias), simd.splat(low), simd.splat(high));
        // SAFETY: the chunk has that many floats, at most a vector.
        unsafe { simd.store_part(chunk.as_mut_ptr(), sum, chunk.len()) };
        first += S::LANES;
    }
}

/// The inputs of output channels `first..first + count`.
#[inline(always)]
fn channels<S: Simd>(simd: S, multiplier: usize, from: &[f32], first: usize, count: usize) -> S::V {
    if multiplier == 1 {
        let from = &from[first..][..count];
        // SAFETY: the slice has that many floats, at most a vector.
        return unsafe { simd.load_part(from.as_ptr(), count) };
    }
    let mut lanes = [0.0; 16];
    for (lane, x) in lanes.iter_mut().take(count).enumerate() {
        *x = from[(first + lane) / multiplier];
    }
    // SAFETY: no vector has more than 16 lanes.
    unsafe { simd.load(lanes.as_ptr()) }
}
