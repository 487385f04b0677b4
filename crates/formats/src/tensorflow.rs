//! TensorFlow's formats: protobuf messages, tensors, tensor bundles, SavedModel and hub modules.
//!
//! [`HubModule`] is the usual door; [`SavedModel`] does most of its work. [`messages`] has the
//! protobuf messages under TensorFlow's own names.

pub mod bundle;
pub mod checkpoint;
pub mod hub_module;
pub mod messages;
mod ordered_code;
pub mod saved_model;
mod shape;
mod tensor_proto;

pub use bundle::{BundleEntry, BundleReader, BundleWriter};
pub use checkpoint::Checkpoint;
pub use hub_module::HubModule;
pub use saved_model::{MetaGraph, SavedModel};

use crate::{Limits, Result, wire};

/// Whether `bytes` look like a `saved_model.pb`: to their end its schema version and its meta graphs,
/// the first of them a message of no other fields than those have.
#[must_use]
pub fn detect_saved_model(bytes: &[u8]) -> bool {
    let mut first: Option<&[u8]> = None;
    for field in wire::fields(bytes) {
        match field.map(|field| (field.whole.first().copied(), field.content)) {
            Ok((Some(SCHEMA_VERSION), _)) => {}
            Ok((Some(META_GRAPH), content)) => first = first.or(Some(content)),
            _ => return false,
        }
    }
    let of_meta_graph = |number: u64| (1..=7).contains(&number);
    first.is_some_and(|graph| {
        wire::fields(graph).all(|field| field.is_ok_and(|field| of_meta_graph(field.number)))
    })
}

/// Whether a file that begins with `head`, some 32 bytes, is a `saved_model.pb` beyond doubt: its
/// first meta graph begins with its description or its graph.
///
/// Where it is not, [`detect_saved_model`] may still say yes to the whole file.
#[must_use]
pub fn begins_saved_model(head: &[u8]) -> bool {
    let mut cursor = wire::Cursor::new(head);
    let mut tag = cursor.array::<1>();
    if matches!(tag, Ok([SCHEMA_VERSION])) && cursor.varint().is_ok() {
        tag = cursor.array();
    }
    matches!(tag, Ok([META_GRAPH]))
        && cursor.varint().is_ok()
        && matches!(cursor.array(), Ok([0x0a | 0x12]))
}

/// The tags of `SavedModel`'s fields.
const SCHEMA_VERSION: u8 = 0x08;
/// As [`SCHEMA_VERSION`].
const META_GRAPH: u8 = 0x12;

/// Whether `bytes` look like a frozen graph: a `GraphDef` begins with a node, and a node with its
/// name and its op.
#[must_use]
pub fn detect_graph_def(bytes: &[u8]) -> bool {
    let mut cursor = wire::Cursor::new(bytes);
    let Ok([0x0a]) = cursor.array() else { return false };
    let node = cursor.varint_len().and_then(|len| cursor.take(len));
    node.is_ok_and(|node| {
        let mut node = wire::Cursor::new(node);
        is_text_field(&mut node, 0x0a) && is_text_field(&mut node, 0x12)
    })
}

/// Whether the next field has this one-byte tag and holds a short text.
fn is_text_field(cursor: &mut wire::Cursor<'_>, tag: u8) -> bool {
    if !matches!(cursor.array(), Ok([found]) if found == tag) {
        return false;
    }
    let text = cursor.varint_len().and_then(|len| cursor.take(len));
    text.is_ok_and(|text| {
        let text = std::str::from_utf8(text).unwrap_or_default();
        !text.is_empty() && text.len() < 4096 && !text.contains(char::is_control)
    })
}

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
