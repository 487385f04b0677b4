//! Plain gradient descent: TensorFlow's `ApplyGradientDescent`.

use super::{Optimizer, Slot, Step};

/// `variable -= learning_rate * gradient`.
#[derive(Clone, Copy, Debug, Default)]
pub struct GradientDescent;

impl Optimizer for GradientDescent {
    fn slots(&self) -> &'static [Slot] {
        &[]
    }

    fn apply(&self, step: Step, variable: &mut [f32], gradient: &[f32], _: &mut [Vec<f32>]) {
        for (value, &slope) in variable.iter_mut().zip(gradient) {
            *value -= step.learning_rate * slope;
        }
    }
}
