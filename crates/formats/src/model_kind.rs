//! [`ModelKind`]: which kind of model a file is, by its content; one line for each.

use crate::tensorflow::{self, checkpoint};
use crate::{keras, npy, onnx, safetensors, tfjs, tflite};

/// A kind of file that holds a model or, with others beside it, leads to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelKind {
    /// The `saved_model.pb` of a SavedModel or hub module, whose variables are files beside it.
    SavedModel,
    /// A TFLite file.
    TfLite,
    /// The JSON of a TensorFlow.js model, whose weights are files beside it.
    TensorFlowJs,
    /// A Keras file: `.h5`, `.keras` or `.weights.h5`.
    Keras,
    /// An ONNX file.
    Onnx,
    /// A checkpoint of version 1, or the index of one of version 2.
    Checkpoint,
    /// A safetensors file.
    SafeTensors,
    /// A zip of NumPy arrays.
    NumPyArchive,
    /// A `GraphDef`.
    FrozenGraph,
}

/// Whether bytes are of a kind.
type Test = fn(&[u8]) -> bool;

/// In the order they are tried.
const KINDS: &[(ModelKind, Test)] = &[
    (ModelKind::SavedModel, tensorflow::detect_saved_model),
    (ModelKind::TfLite, tflite::detect),
    (ModelKind::TensorFlowJs, tfjs::detect),
    (ModelKind::Keras, keras::detect),
    (ModelKind::Onnx, onnx::detect),
    (ModelKind::Checkpoint, checkpoint::is_table),
    (ModelKind::SafeTensors, safetensors::detect),
    (ModelKind::NumPyArchive, npy::detect_archive),
    (ModelKind::FrozenGraph, tensorflow::detect_graph_def),
];

impl ModelKind {
    /// What a file of these bytes looks like; whether it is whole, its reader finds out. `None` for
    /// anything else, archives among it.
    ///
    /// ```
    /// use mobilenet_formats::ModelKind;
    ///
    /// assert_eq!(ModelKind::of(b"\x1c\0\0\0TFL3"), Some(ModelKind::TfLite));
    /// assert_eq!(ModelKind::of(b"<html>"), None);
    /// ```
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<ModelKind> {
        KINDS.iter().find(|(_, detect)| detect(bytes)).map(|(kind, _)| *kind)
    }
}
