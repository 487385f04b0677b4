//! Checkpoints: `tensor_bundle.proto`, `tensor_slice.proto`, `saved_tensor_slice.proto`.
#![allow(missing_docs, reason = "fields carry TensorFlow's names and are documented there")]

use super::{TensorProto, TensorShapeProto, VersionDef};

/// `tensor_bundle.proto`
#[derive(Clone, PartialEq, prost::Message)]
pub struct BundleHeaderProto {
    #[prost(int32, tag = "1")]
    pub num_shards: i32,
    /// 0 little, 1 big.
    #[prost(int32, tag = "2")]
    pub endianness: i32,
    #[prost(message, optional, tag = "3")]
    pub version: Option<VersionDef>,
}

/// `tensor_bundle.proto`
#[derive(Clone, PartialEq, prost::Message)]
pub struct BundleEntryProto {
    #[prost(int32, tag = "1")]
    pub dtype: i32,
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShapeProto>,
    #[prost(int32, tag = "3")]
    pub shard_id: i32,
    #[prost(int64, tag = "4")]
    pub offset: i64,
    #[prost(int64, tag = "5")]
    pub size: i64,
    /// Masked CRC-32C of the `size` bytes.
    #[prost(fixed32, tag = "6")]
    pub crc32c: u32,
    /// Not empty for a partitioned tensor, whose parts are entries of their own.
    #[prost(message, repeated, tag = "7")]
    pub slices: Vec<TensorSliceProto>,
}

/// `tensor_slice.proto`
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorSliceProto {
    #[prost(message, repeated, tag = "1")]
    pub extent: Vec<tensor_slice_proto::Extent>,
}

/// Parts of [`TensorSliceProto`].
pub mod tensor_slice_proto {
    /// A range of one dimension; no `length` is the whole dimension.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Extent {
        #[prost(int64, tag = "1")]
        pub start: i64,
        #[prost(int64, optional, tag = "2")]
        pub length: Option<i64>,
    }
}

/// `saved_tensor_slice.proto`: one tensor of a V1 checkpoint
#[derive(Clone, PartialEq, prost::Message)]
pub struct SavedSliceMeta {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShapeProto>,
    #[prost(int32, tag = "3")]
    pub r#type: i32,
    #[prost(message, repeated, tag = "4")]
    pub slice: Vec<TensorSliceProto>,
}

/// `saved_tensor_slice.proto`: all tensors of a V1 checkpoint
#[derive(Clone, PartialEq, prost::Message)]
pub struct SavedTensorSliceMeta {
    #[prost(message, repeated, tag = "1")]
    pub tensor: Vec<SavedSliceMeta>,
    #[prost(message, optional, tag = "2")]
    pub versions: Option<VersionDef>,
}

/// `saved_tensor_slice.proto`: the values of one slice
#[derive(Clone, PartialEq, prost::Message)]
pub struct SavedSlice {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub slice: Option<TensorSliceProto>,
    #[prost(message, optional, tag = "3")]
    pub data: Option<TensorProto>,
}

/// `saved_tensor_slice.proto`: one record of a V1 checkpoint
#[derive(Clone, PartialEq, prost::Message)]
pub struct SavedTensorSlices {
    #[prost(message, optional, tag = "1")]
    pub meta: Option<SavedTensorSliceMeta>,
    #[prost(message, optional, tag = "2")]
    pub data: Option<SavedSlice>,
}

/// `trackable_object_graph.proto`: the objects of a TensorFlow 2 checkpoint; children are left out.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TrackableObjectGraph {
    #[prost(message, repeated, tag = "1")]
    pub nodes: Vec<TrackableObject>,
}

/// `trackable_object_graph.proto`
#[derive(Clone, PartialEq, prost::Message)]
pub struct TrackableObject {
    #[prost(message, repeated, tag = "2")]
    pub attributes: Vec<SerializedTensor>,
}

/// `trackable_object_graph.proto`: a value of an object and where the checkpoint keeps it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SerializedTensor {
    #[prost(string, tag = "1")]
    pub name: String,
    /// The variable's name.
    #[prost(string, tag = "2")]
    pub full_name: String,
    /// The key in the bundle.
    #[prost(string, tag = "3")]
    pub checkpoint_key: String,
}
