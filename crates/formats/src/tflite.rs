//! TFLite files: the FlatBuffer of a model, the metadata in it and the label files behind it.
//!
//! [`Model`] is the whole file as plain structs, in the public schema's vocabulary; it is read with
//! [`Model::read`] and written with [`Model::write`]. Constants and quantisation parameters come out
//! checked ([`Model::constant`], [`Tensor::affine`]); [`ModelMetadata`] says how to feed the model,
//! and [`associated_files`] holds its labels. Which operators a graph may use, and what they mean, is
//! the engine's business.
//!
//! # Layout
//!
//! ```text
//! FlatBuffer  root table Model, identifier "TFL3" at byte 4: see `flatbuffer.rs` and `schema.rs`
//! (bytes)     in files over 2 GiB, buffers that Buffer.offset points to
//! zip         optional, uncompressed: label files; offsets count from the start of the file
//! ```

#[macro_use]
mod declare;
mod flatbuffer;
mod metadata;
mod operators;
mod options;
mod pack;
mod schema;
mod tensor;

pub use metadata::*;
pub use operators::BuiltinOperator;
pub use options::*;
pub use pack::{append_files, associated_files};
pub use schema::*;
pub use tensor::Affine;

use crate::error::Within;
use crate::{Error, ErrorKind, Limits, Result};
use flatbuffer::{Fault, Malformed, Outcome, Reader, Writer};

const IDENTIFIER: &[u8; 4] = b"TFL3";
const METADATA_IDENTIFIER: &[u8; 4] = b"M001";

/// The name under which a model keeps its [`ModelMetadata`].
const METADATA_NAME: &str = "TFLITE_METADATA";

/// Whether `bytes` begin like a TFLite file.
#[must_use]
pub fn detect(bytes: &[u8]) -> bool {
    bytes.get(4..8) == Some(IDENTIFIER)
}

impl Model {
    /// Reads a model; a zip behind it is left to [`associated_files`].
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] with byte and field where an offset, length or string is wrong,
    /// [`ErrorKind::Limit`] beyond `limits.file_bytes` or for files whose tables, by sharing, decode
    /// to many times their size.
    ///
    /// ```
    /// use mobilenet_formats::{Limits, tflite};
    ///
    /// let mut model = tflite::Model { version: 3, ..Default::default() };
    /// model.buffers.push(tflite::Buffer::default());
    /// let bytes = model.write()?;
    /// assert!(tflite::detect(&bytes));
    /// assert_eq!(tflite::Model::read(&bytes, &Limits::default())?, model);
    /// # Ok::<(), mobilenet_formats::Error>(())
    /// ```
    pub fn read(bytes: &[u8], limits: &Limits) -> Result<Self> {
        let reader = reader(bytes, limits).within(|| "tflite")?;
        let model = reader.root::<Model>(IDENTIFIER).and_then(|model| fetch(model, &reader));
        model.within(|| "tflite")
    }

    /// Writes the model. The same model always gives the same bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for options or details that were read as `Unknown`,
    /// [`ErrorKind::Limit`] for models over 2 GiB.
    pub fn write(&self) -> Result<Vec<u8>> {
        Writer::file(self, IDENTIFIER).within(|| "tflite")
    }

    /// What the file says about the model, if anything.
    ///
    /// # Errors
    /// As [`Model::read`], for the metadata's own FlatBuffer.
    pub fn metadata(&self, limits: &Limits) -> Result<Option<ModelMetadata>> {
        let named = self.metadata.iter().find(|entry| entry.name == METADATA_NAME);
        let Some(buffer) = named.map(|entry| entry.buffer) else { return Ok(None) };
        let bytes = self.buffer(buffer).within(|| METADATA_NAME)?;
        let reader = reader(bytes, limits).within(|| METADATA_NAME)?;
        reader.root(METADATA_IDENTIFIER).map(Some).within(|| METADATA_NAME)
    }

    /// Stores what there is to say about the model, in place of what was there.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for parts that were read as `Unknown`.
    pub fn set_metadata(&mut self, metadata: &ModelMetadata) -> Result<()> {
        let bytes = Writer::file(metadata, METADATA_IDENTIFIER).within(|| METADATA_NAME)?;
        let data = Buffer { data: bytes, ..Buffer::default() };
        let known = self.metadata.iter().find(|entry| entry.name == METADATA_NAME);
        match known.and_then(|entry| self.buffers.get_mut(entry.buffer as usize)) {
            Some(buffer) => *buffer = data,
            None => {
                let buffer = self.add_buffer(data)?;
                self.metadata.retain(|entry| entry.name != METADATA_NAME);
                self.metadata.push(Metadata { name: METADATA_NAME.into(), buffer });
            }
        }
        Ok(())
    }

    /// The bytes of buffer `index`.
    ///
    /// # Errors
    /// [`ErrorKind::Mismatch`] where the model has no such buffer.
    pub fn buffer(&self, index: u32) -> Result<&[u8]> {
        let buffer = self.buffers.get(index as usize).map(|buffer| buffer.data.as_slice());
        buffer.ok_or_else(|| {
            let message = format!("buffer {index} of {}", self.buffers.len());
            Error::new(ErrorKind::Mismatch, message)
        })
    }

    /// Appends a buffer, after the empty buffer 0 that the format wants; returns its index.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`] beyond 2³² buffers.
    pub fn add_buffer(&mut self, buffer: Buffer) -> Result<u32> {
        if self.buffers.is_empty() {
            self.buffers.push(Buffer::default());
        }
        let index = u32::try_from(self.buffers.len())
            .map_err(|_| Error::new(ErrorKind::Limit, "more than 2^32 buffers"))?;
        self.buffers.push(buffer);
        Ok(index)
    }

    /// The operator an [`Operator`] of this model performs.
    #[must_use]
    pub fn operator_code(&self, operator: &Operator) -> Option<&OperatorCode> {
        self.operator_codes.get(operator.opcode_index as usize)
    }
}

