//! Where a network is cut: what stands before is frozen and runs folded, as at inference; what
//! comes after learns.

use mobilenet_train::run::Network;
use mobilenet_train::validation::Inference;

/// Depthwise and pointwise pairs of MobileNet V1; block 0 is the first convolution.
pub(super) const BLOCKS: usize = 13;

/// What goes into the classifier.
const POOLED: &str = "MobilenetV1/Logits/global_pool:0";

/// A place to cut, and what comes after it.
pub(super) struct Cut {
    /// The tensor that is cut.
    tensor: String,
    /// First block that learns; `BLOCKS + 1`: only the classifier does.
    first: usize,
}

impl Cut {
    /// Only the classifier learns.
    pub(super) fn before_classifier() -> Self {
        Self { tensor: POOLED.to_owned(), first: BLOCKS + 1 }
    }

    /// The classifier and the last `blocks` blocks learn, 1 to 13.
    pub(super) fn before_blocks(blocks: usize) -> Self {
        let first = BLOCKS + 1 - blocks.clamp(1, BLOCKS);
        let tensor = match first - 1 {
            0 => "MobilenetV1/MobilenetV1/Conv2d_0/Relu6:0".to_owned(),
            block => format!("MobilenetV1/MobilenetV1/Conv2d_{block}_pointwise/Relu6:0"),
        };
        Self { tensor, first }
    }

    /// What computes the tensor that is cut.
    pub(super) fn frozen(&self, network: &Network) -> Inference {
        Inference { logits: self.tensor.clone(), ..network.inference.clone() }
    }

    /// Lets only what comes after the cut learn, from the tensor that is cut.
    pub(super) fn apply(&self, network: &mut Network) {
        let training = &mut network.training;
        training.images.clone_from(&self.tensor);
        training.trainable.retain(|name| self.learns(name));
        training.update_ops.retain(|name| self.learns(name));
    }

    /// Lets inference begin at the tensor that is cut, too.
    pub(super) fn apply_to_inference(&self, network: &mut Network) {
        network.inference.images.clone_from(&self.tensor);
    }

    /// Whether a variable or an operation comes after the cut, by slim's names.
    fn learns(&self, name: &str) -> bool {
        let layer = name.split('/').find_map(|part| part.strip_prefix("Conv2d_"));
        let block = layer.and_then(|layer| layer.split('_').next()).and_then(|n| n.parse().ok());
        name.contains("/Logits/") || block.is_some_and(|block: usize| block >= self.first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_the_cut_learns() {
        let cut = Cut::before_blocks(2);
        assert_eq!(cut.tensor, "MobilenetV1/MobilenetV1/Conv2d_11_pointwise/Relu6:0");
        assert!(cut.learns("MobilenetV1/Conv2d_12_depthwise/BatchNorm/gamma"));
        assert!(cut.learns("MobilenetV1/Logits/Conv2d_1c_1x1/weights"));
        assert!(!cut.learns("MobilenetV1/Conv2d_1_pointwise/weights"));
        let head = Cut::before_classifier();
        assert!(head.learns("MobilenetV1/Logits/Conv2d_1c_1x1/biases"));
        assert!(!head.learns("MobilenetV1/Conv2d_13_pointwise/weights"));
        assert!(Cut::before_blocks(13).tensor.contains("Conv2d_0/"));
    }
}
