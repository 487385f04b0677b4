//! Training: a network from nothing, or a module on new photos, to a new module.
//!
//! [`TrainOptions`] trains MobileNet V1 from random values, [`FineTuneOptions`] a module on other
//! photos, [`QuantizationAwareOptions`] one for 8 bits. Data and recipe are a [`Job`]; what happens meanwhile comes as [`Event`]s.
//! `mobilenet-train` does the work; here modules become networks that can be trained, and trained
//! values become modules.

mod backbone;
mod class_weights;
mod cut;
mod export;
mod features;
mod fine_tune;
mod freeze;
mod job;
mod network;
mod preparing;
mod quantization_aware;
mod recipe;
mod scratch;
mod teacher;
mod trained;

pub use class_weights::ClassWeights;
pub use fine_tune::{FineTuneOptions, Mode};
pub use job::{CHECKPOINTS, Job};
pub use quantization_aware::QuantizationAwareOptions;
pub use recipe::{AUGMENTATIONS, AugmentChanges, Named, RECIPES, Recipe, augmentation, recipe};
pub use scratch::TrainOptions;
pub use teacher::Distillation;
pub use trained::Trained;

pub use mobilenet_train::batches::Blend;
pub use mobilenet_train::checkpoint::{Checkpoint, Epoch, Progress};
pub use mobilenet_train::dataset::Shares;
pub use mobilenet_train::optimizer::{OPTIMIZERS, find as optimizer};
pub use mobilenet_train::range_test::{Curve, Point, Range};
pub use mobilenet_train::run::{Event, Outcome};
pub use mobilenet_train::schedule::Decay;
pub use mobilenet_train::tensorboard::TensorBoard;
pub use mobilenet_train::trainer::Losses;
pub use mobilenet_train::validation::Score;
pub use mobilenet_vision::augment::Augment;
