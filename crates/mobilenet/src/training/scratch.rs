//! Training from random values: a data set and a [`Recipe`] become a module.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use mobilenet_train::checkpoint::Settings;
use mobilenet_train::dataset::{Dataset, Shares};
use mobilenet_train::optimizer;
use mobilenet_train::run::{Event, Outcome, Run, RunOptions};
use mobilenet_train::schedule::Schedule;
use mobilenet_vision::{Crop, Resize};

use super::recipe::{Recipe, augmentation};
use super::{export, network};
use crate::builder::MobilenetV1;
use crate::error::{Error, ErrorKind, Result};
use crate::preprocessing::Preprocessing;

/// The folder of checkpoints inside the folder of the module.
const WORK: &str = "training";

/// How MobileNet V1 is trained from random values.
///
/// ```no_run
/// use std::ops::ControlFlow;
/// use mobilenet::training::{TrainOptions, recipe};
///
/// let options = TrainOptions::new("photos", "my-module", recipe("modern")?);
/// let trained = options.train(&mut |_| ControlFlow::Continue(()))?;
/// println!("{:?}", trained.outcome.progress.best);
/// # Ok::<(), mobilenet::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TrainOptions {
    /// A folder per class, or a WebDataset tar.
    pub data: PathBuf,
    /// Images to validate with; `None`: the data's own, or a share of it.
    pub validation: Option<PathBuf>,
    /// Shares of undivided data.
    pub shares: Shares,
    /// A file of lines `folder TAB name`, for names better than the folders'.
    pub names: Option<PathBuf>,
    /// Where the module goes; its folder `training` holds the checkpoints.
    pub out: PathBuf,
    /// Factor on every layer's channels.
    pub depth_multiplier: f64,
    /// Height and width of the network's input, in pixels.
    pub image_size: usize,
    /// How it is trained.
    pub recipe: Recipe,
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
    /// Go on from the checkpoint in `out`.
    pub resume: bool,
}

/// A finished or interrupted run.
#[derive(Clone, Debug)]
pub struct Trained {
    /// How it went.
    pub outcome: Outcome,
    /// The module's folder; `None` if the run was interrupted.
    pub module: Option<PathBuf>,
    /// Names of the classes.
    pub labels: Vec<String>,
}

impl TrainOptions {
    /// MobileNet V1 0.25 for 128x128 pixels on the images of `data`, to the folder `out`.
    pub fn new(data: impl Into<PathBuf>, out: impl Into<PathBuf>, recipe: Recipe) -> Self {
        Self {
            data: data.into(),
            validation: None,
            shares: Shares { validation: 0.1, test: 0.0 },
            names: None,
            out: out.into(),
            depth_multiplier: 0.25,
            image_size: 128,
            recipe,
            seed: 1,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            patience: None,
            save_every: Duration::from_secs(120),
            cache_bytes: 2 << 30,
            resume: false,
        }
    }

