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

/// A named optimiser with the settings people expect of that name.
pub struct Entry {
    /// Name on the command line.
    pub name: &'static str,
    /// One line of help.
    pub help: &'static str,
    /// Learning rate that suits fine-tuning at batch 32.
    pub learning_rate: f32,
    /// Makes it; `momentum` is the user's, if given.
    pub make: fn(momentum: Option<f32>) -> Box<dyn Optimizer>,
}

/// Every optimiser.
pub const OPTIMIZERS: &[Entry] = &[
    Entry {
        name: "sgd",
        help: "plain gradient descent",
        learning_rate: 0.01,
        make: |_| Box::new(GradientDescent),
    },
    Entry {
        name: "momentum",
        help: "gradient descent with momentum",
        learning_rate: 0.005,
        make: |momentum| Box::new(Momentum { momentum: momentum.unwrap_or(0.9), nesterov: false }),
    },
    Entry {
        name: "nesterov",
        help: "gradient descent with Nesterov momentum",
        learning_rate: 0.005,
        make: |momentum| Box::new(Momentum { momentum: momentum.unwrap_or(0.9), nesterov: true }),
    },
    Entry {
        name: "rmsprop",
        help: "TensorFlow's RMSProp with slim's settings: decay 0.9, epsilon 1 inside the root",
        learning_rate: 0.045,
        make: |momentum| {
            Box::new(RmsProp { momentum: momentum.unwrap_or(0.9), ..RmsProp::default() })
        },
    },
    Entry {
        name: "adamw",
        help: "Adam with decoupled weight decay",
        learning_rate: 0.001,
        make: |momentum| Box::new(Adam { beta1: momentum.unwrap_or(0.9), ..Adam::default() }),
    },
];

/// The optimiser called `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Entry> {
    OPTIMIZERS.iter().find(|entry| entry.name == name)
}