/// A reader whose values may outgrow the file, but not without bound.
fn reader<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Reader<'a>> {
    let len = bytes.len() as u64;
    Limits::check("bytes of the file", len, limits.file_bytes)?;
    Ok(Reader::new(bytes, len.saturating_mul(16).saturating_add(1 << 20)))
}

/// Brings buffers and custom options that lie behind the FlatBuffer into their tables.
fn fetch(mut model: Model, reader: &Reader<'_>) -> Outcome<Model> {
    let bytes = |offset: u64, size: u64| {
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        let len = usize::try_from(size).unwrap_or(usize::MAX);
        reader.spend(at, len)?;
        reader.take(at, len).map(<[u8]>::to_vec)
    };
    for (i, buffer) in model.buffers.iter_mut().enumerate() {
        if buffer.offset > 1 {
            buffer.data = bytes(buffer.offset, buffer.size)
                .map_err(|e| e.inside("data").inside(&format!("buffers[{i}]")))?;
        }
        (buffer.offset, buffer.size) = (0, 0);
    }
    for operator in model.subgraphs.iter_mut().flat_map(|graph| &mut graph.operators) {
        let (offset, size) =
            (&mut operator.large_custom_options_offset, &mut operator.large_custom_options_size);
        if *offset > 1 {
            operator.custom_options =
                bytes(*offset, *size).map_err(|e| e.inside("custom_options"))?;
        }
        (*offset, *size) = (0, 0);
    }
    Ok(model)
}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Self {
        let kind = match malformed.fault {
            Fault::Bytes => ErrorKind::Malformed,
            Fault::Limit => ErrorKind::Limit,
            Fault::Unsupported => ErrorKind::Unsupported,
        };
        let error = Error::new(kind, malformed.what).offset(malformed.at as u64);
        if malformed.path.is_empty() { error } else { error.within(malformed.path) }
    }
}

#[cfg(test)]
mod tests;
