//! Random erasing (Zhong et al., 2017): a rectangle replaced by the middle grey.

use super::random::Random;

/// Tries to find a rectangle that fits.
const ATTEMPTS: usize = 10;

/// How often, and how large a rectangle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Erasing {
    /// The probability, in [0, 1].
    pub probability: f32,
    /// The rectangle's share of the area: least and most.
    pub area: (f32, f32),
    /// Width to height: least and most.
    pub aspect: (f32, f32),
}

impl Default for Erasing {
    /// The paper's.
    fn default() -> Self {
        Self { probability: 0.5, area: (0.02, 0.33), aspect: (0.3, 3.3) }
    }
}

impl Erasing {
    pub(super) fn run(
        &self,
        random: &mut Random,
        pixels: &mut [f32],
        (height, width): (usize, usize),
    ) {
        if !random.chance(self.probability) {
            return;
        }
        for _ in 0..ATTEMPTS {
            let area = random.between(self.area.0, self.area.1) * (height * width) as f32;
            // Evenly in the logarithm, so that tall and wide are as likely.
            let aspect = random.between(self.aspect.0.ln(), self.aspect.1.ln()).exp();
            let (rows, columns) =
                ((area / aspect).sqrt() as usize, (area * aspect).sqrt() as usize);
            if (1..=height).contains(&rows) && (1..=width).contains(&columns) {
                let top = random.below(height - rows + 1);
                let left = random.below(width - columns + 1);
                let lines = pixels.chunks_exact_mut(width * 3).skip(top).take(rows);
                lines.for_each(|line| {
                    line.iter_mut().skip(left * 3).take(columns * 3).for_each(|v| *v = 0.5)
                });
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Key;
    use super::*;

    #[test]
    fn one_rectangle_of_the_right_area_turns_grey() {
        let mut random = Random::new(Key { seed: 9, epoch: 0, index: 0 });
        let erasing = Erasing { probability: 1.0, ..Erasing::default() };
        for _ in 0..100 {
            let mut pixels = vec![0.0; 32 * 32 * 3];
            erasing.run(&mut random, &mut pixels, (32, 32));
            let erased = pixels.iter().filter(|&&v| v == 0.5).count() / 3;
            assert!((10..=338).contains(&erased), "{erased}");
        }
    }
}
