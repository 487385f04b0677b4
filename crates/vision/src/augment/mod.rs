//! Augmentation: a picture never looks the same twice, and the same seed gives it again.
//!
//! [`Augment`] lists what is done to one picture, from its pixels to the floats a module takes;
//! `geometry`, `color` and `erase` do it. [`mix`](mixup) blends pictures and labels of a batch.
//! Everything random comes from a [`Key`], so that a result depends on the seed, the epoch and
//! the picture alone, never on threads or order.

mod color;
mod erase;
mod geometry;
mod mix;
mod random;

pub use mix::{cutmix, mixup};

use crate::resize::View;
use crate::{Error, Image, Resize, Result, Scratch};
pub use color::ColorJitter;
pub use erase::Erasing;
pub use geometry::DistortedBox;
use random::Random;

/// What decides everything random about one picture (or one batch) in one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// The run's seed.
    pub seed: u64,
    /// The pass over the data.
    pub epoch: u64,
    /// The picture's place in the data set, or the batch's in the epoch.
    pub index: u64,
}

/// What is done to a picture, in this order: box, flip, rotation, colour, erasing.
///
/// ```
/// use mobilenet_vision::augment::{Augment, Key};
/// use mobilenet_vision::{Image, Scratch};
/// let image = Image::new(8, 8, (0..192).collect())?;
/// let (mut a, mut b) = ([0.0; 4 * 4 * 3], [0.0; 4 * 4 * 3]);
/// let augment = Augment::inception();
/// let key = Key { seed: 1, epoch: 0, index: 7 };
/// augment.run(&mut Scratch::default(), key, &image, &mut a, (4, 4))?;
/// augment.run(&mut Scratch::default(), key, &image, &mut b, (4, 4))?;
/// assert_eq!(a, b);
/// # Ok::<(), mobilenet_vision::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Augment {
    /// The part of the picture that is taken; `None`: all of it.
    pub distorted_box: Option<DistortedBox>,
    /// How it is brought to size.
    pub resize: Resize,
    /// The probability of a mirror image, in [0, 1].
    pub flip: f32,
    /// The largest rotation either way, in degrees; 0: none.
    pub rotation_degrees: f32,
    /// Changes of colour.
    pub color: ColorJitter,
    /// A rectangle replaced by grey; `None`: never.
    pub erasing: Option<Erasing>,
}

impl Augment {
    /// Nothing random: the whole picture, resized.
    pub fn none(resize: Resize) -> Self {
        let color = ColorJitter::default();
        Self { distorted_box: None, resize, flip: 0.0, rotation_degrees: 0.0, color, erasing: None }
    }

    /// Inception's, as slim trained MobileNet: a distorted box, mirror images, colours.
    pub fn inception() -> Self {
        Self {
            distorted_box: Some(DistortedBox::default()),
            flip: 0.5,
            color: ColorJitter::inception(),
            ..Self::none(Resize::TF1_LEGACY_BILINEAR)
        }
    }

    /// For small data sets: a large box of nearly the picture's shape and mirror images.
    pub fn gentle() -> Self {
        Self {
            distorted_box: Some(DistortedBox::GENTLE),
            flip: 0.5,
            ..Self::none(Resize::TF2_BILINEAR)
        }
    }

    /// Writes the augmented `image` to `output`, `[height, width, 3]`, values in [0, 1].
    ///
    /// # Errors
    /// If `output` does not fit `(height, width)` or a range is impossible.
    pub fn run(
        &self,
        scratch: &mut Scratch,
        key: Key,
        image: &Image,
        output: &mut [f32],
        (height, width): (usize, usize),
    ) -> Result<()> {
        self.check()?;
        let mut random = Random::new(key);
        let size = (image.height(), image.width());
        let whole = View::whole(image.pixels(), size)?;
        let view = match &self.distorted_box {
            Some(ranges) => {
                let (corner, part) = ranges.sample(&mut random, size);
                whole.window(corner, part)?
            }
            None => whole,
        };
        self.resize.run(&view, output, (height, width), scratch)?;
        if random.chance(self.flip) {
            geometry::flip(output, width);
        }
        if self.rotation_degrees > 0.0 {
            let degrees = random.between(-self.rotation_degrees, self.rotation_degrees);
            geometry::rotate(output, (height, width), degrees);
        }
        self.color.run(&mut random, output);
        if let Some(erasing) = &self.erasing {
            erasing.run(&mut random, output, (height, width));
        }
        Ok(())
    }

