//! Optimisers: how a gradient moves a variable.
//!
//! One file each, one line in [`OPTIMIZERS`]. Each works on one variable at a time, element by
//! element, in float32 as TensorFlow's own update ops do.

mod adam;
mod momentum;
mod rmsprop;
mod sgd;

pub use adam::Adam;
pub use momentum::Momentum;
pub use rmsprop::RmsProp;
pub use sgd::GradientDescent;

use crate::{Error, ErrorKind, Result};

/// A value an optimiser keeps beside each variable.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slot {
    /// TensorFlow's name, the last part of the checkpoint's key.
    pub name: &'static str,
    /// What every element starts as.
    pub initial: f32,
}

/// One variable's step.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Learning rate of this step.
    pub learning_rate: f32,
    /// Number of the step, the first is 1.
    pub number: u64,
}

/// How a gradient moves a variable.
pub trait Optimizer: Send + Sync {
    /// What it keeps beside each variable, in the order `apply` wants it.
    fn slots(&self) -> &'static [Slot];

    /// Moves `variable` against `gradient`; all slices have one length.
    fn apply(&self, step: Step, variable: &mut [f32], gradient: &[f32], slots: &mut [Vec<f32>]);
}

/// Numbers of an optimiser that may be changed; `None`: its own.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Numbers {
    /// Share of the speed kept, in [0, 1).
    pub momentum: Option<f32>,
    /// Share of the mean square kept, in [0, 1).
    pub decay: Option<f32>,
    /// Added to the mean square (RMSProp) or to its root (Adam), above 0.
    pub epsilon: Option<f32>,
}

/// A named optimiser with the settings people expect of that name.
pub struct Entry {
    /// Name on the command line.
    pub name: &'static str,
    /// One line of help.
    pub help: &'static str,
    /// Optimisers of one family learn at one rate.
    pub family: &'static str,
    /// Learning rate that suits fine-tuning at batch 32.
    pub learning_rate: f32,
    /// Which of [`Numbers`] it has.
    pub numbers: &'static [&'static str],
    make: fn(&Numbers) -> Box<dyn Optimizer>,
}

impl Entry {
    /// Makes it, with `numbers` in the place of its own.
    ///
    /// # Errors
    /// [`ErrorKind::Options`] for a number that it does not have or that is out of range.
    pub fn with(&self, numbers: &Numbers) -> Result<Box<dyn Optimizer>> {
        let Numbers { momentum, decay, epsilon } = *numbers;
        let share = |value: &f32| (0.0..1.0).contains(value);
        let above = |value: &f32| *value > 0.0 && value.is_finite();
        let checks = [
            ("momentum", momentum, momentum.is_none_or(|value| share(&value)), "0 up to 1"),
            ("decay", decay, decay.is_none_or(|value| share(&value)), "0 up to 1"),
            ("epsilon", epsilon, epsilon.is_none_or(|value| above(&value)), "above 0"),
        ];
        for (name, value, fits, range) in checks {
            let Some(value) = value else { continue };
            let message = if !self.numbers.contains(&name) {
                let have = OPTIMIZERS.iter().filter(|entry| entry.numbers.contains(&name));
                let have: Vec<&str> = have.map(|entry| entry.name).collect();
                format!("{} has no {name}; those with one: {}", self.name, have.join(", "))
            } else if !fits {
                format!("the {name} of {} is {range}, not {value}", self.name)
            } else {
                continue;
            };
            return Err(Error::new(ErrorKind::Options, message));
        }
        Ok((self.make)(numbers))
    }
}

/// Every optimiser.
pub const OPTIMIZERS: &[Entry] = &[
    Entry {
        name: "sgd",
        help: "plain gradient descent",
        family: "descent",
        learning_rate: 0.01,
        numbers: &[],
        make: |_| Box::new(GradientDescent),
    },
    Entry {
        name: "momentum",
        help: "gradient descent with momentum",
        family: "descent",
        learning_rate: 0.005,
        numbers: &["momentum"],
        make: |numbers| momentum(numbers, false),
    },
    Entry {
        name: "nesterov",
        help: "gradient descent with Nesterov momentum",
        family: "descent",
        learning_rate: 0.005,
        numbers: &["momentum"],
        make: |numbers| momentum(numbers, true),
    },
    Entry {
        name: "rmsprop",
        help: "TensorFlow's RMSProp with slim's settings: decay 0.9, epsilon 1 inside the root",
        family: "rmsprop",
        learning_rate: 0.045,
        numbers: &["momentum", "decay", "epsilon"],
        make: |numbers| {
            let own = RmsProp::default();
            Box::new(RmsProp {
                decay: numbers.decay.unwrap_or(own.decay),
                momentum: numbers.momentum.unwrap_or(own.momentum),
                epsilon: numbers.epsilon.unwrap_or(own.epsilon),
            })
        },
    },
    Entry {
        name: "adamw",
        help: "Adam with decoupled weight decay",
        family: "adam",
        learning_rate: 0.001,
        numbers: &["momentum", "epsilon"],
        make: |numbers| {
            let own = Adam::default();
            Box::new(Adam {
                beta1: numbers.momentum.unwrap_or(own.beta1),
                epsilon: numbers.epsilon.unwrap_or(own.epsilon),
                ..own
            })
        },
    },
];

fn momentum(numbers: &Numbers, nesterov: bool) -> Box<dyn Optimizer> {
    Box::new(Momentum { momentum: numbers.momentum.unwrap_or(0.9), nesterov })
}

/// The optimiser called `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Entry> {
    OPTIMIZERS.iter().find(|entry| entry.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_used_or_refused() {
        let with = |name: &str, numbers| find(name).unwrap().with(&numbers);
        let numbers = Numbers { momentum: Some(0.0), decay: Some(0.5), epsilon: Some(0.25) };
        let optimizer = with("rmsprop", numbers).unwrap();
        let (mut variable, mut slots) = ([1.0], [vec![3.0], vec![0.0]]);
        let step = Step { learning_rate: 0.1, number: 1 };
        optimizer.apply(step, &mut variable, &[1.0], &mut slots);
        // Epsilon is inside the root: the mean square is 0.5 * 3 + 0.5 * 1.
        assert!((variable[0] - (1.0 - 0.1 / 2.25_f32.sqrt())).abs() < 1e-7, "{variable:?}");
        let none = Numbers::default();
        for (name, numbers, says) in [
            ("sgd", Numbers { momentum: Some(0.9), ..none }, "momentum, nesterov, rmsprop, adamw"),
            ("nesterov", Numbers { decay: Some(0.9), ..none }, "no decay; those with one: rmsprop"),
            ("momentum", Numbers { epsilon: Some(0.9), ..none }, "no epsilon"),
            ("adamw", Numbers { momentum: Some(1.0), ..none }, "0 up to 1"),
            ("rmsprop", Numbers { decay: Some(f32::NAN), ..none }, "0 up to 1"),
            ("rmsprop", Numbers { epsilon: Some(0.0), ..none }, "above 0"),
        ] {
            let error = with(name, numbers).err().map(|error| error.to_string());
            assert!(error.as_ref().is_some_and(|error| error.contains(says)), "{name}: {error:?}");
        }
        assert!(OPTIMIZERS.iter().all(|entry| entry.with(&none).is_ok()));
    }
}
