//! The plainest convolution: the oracle.

use super::{Affine, Conv2dSpec};
use crate::depthwise::reference::positions;
use crate::error::Result;

/// One image at a time, tap by tap, summed in f64. `input`: `[batch, height, width, channels]`,
/// `weights`: `[kernel height, kernel width, channels, outputs]`.
///
/// # Errors
/// A geometry that does not fit.
pub fn conv2d(spec: Conv2dSpec, input: &[f32], weights: &[f32], bias: &[f32]) -> Result<Vec<f32>> {
    let [height, width, channels] = spec.input;
    let affine = spec.affine.unwrap_or(Affine { scale: 1.0, offset: 0.0 });
    let mut result = Vec::new();
    for image in input.chunks_exact((height * width * channels).max(1)) {
        for (y, x, o) in positions(spec.output()?) {
            let mut sum = f64::from(bias[o]);
            for (ky, kx, c) in positions([spec.window.kernel[0], spec.window.kernel[1], channels]) {
                let iy = spec.window.start(0, y) + (ky * spec.window.dilation[0]) as isize;
                let ix = spec.window.start(1, x) + (kx * spec.window.dilation[1]) as isize;
                if iy < 0 || ix < 0 || iy >= height as isize || ix >= width as isize {
                    continue;
                }
                let x = image[(iy as usize * width + ix as usize) * channels + c];
                let tap = (ky * spec.window.kernel[1] + kx) * channels + c;
                sum += f64::from(x * affine.scale + affine.offset)
                    * f64::from(weights[tap * spec.outputs + o]);
            }
            result.push(spec.activation.apply(sum as f32));
        }
    }
    Ok(result)
}
