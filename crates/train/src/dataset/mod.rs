//! Data sets: which images there are and what each one is.
//!
//! A [`Dataset`] is lists of [`Sample`]s, found without decoding a pixel: in folders
//! (`folder.rs`), or in shards (`shards.rs`): WebDataset tars and TFRecords. `split.rs` divides what
//! came undivided; several sources are joined by the names of their classes.
//! `listing.rs` remembers what was found, so that a run that goes on sees other data.
//! `loader.rs` reads the bytes and makes batches.

mod folder;
mod listing;
mod sample;
mod shards;
mod split;
mod tfrecord;
mod webdataset;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

pub use listing::Listing;
pub use sample::{Sample, Source};
pub use split::Shares;

use crate::{Error, ErrorKind, Result};

/// Images by purpose, with the names of their classes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dataset {
    /// Class names; a sample's label indexes them.
    pub classes: Vec<String>,
    /// What shards themselves call their classes, by number: several may have one name.
    pub words: BTreeMap<usize, String>,
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
        let mut dataset = Self::find_samples(path)?;
        shares.check()?;
        let _ = split::divide(&mut dataset, shares, &mut || ControlFlow::Continue(()));
        Ok(dataset)
    }

    /// What is at `path`, as it is.
    fn find_samples(path: &Path) -> Result<Self> {
        let numbered = shards::is_sharded(path)?;
        let dataset = if numbered { shards::open(path)? } else { folder::open(path)? };
        dataset.check(path, numbered)?;
        Ok(dataset)
    }

    /// Opens shards to evaluate a network with: of a folder's the first there are of those for the
    /// test, for validation and for training, and no other is read. Nothing is divided, and
    /// classes may lack images.
    ///
    /// # Errors
    /// If a shard cannot be read.
    pub fn open_held_out(path: &Path) -> Result<Self> {
        shards::open_held_out(path)
    }

    /// Whether `path` is data in shards rather than a folder of classes.
    ///
    /// # Errors
    /// If a folder cannot be read.
    pub fn is_sharded(path: &Path) -> Result<bool> {
        shards::is_sharded(path)
    }

    /// Opens each of `paths` and joins them: classes of the same name are one class, and a
    /// sample's `origin` says which path it is from. Images are read where they are to be divided:
    /// after each of them `each` is called with how many there are, and may stop it: `None`.
    ///
    /// # Errors
    /// As [`Dataset::open`]; if there is no path.
    pub fn open_all(
        paths: &[PathBuf],
        shares: Shares,
        each: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Option<Self>> {
        let found = paths.iter().map(|path| Self::find_samples(path));
        let mut found = found.collect::<Result<Vec<Self>>>()?;
        shares.check()?;
        let total = found.iter().map(|dataset| split::count(dataset, shares)).sum();
        for dataset in &mut found {
            if split::divide(dataset, shares, &mut || each(total)).is_break() {
                return Ok(None);
            }
        }
        let mut found = found.into_iter();
        let no_data = || Error::new(ErrorKind::Options, "no data to learn from");
        let mut dataset = found.next().ok_or_else(no_data)?;
        for ((other, path), origin) in found.zip(paths.iter().skip(1)).zip(1..) {
            dataset.join(path, other, origin)?;
        }
        Ok(Some(dataset))
    }

    /// Adds the images of another, from `path`.
    fn join(&mut self, path: &Path, mut other: Self, origin: usize) -> Result<()> {
        let found = self.find_all(path, &other)?;
        let classes = std::mem::take(&mut other.classes);
        let labels: Vec<usize> = found
            .into_iter()
            .zip(classes)
            .map(|(known, name)| known.unwrap_or_else(|| self.add_class(name)))
            .collect();
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
        Ok(())
    }

    fn add_class(&mut self, name: String) -> usize {
        self.classes.push(name);
        self.classes.len() - 1
    }

    /// The label here of each class of other data, from `path`; `None` for classes of its own.
    fn find_all(&self, path: &Path, other: &Self) -> Result<Vec<Option<usize>>> {
        let classes = other.classes.iter().enumerate();
        classes.map(|(number, name)| self.find(path, number, name, &other.words)).collect()
    }

    /// A class is the one of the same name; where two have it, the one that has its number too.
    fn find(
        &self,
        path: &Path,
        number: usize,
        name: &str,
        words: &BTreeMap<usize, String>,
    ) -> Result<Option<usize>> {
        let find = |name: &str| self.classes.iter().position(|known| known == name);
        let Some(called) = words.get(&number) else { return Ok(find(name)) };
        if self.words.get(&number) == Some(called) {
            return Ok(Some(number));
        }
        let several = |words: &BTreeMap<usize, String>| {
            words.values().filter(|word| *word == called).count() > 1
        };
        if find(called).is_some() && (several(words) || several(&self.words)) {
            let message = format!(
                "{}: class {number} is called {called:?}, as is more than one class, and its \
                 number does not say which",
                path.display()
            );
            return Err(Error::new(ErrorKind::Data, message));
        }
        Ok(find(name))
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
        let found = self.find_all(path, &other)?;
        let Self { classes, train, validation, test, .. } = other;
        let samples = train.into_iter().chain(validation).chain(test);
        let known = |sample: Sample| {
            let label = found.get(sample.label).copied().flatten().ok_or_else(|| {
                let name = classes.get(sample.label).map_or("", String::as_str);
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
