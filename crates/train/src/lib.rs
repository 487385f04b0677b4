//! Training: losses, optimisers, schedules, data sets, checkpoints.

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
