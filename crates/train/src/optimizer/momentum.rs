//! Momentum, plain and Nesterov's: TensorFlow's `ApplyMomentum`.

use super::{Optimizer, Slot, Step};

/// `accumulator = momentum * accumulator + gradient; variable -= learning_rate * accumulator`.
#[derive(Clone, Copy, Debug)]
pub struct Momentum {
    /// Share of the accumulator kept, in [0, 1).
    pub momentum: f32,
    /// Look ahead by one step of the accumulator.
    pub nesterov: bool,
}

impl Optimizer for Momentum {
    fn slots(&self) -> &'static [Slot] {
        &[Slot { name: "Momentum", initial: 0.0 }]
    }

    fn apply(&self, step: Step, variable: &mut [f32], gradient: &[f32], slots: &mut [Vec<f32>]) {
        let [accumulator] = slots else { return };
        let rate = step.learning_rate;
        for ((value, &slope), speed) in variable.iter_mut().zip(gradient).zip(accumulator) {
            *speed = *speed * self.momentum + slope;
            *value -= if self.nesterov {
                slope * rate + *speed * self.momentum * rate
            } else {
                *speed * rate
            };
        }
    }
}
