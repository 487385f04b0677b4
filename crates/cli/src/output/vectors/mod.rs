//! Tables of feature vectors: one row an image, in several file formats. A file appears under its
//! name only when it is complete.

mod csv;
mod jsonl;
mod npy;
mod parquet;

use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use mobilenet::Tensor;
use tempfile::NamedTempFile;

use super::whole::{beside, persist};
use crate::failure::Failure;

/// A file format of tables. A new one is a file, a variant and a line in [`FORMATS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// NumPy's array file: float32 [n, …]
    Npy,
    /// One row an image: path, row, values
    Csv,
    /// One JSON object an image: {"path", "row", "shape", "embedding"}
    Jsonl,
    /// Columns path, row and embedding (a list of float32)
    Parquet,
}

type MakeWriter = fn() -> Box<dyn Writer>;

/// Endings, formats and their writers.
const FORMATS: &[(&str, Format, MakeWriter)] = &[
    ("npy", Format::Npy, || Box::new(npy::Npy::default())),
    ("csv", Format::Csv, || Box::new(csv::Csv::default())),
    ("jsonl", Format::Jsonl, || Box::new(jsonl::Jsonl)),
    ("parquet", Format::Parquet, || Box::new(parquet::Parquet::default())),
];

impl Format {
    /// The format asked for, or that of the ending of `out`.
    pub(crate) fn choose(asked: Option<Format>, out: &Path) -> Result<Format, Failure> {
        let ending = out.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let by_ending = || FORMATS.iter().find(|(known, ..)| ending.eq_ignore_ascii_case(known));
        asked.or_else(|| by_ending().map(|(_, format, _)| *format)).ok_or_else(|| {
            let known: Vec<_> = FORMATS.iter().map(|(ending, ..)| *ending).collect();
            Failure::new(format!("which format is {}?", out.display()))
                .hint(format!("add --format {}, or an ending that says it", known.join("|")))
        })
    }

    fn writer(self) -> Box<dyn Writer> {
        let known = FORMATS.iter().find(|(_, format, _)| *format == self);
        known.map_or_else(|| Box::new(jsonl::Jsonl) as Box<dyn Writer>, |(.., make)| make())
    }
}

/// The rows of one input.
pub(crate) struct Rows<'a> {
    path: &'a Path,
    /// Of one row.
    shape: &'a [usize],
    /// Row after row.
    values: &'a [f32],
    count: usize,
}

impl<'a> Rows<'a> {
    /// The rows of `tensor`, `[n, …]` float32.
    pub(crate) fn of(path: &'a Path, tensor: &'a Tensor) -> Option<Rows<'a>> {
        let (count, shape) = tensor.shape().split_first()?;
        Some(Rows { path, shape, values: tensor.as_f32()?, count: *count })
    }

    fn iter(&self) -> impl Iterator<Item = &'a [f32]> {
        let length = self.values.len() / self.count.max(1);
        self.values.chunks_exact(length.max(1)).take(self.count)
    }
}

/// Something to write a table into. Seeking is for formats with a header that counts rows.
trait Target: Write + Seek {}
impl<T: Write + Seek> Target for T {}

/// A format's way to write tables.
trait Writer {
    /// Whether it is completed at the end, so that a pipe cannot take it directly.
    fn seeks(&self) -> bool {
        false
    }

    /// Writes the rows of one input.
    fn add(&mut self, out: &mut dyn Write, rows: &Rows<'_>) -> io::Result<()>;

    /// Writes what is missing, once all rows are there: `count` of `shape`.
    fn finish(&mut self, _out: &mut dyn Target, _count: usize, _shape: &[usize]) -> io::Result<()> {
        Ok(())
    }
}

enum Sink {
    /// Becomes the file of that name.
    File(BufWriter<NamedTempFile>, PathBuf),
    /// Goes to stdout at the end.
    Spool(BufWriter<File>),
    Stdout(BufWriter<io::StdoutLock<'static>>),
}

/// A table being written.
pub(crate) struct Table {
    writer: Box<dyn Writer>,
    sink: Sink,
    paths: Option<(BufWriter<NamedTempFile>, PathBuf)>,
    /// Of a row, once there is one.
    shape: Option<Vec<usize>>,
    count: usize,
}

impl Table {
    /// Begins a table in `out` (`-` is stdout), and a list of its rows' paths in `paths`.
    pub(crate) fn create(
        out: &Path,
        paths: Option<&Path>,
        format: Format,
    ) -> Result<Table, Failure> {
        let writer = format.writer();
        let sink = match out.as_os_str() == "-" {
            true if writer.seeks() => Sink::Spool(BufWriter::new(tempfile::tempfile()?)),
            true => Sink::Stdout(BufWriter::new(io::stdout().lock())),
            false => Sink::File(beside(out)?, out.to_path_buf()),
        };
        let paths = match paths {
            Some(path) => Some((beside(path)?, path.to_path_buf())),
            None => None,
        };
        Ok(Table { writer, sink, paths, shape: None, count: 0 })
    }

    /// Adds rows. The inner error is about this input: its rows have another shape.
    pub(crate) fn add(&mut self, rows: &Rows<'_>) -> Result<Result<(), String>, Failure> {
        let shape = self.shape.get_or_insert_with(|| rows.shape.to_vec());
        if shape != rows.shape {
            return Ok(Err(format!("rows of shape {:?}, the others have {shape:?}", rows.shape)));
        }
        self.count += rows.count;
        let written = match &mut self.sink {
            Sink::File(out, _) => self.writer.add(out, rows),
            Sink::Spool(out) => self.writer.add(out, rows),
            Sink::Stdout(out) => self.writer.add(out, rows).and_then(|()| out.flush()),
        };
        written?;
        if let Some((list, _)) = &mut self.paths {
            for _ in 0..rows.count {
                list.write_all(rows.path.as_os_str().as_encoded_bytes())?;
                list.write_all(b"\n")?;
            }
        }
        Ok(Ok(()))
    }

    /// Completes the table and gives its number of rows. `shape`: of a row, if there is none.
    pub(crate) fn finish(mut self, shape: &[usize]) -> Result<usize, Failure> {
        let shape = self.shape.as_deref().unwrap_or(shape);
        match self.sink {
            Sink::File(mut out, path) => {
                self.writer.finish(&mut out, self.count, shape)?;
                persist(out, &path)?;
            }
            Sink::Spool(mut out) => {
                self.writer.finish(&mut out, self.count, shape)?;
                out.rewind()?;
                let mut file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
                io::copy(&mut file, &mut io::stdout().lock())?;
            }
            Sink::Stdout(mut out) => out.flush()?,
        }
        if let Some((list, path)) = self.paths {
            persist(list, &path)?;
        }
        Ok(self.count)
    }
}
