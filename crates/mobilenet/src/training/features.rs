//! Features of photos on disk, by what the photos contain: computed once for a backbone and a
//! way to prepare photos, whatever is trained on them.
//!
//! What was computed is kept if the work is stopped: the cache is written then, and now and then
//! before. One safetensors file a backbone: `hashes`, `[n, 32]`, SHA-256 of each photo's file, and
//! `features`, `[n, len]`.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mobilenet_formats::safetensors::{self, SafeTensors};
use mobilenet_formats::{Limits, Tensor};
use mobilenet_train::dataset::Sample;
use mobilenet_train::file::{make_folder, write_atomically};
use mobilenet_train::{Error, ErrorKind, Result};
use sha2::{Digest as _, Sha256};

use super::preparing::{Tally, Watch, skipped};

/// SHA-256 of a photo's file.
pub(super) type Hash = [u8; 32];

/// Features by content.
pub(super) struct FeatureCache {
    path: PathBuf,
    len: usize,
    rows: HashMap<Hash, Vec<f32>>,
    grown: bool,
    saved: Instant,
}

impl FeatureCache {
    /// The cache of `key` in `folder`, for features of `len` values; empty where there is none, or
    /// one that cannot be used.
    pub(super) fn open(folder: &Path, key: &str, len: usize) -> Self {
        let path = folder.join(format!("features-{key}.safetensors"));
        let rows = std::fs::read(&path).ok().and_then(|bytes| decode(&bytes, len));
        let rows = rows.unwrap_or_default();
        Self { path, len, rows, grown: false, saved: Instant::now() }
    }

    /// The features of a photo.
    pub(super) fn get(&self, hash: &Hash) -> Option<&[f32]> {
        self.rows.get(hash).map(Vec::as_slice)
    }

    /// Adds those of another.
    pub(super) fn insert(&mut self, hash: Hash, features: &[f32]) {
        self.rows.insert(hash, features.to_vec());
        self.grown = true;
    }

    /// The photos that have features, and the features in a row.
    pub(super) fn rows(&self, photos: Vec<(Sample, Hash)>) -> (Vec<Sample>, Vec<f32>) {
        let mut rows = Vec::with_capacity(photos.len() * self.len);
        let with_features = |(sample, hash): (Sample, Hash)| {
            rows.extend_from_slice(self.get(&hash)?);
            Some(sample)
        };
        let samples = photos.into_iter().filter_map(with_features).collect();
        (samples, rows)
    }

    /// As [`Self::save`], if that was last done so long ago.
    pub(super) fn save_after(&mut self, period: Duration) -> Result<()> {
        if self.saved.elapsed() < period { Ok(()) } else { self.save() }
    }

    /// Writes it whole or not at all, if anything was added.
    pub(super) fn save(&mut self) -> Result<()> {
        if self.grown {
            self.write().map_err(|error| {
                let message = format!("the features cannot be kept in {}", self.path.display());
                Error::new(ErrorKind::Io, message).because(error)
            })?;
        }
        (self.grown, self.saved) = (false, Instant::now());
        Ok(())
    }

    fn write(&self) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_unstable_by_key(|(hash, _)| **hash);
        let hashes: Vec<u8> = rows.iter().flat_map(|(hash, _)| hash.iter().copied()).collect();
        let features: Vec<f32> = rows.iter().flat_map(|(_, row)| row.iter().copied()).collect();
        let hashes = Tensor::new([rows.len(), 32], hashes)?;
        let features = Tensor::new([rows.len(), self.len], features)?;
        let tensors = [("hashes", &hashes), ("features", &features)];
        let bytes = safetensors::write(tensors, &BTreeMap::new())?;
        if let Some(folder) = self.path.parent() {
            make_folder(folder)?;
        }
        Ok(write_atomically(&self.path, &bytes)?)
    }
}

fn decode(bytes: &[u8], len: usize) -> Option<HashMap<Hash, Vec<f32>>> {
    let file = SafeTensors::read(bytes, &Limits::default()).ok()?;
    let (hashes, features) = (file.tensor("hashes").ok()?, file.tensor("features").ok()?);
    if features.shape() != [hashes.shape().first().copied()?, len] || len == 0 {
        return None;
    }
    let hashes = hashes.as_u8()?.as_chunks::<32>().0;
    let rows = features.as_f32()?.chunks(len).map(<[f32]>::to_vec);
    Some(hashes.iter().copied().zip(rows).collect())
}

/// What the photos' files contain; those that cannot be read are told of and left out, and there
/// are no more from where `watch` stops the `tally`.
pub(super) fn hashed(
    samples: Vec<Sample>,
    tally: &mut Tally,
    watch: &mut Watch<'_>,
) -> Vec<(Sample, Hash)> {
    let mut photos = Vec::with_capacity(samples.len());
    for sample in samples {
        match sample.source.read() {
            Ok(bytes) => photos.push((sample, Sha256::digest(bytes).into())),
            Err(error) => skipped(&sample, &error.to_string(), watch),
        }
        if tally.count(watch).is_break() {
            break;
        }
    }
    photos
}

/// A short name for everything that decides features: values of variables and words.
pub(super) fn key<'a>(values: impl Iterator<Item = (&'a str, &'a Tensor)>, words: &str) -> String {
    let mut hasher = Sha256::new();
    for (name, tensor) in values {
        hasher.update(name.as_bytes());
        for value in tensor.as_f32().unwrap_or_default() {
            hasher.update(value.to_le_bytes());
        }
    }
    hasher.update(words.as_bytes());
    hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_come_back_and_other_lengths_do_not() {
        let folder =
            std::env::temp_dir().join(format!("mobilenet-features-{}", std::process::id()));
        let mut cache = FeatureCache::open(&folder, "k", 2);
        cache.insert([1; 32], &[0.5, 1.5]);
        cache.insert([2; 32], &[2.5, 3.5]);
        cache.save().unwrap();
        assert_eq!(FeatureCache::open(&folder, "k", 2).get(&[2; 32]), Some(&[2.5, 3.5][..]));
        assert_eq!(FeatureCache::open(&folder, "k", 3).get(&[2; 32]), None);
        assert_eq!(FeatureCache::open(&folder, "other", 2).get(&[2; 32]), None);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
