//! TensorFlow's RMSProp: `ApplyRMSProp`, epsilon inside the root, `rms` starting at 1.

use super::{Optimizer, Slot, Step};

/// `rms = decay * rms + (1 - decay) * gradient^2`,
/// `speed = momentum * speed + learning_rate * gradient / sqrt(rms + epsilon)`,
/// `variable -= speed`.
#[derive(Clone, Copy, Debug)]
pub struct RmsProp {
    /// Share of the mean square kept, in [0, 1).
    pub decay: f32,
    /// Share of the speed kept, in [0, 1).
    pub momentum: f32,
    /// Added to the mean square before the root; slim uses 1.
    pub epsilon: f32,
}

impl Default for RmsProp {
    /// slim's settings for MobileNet.
    fn default() -> Self {
        Self { decay: 0.9, momentum: 0.9, epsilon: 1.0 }
    }
}

impl Optimizer for RmsProp {
    fn slots(&self) -> &'static [Slot] {
        &[Slot { name: "RMSProp", initial: 1.0 }, Slot { name: "RMSProp_1", initial: 0.0 }]
    }

    fn apply(&self, step: Step, variable: &mut [f32], gradient: &[f32], slots: &mut [Vec<f32>]) {
        let [squares, speeds] = slots else { return };
        let elements = variable.iter_mut().zip(gradient).zip(squares).zip(speeds);
        for (((value, &slope), square), speed) in elements {
            *square += (slope * slope - *square) * (1.0 - self.decay);
            *speed = *speed * self.momentum
                + step.learning_rate * slope / (*square + self.epsilon).sqrt();
            *value -= *speed;
        }
    }
}
