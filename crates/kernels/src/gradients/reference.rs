//! The plainest gradients, summed in f64: the oracles.

use crate::conv2d::Conv2dSpec;
use crate::depthwise::DepthwiseSpec;
use crate::depthwise::reference::positions;
use crate::error::Result;
use crate::window::Window;

/// Input row and column of tap `(ky, kx)` for output `(y, x)`, if inside.
fn source(
    window: &Window,
    size: [usize; 2],
    [y, x]: [usize; 2],
    [ky, kx]: [usize; 2],
) -> Option<[usize; 2]> {
    let iy = window.start(0, y) + (ky * window.dilation[0]) as isize;
    let ix = window.start(1, x) + (kx * window.dilation[1]) as isize;
    let inside = iy >= 0 && ix >= 0 && iy < size[0] as isize && ix < size[1] as isize;
    inside.then_some([iy as usize, ix as usize])
}

/// Slopes of input and filter of a convolution.
///
/// # Errors
/// A geometry that does not fit.
pub fn conv2d(
    spec: Conv2dSpec,
    input: &[f32],
    filter: &[f32],
    dy: &[f32],
) -> Result<(Vec<f32>, Vec<f32>)> {
    let [height, width, channels] = spec.input;
    let [rows, columns, outputs] = spec.output()?;
    let mut dx = vec![0.0_f64; input.len()];
    let mut dw = vec![0.0_f64; filter.len()];
    let batch = input.len() / (height * width * channels).max(1);
    for (image, y, x) in positions([batch, rows, columns]) {
        for (ky, kx, _) in positions([spec.window.kernel[0], spec.window.kernel[1], 1]) {
            let Some([iy, ix]) = source(&spec.window, [height, width], [y, x], [ky, kx]) else {
                continue;
            };
            for (i, o, _) in positions([channels, outputs, 1]) {
                let slope = f64::from(dy[((image * rows + y) * columns + x) * outputs + o]);
                let at = ((image * height + iy) * width + ix) * channels + i;
                let tap = ((ky * spec.window.kernel[1] + kx) * channels + i) * outputs + o;
                dx[at] += slope * f64::from(filter[tap]);
                dw[tap] += slope * f64::from(input[at]);
            }
        }
    }
    Ok((narrow(dx), narrow(dw)))
}

/// Slopes of input and filter of a depthwise convolution with multiplier 1.
///
/// # Errors
/// A geometry that does not fit.
pub fn depthwise(
    spec: DepthwiseSpec,
    input: &[f32],
    filter: &[f32],
    dy: &[f32],
) -> Result<(Vec<f32>, Vec<f32>)> {
    let [height, width, channels] = spec.input;
    let [rows, columns, _] = spec.output()?;
    let mut dx = vec![0.0_f64; input.len()];
    let mut dw = vec![0.0_f64; filter.len()];
    let batch = input.len() / (height * width * channels).max(1);
    for (image, y, x) in positions([batch, rows, columns]) {
        for (ky, kx, c) in positions([spec.window.kernel[0], spec.window.kernel[1], channels]) {
            let Some([iy, ix]) = source(&spec.window, [height, width], [y, x], [ky, kx]) else {
                continue;
            };
            let slope = f64::from(dy[((image * rows + y) * columns + x) * channels + c]);
            let at = ((image * height + iy) * width + ix) * channels + c;
            let tap = (ky * spec.window.kernel[1] + kx) * channels + c;
            dx[at] += slope * f64::from(filter[tap]);
            dw[tap] += slope * f64::from(input[at]);
        }
    }
    Ok((narrow(dx), narrow(dw)))
}

/// Slope of the input of an average pooling of images of `[height, width, channels]`; padding
/// counts in no window.
///
/// # Errors
/// A geometry that does not fit.
pub fn average_pool(
    [height, width, channels]: [usize; 3],
    window: Window,
    dy: &[f32],
) -> Result<Vec<f32>> {
    let [rows, columns] = window.output([height, width])?;
    let batch = dy.len() / (rows * columns * channels).max(1);
    let mut dx = vec![0.0_f64; batch * height * width * channels];
    for (image, y, x) in positions([batch, rows, columns]) {
        let taps = positions([window.kernel[0], window.kernel[1], 1]);
        let inside: Vec<[usize; 2]> = taps
            .filter_map(|(ky, kx, _)| source(&window, [height, width], [y, x], [ky, kx]))
            .collect();
        for (&[iy, ix], c) in inside.iter().flat_map(|at| (0..channels).map(move |c| (at, c))) {
            let slope = f64::from(dy[((image * rows + y) * columns + x) * channels + c]);
            dx[((image * height + iy) * width + ix) * channels + c] += slope / inside.len() as f64;
        }
    }
    Ok(narrow(dx))
}

/// Slopes of input, scale and shift of batch norm with the batch's own statistics, `dy` already
/// gated. `x` and `dy` are `[rows, gamma.len()]`.
pub fn batch_norm(x: &[f32], dy: &[f32], gamma: &[f32], epsilon: f64) -> [Vec<f32>; 3] {
    let channels = gamma.len();
    let rows = (x.len() / channels.max(1)) as f64;
    let mut dx = vec![0.0; x.len()];
    let (mut dgamma, mut dbeta) = (vec![0.0; channels], vec![0.0; channels]);
    for c in 0..channels {
        let column = |values: &'_ [f32]| -> Vec<f64> {
            values.iter().skip(c).step_by(channels).map(|&v| f64::from(v)).collect()
        };
        let (x, dy) = (column(x), column(dy));
        let mean = x.iter().sum::<f64>() / rows;
        let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / rows;
        let deviation = 1.0 / (variance + epsilon).sqrt();
        dbeta[c] = dy.iter().sum::<f64>();
        dgamma[c] = x.iter().zip(&dy).map(|(x, dy)| (x - mean) * deviation * dy).sum::<f64>();
        for (row, (x, dy)) in x.iter().zip(&dy).enumerate() {
            let normal = (x - mean) * deviation;
            dx[row * channels + c] = f64::from(gamma[c])
                * deviation
                * (dy - dbeta[c] / rows - normal * dgamma[c] / rows);
        }
    }
    [dx, dgamma, dbeta].map(narrow)
}

fn narrow(values: Vec<f64>) -> Vec<f32> {
    values.into_iter().map(|value| value as f32).collect()
}