    /// Whether every number is in its range.
    ///
    /// # Errors
    /// If one is not.
    pub fn check(&self) -> Result<()> {
        let chances = [self.flip, self.erasing.map_or(0.0, |e| e.probability)];
        let ranges = self.distorted_box.map(|b| [b.area, b.aspect]);
        let ordered = |(low, high): (f32, f32)| low > 0.0 && low <= high && high.is_finite();
        let angle = (0.0..=180.0).contains(&self.rotation_degrees);
        let sane = chances.iter().all(|p| (0.0..=1.0).contains(p))
            && ranges.is_none_or(|ranges| ranges.into_iter().all(ordered))
            && self.erasing.is_none_or(|e| ordered(e.area) && ordered(e.aspect) && e.area.1 <= 1.0)
            && angle
            && self.color.is_sane();
        if sane {
            Ok(())
        } else {
            Err(Error::argument(format!("impossible augmentation: {self:?}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Image {
        Image::new(40, 50, (0..6000u32).map(|i| (i * 7 % 251) as u8).collect()).unwrap()
    }

    fn run(augment: &Augment, index: u64) -> Vec<f32> {
        let mut output = vec![0.0; 16 * 20 * 3];
        let key = Key { seed: 3, epoch: 1, index };
        augment.run(&mut Scratch::default(), key, &image(), &mut output, (16, 20)).unwrap();
        output
    }

    #[test]
    fn everything_stays_in_range_and_varies_with_the_index_alone() {
        let everything = Augment {
            rotation_degrees: 30.0,
            erasing: Some(Erasing::default()),
            ..Augment::inception()
        };
        for augment in [Augment::inception(), Augment::gentle(), everything] {
            let runs: Vec<_> = (0..20).map(|index| run(&augment, index)).collect();
            assert!(runs.iter().flatten().all(|v| (0.0..=1.0).contains(v)));
            assert!(runs.windows(2).all(|pair| pair[0] != pair[1]));
            let again: Vec<_> = (0..20).rev().map(|index| run(&augment, index)).collect();
            assert!(runs.iter().eq(again.iter().rev()));
        }
    }

    #[test]
    fn nothing_random_is_the_plain_resize() {
        let plain = run(&Augment::none(Resize::TF2_BILINEAR), 0);
        assert_eq!(plain, run(&Augment::none(Resize::TF2_BILINEAR), 1));
        let preprocess = crate::Preprocess {
            crop: crate::Crop::None,
            resize: Resize::TF2_BILINEAR,
            height: 16,
            width: 20,
        };
        let mut expected = vec![0.0; plain.len()];
        preprocess.run(&image(), &mut expected).unwrap();
        assert_eq!(plain, expected);
    }

    #[test]
    fn impossible_ranges_are_errors() {
        let output = &mut [0.0; 3];
        let key = Key { seed: 0, epoch: 0, index: 0 };
        for augment in [
            Augment { flip: 2.0, ..Augment::inception() },
            Augment { rotation_degrees: f32::NAN, ..Augment::inception() },
            Augment {
                distorted_box: Some(DistortedBox { area: (0.5, 0.1), aspect: (1.0, 1.0) }),
                ..Augment::inception()
            },
        ] {
            assert!(augment.run(&mut Scratch::default(), key, &image(), output, (1, 1)).is_err());
        }
    }
}
