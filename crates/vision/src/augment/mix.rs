//! Blends of two pictures and their labels: mixup (Zhang et al., 2018), cutmix (Yun et al., 2019).
//!
//! Pictures are paired with a shifted batch: picture `i` with `i + shift`, around the end.

use super::Key;
use super::random::Random;
use crate::{Error, Result};

/// Blends each picture of a batch with another: `images`, `[n, …]`, and soft `labels`,
/// `[n, classes]`, in place. `alpha` is the beta distribution's parameter (0.2 for ImageNet).
///
/// # Errors
/// If the lengths do not divide by `count` or `alpha` is not positive.
pub fn mixup(
    images: &mut [f32],
    labels: &mut [f32],
    count: usize,
    alpha: f32,
    key: Key,
) -> Result<()> {
    check(images, labels, count, alpha)?;
    let mut random = Random::new(key);
    let keep = random.beta(f64::from(alpha));
    let shift = random.below(count.max(1));
    for values in [images, labels] {
        let other = shifted(values, count, shift);
        values.iter_mut().zip(other).for_each(|(v, other)| *v = *v * keep + other * (1.0 - keep));
    }
    Ok(())
}

/// Replaces a rectangle of each picture by another picture's: `images`, `[n, height, width, 3]`,
/// and soft `labels`, `[n, classes]`, in place; labels change by the rectangle's area.
///
/// # Errors
/// As [`mixup`], or if `images` is not of that shape.
pub fn cutmix(
    images: &mut [f32],
    labels: &mut [f32],
    (count, height, width): (usize, usize, usize),
    alpha: f32,
    key: Key,
) -> Result<()> {
    check(images, labels, count, alpha)?;
    let expected = [count, height, width].iter().try_fold(3usize, |n, &side| n.checked_mul(side));
    if expected != Some(images.len()) {
        return Err(Error::argument("cutmix: the images are not [n, height, width, 3]"));
    }
    if images.is_empty() {
        return Ok(());
    }
    let mut random = Random::new(key);
    let side = (1.0 - random.beta(f64::from(alpha))).sqrt();
    let shift = random.below(count);
    let (rows, top) = span(&mut random, height, side);
    let (columns, left) = span(&mut random, width, side);
    let other = shifted(images, count, shift);
    let lines = images.chunks_exact_mut(width * 3).zip(other.chunks_exact(width * 3)).enumerate();
    for (_, (line, other)) in lines.filter(|(i, _)| (top..top + rows).contains(&(i % height))) {
        let part = left * 3..(left + columns) * 3;
        if let (Some(line), Some(other)) = (line.get_mut(part.clone()), other.get(part)) {
            line.copy_from_slice(other);
        }
    }
    let taken = (rows * columns) as f32 / (height * width) as f32;
    let other = shifted(labels, count, shift);
    labels.iter_mut().zip(other).for_each(|(v, other)| *v = *v * (1.0 - taken) + other * taken);
    Ok(())
}

/// A stretch of about `share` of `side` around a random middle, cut at the ends: length and start.
fn span(random: &mut Random, side: usize, share: f32) -> (usize, usize) {
    let half = (side as f32 * share / 2.0) as usize;
    let middle = random.below(side);
    let (start, end) = (middle.saturating_sub(half), (middle + half).min(side));
    (end - start, start)
}

/// The values of picture `i + shift` in the place of picture `i`.
fn shifted(values: &[f32], count: usize, shift: usize) -> Vec<f32> {
    let mut other = values.to_vec();
    if let Some(picture) = values.len().checked_div(count) {
        other.rotate_left(shift * picture);
    }
    other
}

fn check(images: &[f32], labels: &[f32], count: usize, alpha: f32) -> Result<()> {
    let divides =
        |length: usize| if count == 0 { length == 0 } else { length.is_multiple_of(count) };
    if !divides(images.len())
        || !divides(labels.len())
        || alpha.is_nan()
        || alpha <= 0.0
        || alpha.is_infinite()
    {
        return Err(Error::argument(format!(
            "cannot blend {} values and {} labels of {count} pictures with alpha {alpha}",
            images.len(),
            labels.len()
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key { seed: 1, epoch: 1, index: 1 };

    #[test]
    fn labels_change_by_the_share_of_the_picture_that_does() {
        for index in 0..50 {
            let key = Key { index, ..KEY };
            // Picture i is all i, its label is one-hot.
            let mut images: Vec<f32> = (0..4u8).flat_map(|i| [f32::from(i); 8 * 6 * 3]).collect();
            let mut labels: Vec<f32> =
                (0..16).map(|i| if i % 5 == 0 { 1.0 } else { 0.0 }).collect();
            if index % 2 == 0 {
                mixup(&mut images, &mut labels, 4, 0.4, key).unwrap();
            } else {
                cutmix(&mut images, &mut labels, (4, 8, 6), 1.0, key).unwrap();
            }
            for (image, label) in images.chunks(8 * 6 * 3).zip(labels.chunks(4)) {
                let mean = image.iter().sum::<f32>() / image.len() as f32;
                let by_label: f32 = (0..4u8).zip(label).map(|(i, l)| f32::from(i) * l).sum();
                assert!((mean - by_label).abs() < 1e-4, "{mean} {by_label}");
                assert!((label.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn impossible_batches_are_errors() {
        assert!(mixup(&mut [0.0; 5], &mut [0.0; 2], 2, 1.0, KEY).is_err());
        assert!(mixup(&mut [0.0; 4], &mut [0.0; 2], 2, 0.0, KEY).is_err());
        assert!(cutmix(&mut [0.0; 4], &mut [0.0; 2], (2, 1, 1), 1.0, KEY).is_err());
        assert!(cutmix(&mut [], &mut [], (0, 4, 4), 1.0, KEY).is_ok());
    }
}
