//! Gradients without sums over the batch: of activations, and of a full convolution's input.

use crate::conv2d::Conv2dSpec;
use crate::error::Result;
use crate::isa::Isa;
use crate::pointwise::{Pointwise, PointwiseSpec};
use crate::pool::Pool;
use crate::simd::{Body, Simd, call};
use crate::window::Activation;

/// Elements a task takes.
const CHUNK: usize = 1 << 14;

/// `dx = dy` where the activation let the value through, else 0; `features` are what went into
/// the activation or what came out of it.
///
/// # Panics
/// If the slices differ in length.
pub fn activation_gradient(
    isa: Isa,
    pool: &Pool,
    activation: Activation,
    features: &[f32],
    dy: &[f32],
    dx: &mut [f32],
) {
    assert!(features.len() == dy.len() && dy.len() == dx.len(), "one shape");
    pool.for_each_chunk(dx, CHUNK, &|index, dx| {
        let range = index * CHUNK..index * CHUNK + dx.len();
        let (features, dy) = (&features[range.clone()], &dy[range]);
        call(isa, Gate { activation, features, dy, dx });
    });
}

struct Gate<'a> {
    activation: Activation,
    features: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl Body for Gate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let len = self.dx.len();
        assert!(self.features.len() >= len && self.dy.len() >= len);
        let (low, high) = self.activation.bounds();
        let (low, high) = (simd.splat(low), simd.splat(high));
        for at in (0..len).step_by(S::LANES) {
            let count = (len - at).min(S::LANES);
            // SAFETY: `at + count <= len`, the length of all three.
            unsafe {
                let features = simd.load_part(self.features.as_ptr().add(at), count);
                let dy = simd.load_part(self.dy.as_ptr().add(at), count);
                let dx = simd.gate(dy, features, low, high);
                simd.store_part(self.dx.as_mut_ptr().add(at), dx, count);
            }
        }
    }
}

/// The slope `dx` of a convolution's input from `filter`, `[kernel height, kernel width,
/// channels, outputs]`, and the slope `dy` of its output: TensorFlow's `Conv2DBackpropInput`.
///
/// Pointwise ones are a product of matrices; others, which a network has once, are plain loops.
///
/// # Errors
/// An instruction set this CPU lacks; a window that does not fit.
///
/// # Panics
/// If a slice does not fit.
pub fn conv2d_input_gradient(
    isa: Isa,
    pool: &Pool,
    spec: Conv2dSpec,
    filter: &[f32],
    dy: &[f32],
    dx: &mut [f32],
) -> Result<()> {
    let [height, width, channels] = spec.input;
    let output = spec.output()?;
    let (image, slopes) = (height * width * channels, output.iter().product::<usize>());
    if image == 0 {
        return Ok(());
    }
    let batch = dx.len() / image;
    assert_eq!(dx.len(), batch * image, "dx");
    assert_eq!(dy.len(), batch * slopes, "dy");
    assert_eq!(
        filter.len(),
        spec.window.kernel.iter().product::<usize>() * channels * spec.outputs,
        "filter"
    );
    if spec.window.is_pointwise() {
        transposed(isa, spec, filter)?.run(pool, batch * height * width, dy, dx);
        return Ok(());
    }
    pool.for_each_chunk(dx, image, &|index, dx| {
        scatter(&spec, output, filter, &dy[index * slopes..(index + 1) * slopes], dx);
    });
    Ok(())
}

/// The product that gives `dx` of a pointwise convolution from `dy`.
pub(super) fn transposed(isa: Isa, spec: Conv2dSpec, filter: &[f32]) -> Result<Pointwise> {
    let (inputs, outputs) = (spec.outputs, spec.input[2]);
    let turned = PointwiseSpec { inputs, outputs, activation: Activation::None };
    Pointwise::new(isa, turned, &transpose(filter, outputs, inputs), None)
}

fn transpose(matrix: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    const SIDE: usize = 16;
    let mut turned = vec![0.0; matrix.len()];
    // Squares, so that neither side jumps over more lines than the first-level cache holds.
    for (i, j) in
        (0..rows).step_by(SIDE).flat_map(|i| (0..columns).step_by(SIDE).map(move |j| (i, j)))
    {
        let across = j..(j + SIDE).min(columns);
        for i in i..(i + SIDE).min(rows) {
            for (j, value) in across.clone().zip(&matrix[i * columns..][across.clone()]) {
                turned[j * rows + i] = *value;
            }
        }
    }
    turned
}

/// One image, output by output, tap by tap.
pub(super) fn scatter(
    spec: &Conv2dSpec,
    output: [usize; 3],
    filter: &[f32],
    dy: &[f32],
    dx: &mut [f32],
) {
    dx.fill(0.0);
    let [height, width, channels] = spec.input;
    let [_, columns, outputs] = output;
    let window = &spec.window;
    for (pixel, dy) in dy.chunks_exact(outputs.max(1)).enumerate() {
        let (y, x) = (pixel / columns, pixel % columns);
        let (ky, kx) = (window.taps(0, y, height), window.taps(1, x, width));
        for (ky, kx) in (ky.0..ky.1).flat_map(|ky| (kx.0..kx.1).map(move |kx| (ky, kx))) {
            let row = window.start(0, y) + (ky * window.dilation[0]) as isize;
            let column = window.start(1, x) + (kx * window.dilation[1]) as isize;
            let at = (row as usize * width + column as usize) * channels;
            let tap = (ky * window.kernel[1] + kx) * channels * outputs;
            let weights = filter[tap..tap + channels * outputs].chunks_exact(outputs);
            for (dx, weights) in dx[at..at + channels].iter_mut().zip(weights) {
                *dx += weights.iter().zip(dy).map(|(w, dy)| w * dy).sum::<f32>();
            }
        }
    }
}
