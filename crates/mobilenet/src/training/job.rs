//! What training from random values and fine-tuning share: data, recipe, threads, checkpoints.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use mobilenet_train::checkpoint::{Checkpoint, Settings};
use mobilenet_train::dataset::{Dataset, Sample, Shares};
use mobilenet_train::optimizer::{self, Numbers, Optimizer};
use mobilenet_train::pictures::{Budget, Pictures};
use mobilenet_train::run::RunOptions;
use mobilenet_train::schedule::Schedule;
use mobilenet_train::validation::{Plain, Trial};
use mobilenet_vision::{Crop, DecodeOptions, Preprocess, Resize};

use super::class_weights::ClassWeights;
use super::preparing::{Tally, Watch};
use super::recipe::Recipe;
use super::teacher::{Distillation, Teacher};
use crate::error::{Error, ErrorKind, Result};
use crate::preprocessing::Preprocessing;

/// The folder of checkpoints inside the folder of the module.
pub const CHECKPOINTS: &str = "training";

/// On what a network is trained, how, and where to.
#[derive(Clone, Debug)]
pub struct Job {
    /// Where the images are: folders of classes, WebDataset tars, TFRecords. Classes of the same
    /// name are one class.
    pub data: Vec<PathBuf>,
    /// How much of an epoch comes from each of them, in proportion; empty: as much as they hold.
    pub data_weights: Vec<f64>,
    /// Images to validate with; `None`: the data's own, or a share of it.
    pub validation: Option<PathBuf>,
    /// Shares of undivided data.
    pub shares: Shares,
    /// A file of lines `folder TAB name`, for names better than the folders'.
    pub names: Option<PathBuf>,
    /// Where the module goes; its folder `training` holds the checkpoints.
    pub out: PathBuf,
    /// Height and width of the network's input, in pixels.
    pub image_size: usize,
    /// How it is trained.
    pub recipe: Recipe,
    /// A module to learn from besides the labels, wherever photos are learned from.
    pub distillation: Option<Distillation>,
    /// Length of the run in steps, in the place of the recipe's epochs.
    pub steps: Option<u64>,
    /// RMSProp's share of the mean square that is kept, in [0, 1); `None`: 0.9.
    pub rmsprop_decay: Option<f32>,
    /// What RMSProp adds to the mean square before the root, Adam after it; `None`: 1 and 1e-8.
    pub epsilon: Option<f32>,
    /// How much an image of each class counts.
    pub class_weights: ClassWeights,
    /// Decides first values, order, augmentation and dropout.
    pub seed: u64,
    /// Threads; no result depends on them.
    pub threads: usize,
    /// Epochs without a gain before the run ends.
    pub patience: Option<usize>,
    /// Longest time between checkpoints.
    pub save_every: Duration,
    /// Memory for decoded images, in bytes.
    pub cache_bytes: usize,
    /// Go on from the checkpoint in `out`; without one, begin at the start.
    pub resume: bool,
}

impl Job {
    /// On the images of `data`, to the folder `out`, for `image_size` pixels either way.
    pub fn new(
        data: impl Into<PathBuf>,
        out: impl Into<PathBuf>,
        image_size: usize,
        recipe: Recipe,
    ) -> Self {
        Self {
            data: vec![data.into()],
            data_weights: Vec::new(),
            validation: None,
            shares: Shares { validation: 0.1, test: 0.0 },
            names: None,
            out: out.into(),
            image_size,
            recipe,
            distillation: None,
            steps: None,
            rmsprop_decay: None,
            epsilon: None,
            class_weights: ClassWeights::Even,
            seed: 1,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            patience: None,
            save_every: Duration::from_secs(120),
            cache_bytes: 2 << 30,
            resume: false,
        }
    }

    /// Where checkpoints go.
    pub(super) fn work(&self) -> PathBuf {
        self.out.join(CHECKPOINTS)
    }

    /// How photos become the network's input after training.
    pub(super) fn preprocessing(&self) -> Preprocessing {
        let (crop, resize) = evaluation();
        let convention = Preprocessing::hub_convention(self.image_size, self.image_size);
        Preprocessing { crop, resize, ..convention }
    }

