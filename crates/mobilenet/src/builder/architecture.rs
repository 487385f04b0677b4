//! The published architecture: one row a layer group, and what follows from it by arithmetic.
//!
//! Shapes, variables, parameters and multiply-adds of any MobileNet V1; no graph yet, that is
//! `meta_graph.rs`.

use super::variable::{Initializer, VariableSpec};

/// One row a layer group: stride of its 3x3 convolution, output channels at multiplier 1
/// (table 1 of the MobileNets paper, arXiv:1704.04861). The first row is a full convolution, the
/// others a depthwise 3x3 followed by a pointwise 1x1.
const GROUPS: [(usize, usize); 14] = [
    (2, 32),
    (1, 64),
    (2, 128),
    (1, 128),
    (2, 256),
    (1, 256),
    (2, 512),
    (1, 512),
    (1, 512),
    (1, 512),
    (1, 512),
    (1, 512),
    (2, 1024),
    (1, 1024),
];

/// Fewest channels a layer is narrowed to.
const MIN_DEPTH: usize = 8;

/// The scope every name starts with.
pub(super) const SCOPE: &str = "MobilenetV1";

/// What a layer computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayerKind {
    /// 3x3 convolution over all channels.
    Convolution,
    /// 3x3 convolution of each channel by itself.
    Depthwise,
    /// 1x1 convolution.
    Pointwise,
    /// The 1x1 convolution after global pooling, with biases.
    Classifier,
}

/// One convolution of the network with its shapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// slim's end point, such as `Conv2d_3_pointwise`.
    pub name: String,
    /// What it computes.
    pub kind: LayerKind,
    /// Stride of the window in both directions.
    pub stride: usize,
    /// Channels in.
    pub input_channels: usize,
    /// Channels out.
    pub output_channels: usize,
    /// `[height, width]` of the output.
    pub output_size: [usize; 2],
}

impl Layer {
    /// Shape of the kernel: HWIO, for depthwise `[3, 3, channels, 1]`.
    #[must_use]
    pub fn kernel_shape(&self) -> [usize; 4] {
        match self.kind {
            LayerKind::Convolution => [3, 3, self.input_channels, self.output_channels],
            LayerKind::Depthwise => [3, 3, self.input_channels, 1],
            LayerKind::Pointwise | LayerKind::Classifier => {
                [1, 1, self.input_channels, self.output_channels]
            }
        }
    }

    /// Multiply-adds for one image.
    #[must_use]
    pub fn multiply_adds(&self) -> u64 {
        let [height, width] = self.output_size;
        self.kernel_shape().into_iter().chain([height, width]).map(|n| n as u64).product()
    }

    /// Name of the kernel variable.
    #[must_use]
    pub fn kernel_name(&self) -> String {
        let leaf = if self.kind == LayerKind::Depthwise { "depthwise_weights" } else { "weights" };
        format!("{}/{leaf}", self.variable_scope())
    }

    /// Its variables in slim's order of creation.
    pub(crate) fn variables(&self) -> Vec<VariableSpec> {
        layer_variables(self)
    }

    pub(super) fn variable_scope(&self) -> String {
        match self.kind {
            LayerKind::Classifier => format!("{SCOPE}/Logits/{}", self.name),
            _ => format!("{SCOPE}/{}", self.name),
        }
    }
}

/// The depth multiplier of the network whose layers are so many output channels wide: those of the
/// first convolution and of the pointwise ones, in order.
pub(crate) fn depth_multiplier(widths: impl Iterator<Item = usize>) -> f64 {
    // Widths are rounded down: the largest quotient is the smallest multiplier that gives them all.
    let quotient = |((_, full), width): (&(usize, usize), usize)| width as f64 / *full as f64;
    let narrowest = MIN_DEPTH as f64 / 1024.0;
    let widths = GROUPS.iter().zip(widths).filter(|(_, width)| *width > MIN_DEPTH);
    widths.map(quotient).fold(narrowest, f64::max)
}

/// Every convolution from image to logits.
pub(super) fn layers(
    depth_multiplier: f64,
    image_size: [usize; 2],
    classes: Option<usize>,
) -> Vec<Layer> {
    let mut size = image_size;
    let mut channels = 3;
    let mut layers = Vec::with_capacity(28);
    for (index, (stride, full_width)) in GROUPS.into_iter().enumerate() {
        size = size.map(|extent| extent.div_ceil(stride));
        let width = ((full_width as f64 * depth_multiplier) as usize).max(MIN_DEPTH);
        let mut push = |suffix: &str, kind, stride, input_channels, output_channels| {
            let name = format!("Conv2d_{index}{suffix}");
            layers.push(Layer {
                name,
                kind,
                stride,
                input_channels,
                output_channels,
                output_size: size,
            });
        };
        if index == 0 {
            push("", LayerKind::Convolution, stride, channels, width);
        } else {
            push("_depthwise", LayerKind::Depthwise, stride, channels, channels);
            push("_pointwise", LayerKind::Pointwise, 1, channels, width);
        }
        channels = width;
    }
    if let Some(classes) = classes {
        layers.push(Layer {
            name: "Conv2d_1c_1x1".to_owned(),
            kind: LayerKind::Classifier,
            stride: 1,
            input_channels: channels,
            output_channels: classes,
            output_size: [1, 1],
        });
    }
    layers
}

/// The variables of one layer in the order slim creates them.
pub(super) fn layer_variables(layer: &Layer) -> Vec<VariableSpec> {
    let scope = layer.variable_scope();
    let channels = vec![layer.output_channels];
    let mut variables = vec![VariableSpec {
        name: layer.kernel_name(),
        shape: layer.kernel_shape().to_vec(),
        initializer: Initializer::TruncatedNormal { stddev: 0.09 },
        trainable: true,
    }];
    let mut push = |leaf: &str, initializer, trainable| {
        let name = format!("{scope}/{leaf}");
        variables.push(VariableSpec { name, shape: channels.clone(), initializer, trainable });
    };
    if layer.kind == LayerKind::Classifier {
        push("biases", Initializer::Zeros, true);
    } else {
        push("BatchNorm/gamma", Initializer::Ones, true);
        push("BatchNorm/beta", Initializer::Zeros, true);
        push("BatchNorm/moving_mean", Initializer::Zeros, false);
        push("BatchNorm/moving_variance", Initializer::Ones, false);
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_tell_the_multiplier() {
        for multiplier in [0.25, 0.5, 0.75, 1.0, 0.35, 0.1, 1.4, 0.007] {
            let built = layers(multiplier, [224, 224], None);
            let wide = |layer: &&Layer| layer.kind != LayerKind::Depthwise;
            let widths = built.iter().filter(wide).map(|layer| layer.output_channels);
            let found = depth_multiplier(widths);
            assert_eq!(layers(found, [224, 224], None), built, "{multiplier}: {found}");
        }
    }
}
