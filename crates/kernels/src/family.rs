//! The layers of the MobileNet V1 family, as shapes: what tests and benches run over.

use crate::conv2d::{Affine, Conv2dSpec};
use crate::depthwise::DepthwiseSpec;
use crate::pointwise::PointwiseSpec;
use crate::separable::SeparableSpec;
use crate::trial::Tunable;
use crate::window::{Activation, Window};

/// One layer of MobileNet V1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layer {
    /// First convolution, 3x3, stride 2, `SAME`, of a square image with 3 channels.
    First {
        /// Height and width of the image.
        size: usize,
        /// Output channels.
        outputs: usize,
    },
    /// Depthwise 3x3, `SAME`, and the pointwise convolution that follows.
    Separable {
        /// Height and width of the input.
        size: usize,
        /// Input channels.
        inputs: usize,
        /// Output channels.
        outputs: usize,
        /// Stride of the depthwise half.
        stride: usize,
    },
    /// Mean over the image.
    GlobalMean {
        /// Height and width of the input.
        size: usize,
        /// Channels.
        channels: usize,
    },
    /// Classifier.
    Logits {
        /// Input channels.
        inputs: usize,
        /// Classes.
        outputs: usize,
    },
}

/// Depth multipliers of the published family, in percent.
pub const MULTIPLIERS: [usize; 4] = [25, 50, 75, 100];
/// Input sizes of the published family.
pub const SIZES: [usize; 4] = [128, 160, 192, 224];

/// Output channels and stride of the 13 separable blocks at multiplier 1.
const BLOCKS: [(usize, usize); 13] = [
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),
];

/// The layers of a network with `percent` of the channels for square images of `size`.
pub fn layers(percent: usize, size: usize, classes: usize) -> Vec<Layer> {
    let depth = |channels: usize| (channels * percent / 100).max(8);
    let mut layers = vec![Layer::First { size, outputs: depth(32) }];
    let (mut size, mut inputs) = (size.div_ceil(2), depth(32));
    for (channels, stride) in BLOCKS {
        let outputs = depth(channels);
        layers.push(Layer::Separable { size, inputs, outputs, stride });
        (size, inputs) = (size.div_ceil(stride), outputs);
    }
    layers.push(Layer::GlobalMean { size, channels: inputs });
    layers.push(Layer::Logits { inputs, outputs: classes });
    layers
}

impl Layer {
    /// The convolution it is; `None` for the mean.
    pub fn tunable(&self) -> Option<Tunable> {
        let activation = Activation::Relu6;
        let same = |size, stride| Window::same([3, 3], [stride; 2], [1, 1], [size, size]);
        Some(match *self {
            Layer::First { size, outputs } => {
                let (input, window) = ([size, size, 3], same(size, 2));
                let affine = Some(Affine { scale: 2.0, offset: -1.0 });
                Tunable::Conv2d(Conv2dSpec { input, outputs, window, affine, activation })
            }
            Layer::Separable { size, inputs, outputs, stride } => {
                let (input, window) = ([size, size, inputs], same(size, stride));
                let depthwise = DepthwiseSpec { input, multiplier: 1, window, activation };
                Tunable::Separable(SeparableSpec { depthwise, outputs, activation })
            }
            Layer::GlobalMean { .. } => return None,
            Layer::Logits { inputs, outputs } => {
                let spec = PointwiseSpec { inputs, outputs, activation: Activation::None };
                Tunable::Pointwise(spec, 1)
            }
        })
    }

    /// Multiply-adds for one image.
    pub fn multiply_adds(&self) -> usize {
        match *self {
            Layer::First { size, outputs } => size.div_ceil(2).pow(2) * 27 * outputs,
            Layer::Separable { size, inputs, outputs, stride } => {
                size.div_ceil(stride).pow(2) * inputs * (9 + outputs)
            }
            Layer::GlobalMean { .. } => 0,
            Layer::Logits { inputs, outputs } => inputs * outputs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiply_adds_of_the_smallest_network() {
        let layers = layers(25, 192, 1001);
        assert_eq!(layers.len(), 16);
        assert_eq!(layers.iter().map(Layer::multiply_adds).sum::<usize>(), 30_212_864);
    }
}
