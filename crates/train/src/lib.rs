//! Training: the objective, steps, optimisers, schedules, data sets and batches, charts for reports.
//!
//! A [`trainer::Trainer`] turns a graph with an [`objective::Objective`] into steps; gradients are
//! `mobilenet-engine`'s. There are no checkpoints and no augmentation yet.

pub mod dataset;
mod error;
pub mod loader;
pub mod objective;
pub mod optimizer;
pub mod random;
pub mod report;
pub mod schedule;
pub mod trainer;

pub use error::{Error, ErrorKind, Result};
