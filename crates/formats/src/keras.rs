//! Keras models: `.h5` files of Keras 1 to 3, and the `.keras` and `.weights.h5` files of Keras 3.
//!
//! [`Model`] is the configuration as JSON and the layers' weights by name. Building a graph from the
//! configuration is the engine's business; the HDF5 under it is in [`hdf5`].
//!
//! # Layout
//!
//! ```text
//! .h5          HDF5; attributes of the root: model_config (JSON), keras_version
//!              /model_weights, or the root of a file of weights alone:
//!                attribute layer_names, per layer a group with the attribute weight_names
//!                and the datasets it names: conv1/conv1/kernel:0
//! .keras       zip of config.json, metadata.json and model.weights.h5
//! .weights.h5  HDF5; /layers/<class>_<n>/vars/<k>, attribute name of vars: the layer's name
//! ```
//!
//! Attributes over 64 kB are cut into `layer_names0`, `layer_names1`, … by Keras, and joined here.

pub mod hdf5;
mod reader;

pub use reader::{Layer, Model};

use crate::zipped;

/// Whether `bytes` look like a Keras file: HDF5, or a zip with a model's parts.
#[must_use]
pub fn detect(bytes: &[u8]) -> bool {
    let named = |name: &[u8]| bytes.windows(name.len()).any(|part| part == name);
    hdf5::detect(bytes)
        || bytes.starts_with(b"PK\x03\x04")
            && zipped::detect(bytes)
            && named(b"model.weights.h5")
            && named(b"config.json")
}

#[cfg(test)]
mod tests;
