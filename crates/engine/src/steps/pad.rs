//! Zeros around each image.

use std::sync::Arc;

use super::{Call, Kernel, Site, floats, floats_mut};
use crate::error::Result;

#[derive(Debug)]
pub(crate) struct Pad {
    /// `[height, width, channels]` of the input.
    input: [usize; 3],
    /// `[[top, bottom], [left, right]]`
    pads: [[usize; 2]; 2],
}

impl Pad {
    pub(crate) fn prepare(pads: [[usize; 2]; 2], site: &Site) -> Result<Arc<dyn Kernel>> {
        Ok(Arc::new(Self { input: site.image()?, pads }))
    }
}

impl Kernel for Pad {
    fn name(&self) -> String {
        "pad_f32".into()
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
