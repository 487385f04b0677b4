//! JSON lines: `{"path", "row", "shape", "embedding"}`, one object an image; the values in
//! row-major order.

use std::io::{self, Write};

use serde::Serialize;

use super::{Rows, Writer};

#[derive(Serialize)]
struct Object<'a> {
    path: &'a str,
    row: usize,
    shape: &'a [usize],
    embedding: &'a [f32],
}

/// One object a line.
pub(super) struct Jsonl;

impl Writer for Jsonl {
    fn add(&mut self, out: &mut dyn Write, rows: &Rows<'_>) -> io::Result<()> {
        let path = &rows.path.to_string_lossy();
        for (row, embedding) in rows.iter().enumerate() {
            serde_json::to_writer(&mut *out, &Object { path, row, shape: rows.shape, embedding })?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }
}
