//! What a data set lists: how many images of each side and class, and a digest of their names and
//! sizes. No pixel is read: enough to see that a run would go on with other images.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Dataset, Sample};

/// Differences that are told in full.
const TOLD: usize = 3;

/// The images of one side and class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    images: usize,
    /// Of names, sizes and origins, in order.
    digest: String,
}

/// What a data set lists, by side and class: `training/hat`.
///
/// Folders are left out: data that was moved as a whole is the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Listing(BTreeMap<String, Part>);

impl Listing {
    /// What `dataset` lists.
    #[must_use]
    pub fn of(dataset: &Dataset) -> Self {
        let Dataset { classes, train, validation, test, .. } = dataset;
        let mut parts: BTreeMap<String, (usize, Sha256)> = BTreeMap::new();
        for (side, samples) in [("training", train), ("validation", validation), ("test", test)] {
            for sample in samples {
                let class = classes.get(sample.label).map_or("", String::as_str);
                let (images, hasher) = parts.entry(format!("{side}/{class}")).or_default();
                *images += 1;
                add(hasher, sample);
            }
        }
        let part = |(images, hasher): (usize, Sha256)| Part {
            images,
            digest: hasher.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect(),
        };
        Self(parts.into_iter().map(|(name, parts)| (name, part(parts))).collect())
    }

    /// How `now` differs, in words; `None` where it does not.
    #[must_use]
    pub fn difference(&self, now: &Self) -> Option<String> {
        let images = |part: Option<&Part>| part.map_or(0, |part| part.images);
        let mut names: Vec<&String> = self.0.keys().chain(now.0.keys()).collect();
        names.sort_unstable();
        names.dedup();
        names.retain(|name| self.0.get(*name) != now.0.get(*name));
        let tell = |name: &&String| match (images(self.0.get(*name)), images(now.0.get(*name))) {
            (before, after) if before == after => {
                format!("{name} has its {after} still, but other names or sizes among them")
            }
            (before, after) => format!("{name} had {before} and has {after}"),
        };
        let mut told: Vec<String> = names.iter().take(TOLD).map(tell).collect();
        if names.len() > TOLD {
            told.push(format!("{} other classes differ too", names.len() - TOLD));
        }
        (!told.is_empty()).then(|| told.join("; "))
    }
}

fn add(hasher: &mut Sha256, sample: &Sample) {
    hasher.update(sample.source.name().as_bytes());
    // No name has a zero; a file without a size is one that cannot be read.
    hasher.update([0]);
    hasher.update(sample.source.size().unwrap_or(u64::MAX).to_le_bytes());
    hasher.update((sample.origin as u64).to_le_bytes());
}
