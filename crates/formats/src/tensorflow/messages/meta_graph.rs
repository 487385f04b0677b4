//! SavedModel and its meta graphs: `saved_model.proto`, `meta_graph.proto`, `saver.proto`,
//! `variable.proto`.
#![allow(missing_docs, reason = "fields carry TensorFlow's names and are documented there")]

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message as _;

use super::{GraphDef, OpList, TensorShapeProto};
use crate::Result;

/// `saved_model.proto`, with the meta graphs undecoded.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SavedModel {
    #[prost(int64, tag = "1")]
    pub saved_model_schema_version: i64,
    /// Serialised [`MetaGraphDef`]s.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub meta_graphs: Vec<Bytes>,
}

/// `meta_graph.proto`
#[derive(Clone, PartialEq, prost::Message)]
pub struct MetaGraphDef {
    #[prost(message, optional, tag = "1")]
    pub meta_info_def: Option<meta_graph_def::MetaInfoDef>,
    #[prost(message, optional, tag = "2")]
    pub graph_def: Option<GraphDef>,
    #[prost(message, optional, tag = "3")]
    pub saver_def: Option<SaverDef>,
    #[prost(btree_map = "string, message", tag = "4")]
    pub collection_def: BTreeMap<String, CollectionDef>,
    #[prost(btree_map = "string, message", tag = "5")]
    pub signature_def: BTreeMap<String, SignatureDef>,
    #[prost(message, repeated, tag = "6")]
    pub asset_file_def: Vec<AssetFileDef>,
    /// `SavedObjectGraph`, undecoded.
    #[prost(bytes = "bytes", optional, tag = "7")]
    pub object_graph_def: Option<Bytes>,
}

/// Parts of [`MetaGraphDef`].
pub mod meta_graph_def {
    use super::*;

    /// `MetaGraphDef.MetaInfoDef`
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct MetaInfoDef {
        #[prost(string, tag = "1")]
        pub meta_graph_version: String,
        /// Serialised [`OpList`]; see [`MetaInfoDef::op_list`].
        #[prost(bytes = "bytes", optional, tag = "2")]
        pub stripped_op_list: Option<Bytes>,
        /// `google.protobuf.Any`, undecoded.
        #[prost(bytes = "bytes", optional, tag = "3")]
        pub any_info: Option<Bytes>,
        #[prost(string, repeated, tag = "4")]
        pub tags: Vec<String>,
        #[prost(string, tag = "5")]
        pub tensorflow_version: String,
        #[prost(string, tag = "6")]
        pub tensorflow_git_version: String,
        #[prost(bool, tag = "7")]
        pub stripped_default_attrs: bool,
        #[prost(btree_map = "string, string", tag = "8")]
        pub function_aliases: BTreeMap<String, String>,
    }

    impl MetaInfoDef {
        /// The definitions of the ops in the graph, decoded; empty where the file has none.
        ///
        /// # Errors
        /// [`ErrorKind::Malformed`](crate::ErrorKind::Malformed) when the bytes are no `OpList`.
        pub fn op_list(&self) -> Result<OpList> {
            Ok(OpList::decode(self.stripped_op_list.clone().unwrap_or_default())?)
        }
    }
}

/// `meta_graph.proto`
#[derive(Clone, PartialEq, prost::Message)]
pub struct CollectionDef {
    #[prost(oneof = "collection_def::Kind", tags = "1, 2, 3, 4, 5")]
    pub kind: Option<collection_def::Kind>,
}

/// Parts of [`CollectionDef`].
pub mod collection_def {
    use super::Bytes;

    /// What a collection holds.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Kind {
        /// Names of tensors (`a:0`) or operations (`a`).
        #[prost(message, tag = "1")]
        NodeList(NodeList),
        /// Serialised messages, such as `VariableDef`.
        #[prost(message, tag = "2")]
        BytesList(BytesList),
        #[prost(message, tag = "3")]
        Int64List(Int64List),
        #[prost(message, tag = "4")]
        FloatList(FloatList),
        #[prost(message, tag = "5")]
        AnyList(AnyList),
    }

    /// `CollectionDef.NodeList`
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct NodeList {
        #[prost(string, repeated, tag = "1")]
        pub value: Vec<String>,
    }

    /// `CollectionDef.BytesList`
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct BytesList {
        #[prost(bytes = "bytes", repeated, tag = "1")]
        pub value: Vec<Bytes>,
    }

    /// `CollectionDef.Int64List`
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Int64List {
        #[prost(int64, repeated, tag = "1")]
        pub value: Vec<i64>,
    }

    /// `CollectionDef.FloatList`
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct FloatList {
        #[prost(float, repeated, tag = "1")]
        pub value: Vec<f32>,
    }

    /// `CollectionDef.AnyList`, its `google.protobuf.Any`s undecoded
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct AnyList {
        #[prost(bytes = "bytes", repeated, tag = "1")]
        pub value: Vec<Bytes>,
    }
}

