//! ONNX models: the protobuf messages of the public specification, and tensors in them.
//!
//! [`read`] and [`write()`] turn bytes into a [`ModelProto`] and back; [`TensorProto::to_tensor`] and
//! [`TensorProto::from_tensor`] convert values. Which operators a graph may use, their versions and
//! what they mean is the engine's business.
//!
//! # Layout
//!
//! One protobuf message `ModelProto`, no header. Fields this library does not know are dropped when
//! a model is written back. A tensor's values are in `raw_data` (little-endian), in the list of its
//! type, or in a file beside the model, which is only followed if it lies in the model's folder.

mod messages;
mod tensor;

pub use messages::*;

use prost::Message;

use crate::error::Within;
use crate::wire::{self, Cursor};
use crate::{Limits, Result};

/// Reads a model.
///
/// # Errors
/// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) for bytes that are no such message,
/// [`ErrorKind::Limit`](crate::ErrorKind::Limit) beyond `limits.message_bytes` or
/// `limits.message_fields`.
///
/// ```
/// use mobilenet_formats::{Limits, onnx};
///
/// let mut model = onnx::ModelProto { ir_version: 8, ..Default::default() };
/// model.opset_import.push(onnx::OperatorSetIdProto { domain: String::new(), version: 13 });
/// model.graph = Some(onnx::GraphProto { name: "empty".into(), ..Default::default() });
/// let bytes = onnx::write(&model);
/// assert!(onnx::detect(&bytes));
/// assert_eq!(onnx::read(&bytes, &Limits::default())?, model);
/// # Ok::<(), mobilenet_formats::Error>(())
/// ```
pub fn read(bytes: &[u8], limits: &Limits) -> Result<ModelProto> {
    wire::check_message(bytes, limits).within(|| "onnx")?;
    ModelProto::decode(bytes).within(|| "onnx")
}

/// Writes a model. The same model always gives the same bytes.
#[must_use]
pub fn write(model: &ModelProto) -> Vec<u8> {
    model.encode_to_vec()
}

/// Whether `bytes` look like a model: a message to their end, with an IR version as a number in
/// field 1 and a graph in field 7.
#[must_use]
pub fn detect(bytes: &[u8]) -> bool {
    let mut cursor = Cursor::new(bytes);
    let (mut version, mut graph) = (false, false);
    while !cursor.is_empty() {
        let Ok(tag) = cursor.varint() else { return false };
        version |= tag == 1 << 3;
        graph |= tag == 7 << 3 | 2;
        let step = match tag & 7 {
            0 => cursor.varint().map(|_| ()),
            1 => cursor.take(8).map(|_| ()),
            2 => cursor.varint_len().and_then(|len| cursor.take(len)).map(|_| ()),
            5 => cursor.take(4).map(|_| ()),
            _ => return false,
        };
        if step.is_err() {
            return false;
        }
    }
    version && graph
}

#[cfg(test)]
mod tests;
