//! Data sets: which images there are and what each one is.
//!
//! A [`Dataset`] is lists of [`Sample`]s, found without reading a pixel: in folders
//! (`folder.rs`) or WebDataset tars (`webdataset.rs`). `split.rs` divides what came undivided.
//! `loader.rs` reads the bytes and makes batches.

mod folder;
mod sample;
mod split;
mod webdataset;

use std::path::Path;

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
    /// of classes, or a WebDataset tar (brace ranges such as `train-{0000..0147}.tar` too).
    ///
    /// What is not divided is, by `shares`, after each image's content: the same image is always
    /// on the same side, whatever else is added or renamed.
    ///
    /// # Errors
    /// If nothing is there, a folder cannot be read, or fewer than two classes are found.
    pub fn open(path: &Path, shares: Shares) -> Result<Self> {
        let mut dataset = if path.is_dir() { folder::open(path)? } else { webdataset::open(path)? };
        dataset.check(path)?;
        split::divide(&mut dataset, shares)?;
        Ok(dataset)
    }

    /// Takes the validation images from another folder, whose classes must be among these.
    ///
    /// # Errors
    /// If the folder cannot be read, is empty, or has a class of its own.
    pub fn validate_with(&mut self, folder: &Path) -> Result<()> {
        self.validation = folder::scan_like(folder, &self.classes, &mut self.ignored)?;
        if self.validation.is_empty() {
            let message = format!("{}: no images to validate with", folder.display());
            return Err(Error::new(ErrorKind::Data, message));
        }
        Ok(())
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

    fn check(&self, path: &Path) -> Result<()> {
        let total = self.train.len() + self.validation.len() + self.test.len();
        let found = self.classes.len();
        if total == 0 || found == 0 {
            return Err(Error::new(
                ErrorKind::Data,
                format!(
                    "{}: no images found; expected one folder per class with photos in it \
                     (a/1.jpg, b/2.jpg), or train/, validation/ and test/ holding such folders",
                    path.display()
                ),
            ));
        }
        let counts = self.count_by_class(&self.train);
        match counts.iter().position(|&count| count == 0) {
            Some(empty) => Err(Error::new(
                ErrorKind::Data,
                format!(
                    "{}: class {:?} has no training image; add some or remove its folder",
                    path.display(),
                    self.classes[empty]
                ),
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