    /// Trains and writes the module. `watch` hears of everything and may stop the run.
    ///
    /// # Errors
    /// If data or settings cannot be used, a loss is no longer a number, there is a checkpoint
    /// where none was expected (or none to resume), or a file cannot be written.
    pub fn train(&self, watch: &mut dyn FnMut(&Event<'_>) -> ControlFlow<()>) -> Result<Trained> {
        self.check()?;
        let dataset = self.dataset()?;
        let labels = self.labels(&dataset.classes)?;
        let builder = self.builder(dataset.classes.len());
        let mut module = builder.module(|variable| variable.initial_tensor(self.seed))?;
        let run = Run {
            network: network::of(&module)?,
            options: self.run_options()?,
            optimizer: self.optimizer()?,
            folder: &self.out.join(WORK),
            settings: self.settings(&dataset),
            resume: self.resume,
        };
        let outcome = run.train(&dataset, watch)?;
        if outcome.interrupted {
            return Ok(Trained { outcome, module: None, labels });
        }
        for (name, value) in &outcome.values {
            module.saved_model_mut().set_variable(name.clone(), value.clone());
        }
        export::dress(&mut module, &labels, &self.preprocessing());
        export::write(&module, &self.out)?;
        Ok(Trained { outcome, module: Some(self.out.clone()), labels })
    }

    /// How photos become the network's input after training.
    fn preprocessing(&self) -> Preprocessing {
        let (crop, resize) = evaluation();
        Preprocessing {
            crop,
            resize,
            ..Preprocessing::hub_convention(self.image_size, self.image_size)
        }
    }

    fn check(&self) -> Result<()> {
        let Recipe { batch_size, epochs, learning_rate, label_smoothing, blend, ema, .. } =
            &self.recipe;
        let rules = [
            (
                self.depth_multiplier > 0.0 && self.depth_multiplier <= 8.0,
                "the depth multiplier is above 0 and at most 8",
            ),
            ((32..=1024).contains(&self.image_size), "the image size is 32 to 1024 pixels"),
            ((1..=65_536).contains(batch_size), "the batch size is 1 to 65536"),
            (*epochs > 0.0 && epochs.is_finite(), "the epochs are more than 0"),
            (*learning_rate > 0.0 && learning_rate.is_finite(), "the learning rate is above 0"),
            ((0.0..1.0).contains(label_smoothing), "label smoothing is 0 up to 1"),
            (ema.is_none_or(|ema| (0.0..1.0).contains(&ema)), "the average keeps 0 up to 1"),
            (blend.mixup >= 0.0 && blend.mixup.is_finite(), "mixup's parameter is 0 or more"),
            (blend.cutmix >= 0.0 && blend.cutmix.is_finite(), "cutmix's parameter is 0 or more"),
        ];
        if let Some((_, rule)) = rules.into_iter().find(|(holds, _)| !holds) {
            return Err(Error::new(ErrorKind::Training, rule));
        }
        let work = self.out.join(WORK);
        if !self.resume && mobilenet_train::checkpoint::Checkpoint::exists(&work) {
            let message = format!(
                "{} holds the checkpoint of another run; resume it, or choose another folder",
                work.display()
            );
            return Err(Error::new(ErrorKind::Training, message));
        }
        Ok(())
    }

    fn dataset(&self) -> Result<Dataset> {
        let own = self.validation.is_none();
        let shares = if own { self.shares } else { Shares { validation: 0.0, test: 0.0 } };
        let mut dataset = Dataset::open(&self.data, shares)?;
        if let Some(folder) = &self.validation {
            dataset.validate_with(folder)?;
        }
        Ok(dataset)
    }

    /// The classes by name: the folders', or those of the file of names.
    fn labels(&self, classes: &[String]) -> Result<Vec<String>> {
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

    fn builder(&self, classes: usize) -> MobilenetV1 {
        let recipe = &self.recipe;
        MobilenetV1 {
            classes: Some(classes),
            dropout_keep_probability: recipe.dropout_keep,
            batch_norm_momentum: recipe.batch_norm_momentum,
            l2_regularization: recipe.l2_regularization,
            ..MobilenetV1::new(self.depth_multiplier, [self.image_size; 2])
        }
    }

    fn optimizer(&self) -> Result<Box<dyn optimizer::Optimizer>> {
        let name = &self.recipe.optimizer;
        let entry = optimizer::find(name).ok_or_else(|| {
            let names: Vec<&str> = optimizer::OPTIMIZERS.iter().map(|entry| entry.name).collect();
            let message =
                format!("no optimiser is called {name:?}; there are {}", names.join(", "));
            Error::new(ErrorKind::NotFound, message)
        })?;
        Ok((entry.make)(self.recipe.momentum))
    }

    fn run_options(&self) -> Result<RunOptions> {
        let recipe = &self.recipe;
        Ok(RunOptions {
            batch_size: recipe.batch_size,
            image_size: [self.image_size; 2],
            threads: self.threads.max(1),
            seed: self.seed,
            schedule: Schedule {
                peak: recipe.learning_rate,
                warmup_epochs: recipe.warmup_epochs,
                epochs: recipe.epochs,
                decay: recipe.decay.clone(),
            },
            weight_decay: recipe.weight_decay,
            ema: recipe.ema,
            label_smoothing: recipe.label_smoothing,
            augment: augmentation(&recipe.augmentation)?,
            blend: recipe.blend,
            evaluation: evaluation(),
            patience: self.patience,
            save_every: self.save_every,
            cache_bytes: self.cache_bytes,
        })
    }

    /// Everything that decides the result.
    fn settings(&self, dataset: &Dataset) -> Settings {
        let text = |value: &dyn std::fmt::Debug| format!("{value:?}");
        let entries: [(&str, String); 8] = [
            ("recipe", text(&self.recipe)),
            ("depth multiplier", text(&self.depth_multiplier)),
            ("image size", text(&self.image_size)),
            ("seed", text(&self.seed)),
            ("patience", text(&self.patience)),
            ("training images", dataset.train.len().to_string()),
            ("validation images", dataset.validation.len().to_string()),
            ("classes", dataset.classes.join(" ")),
        ];
        entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

/// How images are looked at when nothing is random.
fn evaluation() -> (Crop, Resize) {
    (Crop::None, Resize::TF2_BILINEAR)
}
