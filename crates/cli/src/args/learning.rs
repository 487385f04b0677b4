//! How a network learns: a named recipe, and flags that change single numbers of it.

use clap::Args;
use mobilenet::training::{ClassWeights, OPTIMIZERS, RECIPES, Recipe, recipe};

use super::{AugmentArgs, ScheduleArgs, one_of, value};
use crate::failure::Failure;

/// How a network learns.
#[derive(Args, Debug)]
#[command(next_help_heading = "Learning")]
pub(crate) struct LearningArgs {
    /// Start from this recipe's settings; flags change single ones
    #[arg(long, value_name = "NAME", value_parser = one_of::<String>(RECIPES.iter().map(|r| value(r.0, r.1))))]
    recipe: Option<String>,

    /// Passes over the training images
    #[arg(long, value_name = "N", alias = "train_epochs", alias = "train-epochs")]
    epochs: Option<f64>,

    /// Steps of the run, in the place of --epochs
    #[arg(long, value_name = "N", conflicts_with = "epochs")]
    #[arg(aliases = ["how_many_training_steps", "max_steps"])]
    pub(crate) steps: Option<u64>,

    /// Images in a batch
    #[arg(long, value_name = "N", alias = "batch_size", alias = "train_batch_size")]
    batch_size: Option<usize>,

    /// Highest learning rate [default: the recipe's, in proportion to the batch]
    #[arg(long, value_name = "X", alias = "learning_rate")]
    learning_rate: Option<f64>,

    /// Epochs in which the learning rate rises from nothing
    #[arg(long, value_name = "N")]
    warmup_epochs: Option<f64>,

    #[command(flatten)]
    schedule: ScheduleArgs,

    /// How a gradient moves a variable [default: the recipe's]
    #[arg(long, value_name = "NAME", value_parser = one_of::<String>(OPTIMIZERS.iter().map(|o| value(o.name, o.help))))]
    optimizer: Option<String>,

    /// Share of the speed that momentum, nesterov and rmsprop keep each step, adamw of the mean
    /// gradient (beta1) [default: 0.9]
    #[arg(long, value_name = "X", alias = "rmsprop_momentum")]
    momentum: Option<f32>,

    /// Share of the mean square that rmsprop keeps each step [default: 0.9]
    #[arg(long, value_name = "X", alias = "rmsprop_decay")]
    pub(crate) rmsprop_decay: Option<f32>,

    /// What rmsprop adds to the mean square inside the root, adamw after it [default: rmsprop 1, adamw
    /// 1e-8]
    #[arg(long, value_name = "X", alias = "opt_epsilon")]
    pub(crate) epsilon: Option<f32>,

    /// L2 regularisation of the kernels, in the loss
    #[arg(long, value_name = "X")]
    l2: Option<f32>,

    /// Decoupled weight decay of the kernels, as in AdamW
    #[arg(long, value_name = "X")]
    weight_decay: Option<f32>,

    /// Probability spread over all classes, 0 to 1
    #[arg(long, value_name = "X", alias = "label_smoothing")]
    label_smoothing: Option<f32>,

    /// Share of features dropped in training, 0 to 1
    #[arg(long, value_name = "X", alias = "dropout_rate")]
    dropout: Option<f32>,

    /// Share that the average of the weights keeps each step; 0 for no average
    #[arg(long, value_name = "X")]
    ema: Option<f32>,

    /// Share of the moving averages that batch norm keeps each step
    #[arg(long, value_name = "X")]
    batch_norm_momentum: Option<f32>,

    /// How much an image of each class counts: even, balanced (rare classes count more), or
    /// hat=2,shoes=0.5
    #[arg(long, value_name = "WEIGHTS", default_value = "even")]
    pub(crate) class_weights: ClassWeights,

    /// End after this many epochs without a better validation
    #[arg(long, value_name = "N")]
    pub(crate) patience: Option<usize>,

    /// Decides first values, order, augmentation and dropout
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,

    /// Write a checkpoint at least this often, and after each epoch
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub(crate) save_every: u64,

    /// Memory for decoded images
    #[arg(long, value_name = "MIB", default_value_t = 2048)]
    pub(crate) cache_mb: usize,

    /// Train nothing, but try learning rates from tiny to huge, print how the loss goes, and
    /// suggest one
    #[arg(long)]
    pub(crate) find_learning_rate: bool,

    #[command(flatten)]
    augment: AugmentArgs,
}

impl LearningArgs {
    /// The recipe with the flags applied.
    pub(crate) fn recipe(&self, default: &str) -> Result<Recipe, Failure> {
        let mut recipe = recipe(self.recipe.as_deref().unwrap_or(default))?;
        if let Some(batch_size) = self.batch_size {
            recipe.learning_rate *= batch_size as f64 / recipe.batch_size as f64;
            recipe.batch_size = batch_size;
        }
        if let Some(name) = &self.optimizer {
            self.choose_optimizer(&mut recipe, name);
        }
        self.schedule.apply(&mut recipe)?;
        set(&mut recipe.epochs, self.epochs);
        set(&mut recipe.learning_rate, self.learning_rate);
        set(&mut recipe.warmup_epochs, self.warmup_epochs);
        set(&mut recipe.l2_regularization, self.l2);
        set(&mut recipe.weight_decay, self.weight_decay);
        set(&mut recipe.label_smoothing, self.label_smoothing);
        set(&mut recipe.dropout_keep, self.dropout.map(|dropped| 1.0 - dropped));
        set(&mut recipe.ema, self.ema.map(|keep| (keep > 0.0).then_some(keep)));
        set(&mut recipe.batch_norm_momentum, self.batch_norm_momentum);
        set(&mut recipe.momentum, self.momentum.map(Some));
        self.augment.apply(&mut recipe);
        Ok(recipe)
    }

    /// Another optimiser wants another learning rate: its own, for batches of 32.
    fn choose_optimizer(&self, recipe: &mut Recipe, name: &str) {
        if name == recipe.optimizer {
            return;
        }
        name.clone_into(&mut recipe.optimizer);
        if let Some(entry) = OPTIMIZERS.iter().find(|entry| entry.name == name) {
            recipe.learning_rate = f64::from(entry.learning_rate);
        }
    }
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}