    /// Refuses impossible settings, and to write over another run.
    pub(super) fn check(&self) -> Result<()> {
        let Recipe { batch_size, epochs, learning_rate, label_smoothing, blend, ema, .. } =
            &self.recipe;
        let weights = &self.data_weights;
        let known = weights.is_empty() || weights.len() == self.data.len();
        let sane = weights.iter().all(|weight| (0.0..=1e9).contains(weight))
            && (weights.is_empty() || weights.iter().sum::<f64>() > 0.0);
        let rules = [
            (known, "there is one weight for each source of data, or none"),
            (sane, "weights of data are 0 to 1e9, and not all 0"),
            ((32..=1024).contains(&self.image_size), "the image size is 32 to 1024 pixels"),
            ((1..=65_536).contains(batch_size), "the batch size is 1 to 65536"),
            (*epochs > 0.0 && epochs.is_finite(), "the epochs are more than 0"),
            (self.steps != Some(0), "the steps are more than 0"),
            (*learning_rate > 0.0 && learning_rate.is_finite(), "the learning rate is above 0"),
            ((0.0..1.0).contains(label_smoothing), "label smoothing is 0 up to 1"),
            (ema.is_none_or(|ema| (0.0..1.0).contains(&ema)), "the average keeps 0 up to 1"),
            (blend.mixup >= 0.0 && blend.mixup.is_finite(), "mixup's parameter is 0 or more"),
            (blend.cutmix >= 0.0 && blend.cutmix.is_finite(), "cutmix's parameter is 0 or more"),
        ];
        if let Some((_, rule)) = rules.into_iter().find(|(holds, _)| !holds) {
            return Err(Error::new(ErrorKind::Training, rule));
        }
        self.recipe.augment()?;
        self.recipe.decay.check()?;
        self.optimizer()?;
        if !self.resume && Checkpoint::exists(&self.work()) {
            let message = format!(
                "{} holds the checkpoint of another run; resume it, or choose another folder",
                self.work().display()
            );
            return Err(Error::new(ErrorKind::Training, message));
        }
        Ok(())
    }

    /// The photos, divided; `None`: `watch` stopped that.
    pub(super) fn dataset(&self, watch: &mut Watch<'_>) -> Result<Option<Dataset>> {
        let own = self.validation.is_none();
        let shares = if own { self.shares } else { Shares { validation: 0.0, test: 0.0 } };
        let mut tally = None;
        let mut each = |photos| {
            let begin = || Tally::new("division", photos, watch);
            tally.get_or_insert_with(begin).count(watch)
        };
        let mut dataset = Dataset::open_all(&self.data, shares, &mut each)?;
        if let (Some(dataset), Some(folder)) = (&mut dataset, &self.validation) {
            dataset.validate_with(folder)?;
        }
        Ok(dataset)
    }

