//! Data sets: which images there are and what each one is.
//!
//! A [`Dataset`] is lists of [`Sample`]s, found without decoding a pixel: in folders
//! (`folder.rs`), or in shards (`shards.rs`): WebDataset tars and TFRecords. `split.rs` divides what
//! came undivided; several sources are joined by the names of their classes.
//! `loader.rs` reads the bytes and makes batches.

mod folder;
mod sample;
mod shards;
mod split;
mod tfrecord;
mod webdataset;

use std::path::{Path, PathBuf};

pub use sample::{Sample, Source};
pub use split::Shares;

use crate::{Error, ErrorKind, Result};

/// Images by purpose, with the names of their classes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dataset {
    /// Class names; a sample's label indexes them.
    pub classes: Vec<String>,
    /// What the network learns from.
    pub train: Vec<Sample>,
    /// What decides when to stop and what to keep.
    pub validation: Vec<Sample>,
    /// What is looked at once, at the end.
    pub test: Vec<Sample>,
    /// Files passed over because their name is no image's.
    pub ignored: usize,
}

impl Dataset {
    /// Opens `path`: a folder of classes, a folder with `train`, `validation` and `test` folders
    /// of classes, a WebDataset tar or TFRecord (brace ranges such as `train-{0000..0147}.tar` too),
    /// or a folder of those (`train-00000-of-01024`, `validation-00000-of-00128`).
    ///
    /// What is not divided is, by `shares`, after each image's content: the same image is always
    /// on the same side, whatever else is added or renamed.
    ///
    /// # Errors
    /// If nothing is there, a folder cannot be read, or fewer than two classes are found.
    pub fn open(path: &Path, shares: Shares) -> Result<Self> {
        let numbered = shards::is_sharded(path)?;
        let mut dataset = if numbered { shards::open(path)? } else { folder::open(path)? };
        dataset.check(path, numbered)?;
        split::divide(&mut dataset, shares)?;
        Ok(dataset)
    }

    /// Opens each of `paths` and joins them: classes of the same name are one class, and a
    /// sample's `origin` says which path it is from.
    ///
    /// # Errors
    /// As [`Dataset::open`]; if there is no path.
    pub fn open_all(paths: &[PathBuf], shares: Shares) -> Result<Self> {
        let (first, others) = paths
            .split_first()
            .ok_or_else(|| Error::new(ErrorKind::Options, "no data to learn from"))?;
        let mut dataset = Self::open(first, shares)?;
        for (path, origin) in others.iter().zip(1..) {
            dataset.join(Self::open(path, shares)?, origin);
        }
        Ok(dataset)
    }

    /// Adds the images of another.
    fn join(&mut self, other: Self, origin: usize) {
        let labels: Vec<usize> = other.classes.into_iter().map(|name| self.label(name)).collect();
        let sides = [
            (&mut self.train, other.train),
            (&mut self.validation, other.validation),
            (&mut self.test, other.test),
        ];
        for (ours, theirs) in sides {
            ours.extend(theirs.into_iter().filter_map(|sample| {
                let label = *labels.get(sample.label)?;
                Some(Sample { label, origin, ..sample })
            }));
        }
        self.ignored += other.ignored;
    }

    /// The label of class `name`, a new one if there is none.
    fn label(&mut self, name: String) -> usize {
        match self.classes.iter().position(|known| *known == name) {
            Some(label) => label,
            None => {
                self.classes.push(name);
                self.classes.len() - 1
            }
        }
    }

    /// Takes the validation images from other data, whose classes must be among these.
    ///
    /// # Errors
    /// If the data cannot be read, is empty, or has a class of its own.
    pub fn validate_with(&mut self, path: &Path) -> Result<()> {
        self.validation = if shards::is_sharded(path)? {
            self.like(path, shards::open(path)?)?
        } else {
            folder::scan_like(path, &self.classes, &mut self.ignored)?
        };
        if self.validation.is_empty() {
            let message = format!("{}: no images to validate with", path.display());
            return Err(Error::new(ErrorKind::Data, message));
        }
        Ok(())
    }

    /// All samples of `other`, by the classes of this one.
    fn like(&self, path: &Path, other: Self) -> Result<Vec<Sample>> {
        let Self { classes, train, validation, test, .. } = other;
        let samples = train.into_iter().chain(validation).chain(test);
        let known = |sample: Sample| {
            let name = classes.get(sample.label);
            let label = self.classes.iter().position(|known| Some(known) == name);
            let label = label.ok_or_else(|| {
                let name = name.map_or("", String::as_str);
                let message =
                    format!("{}: the training images have no class {name:?}", path.display());
                Error::new(ErrorKind::Data, message)
            })?;
            Ok(Sample { label, ..sample })
        };
        samples.map(known).collect()
    }

    /// Number of images of each class among `samples`.
    #[must_use]
    pub fn count_by_class(&self, samples: &[Sample]) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for sample in samples {
            if let Some(count) = counts.get_mut(sample.label) {
                *count += 1;
            }
        }
        counts
    }

    /// Refuses data without images, and classes without; of `numbered` classes the first may have
    /// none.
    fn check(&self, path: &Path, numbered: bool) -> Result<()> {
        let total = self.train.len() + self.validation.len() + self.test.len();
        let found = self.classes.len();
        if total == 0 || found == 0 {
            return Err(Error::new(
                ErrorKind::Data,
                format!(
                    "{}: no images found; expected one folder per class with photos in it \
                     (a/1.jpg, b/2.jpg), train/, validation/ and test/ holding such folders, \
                     WebDataset tars, or TFRecords",
                    path.display()
                ),
            ));
        }
        let counts = self.count_by_class(&self.train);
        match counts.iter().skip(usize::from(numbered)).position(|&count| count == 0) {
            Some(empty) => Err(Error::new(
                ErrorKind::Data,
                format!(
                    "{}: class {:?} has no training image; add some or remove its folder",
                    path.display(),
                    self.classes[empty + usize::from(numbered)]
                ),
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
