//! Features of photos on disk, by what the photos contain: computed once for a backbone and a
//! way to prepare photos, whatever is trained on them.
//!
//! One safetensors file a backbone: `hashes`, `[n, 32]`, SHA-256 of each photo's file, and
//! `features`, `[n, len]`.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use mobilenet_formats::safetensors::{self, SafeTensors};
use mobilenet_formats::{Limits, Tensor};
use mobilenet_train::dataset::Sample;
use mobilenet_train::file::{make_folder, write_atomically};
use sha2::{Digest as _, Sha256};

use crate::error::Result;

/// SHA-256 of a photo's file.
type Hash = [u8; 32];

/// Features by content.
pub(super) struct FeatureCache {
    path: PathBuf,
    len: usize,
    rows: HashMap<Hash, Vec<f32>>,
    grown: bool,
}

impl FeatureCache {
    /// The cache of `key` in `folder`, for features of `len` values; empty where there is none, or
    /// one that cannot be used.
    pub(super) fn open(folder: &Path, key: &str, len: usize) -> Self {
        let path = folder.join(format!("features-{key}.safetensors"));
        let rows = std::fs::read(&path).ok().and_then(|bytes| decode(&bytes, len));
        Self { path, len, rows: rows.unwrap_or_default(), grown: false }
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

    /// Writes it, if anything was added.
    pub(super) fn save(&self) -> Result<()> {
        if !self.grown {
            return Ok(());
        }
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

/// What a photo's file contains.
pub(super) fn hash(sample: &Sample) -> Result<Hash> {
    Ok(Sha256::digest(sample.source.read()?).into())
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