    /// The classes by name: the folders', or those of the file of names.
    pub(super) fn labels(&self, classes: &[String]) -> Result<Vec<String>> {
        let Some(path) = &self.names else { return Ok(classes.to_vec()) };
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::because(ErrorKind::Labels, format!("cannot read {}", path.display()), error)
        })?;
        let names: BTreeMap<&str, &str> =
            text.lines().filter_map(|line| line.split_once('\t')).collect();
        let name = |class: &String| {
            names.get(class.as_str()).map(|name| name.trim().to_owned()).ok_or_else(|| {
                let message = format!("{} names no class {class:?}", path.display());
                Error::new(ErrorKind::Labels, message)
            })
        };
        classes.iter().map(name).collect()
    }

    /// Who is asked besides the labels of `classes`, which are called `labels`.
    pub(super) fn teacher(
        &self,
        classes: &[String],
        labels: &[String],
    ) -> Result<Option<Teacher<'_>>> {
        self.distillation.as_ref().map(|from| Teacher::new(from, classes, labels)).transpose()
    }

    /// Calls `work` with a trial of `samples`, prepared as after training.
    pub(super) fn on_pictures<R>(
        &self,
        samples: &[Sample],
        work: impl FnOnce(Trial<'_>) -> mobilenet_train::Result<R>,
    ) -> Result<R> {
        let budget = Budget::new(0);
        let pictures = Pictures::new(samples.len(), &budget, DecodeOptions::default());
        let (crop, resize) = evaluation();
        let side = self.image_size;
        let preprocess = Preprocess { crop, resize, height: side, width: side };
        let maker = Plain { pictures: &pictures, preprocess };
        let threads = self.threads.max(1);
        Ok(work(Trial { samples, maker: &maker, shape: [side, side, 3], threads })?)
    }

    pub(super) fn optimizer(&self) -> Result<Box<dyn Optimizer>> {
        let name = &self.recipe.optimizer;
        let entry = optimizer::find(name).ok_or_else(|| {
            let names: Vec<&str> = optimizer::OPTIMIZERS.iter().map(|entry| entry.name).collect();
            let message =
                format!("no optimiser is called {name:?}; there are {}", names.join(", "));
            Error::new(ErrorKind::NotFound, message)
        })?;
        let (momentum, decay, epsilon) = (self.recipe.momentum, self.rmsprop_decay, self.epsilon);
        Ok(entry.with(&Numbers { momentum, decay, epsilon })?)
    }

    /// For `dataset`, whose classes are called `labels`.
    pub(super) fn run_options(&self, dataset: &Dataset, labels: &[String]) -> Result<RunOptions> {
        let recipe = &self.recipe;
        let per_epoch = (dataset.train.len() / recipe.batch_size.max(1)).max(1);
        let epochs = self.steps.map_or(recipe.epochs, |steps| steps as f64 / per_epoch as f64);
        Ok(RunOptions {
            batch_size: recipe.batch_size,
            image_size: [self.image_size; 2],
            threads: self.threads.max(1),
            seed: self.seed,
            shares: self.data_weights.clone(),
            schedule: Schedule {
                peak: recipe.learning_rate,
                warmup_epochs: recipe.warmup_epochs.min(epochs / 4.0),
                epochs,
                decay: recipe.decay.clone(),
            },
            weight_decay: recipe.weight_decay,
            ema: recipe.ema,
            label_smoothing: recipe.label_smoothing,
            class_weights: self.class_weights.of(dataset, labels)?,
            augment: recipe.augment()?,
            blend: recipe.blend,
            evaluation: evaluation(),
            patience: self.patience,
            save_every: self.save_every,
            cache_bytes: self.cache_bytes,
        })
    }

    /// What decides the result; the kinds of training add their own.
    pub(super) fn settings(&self, dataset: &Dataset) -> Settings {
        let text = |value: &dyn std::fmt::Debug| format!("{value:?}");
        let entries = [
            ("recipe", text(&self.recipe)),
            ("image size", text(&self.image_size)),
            ("seed", text(&self.seed)),
            ("patience", text(&self.patience)),
            ("training images", dataset.train.len().to_string()),
            ("validation images", dataset.validation.len().to_string()),
            ("classes", dataset.classes.join(" ")),
        ];
        let teacher = self.distillation.as_ref().map(|from| ("teacher", from.setting()));
        let weights = (!self.data_weights.is_empty())
            .then(|| ("data weights", text(&(&self.data, &self.data_weights))));
        let class_weights = (self.class_weights != ClassWeights::Even)
            .then(|| ("class weights", text(&self.class_weights)));
        let steps = self.steps.map(|steps| ("steps", steps.to_string()));
        let decay = self.rmsprop_decay.map(|decay| ("RMSProp's decay", text(&decay)));
        let epsilon = self.epsilon.map(|epsilon| ("epsilon", text(&epsilon)));
        let others = teacher.into_iter().chain(weights).chain(class_weights).chain(steps);
        let others = others.chain(decay).chain(epsilon);
        let entries = entries.into_iter().chain(others);
        entries.map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

/// How images are looked at when nothing is random.
pub(super) fn evaluation() -> (Crop, Resize) {
    (Crop::None, Resize::TF2_BILINEAR)
}
