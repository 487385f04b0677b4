//! Copies a value that is nobody's output into the arena, so that it can be one.

use std::sync::Arc;

use super::{Call, Kernel, Recipe, Site};
use crate::error::Result;
use crate::program::Value;

#[derive(Debug)]
pub(crate) struct Copy;

impl Recipe for Copy {
    fn separable(&self, _inputs: &[&Value]) -> bool {
        true
    }

    fn prepare(&self, _site: &Site) -> Result<Arc<dyn Kernel>> {
        Ok(Arc::new(Self))
    }
}

impl Kernel for Copy {
    fn name(&self) -> String {
        "copy".into()
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        call.outputs[0].copy_from_slice(call.inputs[0]);
        Ok(())
    }
}