/// `meta_graph.proto`
#[derive(Clone, PartialEq, prost::Message)]
pub struct SignatureDef {
    #[prost(btree_map = "string, message", tag = "1")]
    pub inputs: BTreeMap<String, TensorInfo>,
    #[prost(btree_map = "string, message", tag = "2")]
    pub outputs: BTreeMap<String, TensorInfo>,
    #[prost(string, tag = "3")]
    pub method_name: String,
    #[prost(btree_map = "string, message", tag = "4")]
    pub defaults: BTreeMap<String, super::TensorProto>,
}

/// `meta_graph.proto`
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorInfo {
    #[prost(oneof = "tensor_info::Encoding", tags = "1, 4, 5")]
    pub encoding: Option<tensor_info::Encoding>,
    #[prost(int32, tag = "2")]
    pub dtype: i32,
    #[prost(message, optional, tag = "3")]
    pub tensor_shape: Option<TensorShapeProto>,
}

impl TensorInfo {
    /// The tensor's name in the graph (`hub_input/images:0`), if it is a plain dense tensor.
    pub fn name(&self) -> Option<&str> {
        match &self.encoding {
            Some(tensor_info::Encoding::Name(name)) => Some(name),
            _ => None,
        }
    }
}

/// Parts of [`TensorInfo`].
pub mod tensor_info {
    use super::Bytes;

    /// How the tensor is represented in the graph.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Encoding {
        #[prost(string, tag = "1")]
        Name(String),
        #[prost(message, tag = "4")]
        CooSparse(CooSparse),
        /// `TensorInfo.CompositeTensor`, undecoded.
        #[prost(bytes = "bytes", tag = "5")]
        CompositeTensor(Bytes),
    }

    /// `TensorInfo.CooSparse`
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct CooSparse {
        #[prost(string, tag = "1")]
        pub values_tensor_name: String,
        #[prost(string, tag = "2")]
        pub indices_tensor_name: String,
        #[prost(string, tag = "3")]
        pub dense_shape_tensor_name: String,
    }
}

/// `meta_graph.proto`
#[derive(Clone, PartialEq, prost::Message)]
pub struct AssetFileDef {
    #[prost(message, optional, tag = "1")]
    pub tensor_info: Option<TensorInfo>,
    #[prost(string, tag = "2")]
    pub filename: String,
}

/// `saver.proto`
#[derive(Clone, PartialEq, prost::Message)]
pub struct SaverDef {
    #[prost(string, tag = "1")]
    pub filename_tensor_name: String,
    #[prost(string, tag = "2")]
    pub save_tensor_name: String,
    #[prost(string, tag = "3")]
    pub restore_op_name: String,
    #[prost(int32, tag = "4")]
    pub max_to_keep: i32,
    #[prost(bool, tag = "5")]
    pub sharded: bool,
    #[prost(float, tag = "6")]
    pub keep_checkpoint_every_n_hours: f32,
    /// 0 legacy, 1 V1, 2 V2.
    #[prost(int32, tag = "7")]
    pub version: i32,
}

/// `variable.proto`
#[derive(Clone, PartialEq, prost::Message)]
pub struct VariableDef {
    #[prost(string, tag = "1")]
    pub variable_name: String,
    #[prost(string, tag = "6")]
    pub initial_value_name: String,
    #[prost(string, tag = "2")]
    pub initializer_name: String,
    #[prost(string, tag = "3")]
    pub snapshot_name: String,
    #[prost(message, optional, tag = "4")]
    pub save_slice_info_def: Option<SaveSliceInfoDef>,
    #[prost(bool, tag = "5")]
    pub is_resource: bool,
    #[prost(bool, tag = "7")]
    pub trainable: bool,
    /// `VariableSynchronization`
    #[prost(int32, tag = "8")]
    pub synchronization: i32,
    /// `VariableAggregation`
    #[prost(int32, tag = "9")]
    pub aggregation: i32,
}

/// `variable.proto`
#[derive(Clone, PartialEq, prost::Message)]
pub struct SaveSliceInfoDef {
    #[prost(string, tag = "1")]
    pub full_name: String,
    #[prost(int64, repeated, tag = "2")]
    pub full_shape: Vec<i64>,
    #[prost(int64, repeated, tag = "3")]
    pub var_offset: Vec<i64>,
    #[prost(int64, repeated, tag = "4")]
    pub var_shape: Vec<i64>,
}
