//! Parquet: columns `path` (string), `row` (int32) and `embedding` (list of float32, row-major),
//! one row an image; the file's key `shape` holds the shape of an embedding, as JSON.
//!
//! Rows are gathered to row groups in memory. Floats are stored plainly: feature vectors do not
//! compress.

use std::io::{self, Write};
use std::mem::take;
use std::sync::{Arc, Mutex, PoisonError};

use parquet::basic::Encoding;
use parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int32Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;

use super::{Rows, Target, Writer};

/// Floats of a row group, 16 MiB; a longer embedding is a row group of its own.
const GROUP: usize = 4 << 20;

const SCHEMA: &str = "message embeddings {
    required binary path (STRING);
    required int32 row;
    required group embedding (LIST) { repeated group list { required float element; } }
}";

/// A table of columns.
#[derive(Default)]
pub(super) struct Parquet {
    file: Option<SerializedFileWriter<Buffer>>,
    buffer: Buffer,
    paths: Vec<ByteArray>,
    places: Vec<i32>,
    values: Vec<f32>,
    /// Values of one row.
    length: usize,
}

/// What the encoder wrote and the file does not have yet.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn take(&self) -> Vec<u8> {
        take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Parquet {
    fn begin(&mut self, shape: &[usize]) -> Result<(), ParquetError> {
        if self.file.is_some() {
            return Ok(());
        }
        self.length = shape.iter().product();
        let schema = Arc::new(parse_message_type(SCHEMA)?);
        let embedding = ColumnPath::from("embedding.list.element");
        let shape = serde_json::to_string(shape).unwrap_or_default();
        let properties = WriterProperties::builder()
            .set_created_by(format!("mobilenet {}", env!("CARGO_PKG_VERSION")))
            .set_key_value_metadata(Some(vec![KeyValue::new("shape".into(), shape)]))
            .set_column_dictionary_enabled(embedding.clone(), false)
            .set_column_encoding(embedding, Encoding::PLAIN);
        let properties = Arc::new(properties.build());
        self.file = Some(SerializedFileWriter::new(self.buffer.clone(), schema, properties)?);
        Ok(())
    }

    /// Writes the rows gathered so far as one row group.
    fn write_group(&mut self) -> Result<(), ParquetError> {
        let (paths, places, values) =
            (take(&mut self.paths), take(&mut self.places), take(&mut self.values));
        let Some(file) = self.file.as_mut().filter(|_| !paths.is_empty()) else { return Ok(()) };
        let mut group = file.next_row_group()?;
        if let Some(mut column) = group.next_column()? {
            column.typed::<ByteArrayType>().write_batch(&paths, None, None)?;
            column.close()?;
        }
        if let Some(mut column) = group.next_column()? {
            column.typed::<Int32Type>().write_batch(&places, None, None)?;
            column.close()?;
        }
        if let Some(mut column) = group.next_column()? {
            // A list begins where its repetition level is 0; level 1 says that there is a value.
            let begins = (0..values.len()).map(|at| i16::from(at % self.length.max(1) != 0));
            let there = vec![1; values.len()];
            let begins: Vec<i16> = begins.collect();
            column.typed::<FloatType>().write_batch(&values, Some(&there), Some(&begins))?;
            column.close()?;
        }
        group.close()?;
        Ok(())
    }
}

impl Writer for Parquet {
    fn seeks(&self) -> bool {
        true
    }

    fn add(&mut self, out: &mut dyn Write, rows: &Rows<'_>) -> io::Result<()> {
        self.begin(rows.shape).map_err(io::Error::other)?;
        let path = ByteArray::from(rows.path.to_string_lossy().as_bytes().to_vec());
        for (place, values) in rows.iter().enumerate() {
            self.paths.push(path.clone());
            self.places.push(i32::try_from(place).unwrap_or(i32::MAX));
            self.values.extend_from_slice(values);
            if self.values.len() >= GROUP {
                self.write_group().map_err(io::Error::other)?;
                out.write_all(&self.buffer.take())?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Target, _count: usize, shape: &[usize]) -> io::Result<()> {
        self.begin(shape).and_then(|()| self.write_group()).map_err(io::Error::other)?;
        if let Some(file) = self.file.take() {
            file.close().map_err(io::Error::other)?;
        }
        out.write_all(&self.buffer.take())?;
        out.flush()
    }
}
