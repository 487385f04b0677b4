//! File formats of mobilenet: bytes to structs and back.
//!
//! Holds the host [`Tensor`], the one [`Error`] of this crate, the named [`Limits`] every reader
//! obeys, and one module per format. Nothing here opens a file or a socket: bytes come through a
//! [`FileSource`] or a slice. What a graph *means* is the business of `mobilenet-engine`, and where
//! a model's files come from that of `mobilenet-hub`.

pub mod archive;
mod checksum;
mod elements;
pub mod error;
pub mod events;
pub mod files;
pub mod keras;
pub mod limits;
mod model_kind;
pub mod npy;
pub mod onnx;
mod paths;
pub mod safetensors;
mod table;
pub mod tensor;
pub mod tensorflow;
pub mod tfjs;
pub mod tflite;
pub mod tfrecord;
mod wire;
mod zipped;

pub use error::{Error, ErrorKind, Result};
pub use files::{FileSource, MemoryFiles, PIECE_BYTES};
pub use limits::Limits;
pub use model_kind::ModelKind;
pub use tensor::{DType, Tensor, TensorData};
