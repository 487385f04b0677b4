//! TensorFlow's protobuf messages, with its own names and tag numbers; nothing is interpreted here.
//!
//! Maps are ordered, so what we write is deterministic. Parts that most readers do not need are kept
//! as the bytes they came in (`stripped_op_list`, `object_graph_def`, …): they cost nothing to read,
//! survive a round trip whole, and decode on demand with [`prost::Message::decode`].
//! Unknown fields inside messages that are decoded are dropped; the
//! `SavedModel` reader keeps the bytes of every meta graph that is not changed.

mod checkpoint;
mod function;
mod graph;
mod hub;
mod meta_graph;
mod ops;

pub use checkpoint::*;
pub use function::*;
pub use graph::*;
pub use hub::*;
pub use meta_graph::*;
pub use ops::*;
