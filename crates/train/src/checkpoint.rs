//! Checkpoints: everything that decides how a run goes on, in one file.
//!
//! ```text
//! checkpoint.safetensors            the newest
//! checkpoint-previous.safetensors   the one before
//!
//! variable/NAME   every variable that the trainer keeps, moving averages of batch norm too
//! slot/I/NAME     what the optimiser keeps beside a trained variable
//! average/NAME    exponential moving average
//! best/NAME       the values that validated best
//! metadata        format, settings, what the data listed, progress (steps, history, best), SHA-256 of all values
//! ```
//!
//! The random state is seed and step: order, augmentation and dropout are functions of both.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mobilenet_formats::safetensors::{self, SafeTensors};
use mobilenet_formats::{Limits, Tensor};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::dataset::Listing;
use crate::trainer::{Trained, Trainer};
use crate::{Error, ErrorKind, Result, file};

/// The newest checkpoint of a run's folder.
const NEWEST: &str = "checkpoint.safetensors";

/// The one before it.
const PREVIOUS: &str = "checkpoint-previous.safetensors";

/// Format and version, in the metadata.
const FORMAT: &str = "mobilenet training checkpoint 1";

/// What one epoch came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// Epochs done, from 1; the last may be a part.
    pub epoch: f64,
    /// Steps done.
    pub step: u64,
    /// Learning rate of its last step.
    pub learning_rate: f64,
    /// Mean loss of its training steps.
    pub train_loss: f64,
    /// Share of its augmented training images that were right.
    pub train_top_1: f64,
    /// Mean cross-entropy on the validation images; `None` without any.
    pub validation_loss: Option<f64>,
    /// Share of validation images whose likeliest class is right.
    pub top_1: Option<f64>,
    /// Share of validation images with the right class among five.
    pub top_5: Option<f64>,
    /// Seconds of work so far, over all sittings.
    pub seconds: f64,
}

/// How far a run is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps taken.
    pub step: u64,
    /// Epochs done.
    pub history: Vec<Epoch>,
    /// Highest validation top-1 and the step it was reached at.
    pub best: Option<(f64, u64)>,
    /// Epochs since then.
    pub epochs_without_gain: usize,
    /// Sum of losses, right answers and images of the epoch under way.
    pub running: (f64, u64, u64),
    /// Seconds of work so far, over all sittings.
    pub seconds: f64,
    /// Images that could not be used, with the reason, by their place.
    pub skipped: BTreeMap<String, String>,
}

/// Settings by name: a run goes on only under those it began with.
pub type Settings = BTreeMap<String, String>;

/// The setting that tells the module a run began with by its values. Checkpoints of versions that
/// did not look hold none, and go on.
pub const MODULE_DIGEST: &str = "a module of digest";

/// Everything that decides how a run goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// How far the run is.
    pub progress: Progress,
    /// What it began with.
    pub settings: Settings,
    /// What the data listed then; `None` in checkpoints of versions that did not look.
    pub listing: Option<Listing>,
    /// Every variable the trainer keeps.
    pub variables: Vec<(String, Tensor)>,
    /// Slots of each trained variable.
    pub slots: Vec<(String, Vec<Vec<f32>>)>,
    /// Exponential moving averages, empty without.
    pub average: BTreeMap<String, Vec<f32>>,
    /// Values that validated best, empty before the first validation.
    pub best: BTreeMap<String, Tensor>,
}

