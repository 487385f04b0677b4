//! Bilinear resizes, straight from the rows of the picture.
//!
//! Each needed source row is blended along its columns once, into one of two float rows; each
//! target row blends those two. The order of operations is TensorFlow's: `a + (b - a) * t` along
//! the columns, then along the rows.

use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch, f32x4};

use super::axis::{Grid, Pair, pairs};
use super::{Sample, View};

/// Tables for the last sizes, and the two blended rows.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    key: Option<(Grid, usize, usize)>,
    columns: Vec<Column>,
    rows: [BlendedRow; 2],
    /// A source row as floats.
    floats: Vec<f32>,
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
    let scratch = &mut scratch.bilinear;
    let key = Some((grid, source.width, width));
    if scratch.key != key {
        scratch.columns.clear();
        scratch.columns.extend(pairs(grid, source.width, width).map(|pair| Column {
            lower: pair.lower * 3,
            upper: pair.upper * 3,
            fraction: pair.fraction,
        }));
        scratch.key = key;
    }
    let row_pairs = pairs(grid, source.height, target.len() / (width * 3));
    dispatch!(Level::new(), simd => scratch.rows(simd, source, target, row_pairs));
}

impl Scratch {
    #[inline(always)]
    fn rows<S: Simd, T: Sample>(
        &mut self,
        simd: S,
        source: &View<'_, T>,
        target: &mut [f32],
        row_pairs: impl Iterator<Item = Pair>,
    ) {
        let [above, below] = &mut self.rows;
        (above.source, below.source) = (None, None);
        let rows = target.chunks_exact_mut(self.columns.len() * 3);
        for (row, Pair { lower, upper, fraction }) in rows.zip(row_pairs) {
            if below.source == Some(lower) {
                std::mem::swap(above, below);
            }
            above.fill(simd, (source, lower), &self.columns, &mut self.floats);
            below.fill(simd, (source, upper), &self.columns, &mut self.floats);
            blend_rows(&above.values, &below.values, fraction, row);
        }
    }
}

impl BlendedRow {
    /// Holds row `y` of `source`, blended along `columns`; `floats` is for the row's own use.
    #[inline(always)]
    fn fill<S: Simd, T: Sample>(
        &mut self,
        simd: S,
        (source, y): (&View<'_, T>, usize),
        columns: &[Column],
        floats: &mut Vec<f32>,
    ) {
        if self.source == Some(y) {
            return;
        }
        self.source = Some(y);
        let row = source.row(y);
        floats.resize(row.len() + PADDING, 0.0);
        floats.iter_mut().zip(row).for_each(|(float, sample)| *float = sample.to_f32());
        self.values.resize(columns.len() * 3 + PADDING, 0.0);
        blend_columns(simd, floats, columns, &mut self.values);
    }
}

/// Each pixel is read and written with one float too many; the next one writes over it.
const PADDING: usize = 1;

#[inline(always)]
fn blend_columns<S: Simd>(simd: S, row: &[f32], columns: &[Column], values: &mut [f32]) {
    let pixel = |at: usize| row.get(at..).and_then(|rest| rest.first_chunk::<4>());
    for (i, column) in columns.iter().enumerate() {
        let out = values.get_mut(i * 3..).and_then(|rest| rest.first_chunk_mut::<4>());
        let (Some(lower), Some(upper), Some(out)) = (pixel(column.lower), pixel(column.upper), out)
        else {
            return;
        };
        let (lower, upper) = (f32x4::simd_from(simd, *lower), f32x4::simd_from(simd, *upper));
        *out = (lower + (upper - lower) * f32x4::splat(simd, column.fraction)).into();
    }
}

#[inline(always)]
fn blend_rows(above: &[f32], below: &[f32], fraction: f32, target: &mut [f32]) {
    for (value, (&above, &below)) in target.iter_mut().zip(above.iter().zip(below)) {
        *value = above + (below - above) * fraction;
    }
}
