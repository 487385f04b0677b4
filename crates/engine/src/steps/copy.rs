//! Copies a value that is nobody's output into the arena, so that it can be one.

use super::{Call, Kernel};
use crate::error::Result;
use crate::program::Value;

#[derive(Debug)]
pub(crate) struct Copy;

impl Kernel for Copy {
    fn name(&self) -> String {
        "copy".into()
    }

    fn separable(&self, _inputs: &[&Value]) -> bool {
        true
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        call.outputs[0].copy_from_slice(call.inputs[0]);
        Ok(())
    }
}
