//! TensorFlow.js models: a JSON file, usually `model.json`, and the weight files beside it, of both
//! kinds.
//!
//! [`Model`] is the topology as JSON and the weights by name, dequantised. For a graph model,
//! [`Model::graph_def`] is TensorFlow's own `GraphDef` with the weights back in its constants; a
//! layers model has Keras's configuration, as [`keras::Model`](crate::keras::Model) does.
//!
//! # Layout
//!
//! ```text
//! model.json  {"format": "graph-model" | "layers-model", "modelTopology": {…},
//!              "weightsManifest": [{"paths": ["group1-shard1of2.bin", …], "weights": [
//!                {"name", "shape", "dtype", "quantization": {"dtype", "scale", "min"}?}, …]}, …]}
//! shards      the group's values one after the other, little-endian, cut anywhere; a string is a
//!             u32 length and its bytes
//! ```

mod graph;
mod reader;

pub use reader::{Kind, Model};

/// Whether `bytes` look like the JSON of a model: an object with a manifest of weights.
///
/// ```
/// assert!(mobilenet_formats::tfjs::detect(br#"{"modelTopology": {}, "weightsManifest": []}"#));
/// assert!(!mobilenet_formats::tfjs::detect(br#"{"name": "package"}"#));
/// ```
#[must_use]
pub fn detect(bytes: &[u8]) -> bool {
    const MANIFEST: &[u8] = b"\"weightsManifest\"";
    bytes.trim_ascii_start().starts_with(b"{")
        && bytes.windows(MANIFEST.len()).any(|part| part == MANIFEST)
}

#[cfg(test)]
mod tests;
