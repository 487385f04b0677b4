//! Training: a network from nothing, or a module on new photos, to a new module.
//!
//! [`TrainOptions`] trains MobileNet V1 from random values. How is a [`Recipe`]; what happens
//! meanwhile comes as [`Event`]s. `mobilenet-train` does the work; here modules become networks
//! that can be trained, and trained values become modules.

mod export;
mod network;
mod recipe;
mod scratch;

pub use recipe::{AUGMENTATIONS, Named, RECIPES, Recipe, augmentation, recipe};
pub use scratch::{TrainOptions, Trained};

pub use mobilenet_train::batches::Blend;
pub use mobilenet_train::checkpoint::{Checkpoint, Epoch, Progress};
pub use mobilenet_train::dataset::Shares;
pub use mobilenet_train::optimizer::{OPTIMIZERS, find as optimizer};
pub use mobilenet_train::run::{Event, Outcome};
pub use mobilenet_train::schedule::Decay;
pub use mobilenet_train::trainer::Losses;
pub use mobilenet_vision::augment::Augment;
