//! Gradients: what a loss's slope at an op's output is at its input and its weights.
//!
//! Sums over all pixels of a batch are cut into a number of parts that depends on the sizes
//! alone, each part summed by itself and the parts added in order, so that no result depends on
//! how many threads there are.

mod average_pool;
mod batch_norm;
mod depthwise;
mod depthwise_input;
mod depthwise_three;
mod filter;
mod layer;
mod outer;
mod pointwise;
pub mod reference;
#[cfg(test)]
mod tests;

pub use average_pool::AveragePoolGradient;
pub use batch_norm::{BatchNormGradient, BatchNormGradientScratch, BatchNormSlopes};
pub use depthwise::DepthwiseFilterGradient;
pub use depthwise_input::depthwise_input_gradient;
pub use filter::FilterGradient;
pub use layer::{
    LayerGradient, LayerOperands, LayerScratch, LayerSlopes, NormSlopes, SlopesBefore,
};
pub use pointwise::{activation_gradient, conv2d_input_gradient};

use crate::isa::Isa;
use crate::pool::Pool;
use crate::simd::{Body, Simd, call};

/// Parts a sum over `units` pieces of work is cut into.
fn parts(units: usize) -> usize {
    units.clamp(1, 8)
}

/// Piece `index` of `0..units` cut into `parts`.
fn part(index: usize, parts: usize, units: usize) -> std::ops::Range<usize> {
    index * units / parts..(index + 1) * units / parts
}

/// `output = partial[0] + partial[1] + …`, in this order; each part begins with the sums that it
/// gives and is `stride` long.
fn add_parts(isa: Isa, pool: &Pool, partial: &[f32], stride: usize, output: &mut [f32]) {
    if output.is_empty() {
        return;
    }
    pool.for_each_chunk(output, 4096, &|index, output| {
        let start = index * 4096;
        output.fill(0.0);
        for part in partial.chunks_exact(stride) {
            call(isa, Add { from: &part[start..start + output.len()], to: output });
        }
    });
}

struct Add<'a> {
    from: &'a [f32],
    to: &'a mut [f32],
}

impl Body for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for (to, from) in self.to.iter_mut().zip(self.from) {
            *to += from;
        }
    }
}
