//! Training: the objective, steps, optimisers, schedules, data sets and batches, charts for reports.
//!
//! A [`trainer::Trainer`] turns a graph with an [`objective::Objective`] into steps; gradients are
//! `mobilenet-engine`'s. A [`run::Run`] is steps from the first to the last: batches, averages,
//! validation, and checkpoints from which a killed run goes on bit by bit.

pub mod average;
pub mod batches;
pub mod checkpoint;
pub mod dataset;
mod error;
pub mod file;
mod learner;
pub mod loader;
pub mod objective;
pub mod optimizer;
mod order;
pub mod pictures;
pub mod random;
pub mod range_test;
pub mod report;
pub mod run;
pub mod schedule;
pub mod tensorboard;
pub mod trainer;
pub mod validation;

pub use error::{Error, ErrorKind, Result};
