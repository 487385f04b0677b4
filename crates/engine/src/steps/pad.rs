//! Zeros around each image.

use super::{Call, Kernel, floats, floats_mut};
use crate::error::Result;
use crate::program::Value;

#[derive(Debug)]
pub(crate) struct Pad {
    /// `[height, width, channels]` of the input.
    pub(crate) input: [usize; 3],
    /// `[[top, bottom], [left, right]]`
    pub(crate) pads: [[usize; 2]; 2],
}

impl Kernel for Pad {
    fn name(&self) -> String {
        "pad".into()
    }

    fn separable(&self, _inputs: &[&Value]) -> bool {
        true
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let (x, y) = (floats(call.inputs[0])?, floats_mut(call.outputs[0])?);
        let [height, width, channels] = self.input;
        let [[top, bottom], [left, right]] = self.pads;
        let line = (left + width + right) * channels;
        y.fill(0.0);
        let images = y.chunks_exact_mut(((top + height + bottom) * line).max(1));
        for (x, y) in x.chunks_exact((height * width * channels).max(1)).zip(images) {
            let rows = y.chunks_exact_mut(line.max(1)).skip(top);
            for (x, y) in x.chunks_exact((width * channels).max(1)).zip(rows) {
                y[left * channels..][..x.len()].copy_from_slice(x);
            }
        }
        Ok(())
    }
}
