//! Batches made ahead of whoever uses them, in an order that depends on the seed alone.
//!
//! Every worker makes whole batches, batch `b` always by worker `b` modulo their number, so the
//! consumer knows where the next one comes from and nothing has to be put back in order. Each
//! worker is at most one finished batch ahead: memory is bounded.

use std::sync::mpsc::{SyncSender, sync_channel};

use crate::dataset::Sample;
use crate::{Result, order};

/// Images in a row that may fail before a batch is given up.
const MAX_SUBSTITUTES: usize = 1000;

/// Where an image stands in the run; with the seed, all that chance may depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Pass over the data, from 0.
    pub epoch: u64,
    /// Index of the sample in the data set.
    pub index: usize,
}

/// Images and labels side by side.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// `[n, height, width, 3]`, NHWC.
    pub images: Vec<f32>,
    /// Class of each image.
    pub labels: Vec<usize>,
    /// Wanted probabilities, `[n, classes]`; empty unless the maker fills them.
    pub targets: Vec<f32>,
    /// How much each image counts, `[n]`; empty: all the same.
    pub weights: Vec<f32>,
    /// Which sample each image is.
    pub indices: Vec<usize>,
    /// Samples that could not be used, with the reason; others stand in for them.
    pub failures: Vec<(usize, String)>,
}

/// How batches are put together.
#[derive(Clone, Copy, Debug)]
pub struct Loader<'a> {
    /// What there is.
    pub samples: &'a [Sample],
    /// Images in a batch.
    pub batch_size: usize,
    /// Values of one image: height times width times 3.
    pub image_len: usize,
    /// Order by seed, a new one each epoch; `None` keeps the data set's order, its last batch
    /// filled up from the start.
    pub shuffle: Option<u64>,
    /// How much of a shuffled epoch comes from each of several sources; empty: as much as they hold.
    pub shares: &'a [f64],
    /// Threads that make batches.
    pub threads: usize,
}

/// Makes what is in a batch. A closure that fills one image is a maker.
pub trait Maker: Sync {
    /// Turns a sample into values in [0, 1], or says why it cannot.
    ///
    /// # Errors
    /// What is wrong with the sample; another takes its place.
    fn image(&self, sample: &Sample, place: Place, image: &mut [f32]) -> Result<()>;

    /// Finishes batch `number`, counted from the start of the run: targets, blends of images.
    ///
    /// # Errors
    /// What ends the run.
    fn finish(&self, _number: u64, _batch: &mut Batch) -> Result<()> {
        Ok(())
    }
}

impl<F: Fn(&Sample, Place, &mut [f32]) -> Result<()> + Sync> Maker for F {
    fn image(&self, sample: &Sample, place: Place, image: &mut [f32]) -> Result<()> {
        self(sample, place, image)
    }
}

