//! Which part of the picture is taken, mirror images and rotation.

use super::random::Random;

/// Tries before the whole picture is taken.
const ATTEMPTS: usize = 100;

/// A random box of the picture, as TensorFlow's `sample_distorted_bounding_box` draws it for an
/// object that fills the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DistortedBox {
    /// The box's share of the picture's area: least and most, in (0, 1].
    pub area: (f32, f32),
    /// Width to height: least and most.
    pub aspect: (f32, f32),
}

impl Default for DistortedBox {
    /// Inception's.
    fn default() -> Self {
        Self { area: (0.05, 1.0), aspect: (0.75, 1.33) }
    }
}

impl DistortedBox {
    /// Large, and nearly of the picture's shape.
    pub const GENTLE: Self = Self { area: (0.6, 1.0), aspect: (0.85, 1.18) };

    /// `(top, left)` and `(height, width)` of a box inside a picture of `(height, width)`.
    pub(super) fn sample(
        &self,
        random: &mut Random,
        (height, width): (usize, usize),
    ) -> ((usize, usize), (usize, usize)) {
        let pixels = height as f32 * width as f32;
        let (least, most) = (self.area.0 * pixels, self.area.1.min(1.0) * pixels);
        for _ in 0..ATTEMPTS {
            let aspect = random.between(self.aspect.0, self.aspect.1);
            let highest = (most / aspect).sqrt().min(height as f32).min(width as f32 / aspect);
            let lowest = (least / aspect).sqrt().ceil();
            if lowest > highest {
                continue;
            }
            let rows = lowest as usize + random.below(highest as usize - lowest as usize + 1);
            let columns = (rows as f32 * aspect).round() as usize;
            let area = rows as f32 * columns as f32;
            if rows > 0 && columns > 0 && columns <= width && area >= least && area <= most {
                let corner = (random.below(height - rows + 1), random.below(width - columns + 1));
                return (corner, (rows, columns));
            }
        }
        ((0, 0), (height, width))
    }
}

/// The mirror image of rows of `width` pixels.
pub(super) fn flip(pixels: &mut [f32], width: usize) {
    for row in pixels.chunks_exact_mut(width * 3) {
        row.as_chunks_mut::<3>().0.reverse();
    }
}

/// Turns the picture clockwise around its middle, bilinear; what comes from outside repeats the border.
pub(super) fn rotate(pixels: &mut [f32], (height, width): (usize, usize), degrees: f32) {
    let source = pixels.to_vec();
    let source = source.as_chunks::<3>().0;
    let (sine, cosine) = degrees.to_radians().sin_cos();
    let (middle_y, middle_x) = ((height - 1) as f32 / 2.0, (width - 1) as f32 / 2.0);
    for (i, pixel) in pixels.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        let (y, x) = ((i / width) as f32 - middle_y, (i % width) as f32 - middle_x);
        let from_y = (cosine * y - sine * x + middle_y).clamp(0.0, (height - 1) as f32);
        let from_x = (sine * y + cosine * x + middle_x).clamp(0.0, (width - 1) as f32);
        let (top, left) = (from_y as usize, from_x as usize);
        let (down, right) = (from_y - top as f32, from_x - left as f32);
        let at = |y: usize, x: usize| {
            let place = y.min(height - 1) * width + x.min(width - 1);
            source.get(place).copied().unwrap_or_default()
        };
        let corners = [at(top, left), at(top, left + 1), at(top + 1, left), at(top + 1, left + 1)];
        *pixel = std::array::from_fn(|c| {
            let [a, b, d, e] = corners.map(|corner| corner[c]);
            let (upper, lower) = (a + (b - a) * right, d + (e - d) * right);
            upper + (lower - upper) * down
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::Key;
    use super::*;

    #[test]
    fn boxes_lie_inside_and_keep_their_ranges() {
        let mut random = Random::new(Key { seed: 1, epoch: 2, index: 3 });
        let ranges = DistortedBox::default();
        let mut areas = Vec::new();
        for _ in 0..2000 {
            let ((top, left), (rows, columns)) = ranges.sample(&mut random, (60, 100));
            assert!(top + rows <= 60 && left + columns <= 100 && rows > 0 && columns > 0);
            let aspect = columns as f32 / rows as f32;
            assert!((0.69..1.4).contains(&aspect) || (rows, columns) == (60, 100));
            areas.push((rows * columns) as f32 / 6000.0);
        }
        assert!(areas.iter().all(|&a| a >= 0.05));
        assert!(areas.iter().any(|&a| a < 0.1) && areas.iter().any(|&a| a > 0.6));
        assert_eq!(ranges.sample(&mut random, (1, 1)), ((0, 0), (1, 1)));
    }

    #[test]
    fn a_quarter_turn_moves_every_pixel_and_none_changes_nothing() {
        let square: Vec<f32> = (0..9u8).flat_map(|v| [f32::from(v); 3]).collect();
        let mut turned = square.clone();
        rotate(&mut turned, (3, 3), 90.0);
        let first: Vec<f32> = turned.iter().step_by(3).map(|v| v.round()).collect();
        assert_eq!(first, [6.0, 3.0, 0.0, 7.0, 4.0, 1.0, 8.0, 5.0, 2.0]);
        let mut same = square.clone();
        rotate(&mut same, (3, 3), 0.0);
        assert_eq!(same, square);
        flip(&mut same, 3);
        assert_eq!(same[0], 2.0);
    }
}
