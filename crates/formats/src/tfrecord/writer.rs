//! Writes records one after another.

use std::io::Write;

use crate::{Result, checksum};

/// Writes records to any `Write`; nothing is buffered here.
#[derive(Debug)]
pub struct RecordWriter<W: Write> {
    writer: W,
}

impl<W: Write> RecordWriter<W> {
    /// A writer that starts, or goes on, where `writer` is.
    pub fn new(writer: W) -> Self {
        RecordWriter { writer }
    }

    /// Writes one record, in a single call of the inner `write_all`.
    ///
    /// # Errors
    /// What writing gave.
    pub fn write(&mut self, data: &[u8]) -> Result<()> {
        let len = (data.len() as u64).to_le_bytes();
        let mut record = Vec::with_capacity(data.len() + 16);
        record.extend(len);
        record.extend(checksum::masked_crc32c(&len).to_le_bytes());
        record.extend(data);
        record.extend(checksum::masked_crc32c(data).to_le_bytes());
        Ok(self.writer.write_all(&record)?)
    }

    /// Flushes the inner writer.
    ///
    /// # Errors
    /// What flushing gave.
    pub fn flush(&mut self) -> Result<()> {
        Ok(self.writer.flush()?)
    }

    /// The inner writer.
    pub fn into_inner(self) -> W {
        self.writer
    }
}