impl Loader<'_> {
    /// Batches in one pass: with shuffling what does not fill a batch waits for another epoch.
    #[must_use]
    pub fn batches_per_epoch(&self) -> u64 {
        let (n, size) = (self.samples.len(), self.batch_size.max(1));
        let batches = if self.shuffle.is_some() { n / size } else { n.div_ceil(size) };
        batches.max(1) as u64
    }

    /// Makes the batches numbered `batches`, counted from the start of the run, and hands them to
    /// `consume` in order until it answers `false`.
    ///
    /// # Errors
    /// Whatever `consume` or the maker's `finish` returns.
    pub fn run(
        &self,
        batches: std::ops::Range<u64>,
        maker: &dyn Maker,
        mut consume: impl FnMut(Batch) -> Result<bool>,
    ) -> Result<()> {
        let threads = self.threads.max(1) as u64;
        std::thread::scope(|scope| {
            let queues: Vec<_> = (0..threads)
                .map(|worker| {
                    let (sender, receiver) = sync_channel(1);
                    let numbers = (batches.start + worker..batches.end).step_by(threads as usize);
                    scope.spawn(move || self.work(numbers, maker, &sender));
                    receiver
                })
                .collect();
            for queue in queues.iter().cycle().take((batches.end - batches.start) as usize) {
                let Ok(batch) = queue.recv() else { break };
                if !consume(batch?)? {
                    break;
                }
            }
            Ok(())
        })
    }

    fn work(
        &self,
        numbers: impl Iterator<Item = u64>,
        maker: &dyn Maker,
        queue: &SyncSender<Result<Batch>>,
    ) {
        let mut order = Order { epoch: u64::MAX, indices: Vec::new() };
        for number in numbers {
            let batch = self.batch(number, &mut order, maker);
            if queue.send(batch).is_err() {
                return;
            }
        }
    }

    fn batch(&self, number: u64, order: &mut Order, maker: &dyn Maker) -> Result<Batch> {
        let per_epoch = self.batches_per_epoch();
        let epoch = number / per_epoch;
        order.turn_to(epoch, self);
        let first = (number % per_epoch) as usize * self.batch_size;
        let mut batch =
            Batch { images: vec![0.0; self.batch_size * self.image_len], ..Batch::default() };
        let mut images = std::mem::take(&mut batch.images);
        for (slot, image) in images.chunks_mut(self.image_len.max(1)).enumerate() {
            self.fill(first + slot, epoch, order, maker, image, &mut batch);
        }
        batch.images = images;
        maker.finish(number, &mut batch)?;
        Ok(batch)
    }

    /// Puts the sample at `position` of the epoch's order into `image`, or the next that works.
    fn fill(
        &self,
        position: usize,
        epoch: u64,
        order: &Order,
        maker: &dyn Maker,
        image: &mut [f32],
        batch: &mut Batch,
    ) {
        for substitute in 0..MAX_SUBSTITUTES.min(self.samples.len()) {
            let Some(&index) =
                order.indices.get((position + substitute) % order.indices.len().max(1))
            else {
                return;
            };
            let sample = &self.samples[index];
            match maker.image(sample, Place { epoch, index }, image) {
                Ok(()) => {
                    batch.labels.push(sample.label);
                    batch.indices.push(index);
                    return;
                }
                Err(error) => batch.failures.push((index, error.to_string())),
            }
        }
    }
}

/// The order of one epoch.
struct Order {
    epoch: u64,
    indices: Vec<usize>,
}

impl Order {
    fn turn_to(&mut self, epoch: u64, loader: &Loader<'_>) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.indices = order::epoch(loader.samples, loader.shuffle, loader.shares, epoch);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::dataset::Source;
    use crate::{Error, ErrorKind};

    fn samples(n: usize) -> Vec<Sample> {
        (0..n)
            .map(|label| {
                let source = Source::File(PathBuf::from(label.to_string()));
                Sample { source, label, origin: 0 }
            })
            .collect()
    }

    fn collect(threads: usize, samples: &[Sample], batches: std::ops::Range<u64>) -> Vec<Batch> {
        let shuffle = Some(7);
        let loader = Loader { samples, batch_size: 4, image_len: 2, shuffle, shares: &[], threads };
        let mut all = Vec::new();
        let prepare = |sample: &Sample, place: Place, image: &mut [f32]| {
            if sample.label == 5 {
                return Err(Error::new(ErrorKind::Data, "torn"));
            }
            image.fill((sample.label as u64 + 100 * place.epoch) as f32);
            Ok(())
        };
        loader
            .run(batches, &prepare, |batch| {
                all.push(batch);
                Ok(true)
            })
            .unwrap();
        all
    }

    #[test]
    fn batches_do_not_depend_on_threads_or_on_where_the_run_was_taken_up() {
        let samples = samples(21);
        let whole = collect(1, &samples, 0..12);
        assert_eq!(whole.len(), 12);
        for threads in [2, 3, 5] {
            assert_eq!(collect(threads, &samples, 0..12), whole);
            assert_eq!(collect(threads, &samples, 7..12), whole[7..]);
        }
    }

    #[test]
    fn torn_images_are_listed_and_others_stand_in() {
        let samples = samples(20);
        let batches = collect(2, &samples, 0..5);
        let failed: Vec<usize> = batches.iter().flat_map(|b| &b.failures).map(|f| f.0).collect();
        assert_eq!(failed, [5]);
        assert!(batches.iter().all(|batch| batch.labels.len() == 4));
    }

    #[test]
    fn consumers_may_stop_early() {
        let samples = samples(20);
        let loader = Loader {
            samples: &samples,
            batch_size: 4,
            image_len: 1,
            shuffle: None,
            shares: &[],
            threads: 2,
        };
        let mut seen = 0;
        let stop = |_: Batch| {
            seen += 1;
            Ok(seen < 3)
        };
        let maker = |_: &Sample, _: Place, _: &mut [f32]| Ok(());
        loader.run(0..1_000_000, &maker, stop).unwrap();
        assert_eq!(seen, 3);
    }
}
