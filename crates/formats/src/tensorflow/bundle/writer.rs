//! Writes a bundle of one shard, byte for byte as TensorFlow writes the same tensors in the same order.

use std::collections::BTreeMap;

use prost::Message as _;

use super::{VERSION, index_path, shard_path, strings};
use crate::table::TableWriter;
use crate::tensorflow::messages::{
    BundleEntryProto, BundleHeaderProto, TensorShapeProto, VersionDef,
};
use crate::{Error, ErrorKind, MemoryFiles, Result, Tensor, TensorData, checksum, elements};

/// Collects tensors; the data file holds them in the order they were added.
#[derive(Debug, Default)]
pub struct BundleWriter {
    entries: BTreeMap<String, BundleEntryProto>,
    data: Vec<u8>,
}

impl BundleWriter {
    /// Appends a tensor.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`] for an empty or repeated name.
    pub fn add(&mut self, name: &str, tensor: &Tensor) -> Result<()> {
        if name.is_empty() || name.starts_with('\0') || self.entries.contains_key(name) {
            let message = "a variable's name must be given, and given once";
            return Err(Error::new(ErrorKind::Mismatch, message).within(format!("`{name}`")));
        }
        let (bytes, crc32c) = match tensor.data() {
            TensorData::String(values) => strings::encode(values),
            data => {
                let bytes = elements::to_le_bytes(data)?;
                let crc = checksum::masked_crc32c(&bytes);
                (bytes, crc)
            }
        };
        let entry = BundleEntryProto {
            dtype: tensor.dtype().to_tensorflow(),
            shape: Some(TensorShapeProto::of(tensor.shape())),
            offset: self.data.len() as i64,
            size: bytes.len() as i64,
            crc32c,
            ..Default::default()
        };
        self.data.extend(bytes);
        self.entries.insert(name.to_owned(), entry);
        Ok(())
    }

    /// The index and the data file under `prefix` (`variables/variables`).
    ///
    /// # Errors
    /// None today; names are checked when they are added.
    pub fn finish(self, prefix: &str) -> Result<MemoryFiles> {
        let version = VersionDef { producer: VERSION, ..Default::default() };
        let header = BundleHeaderProto { num_shards: 1, endianness: 0, version: Some(version) };
        let mut index = TableWriter::default();
        index.add(b"", &header.encode_to_vec())?;
        for (name, entry) in &self.entries {
            index.add(name.as_bytes(), &entry.encode_to_vec())?;
        }
        let mut files = MemoryFiles::default();
        files.insert(index_path(prefix), index.finish());
        files.insert(shard_path(prefix, 0, 1), self.data);
        Ok(files)
    }
}
