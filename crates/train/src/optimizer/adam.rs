//! Adam as TensorFlow's `ApplyAdam` computes it, with optional decoupled weight decay (AdamW).

use super::{Optimizer, Slot, Step};

/// Adam; with `weight_decay` above 0, AdamW (Loshchilov and Hutter, arXiv:1711.05101).
#[derive(Clone, Copy, Debug)]
pub struct Adam {
    /// Share of the mean gradient kept, in [0, 1).
    pub beta1: f32,
    /// Share of the mean square kept, in [0, 1).
    pub beta2: f32,
    /// Added to the root.
    pub epsilon: f32,
    /// Share of the variable, times the learning rate, taken away each step. Vectors (biases,
    /// batch norm) should be given an optimiser without it.
    pub weight_decay: f32,
}

impl Default for Adam {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

impl Optimizer for Adam {
    fn slots(&self) -> &'static [Slot] {
        &[Slot { name: "m", initial: 0.0 }, Slot { name: "v", initial: 0.0 }]
    }

    fn apply(&self, step: Step, variable: &mut [f32], gradient: &[f32], slots: &mut [Vec<f32>]) {
        let [means, squares] = slots else { return };
        let correction = |beta: f32| 1.0 - f64::from(beta).powf(step.number as f64);
        let scale = (correction(self.beta2).sqrt() / correction(self.beta1)) as f32;
        let rate = step.learning_rate * scale;
        let shrink = step.learning_rate * self.weight_decay;
        let elements = variable.iter_mut().zip(gradient).zip(means).zip(squares);
        for (((value, &slope), mean), square) in elements {
            *mean += (slope - *mean) * (1.0 - self.beta1);
            *square += (slope * slope - *square) * (1.0 - self.beta2);
            *value -= shrink * *value + rate * *mean / (square.sqrt() + self.epsilon);
        }
    }
}
