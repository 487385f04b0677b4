//! `.npy`: float32 `[n, …]`. The number of rows is known at the end, so the header is written
//! with room for any number and filled in last.

use std::io::{self, SeekFrom, Write};

use mobilenet::{DType, npy};

use super::{Rows, Target, Writer};

/// A NumPy array.
#[derive(Default)]
pub(super) struct Npy {
    /// Bytes kept free for the header; 0 before the first row.
    header: usize,
}

impl Npy {
    fn begin(&mut self, out: &mut dyn Write, shape: &[usize]) -> io::Result<()> {
        if self.header == 0 {
            let room = header(usize::MAX, shape, 0)?;
            out.write_all(&room)?;
            self.header = room.len();
        }
        Ok(())
    }
}

fn header(count: usize, row: &[usize], at_least: usize) -> io::Result<Vec<u8>> {
    let shape = [&[count], row].concat();
    npy::header(DType::F32, &shape, at_least).map_err(io::Error::other)
}

impl Writer for Npy {
    fn seeks(&self) -> bool {
        true
    }

    fn add(&mut self, out: &mut dyn Write, rows: &Rows<'_>) -> io::Result<()> {
        self.begin(out, rows.shape)?;
        rows.values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))
    }

    fn finish(&mut self, out: &mut dyn Target, count: usize, shape: &[usize]) -> io::Result<()> {
        self.begin(out, shape)?;
        out.seek(SeekFrom::Start(0))?;
        out.write_all(&header(count, shape, self.header)?)?;
        out.flush()
    }
}
