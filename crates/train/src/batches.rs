//! What a training batch is made of: augmented images and the probabilities wanted of them.

use mobilenet_vision::augment::{self, Augment, Key};

use crate::dataset::Sample;
use crate::loader::{Batch, Maker, Place};
use crate::pictures::Pictures;
use crate::validation::{Rows, with_scratch};
use crate::{Error, ErrorKind, Result};

/// Blends of two images and their labels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Blend {
    /// Mixup's parameter of the beta distribution; 0: no mixup.
    pub mixup: f32,
    /// Cutmix's; 0: no cutmix. With both, each batch gets one or the other.
    pub cutmix: f32,
}

/// What inputs are made from.
#[derive(Clone, Copy, Debug)]
pub enum Stock<'a> {
    /// Pixels, changed in each epoch.
    Pictures(&'a Pictures<'a>, &'a Augment),
    /// Features computed before, the same in each epoch.
    Features(Rows<'a>),
}

/// A network that has learnt before, and whose answers are wanted too.
pub trait Teacher: Sync {
    /// Moves `targets`, `[n, classes]`, towards what it answers for `images`,
    /// `[n, height, width, 3]` with values in [0, 1]. Each row goes on summing to 1.
    ///
    /// # Errors
    /// If it cannot answer.
    fn blend(&self, images: &[f32], image_size: [usize; 2], targets: &mut [f32]) -> Result<()>;
}

/// Makes training batches.
#[derive(Clone, Copy)]
pub struct Batches<'a> {
    /// What inputs are made from.
    pub stock: Stock<'a>,
    /// `[height, width]` of the network's input.
    pub image_size: [usize; 2],
    /// Width of the targets.
    pub classes: usize,
    /// Probability spread over all classes, in [0, 1).
    pub label_smoothing: f32,
    /// Blends.
    pub blend: Blend,
    /// How much an image of each class counts; empty: all the same.
    pub class_weights: &'a [f32],
    /// Who is asked what each image shows, besides its label; never asked about features.
    pub teacher: Option<&'a dyn Teacher>,
    /// The run's seed.
    pub seed: u64,
}

impl Maker for Batches<'_> {
    fn image(&self, sample: &Sample, place: Place, image: &mut [f32]) -> Result<()> {
        let (pictures, augment) = match self.stock {
            Stock::Features(rows) => return rows.image(sample, place, image),
            Stock::Pictures(pictures, augment) => (pictures, augment),
        };
        let picture = pictures.get(place.index, &sample.source)?;
        let key = Key { seed: self.seed, epoch: place.epoch, index: place.index as u64 };
        let [height, width] = self.image_size;
        with_scratch(|scratch| augment.run(scratch, key, &picture, image, (height, width))).map_err(
            |error| Error::new(ErrorKind::Data, "an image that cannot be augmented").because(error),
        )
    }

    fn finish(&self, number: u64, batch: &mut Batch) -> Result<()> {
        batch.targets = self.targets(&batch.labels);
        // A stream of its own: no image has this index.
        let key = Key { seed: self.seed, epoch: number, index: u64::MAX };
        let [height, width] = self.image_size;
        let count = batch.labels.len();
        let Blend { mixup, cutmix } = self.blend;
        let (images, targets) = (&mut batch.images, &mut batch.targets);
        let turn = crate::random::Random::of(self.seed, number, u64::MAX).bits();
        // Lengths fit by construction and parameters were checked with the settings.
        let _ = match (mixup > 0.0, cutmix > 0.0) {
            (true, true) if turn.is_multiple_of(2) => {
                augment::mixup(images, targets, count, mixup, key)
            }
            (true, false) => augment::mixup(images, targets, count, mixup, key),
            (_, true) => augment::cutmix(images, targets, (count, height, width), cutmix, key),
            _ => Ok(()),
        };
        batch.weights = self.weights(targets);
        match (self.teacher, self.stock) {
            (Some(teacher), Stock::Pictures(..)) => teacher.blend(images, self.image_size, targets),
            _ => Ok(()),
        }
    }
}

impl Batches<'_> {
    /// The weight of each row of blended `targets`: its classes' weights, by their shares in it
    /// before smoothing.
    fn weights(&self, targets: &[f32]) -> Vec<f32> {
        if self.class_weights.is_empty() {
            return Vec::new();
        }
        let mean = self.class_weights.iter().sum::<f32>() / self.class_weights.len() as f32;
        let weight = |row: &[f32]| {
            let sum: f32 =
                row.iter().zip(self.class_weights).map(|(share, weight)| share * weight).sum();
            (sum - self.label_smoothing * mean) / (1.0 - self.label_smoothing)
        };
        targets.chunks(self.classes.max(1)).map(weight).collect()
    }

    /// The probabilities wanted: `1 - smoothing` on the class, the rest spread evenly.
    fn targets(&self, labels: &[usize]) -> Vec<f32> {
        let even = self.label_smoothing / self.classes.max(1) as f32;
        let mut targets = vec![even; labels.len() * self.classes];
        for (row, &label) in targets.chunks_mut(self.classes.max(1)).zip(labels) {
            if let Some(own) = row.get_mut(label) {
                *own += 1.0 - self.label_smoothing;
            }
        }
        targets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Images of one value each, so that what was pasted can be counted.
    #[test]
    fn cutmix_mixes_smoothed_labels_by_the_area_that_was_pasted() {
        const SIDE: usize = 12;
        let maker = Batches {
            stock: Stock::Features(Rows(&[])),
            image_size: [SIDE; 2],
            classes: 4,
            label_smoothing: 0.1,
            blend: Blend { mixup: 0.0, cutmix: 1.0 },
            class_weights: &[],
            teacher: None,
            seed: 3,
        };
        let mut pasted = 0;
        for number in 0..20 {
            let images = (0..4u8).flat_map(|i| [f32::from(i); SIDE * SIDE * 3]).collect();
            let mut batch = Batch { images, labels: vec![0, 1, 2, 3], ..Batch::default() };
            maker.finish(number, &mut batch).unwrap();
            for (own, image) in batch.images.chunks(SIDE * SIDE * 3).enumerate() {
                let target = &batch.targets[own * 4..][..4];
                for (class, target) in target.iter().enumerate() {
                    let count = image.iter().filter(|&&value| value == class as f32).count();
                    let share = count as f32 / image.len() as f32;
                    let wanted = 0.1 / 4.0 + 0.9 * share;
                    assert!((target - wanted).abs() < 1e-6, "{number}: {target} for {wanted}");
                    pasted += usize::from(class != own && count > 0);
                }
            }
        }
        assert!(pasted > 20, "{pasted} of 80 images have a part of another");
    }
}
