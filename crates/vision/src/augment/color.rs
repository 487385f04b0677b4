//! Changes of colour: brightness, contrast, saturation and hue, as TensorFlow computes them.

use super::random::Random;

/// The largest changes. Factors are drawn between `1 - change` and `1 + change`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ColorJitter {
    /// Added to every value, either way, in [0, 1].
    pub brightness: f32,
    /// How far values move from (or to) their channel's mean, in [0, 1].
    pub contrast: f32,
    /// How much saturation changes, in [0, 1].
    pub saturation: f32,
    /// Turn of the colour circle, either way, in [0, 0.5].
    pub hue: f32,
}

impl ColorJitter {
    /// Slim's, in Inception's preprocessing.
    pub fn inception() -> Self {
        Self { brightness: 32.0 / 255.0, contrast: 0.5, saturation: 0.5, hue: 0.2 }
    }

    pub(super) fn is_sane(&self) -> bool {
        let unit = [self.brightness, self.contrast, self.saturation];
        unit.iter().all(|v| (0.0..=1.0).contains(v)) && (0.0..=0.5).contains(&self.hue)
    }

    /// Changes `pixels`, `[n, 3]`, values in [0, 1]; the order of the changes is random.
    pub(super) fn run(&self, random: &mut Random, pixels: &mut [f32]) {
        if *self == Self::default() {
            return;
        }
        let pixels = pixels.as_chunks_mut::<3>().0;
        let draw = |random: &mut Random, most: f32| random.between(-most, most);
        let brightness = draw(random, self.brightness);
        let contrast = 1.0 + draw(random, self.contrast);
        let saturation = 1.0 + draw(random, self.saturation);
        let hue = draw(random, self.hue);
        let mut order = [0, 1, 2];
        order.swap(0, random.below(3));
        order.swap(1, 1 + random.below(2));
        for step in order {
            match step {
                0 => pixels.as_flattened_mut().iter_mut().for_each(|v| *v += brightness),
                1 => adjust_contrast(pixels, contrast),
                _ => pixels.iter_mut().for_each(|p| *p = turn(*p, hue, saturation)),
            }
        }
        pixels.as_flattened_mut().iter_mut().for_each(|v| *v = v.clamp(0.0, 1.0));
    }
}

/// `tf.image.adjust_contrast`: away from each channel's mean.
fn adjust_contrast(pixels: &mut [[f32; 3]], factor: f32) {
    let mut sums = [0.0f64; 3];
    for pixel in pixels.iter() {
        sums.iter_mut().zip(pixel).for_each(|(sum, &v)| *sum += f64::from(v));
    }
    let means = sums.map(|sum| (sum / pixels.len() as f64) as f32);
    for pixel in pixels {
        pixel.iter_mut().zip(means).for_each(|(v, mean)| *v = (*v - mean) * factor + mean);
    }
}

/// `tf.image.adjust_hue` and `adjust_saturation` at once: to hue, saturation and value, and back.
fn turn(rgb: [f32; 3], hue_turn: f32, saturation_factor: f32) -> [f32; 3] {
    let [r, g, b] = rgb.map(|v| v.clamp(0.0, 1.0));
    let value = r.max(g).max(b);
    let range = value - r.min(g).min(b);
    if range <= 0.0 {
        return [value; 3];
    }
    let sixth = if value == r {
        (g - b) / range
    } else if value == g {
        2.0 + (b - r) / range
    } else {
        4.0 + (r - g) / range
    };
    let hue = (sixth / 6.0 + hue_turn).rem_euclid(1.0) * 6.0;
    let chroma = value * (range / value * saturation_factor).clamp(0.0, 1.0);
    // Each channel falls off with its distance from its own hue (red 0, green 2, blue 4).
    [(hue - 3.0).abs() - 1.0, 2.0 - (hue - 2.0).abs(), 2.0 - (hue - 4.0).abs()]
        .map(|share| value + chroma * (share.clamp(0.0, 1.0) - 1.0))
}

#[cfg(test)]
mod tests {
    use super::super::Key;
    use super::*;

    #[track_caller]
    fn close(a: [f32; 3], b: [f32; 3]) {
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6), "{a:?} is not {b:?}");
    }

    #[test]
    fn a_third_of_a_turn_moves_red_to_green_and_grey_stays() {
        close(turn([1.0, 0.0, 0.0], 1.0 / 3.0, 1.0), [0.0, 1.0, 0.0]);
        close(turn([0.0, 0.5, 0.25], -1.0 / 3.0, 1.0), [0.5, 0.25, 0.0]);
        close(turn([0.4; 3], 0.2, 1.5), [0.4; 3]);
        close(turn([0.8, 0.4, 0.2], 0.0, 1.0), [0.8, 0.4, 0.2]);
        close(turn([0.8, 0.4, 0.2], 0.0, 0.0), [0.8; 3]);
        close(turn([0.2, 0.7, 0.9], 1.0, 1.0), [0.2, 0.7, 0.9]);
    }

    #[test]
    fn contrast_keeps_the_mean() {
        let mut pixels = [[0.2, 0.0, 0.5], [0.4, 1.0, 0.5]];
        adjust_contrast(&mut pixels, 0.5);
        close(pixels[0], [0.25, 0.25, 0.5]);
        close(pixels[1], [0.35, 0.75, 0.5]);
    }

    #[test]
    fn values_stay_in_range() {
        let mut random = Random::new(Key { seed: 5, epoch: 0, index: 0 });
        for _ in 0..50 {
            let mut pixels: Vec<f32> = (0..30).map(|_| random.unit()).collect();
            ColorJitter::inception().run(&mut random, &mut pixels);
            assert!(pixels.iter().all(|v| (0.0..=1.0).contains(v)));
        }
    }
}
