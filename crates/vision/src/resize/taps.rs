//! Resizes by weighted taps: nearest, cubic, area and `ScaleAndTranslate`.
//!
//! For each target row, the source rows it takes are added up with their weights into one float
//! row, then the columns of that row are. (TensorFlow's area method adds columns first; the two
//! orders differ in rounding only.)

use super::axis::Taps;
use super::{Rule, Sample, View};

/// The row that is added up.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    row: Vec<f32>,
}

/// Resizes `source` into `target`, `[height, width, 3]`.
pub(super) fn run<T: Sample>(
    rule: Rule,
    source: &View<'_, T>,
    target: &mut [f32],
    (height, width): (usize, usize),
    scratch: &mut super::Scratch,
) {
    let rows = Taps::new(rule, source.height, height);
    let columns = Taps::new(rule, source.width, width);
    let factor = match rule {
        Rule::Area => {
            let scale = |source: usize, target: usize| source as f32 / target as f32;
            1.0 / (scale(source.height, height) * scale(source.width, width))
        }
        _ => 1.0,
    };
    let sum = &mut scratch.taps.row;
    for (line, taps) in target.chunks_exact_mut(width * 3).zip(rows.iter()) {
        sum.clear();
        sum.resize(source.width * 3, 0.0);
        for &(y, weight) in taps {
            for (sum, sample) in sum.iter_mut().zip(source.row(y)) {
                *sum += sample.to_f32() * weight;
            }
        }
        let pixels = sum.as_chunks::<3>().0;
        for (value, taps) in line.as_chunks_mut::<3>().0.iter_mut().zip(columns.iter()) {
            *value = weighted(pixels, taps).map(|v| v * factor);
        }
    }
}

fn weighted(pixels: &[[f32; 3]], taps: &[(usize, f32)]) -> [f32; 3] {
    let mut sum = [0.0; 3];
    for &(x, weight) in taps {
        let pixel = pixels.get(x).copied().unwrap_or_default();
        sum.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value * weight);
    }
    sum
}
