//! MobileNet V1 from its numbers: any depth multiplier, image size and class count, as the graphs
//! that slim and TensorFlow Hub's exporter would write.
//!
//! `architecture.rs` is the table of layers, `network.rs` writes nodes, `meta_graph.rs` wraps them
//! with signatures and collections. The result goes where a loaded module goes: `formats` writes
//! it, `engine` imports it.

mod architecture;
mod meta_graph;
mod module;
mod network;
pub(crate) mod node;
mod variable;

use mobilenet_formats::tensorflow::messages::MetaGraphDef;

pub(crate) use architecture::depth_multiplier;
pub use architecture::{Layer, LayerKind};
pub(crate) use meta_graph::attachments;
pub use variable::{Initializer, VariableSpec};

/// Added to the variance by every batch norm of the network.
pub const BATCH_NORM_EPSILON: f32 = 0.001;

/// A MobileNet V1 network to build.
///
/// ```
/// use mobilenet::builder::MobilenetV1;
///
/// let network = MobilenetV1::new(0.25, [192, 192]);
/// assert_eq!(network.variables().len(), 137);
/// assert_eq!(network.multiply_adds(), 30_212_864);
/// assert_eq!(network.parameters(), 470_329);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct MobilenetV1 {
    /// Factor on every layer's channels, more than 0; published: 0.25, 0.5, 0.75, 1.0.
    pub depth_multiplier: f64,
    /// `[height, width]` in pixels; published: 128, 160, 192, 224, square.
    pub image_size: [usize; 2],
    /// Width of the logits, or `None` for a feature-vector network.
    pub classes: Option<usize>,
    /// Share of features that dropout keeps in training, in (0, 1].
    pub dropout_keep_probability: f32,
    /// Share of the old moving average that an update keeps.
    pub batch_norm_momentum: f32,
    /// Factor on half the squared norm of each convolution kernel, depthwise ones left out.
    pub l2_regularization: f32,
    /// Any image size, and the momentum as an input: TensorFlow Hub's "version 3".
    pub configurable: bool,
}

impl MobilenetV1 {
    /// slim's network: 1001 classes, dropout keeping 0.999, momentum 0.9997, L2 4e-5.
    #[must_use]
    pub fn new(depth_multiplier: f64, image_size: [usize; 2]) -> Self {
        Self {
            depth_multiplier,
            image_size,
            classes: Some(1001),
            dropout_keep_probability: 0.999,
            batch_norm_momentum: 0.9997,
            l2_regularization: 4e-5,
            configurable: false,
        }
    }

    /// Every convolution from image to logits.
    #[must_use]
    pub fn layers(&self) -> Vec<Layer> {
        architecture::layers(self.depth_multiplier, self.image_size, self.classes)
    }

    /// Every variable in slim's order of creation.
    #[must_use]
    pub fn variables(&self) -> Vec<VariableSpec> {
        self.layers().iter().flat_map(architecture::layer_variables).collect()
    }

    /// Trained values: kernels, biases, batch norm's scale and shift; moving averages left out.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        let trainable = self.variables().into_iter().filter(|variable| variable.trainable);
        trainable.map(|variable| variable.shape.iter().map(|&n| n as u64).product::<u64>()).sum()
    }

    /// Multiply-adds of one image.
    #[must_use]
    pub fn multiply_adds(&self) -> u64 {
        self.layers().iter().map(Layer::multiply_adds).sum()
    }

    /// Length of the feature vector.
    #[must_use]
    pub fn feature_channels(&self) -> usize {
        let last = self.layers().into_iter().rev().find(|layer| layer.kind == LayerKind::Pointwise);
        last.map_or(0, |layer| layer.output_channels)
    }

    /// The graph for inference, tags `{}`.
    #[must_use]
    pub fn inference_graph(&self) -> MetaGraphDef {
        meta_graph::build(self, false)
    }

    /// The graph with batch norm in training mode and dropout, tags `{"train"}`.
    #[must_use]
    pub fn training_graph(&self) -> MetaGraphDef {
        meta_graph::build(self, true)
    }
}
