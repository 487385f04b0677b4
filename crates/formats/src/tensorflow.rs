//! TensorFlow's formats: protobuf messages, tensors, tensor bundles, SavedModel and hub modules.

pub mod messages;