impl Checkpoint {
    /// Writes it to `folder`, keeping the one before.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn save(&self, folder: &Path) -> Result<PathBuf> {
        file::make_folder(folder)?;
        let path = folder.join(NEWEST);
        file::write_keeping(&path, &folder.join(PREVIOUS), &self.encode()?)?;
        Ok(path)
    }

    /// Whether `folder` has one.
    #[must_use]
    pub fn exists(folder: &Path) -> bool {
        folder.join(NEWEST).exists() || folder.join(PREVIOUS).exists()
    }

    /// Reads the newest whole one of `folder`.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`] if there is none, or both are damaged.
    pub fn load(folder: &Path) -> Result<Self> {
        let newest = folder.join(NEWEST);
        match Self::read(&newest) {
            Ok(checkpoint) => Ok(checkpoint),
            Err(error) => Self::read(&folder.join(PREVIOUS)).map_err(|_| error),
        }
    }

    fn read(path: &Path) -> Result<Self> {
        let failed =
            |what: &str| Error::new(ErrorKind::Checkpoint, format!("{}: {what}", path.display()));
        let bytes =
            std::fs::read(path).map_err(|e| failed("no checkpoint to resume").because(e))?;
        Self::decode(&bytes).map_err(|error| failed("not a whole checkpoint").because(error))
    }

    fn encode(&self) -> Result<Vec<u8>> {
        let mut tensors: Vec<(String, Tensor)> = Vec::new();
        for (name, tensor) in &self.variables {
            tensors.push((format!("variable/{name}"), tensor.clone()));
        }
        for (name, slots) in &self.slots {
            for (index, slot) in slots.iter().enumerate() {
                tensors.push((format!("slot/{index}/{name}"), flat(slot)?));
            }
        }
        for (name, average) in &self.average {
            tensors.push((format!("average/{name}"), flat(average)?));
        }
        for (name, tensor) in &self.best {
            tensors.push((format!("best/{name}"), tensor.clone()));
        }
        let json = |error: serde_json::Error| damaged("progress").because(error);
        let mut metadata = BTreeMap::from([
            ("format".to_owned(), FORMAT.to_owned()),
            ("progress".to_owned(), serde_json::to_string(&self.progress).map_err(json)?),
            ("settings".to_owned(), serde_json::to_string(&self.settings).map_err(json)?),
            ("sha256".to_owned(), digest(tensors.iter().map(|(name, t)| (name.as_str(), t)))),
        ]);
        if let Some(listing) = &self.listing {
            metadata.insert("data".to_owned(), serde_json::to_string(listing).map_err(json)?);
        }
        let views = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
        safetensors::write(views, &metadata).map_err(|error| damaged("values").because(error))
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let malformed = |error: mobilenet_formats::Error| damaged("values").because(error);
        let limits = Limits::default();
        let file = SafeTensors::read(bytes, &limits).map_err(malformed)?;
        let text = |key: &str| file.metadata().get(key).ok_or_else(|| damaged(key));
        if text("format")? != FORMAT {
            return Err(damaged("format"));
        }
        let names: Vec<&str> = file.names().collect();
        let tensors: Vec<(&str, Tensor)> = names
            .into_iter()
            .map(|name| Ok((name, file.tensor(name).map_err(malformed)?)))
            .collect::<Result<_>>()?;
        if *text("sha256")? != digest(tensors.iter().map(|(name, tensor)| (*name, tensor))) {
            return Err(damaged("the SHA-256 of the values"));
        }
        let json = |error: serde_json::Error| damaged("progress").because(error);
        let listing = file.metadata().get("data").map(|text| serde_json::from_str(text));
        let mut checkpoint = Self {
            progress: serde_json::from_str(text("progress")?).map_err(json)?,
            settings: serde_json::from_str(text("settings")?).map_err(json)?,
            listing: listing.transpose().map_err(json)?,
            variables: Vec::new(),
            slots: Vec::new(),
            average: BTreeMap::new(),
            best: BTreeMap::new(),
        };
        for (name, tensor) in tensors {
            checkpoint.put(name, tensor)?;
        }
        Ok(checkpoint)
    }

    fn put(&mut self, key: &str, tensor: Tensor) -> Result<()> {
        let (part, name) = key.split_once('/').ok_or_else(|| damaged(key))?;
        match part {
            "variable" => self.variables.push((name.to_owned(), tensor)),
            "average" => {
                self.average.insert(name.to_owned(), floats(key, &tensor)?);
            }
            "best" => {
                self.best.insert(name.to_owned(), tensor);
            }
            "slot" => {
                let (index, name) = name.split_once('/').ok_or_else(|| damaged(key))?;
                let index: usize = index.parse().map_err(|_| damaged(key))?;
                let values = floats(key, &tensor)?;
                let place = self.slots.iter().position(|(known, _)| known == name);
                let place = place.unwrap_or_else(|| {
                    self.slots.push((name.to_owned(), Vec::new()));
                    self.slots.len() - 1
                });
                // Names are sorted: slot 0 of all variables comes before slot 1 of any.
                let slots = &mut self.slots[place].1;
                if slots.len() != index {
                    return Err(damaged(key));
                }
                slots.push(values);
            }
            _ => return Err(damaged(key)),
        }
        Ok(())
    }

    /// Takes what a trainer holds.
    ///
    /// # Errors
    /// If the trainer's variables cannot be read.
    pub fn of(trainer: &Trainer, progress: Progress, settings: Settings) -> Result<Self> {
        let slots = trainer.trained().iter().map(|t| (t.name.clone(), t.slots.clone())).collect();
        Ok(Self {
            progress,
            settings,
            listing: None,
            variables: trainer.variables()?,
            slots,
            average: BTreeMap::new(),
            best: BTreeMap::new(),
        })
    }

    /// Puts a trainer where the checkpoint was taken.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`] if it is of another network or optimiser.
    pub fn restore(&self, trainer: &mut Trainer, seed: u64) -> Result<()> {
        let trained = |now: &Trained| -> Result<Trained> {
            let value = self.variables.iter().find(|(name, _)| *name == now.name);
            let value = value.ok_or_else(|| damaged(&now.name))?;
            let slots = self.slots.iter().find(|(name, _)| *name == now.name);
            Ok(Trained {
                name: now.name.clone(),
                shape: value.1.shape().to_vec(),
                value: floats(&now.name, &value.1)?,
                slots: slots.map(|(_, slots)| slots.clone()).unwrap_or_default(),
            })
        };
        let trained = trainer.trained().iter().map(trained).collect::<Result<_>>()?;
        trainer.restore(self.progress.step, trained, &self.variables, seed)
    }

    /// Checks that a run on data that lists `now` may go on from here.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`], naming what differs.
    pub fn check_listing(&self, now: &Listing) -> Result<()> {
        let difference = self.listing.as_ref().and_then(|then| then.difference(now));
        difference.map_or(Ok(()), |difference| {
            let message = format!(
                "the images are not those that the checkpoint was made with: {difference}; put them \
                 back, name and divide the data as the run began with, or begin anew in another \
                 folder"
            );
            Err(Error::new(ErrorKind::Checkpoint, message))
        })
    }

    /// Checks that a run with `settings` may go on from here.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`], naming what differs.
    pub fn check_settings(&self, settings: &Settings) -> Result<()> {
        let mut keys: Vec<&String> = self.settings.keys().chain(settings.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        let unknown = |key: &str| key == MODULE_DIGEST && !self.settings.contains_key(key);
        let differs =
            |key: &&String| self.settings.get(*key) != settings.get(*key) && !unknown(key);
        let differs = keys.into_iter().find(differs);
        let Some(key) = differs else { return Ok(()) };
        let say = |value: Option<&String>| value.map_or("nothing", String::as_str).to_owned();
        Err(Error::new(
            ErrorKind::Checkpoint,
            format!(
                "the checkpoint was made with {key} {}, this run has {}; resume with the flags and the \
                 module the run began with, or choose another folder",
                say(self.settings.get(key)),
                say(settings.get(key))
            ),
        ))
    }
}

