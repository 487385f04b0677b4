//! CSV: `path,row,0,1,…`, one row an image. `row` counts within an input: 0 for an image, the
//! place in the array for an array. Values of end points come in row-major order.

use std::io::{self, Write};

use super::{Rows, Writer};

/// Rows of numbers.
#[derive(Default)]
pub(super) struct Csv {
    begun: bool,
}

impl Writer for Csv {
    fn add(&mut self, out: &mut dyn Write, rows: &Rows<'_>) -> io::Result<()> {
        let mut csv = csv::Writer::from_writer(out);
        if !std::mem::replace(&mut self.begun, true) {
            let columns = (0..rows.shape.iter().product()).map(|column: usize| column.to_string());
            csv.write_record(["path".into(), "row".into()].into_iter().chain(columns))?;
        }
        let path = rows.path.to_string_lossy();
        for (row, values) in rows.iter().enumerate() {
            csv.write_field(&*path)?;
            csv.write_field(row.to_string())?;
            for value in values {
                csv.write_field(value.to_string())?;
            }
            csv.write_record(None::<&[u8]>)?;
        }
        csv.flush()
    }
}
