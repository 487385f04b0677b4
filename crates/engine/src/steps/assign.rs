//! Changes a variable in place.

use std::sync::Arc;

use super::{Call, Kernel, Recipe, Site, floats, floats_mut};
use crate::error::Result;
use crate::ops::Update;

#[derive(Clone, Debug)]
pub(crate) struct Assign {
    pub(crate) update: Update,
}

impl Recipe for Assign {
    fn prepare(&self, _site: &Site) -> Result<Arc<dyn Kernel>> {
        Ok(Arc::new(self.clone()))
    }
}

impl Kernel for Assign {
    fn name(&self) -> String {
        format!("assign {:?}", self.update).to_lowercase()
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let x = floats(call.inputs[0])?;
        let variable = floats_mut(call.outputs[0])?.iter_mut().zip(x);
        match self.update {
            Update::Set => variable.for_each(|(v, x)| *v = *x),
            Update::Add => variable.for_each(|(v, x)| *v += x),
            Update::Subtract => variable.for_each(|(v, x)| *v -= x),
        }
        Ok(())
    }
}
