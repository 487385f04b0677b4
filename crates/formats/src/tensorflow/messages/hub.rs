//! TensorFlow Hub's messages: `module_def.proto`, `module_attachment.proto`,
//! `image_module_info.proto`.
#![allow(missing_docs, reason = "fields carry TensorFlow's names and are documented there")]

/// `module_def.proto`: the file `tfhub_module.pb`
#[derive(Clone, PartialEq, prost::Message)]
pub struct ModuleDef {
    /// 3 is `FORMAT_V3`, the only one in use.
    #[prost(int32, tag = "1")]
    pub format: i32,
    #[prost(string, repeated, tag = "2")]
    pub required_features: Vec<String>,
}

/// `module_attachment.proto`: a named message in the collection `hub_module_attachments`
#[derive(Clone, PartialEq, prost::Message)]
pub struct ModuleAttachment {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// `image_module_info.proto`: the attachment `image_module_info`
#[derive(Clone, PartialEq, prost::Message)]
pub struct ImageModuleInfo {
    #[prost(message, optional, tag = "1")]
    pub default_image_size: Option<ImageSize>,
}

/// `image_module_info.proto`
#[derive(Clone, PartialEq, prost::Message)]
pub struct ImageSize {
    #[prost(int32, tag = "1")]
    pub height: i32,
    #[prost(int32, tag = "2")]
    pub width: i32,
}
