//! TensorBoard's event files: [TFRecords](crate::tfrecord) of `Event` messages.
//!
//! The first record gives the version, `brain.Event:2`; each other one belongs to a step and holds
//! scalars, images or histograms by tag. Time comes from the caller: nothing here reads a clock.

mod histogram;
pub mod messages;
mod reader;
mod writer;

pub use histogram::histogram;
pub use reader::EventReader;
pub use writer::{EventWriter, When, file_name};

#[cfg(test)]
mod tests;
