//! Softmax over the last axis.

use super::{Call, Kernel, floats, floats_mut};
use crate::error::Result;
use crate::program::Value;

#[derive(Debug)]
pub(crate) struct Softmax {
    pub(crate) classes: usize,
}

impl Kernel for Softmax {
    fn name(&self) -> String {
        "softmax".into()
    }

    fn separable(&self, inputs: &[&Value]) -> bool {
        inputs.iter().all(|value| value.shape.len() > 1)
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let (x, y) = (floats(call.inputs[0])?, floats_mut(call.outputs[0])?);
        let classes = self.classes.max(1);
        for (x, y) in x.chunks_exact(classes).zip(y.chunks_exact_mut(classes)) {
            softmax(x, y);
        }
        Ok(())
    }
}

/// Shifted by the maximum; the sum is in double precision.
fn softmax(x: &[f32], y: &mut [f32]) {
    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for (y, x) in y.iter_mut().zip(x) {
        *y = (x - max).exp();
        sum += f64::from(*y);
    }
    let scale = (1.0 / sum) as f32;
    y.iter_mut().for_each(|y| *y *= scale);
}
