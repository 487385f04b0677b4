//! The plainest depthwise convolution: the oracle.

use super::DepthwiseSpec;
use crate::error::Result;

/// One image at a time, tap by tap, summed in f64. `input`: `[batch, height, width, channels]`,
/// `weights`: `[kernel height, kernel width, channels, multiplier]`.
///
/// # Errors
/// A geometry that does not fit.
pub fn depthwise(
    spec: DepthwiseSpec,
    input: &[f32],
    weights: &[f32],
    bias: &[f32],
) -> Result<Vec<f32>> {
    let [height, width, channels] = spec.input;
    let [rows, columns, outputs] = spec.output()?;
    let mut result = Vec::new();
    for image in input.chunks_exact((height * width * channels).max(1)) {
        for (y, x, o) in positions([rows, columns, outputs]) {
            let mut sum = f64::from(bias[o]);
            for (ky, kx, _) in positions([spec.window.kernel[0], spec.window.kernel[1], 1]) {
                let iy = spec.window.start(0, y) + (ky * spec.window.dilation[0]) as isize;
                let ix = spec.window.start(1, x) + (kx * spec.window.dilation[1]) as isize;
                if iy < 0 || ix < 0 || iy >= height as isize || ix >= width as isize {
                    continue;
                }
                let at = (iy as usize * width + ix as usize) * channels + o / spec.multiplier;
                let tap = ky * spec.window.kernel[1] + kx;
                sum += f64::from(image[at]) * f64::from(weights[tap * outputs + o]);
            }
            result.push(spec.activation.apply(sum as f32));
        }
    }
    Ok(result)
}

/// Every index of a box, in order.
pub(crate) fn positions([a, b, c]: [usize; 3]) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..a).flat_map(move |i| (0..b).flat_map(move |j| (0..c).map(move |k| (i, j, k))))
}
