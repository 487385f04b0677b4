//! Decoded images of a data set, kept in memory as far as they fit.
//!
//! What is kept changes no result, only how often a file is read and decoded.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use mobilenet_vision::{DecodeOptions, Image, decode};

use crate::dataset::Source;
use crate::{Error, ErrorKind, Result};

/// Memory for decoded images, shared by the [`Pictures`] of a run.
#[derive(Debug)]
pub struct Budget(AtomicUsize);

impl Budget {
    /// So many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self(AtomicUsize::new(bytes))
    }

    /// Takes `bytes` of it, if they are left.
    fn take(&self, bytes: usize) -> bool {
        let take = |left: usize| left.checked_sub(bytes);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

/// The images of one list of samples.
#[derive(Debug)]
pub struct Pictures<'a> {
    kept: Vec<OnceLock<Arc<Image>>>,
    budget: &'a Budget,
    options: DecodeOptions,
}

impl<'a> Pictures<'a> {
    /// For `samples` images, none of them read yet.
    #[must_use]
    pub fn new(samples: usize, budget: &'a Budget, options: DecodeOptions) -> Self {
        Self { kept: (0..samples).map(|_| OnceLock::new()).collect(), budget, options }
    }

    /// Image `index`, whose file is `source`.
    ///
    /// # Errors
    /// If it cannot be read or decoded.
    pub fn get(&self, index: usize, source: &Source) -> Result<Arc<Image>> {
        let place = self.kept.get(index);
        if let Some(image) = place.and_then(OnceLock::get) {
            return Ok(Arc::clone(image));
        }
        let image = decode(&source.read()?, &self.options)
            .map_err(|error| Error::new(ErrorKind::Data, "not a usable image").because(error))?;
        let image = Arc::new(image);
        if let Some(place) = place
            && self.budget.take(image.pixels().len())
        {
            let _ = place.set(Arc::clone(&image));
        }
        Ok(image)
    }
}
