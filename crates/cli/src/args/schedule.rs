//! How the learning rate goes down: the flags of the schedules of `Decay`.

use clap::{Args, ValueEnum};
use mobilenet::training::{Decay, Recipe};

use crate::failure::Failure;

/// How the learning rate goes down.
#[derive(Args, Debug)]
#[command(next_help_heading = "Learning")]
pub(crate) struct ScheduleArgs {
    /// What the learning rate does after the warm-up [default: the recipe's]
    #[arg(long, value_name = "NAME")]
    schedule: Option<Shape>,

    /// Epochs at which a step schedule falls, such as 10,15; or after each so many, the exponential
    /// one [default: exponential 2.5]
    #[arg(long, value_name = "N", value_delimiter = ',')]
    decay_epochs: Vec<f64>,

    /// What the learning rate is multiplied by when it falls, up to 1 [default: step 0.1, exponential
    /// 0.94]
    #[arg(long, value_name = "X")]
    decay_factor: Option<f64>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shape {
    /// Stays
    Constant,
    /// Half a cosine, down to a thousandth
    Cosine,
    /// Falls by --decay-factor after every --decay-epochs, in stairs
    #[value(alias = "stairs")]
    Exponential,
    /// Falls by --decay-factor at each of --decay-epochs
    Step,
}

impl ScheduleArgs {
    /// Changes the recipe as the flags say.
    pub(crate) fn apply(&self, recipe: &mut Recipe) -> Result<(), Failure> {
        let decay = match self.schedule {
            None => recipe.decay.clone(),
            Some(Shape::Constant) => Decay::Constant,
            Some(Shape::Cosine) => Decay::Cosine { floor: 0.001 },
            Some(Shape::Exponential) => Decay::Exponential { factor: 0.94, epochs: 2.5 },
            Some(Shape::Step) => Decay::Steps { epochs: Vec::new(), factor: 0.1 },
        };
        let given = self.decay_epochs.as_slice();
        let changed = |factor: f64| self.decay_factor.unwrap_or(factor);
        recipe.decay = match (decay, given) {
            (Decay::Steps { .. }, []) => {
                let message = "--schedule step falls at epochs that --decay-epochs names";
                return Err(Failure::new(message).hint("such as --decay-epochs 10,15"));
            }
            (Decay::Steps { factor, .. }, epochs) => {
                Decay::Steps { epochs: epochs.to_vec(), factor: changed(factor) }
            }
            (Decay::Exponential { factor, epochs }, [] | [_]) => {
                let epochs = given.first().copied().unwrap_or(epochs);
                Decay::Exponential { factor: changed(factor), epochs }
            }
            (Decay::Exponential { .. }, _) => {
                return Err(Failure::new(
                    "an exponential schedule has one number of --decay-epochs",
                ));
            }
            (other, []) if self.decay_factor.is_none() => other,
            _ => {
                let message = "--decay-epochs and --decay-factor are for the schedules step and \
                               exponential";
                return Err(Failure::new(message).hint("add --schedule step"));
            }
        };
        Ok(())
    }
}
