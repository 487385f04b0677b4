//! The plainest loops over 8-bit values, in the arithmetic of TensorFlow Lite's reference
//! kernels: what every kernel must equal, bit for bit.

use super::{Conv2dSpec, DepthwiseSpec, Multiplier, Rescale, Weights};
use crate::depthwise::reference::positions;
use crate::error::Result;

/// `sum` rescaled to an output byte.
fn byte(sum: i32, multiplier: Multiplier, rescale: &Rescale<'_>) -> u8 {
    let value = multiplier.apply(sum).wrapping_add(i32::from(rescale.zero_point));
    value.clamp(i32::from(rescale.range[0]), i32::from(rescale.range[1])) as u8
}

/// The input pixel under a tap, if it lies inside the image.
fn under(spec: &Conv2dSpec, out: (usize, usize), tap: (usize, usize)) -> Option<usize> {
    let [height, width, _] = spec.input;
    let y = spec.window.start(0, out.0) + (tap.0 * spec.window.dilation[0]) as isize;
    let x = spec.window.start(1, out.1) + (tap.1 * spec.window.dilation[1]) as isize;
    let inside = y >= 0 && x >= 0 && y < height as isize && x < width as isize;
    inside.then(|| y as usize * width + x as usize)
}

/// Convolution; layouts as for [`Conv2d::new`](super::Conv2d::new).
///
/// # Errors
/// A geometry that does not fit.
pub fn conv2d(
    spec: Conv2dSpec,
    input: &[u8],
    weights: Weights<'_>,
    bias: &[i32],
    rescale: Rescale<'_>,
) -> Result<Vec<u8>> {
    let [height, width, channels] = spec.input;
    let multipliers = rescale.each(spec.outputs)?;
    let [kernel_height, kernel_width] = spec.window.kernel;
    let mut result = Vec::new();
    for image in input.chunks_exact((height * width * channels).max(1)) {
        for (y, x, o) in positions(spec.output()?) {
            let mut sum = bias[o];
            for (ky, kx, c) in positions([kernel_height, kernel_width, channels]) {
                let Some(pixel) = under(&spec, (y, x), (ky, kx)) else { continue };
                let value = i32::from(image[pixel * channels + c]) - i32::from(spec.zero_point);
                let tap = ((o * kernel_height + ky) * kernel_width + kx) * channels + c;
                sum = sum.wrapping_add(value * weights.at(tap));
            }
            result.push(byte(sum, multipliers[o], &rescale));
        }
    }
    Ok(result)
}

/// Depthwise convolution; layouts as for [`Depthwise::new`](super::Depthwise::new).
///
/// # Errors
/// A geometry that does not fit.
pub fn depthwise(
    spec: DepthwiseSpec,
    input: &[u8],
    weights: Weights<'_>,
    bias: &[i32],
    rescale: Rescale<'_>,
) -> Result<Vec<u8>> {
    let [height, width, channels] = spec.input;
    let output = spec.output()?;
    let multipliers = rescale.each(output[2])?;
    let conv = Conv2dSpec {
        input: spec.input,
        outputs: output[2],
        window: spec.window,
        zero_point: spec.zero_point,
    };
    let mut result = Vec::new();
    for image in input.chunks_exact((height * width * channels).max(1)) {
        for (y, x, o) in positions(output) {
            let mut sum = bias[o];
            for (ky, kx, _) in positions([spec.window.kernel[0], spec.window.kernel[1], 1]) {
                let Some(pixel) = under(&conv, (y, x), (ky, kx)) else { continue };
                let value = image[pixel * channels + o / spec.multiplier];
                let value = i32::from(value) - i32::from(spec.zero_point);
                let tap = (ky * spec.window.kernel[1] + kx) * output[2] + o;
                sum = sum.wrapping_add(value * weights.at(tap));
            }
            result.push(byte(sum, multipliers[o], &rescale));
        }
    }
    Ok(result)
}

/// A fully connected layer; layouts as for
/// [`FullyConnected::new`](super::FullyConnected::new).
///
/// # Errors
/// Multipliers that do not fit.
pub fn fully_connected(
    [inputs, outputs]: [usize; 2],
    zero_point: u8,
    input: &[u8],
    weights: Weights<'_>,
    bias: &[i32],
    rescale: Rescale<'_>,
) -> Result<Vec<u8>> {
    let multipliers = rescale.each(outputs)?;
    let mut result = Vec::new();
    for row in input.chunks_exact(inputs.max(1)) {
        for o in 0..outputs {
            let mut sum = bias[o];
            for (i, &value) in row.iter().enumerate() {
                let value = i32::from(value) - i32::from(zero_point);
                sum = sum.wrapping_add(value * weights.at(o * inputs + i));
            }
            result.push(byte(sum, multipliers[o], &rescale));
        }
    }
    Ok(result)
}
