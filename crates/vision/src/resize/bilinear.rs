//! Bilinear resizes, straight from the rows of the picture.
//!
//! Each needed source row is blended along its columns once, into one of two float rows; each
//! target row blends those two. The order of operations is TensorFlow's: `a + (b - a) * t` along
//! the columns, then along the rows.

use super::axis::{Grid, Pair, pairs};
use super::{Sample, View};

/// Tables for the last sizes, and the two blended rows.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    key: Option<(Grid, usize, usize)>,
    columns: Vec<Column>,
    rows: [BlendedRow; 2],
}

/// Where a target column's two pixels begin in a row of samples, and the fraction between them.
#[derive(Debug, Clone, Copy)]
struct Column {
    lower: usize,
    upper: usize,
    fraction: f32,
}

/// A source row blended along its columns, and which row that is.
#[derive(Debug, Default)]
struct BlendedRow {
    source: Option<usize>,
    values: Vec<f32>,
}

/// Resizes `source` into `target`, rows of `width` pixels.
pub(super) fn run<T: Sample>(
    grid: Grid,
    source: &View<'_, T>,
    target: &mut [f32],
    width: usize,
    scratch: &mut super::Scratch,
) {
    let Scratch { key, columns, rows: [above, below] } = &mut scratch.bilinear;
    if *key != Some((grid, source.width, width)) {
        columns.clear();
        columns.extend(pairs(grid, source.width, width).map(|pair| Column {
            lower: pair.lower * 3,
            upper: pair.upper * 3,
            fraction: pair.fraction,
        }));
        *key = Some((grid, source.width, width));
    }
    (above.source, below.source) = (None, None);
    let height = target.len() / (width * 3);
    let row_pairs = pairs(grid, source.height, height);
    for (row, Pair { lower, upper, fraction }) in target.chunks_exact_mut(width * 3).zip(row_pairs)
    {
        if below.source == Some(lower) {
            std::mem::swap(above, below);
        }
        above.fill(source, lower, columns);
        below.fill(source, upper, columns);
        blend_rows(&above.values, &below.values, fraction, row);
    }
}

impl BlendedRow {
    /// Holds row `y` of `source`, blended along `columns`.
    fn fill<T: Sample>(&mut self, source: &View<'_, T>, y: usize, columns: &[Column]) {
        if self.source != Some(y) {
            self.values.resize(columns.len() * 3, 0.0);
            blend_columns(source.row(y), columns, &mut self.values);
            self.source = Some(y);
        }
    }
}

fn blend_columns<T: Sample>(row: &[T], columns: &[Column], values: &mut [f32]) {
    let pixel = |at: usize| row.get(at..).and_then(|rest| rest.first_chunk::<3>());
    for (value, column) in values.as_chunks_mut::<3>().0.iter_mut().zip(columns) {
        let (Some(lower), Some(upper)) = (pixel(column.lower), pixel(column.upper)) else { return };
        for (value, (lower, upper)) in value.iter_mut().zip(lower.iter().zip(upper)) {
            *value = blend(lower.to_f32(), upper.to_f32(), column.fraction);
        }
    }
}

fn blend_rows(above: &[f32], below: &[f32], fraction: f32, target: &mut [f32]) {
    for (value, (&above, &below)) in target.iter_mut().zip(above.iter().zip(below)) {
        *value = blend(above, below, fraction);
    }
}

#[inline(always)]
fn blend(from: f32, to: f32, fraction: f32) -> f32 {
    from + (to - from) * fraction
}
