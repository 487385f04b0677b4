//! Where a network is cut: what stands before is frozen and runs folded, as at inference; what
//! comes after learns.

use mobilenet_train::run::Network;
use mobilenet_train::validation::Inference;

/// Depthwise and pointwise pairs of MobileNet V1; block 0 is the first convolution.
pub(super) const BLOCKS: usize = 13;

/// The first of the blocks that learn where only the classifier does.
pub(super) const CLASSIFIER: usize = BLOCKS + 1;

/// What goes into the classifier.
const POOLED: &str = "MobilenetV1/Logits/global_pool:0";

/// A place to cut, and what comes after it.
pub(super) struct Cut {
    /// The tensor that is cut.
    tensor: String,
    /// First block that learns; [`CLASSIFIER`]: none does.
    first: usize,
}

impl Cut {
    /// The block `first`, those after it and the classifier learn; `None` where nothing stands before.
    pub(super) fn before(first: usize) -> Option<Self> {
        let tensor = match first.checked_sub(1)? {
            0 => "MobilenetV1/MobilenetV1/Conv2d_0/Relu6:0".to_owned(),
            block @ 1..BLOCKS => {
                format!("MobilenetV1/MobilenetV1/Conv2d_{block}_pointwise/Relu6:0")
            }
            _ => return Some(Self::before_classifier()),
        };
        Some(Self { tensor, first })
    }

    /// Only the classifier learns.
    pub(super) fn before_classifier() -> Self {
        Self { tensor: POOLED.to_owned(), first: CLASSIFIER }
    }

    /// What says where it is.
    pub(super) fn tensor(&self) -> &str {
        &self.tensor
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
        name.contains("/Logits/") || block(name).is_some_and(|block| block >= self.first)
    }
}

/// The block that a variable or an operation belongs to, by slim's names; `None` for the classifier's.
pub(super) fn block(name: &str) -> Option<usize> {
    let layer = name.split('/').find_map(|part| part.strip_prefix("Conv2d_"))?;
    layer.split('_').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_the_cut_learns() {
        let cut = Cut::before(12).unwrap();
        assert_eq!(cut.tensor, "MobilenetV1/MobilenetV1/Conv2d_11_pointwise/Relu6:0");
        assert!(cut.learns("MobilenetV1/Conv2d_12_depthwise/BatchNorm/gamma"));
        assert!(cut.learns("MobilenetV1/Logits/Conv2d_1c_1x1/weights"));
        assert!(!cut.learns("MobilenetV1/Conv2d_1_pointwise/weights"));
        let head = Cut::before_classifier();
        assert!(head.learns("MobilenetV1/Logits/Conv2d_1c_1x1/biases"));
        assert!(!head.learns("MobilenetV1/Conv2d_13_pointwise/weights"));
        assert!(Cut::before(1).unwrap().tensor.contains("Conv2d_0/"));
        assert_eq!(Cut::before(CLASSIFIER).unwrap().tensor, POOLED);
        assert!(Cut::before(0).is_none());
    }
}
