//! TensorFlow's formats: protobuf messages, tensors, tensor bundles, SavedModel and hub modules.
//!
//! [`HubModule`] is the usual door; [`SavedModel`] does most of its work. [`messages`] has the
//! protobuf messages under TensorFlow's own names.

pub mod bundle;
pub mod hub_module;
pub mod messages;
mod ordered_code;
pub mod saved_model;
mod shape;
mod tensor_proto;

pub use bundle::{BundleEntry, BundleReader, BundleWriter};
pub use hub_module::HubModule;
pub use saved_model::{MetaGraph, SavedModel};

use crate::{Limits, Result, wire};

/// Decodes one protobuf message, its size and number of fields checked first: a frozen `GraphDef`, a
/// checkpoint's `.meta`.
///
/// ```
/// use mobilenet_formats::{Limits, tensorflow::{decode_message, messages::GraphDef}};
///
/// let graph: GraphDef = decode_message(&b"\x0a\x03\x0a\x01x"[..], &Limits::default())?;
/// assert_eq!(graph.node[0].name, "x");
/// # Ok::<(), mobilenet_formats::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::Limit`](crate::ErrorKind::Limit), or
/// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) when the bytes are no such message.
pub fn decode_message<M: prost::Message + Default>(
    bytes: impl Into<bytes::Bytes>,
    limits: &Limits,
) -> Result<M> {
    let bytes = bytes.into();
    wire::check_message(&bytes, limits)?;
    Ok(M::decode(bytes)?)
}
