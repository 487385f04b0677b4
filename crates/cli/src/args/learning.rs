//! How a network learns: a named recipe, and flags that change single numbers of it.

use clap::Args;
use mobilenet::training::{ClassWeights, OPTIMIZERS, RECIPES, Recipe, optimizer, recipe};

use super::{AugmentArgs, ScheduleArgs, one_of, value};
use crate::failure::Failure;

/// The batch size that optimisers' own learning rates are for.
const OPTIMIZERS_BATCH: f64 = 32.0;

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

    /// Highest learning rate [default: the recipe's, in proportion to the batch; with an --optimizer
    /// of another family, that one's own]
    #[arg(long, value_name = "X", alias = "learning_rate")]
    learning_rate: Option<f64>,

    /// Epochs in which the learning rate rises from nothing
    #[arg(long, value_name = "N")]
    warmup_epochs: Option<f64>,

    #[command(flatten)]
    schedule: ScheduleArgs,

    /// How a gradient moves a variable: sgd, momentum and nesterov are one family [default: the
    /// recipe's]
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
    pub(crate) l2: Option<f32>,

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
    pub(crate) augment: AugmentArgs,
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
            choose_optimizer(&mut recipe, name);
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
}

/// An optimiser of another family wants another learning rate: its own, in proportion to the batch.
fn choose_optimizer(recipe: &mut Recipe, name: &str) {
    let before = optimizer(&recipe.optimizer);
    name.clone_into(&mut recipe.optimizer);
    let Some(entry) = optimizer(name) else { return };
    if before.is_none_or(|before| before.family != entry.family) {
        let batches = recipe.batch_size as f64 / OPTIMIZERS_BATCH;
        recipe.learning_rate = f64::from(entry.learning_rate) * batches;
    }
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        learning: LearningArgs,
    }

    #[test]
    fn an_optimiser_of_the_same_family_keeps_the_rate_and_others_bring_their_own() {
        for (flags, recipe, rate) in [
            ("", "modern", 0.1),
            ("--optimizer momentum", "modern", 0.1),
            ("--optimizer sgd --batch-size 64", "modern", 0.05),
            ("--optimizer rmsprop", "slim", 0.045),
            ("--optimizer adamw", "modern", 0.004),
            ("--optimizer adamw --batch-size 16", "modern", 0.0005),
            ("--optimizer adamw --learning-rate 0.3", "modern", 0.3),
            ("--optimizer nesterov", "slim", 0.01),
            ("--optimizer momentum", "head", 0.01),
            ("--optimizer adamw", "head", 0.001),
        ] {
            let line = Line::try_parse_from(["x"].into_iter().chain(flags.split_whitespace()));
            let found = line.unwrap().learning.recipe(recipe).unwrap();
            let near = (found.learning_rate / rate - 1.0).abs() < 1e-6;
            assert!(near, "{recipe} {flags}: {}", found.learning_rate);
        }
    }
}