fn flat(values: &[f32]) -> Result<Tensor> {
    Tensor::new([values.len()], values.to_vec()).map_err(|error| damaged("values").because(error))
}

fn floats(name: &str, tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.as_f32().map(<[f32]>::to_vec).ok_or_else(|| damaged(name))
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::Checkpoint, format!("damaged: {what}"))
}

/// SHA-256 over names and values, sorted by name.
fn digest<'a>(tensors: impl Iterator<Item = (&'a str, &'a Tensor)>) -> String {
    let mut tensors: Vec<_> = tensors.collect();
    tensors.sort_by_key(|(name, _)| *name);
    let mut hasher = Sha256::new();
    for (name, tensor) in tensors {
        hasher.update(name.as_bytes());
        for value in tensor.as_f32().unwrap_or_default() {
            hasher.update(value.to_le_bytes());
        }
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(step: u64) -> Checkpoint {
        let tensor = |values: &[f32]| Tensor::new([values.len()], values.to_vec()).unwrap();
        Checkpoint {
            progress: Progress {
                step,
                seconds: 0.1 + 0.2,
                best: Some((1.0 / 3.0, 1)),
                ..Progress::default()
            },
            settings: Settings::from([("seed".to_owned(), "1".to_owned())]),
            listing: Some(Listing::default()),
            variables: vec![("a/w".to_owned(), tensor(&[1.0, f32::MIN_POSITIVE / 2.0]))],
            slots: vec![("a/w".to_owned(), vec![vec![0.5, 2.0], vec![1.0, 1.0]])],
            average: BTreeMap::from([("a/w".to_owned(), vec![0.25, 0.0])]),
            best: BTreeMap::from([("a/w".to_owned(), tensor(&[3.0, 4.0]))]),
        }
    }

    #[test]
    fn checkpoints_come_back_bit_by_bit_and_torn_ones_fall_back() {
        let folder =
            std::env::temp_dir().join(format!("mobilenet-checkpoint-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        assert_eq!(Checkpoint::load(&folder).unwrap_err().kind(), ErrorKind::Checkpoint);
        checkpoint(1).save(&folder).unwrap();
        let path = checkpoint(2).save(&folder).unwrap();
        assert_eq!(Checkpoint::load(&folder).unwrap(), checkpoint(2));
        let bytes = std::fs::read(&path).unwrap();
        for damage in [bytes.len() / 2, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..damage]).unwrap();
            assert_eq!(Checkpoint::load(&folder).unwrap(), checkpoint(1));
        }
        let mut flipped = bytes.clone();
        *flipped.last_mut().unwrap() ^= 1;
        std::fs::write(&path, &flipped).unwrap();
        assert_eq!(Checkpoint::load(&folder).unwrap(), checkpoint(1));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(Checkpoint::load(&folder).unwrap(), checkpoint(1));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn other_settings_are_named() {
        let other = Settings::from([("seed".to_owned(), "2".to_owned())]);
        let text = checkpoint(1).check_settings(&other).unwrap_err().to_string();
        assert!(text.contains("seed 1, this run has 2"), "{text}");
        assert!(checkpoint(1).check_settings(&checkpoint(1).settings).is_ok());
        let of = |digest: &str| {
            let mut checkpoint = checkpoint(1);
            checkpoint.settings.insert(MODULE_DIGEST.to_owned(), digest.to_owned());
            checkpoint
        };
        assert!(checkpoint(1).check_settings(&of("ab").settings).is_ok(), "it knows no digest");
        let text = of("ab").check_settings(&of("cd").settings).unwrap_err().to_string();
        assert!(text.contains("a module of digest ab, this run has cd"), "{text}");
    }
}
