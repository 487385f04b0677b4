//! Reductions over any axes; means over height and width are global pools.

use std::sync::Arc;

use mobilenet_kernels as kernels;
use mobilenet_kernels::ReduceOp;

use super::pool::GlobalMean;
use super::{Call, Kernel, Recipe, Site, floats, floats_mut, refused};
use crate::error::{Error, Result};
use crate::ops::Reduction;
use crate::program::Value;

/// Over the axes that are marked.
#[derive(Clone, Debug)]
pub(crate) struct Reduce {
    pub(crate) reduction: Reduction,
    pub(crate) reduced: Vec<bool>,
}

impl Recipe for Reduce {
    fn separable(&self, _inputs: &[&Value]) -> bool {
        self.reduced.first() == Some(&false)
    }

    fn is_global_mean(&self, _inputs: &[&Value]) -> bool {
        self.reduction == Reduction::Mean && self.reduced == [false, true, true, false]
    }

    fn prepare(&self, site: &Site) -> Result<Arc<dyn Kernel>> {
        if self.is_global_mean(&[]) {
            return Ok(Arc::new(GlobalMean::new(site.isa, site.image()?)));
        }
        let op = match self.reduction {
            Reduction::Mean => ReduceOp::Mean,
            Reduction::Sum => ReduceOp::Sum,
            Reduction::Max => ReduceOp::Max,
            Reduction::Product => return Err(Error::unsupported("products at run time")),
        };
        let marked = self.reduced.iter().enumerate().filter(|(_, reduced)| **reduced);
        let axes: Vec<usize> = marked.map(|(axis, _)| axis).collect();
        let packed = kernels::Reduce::new(site.isa, op, site.input(0), &axes).map_err(refused)?;
        let name = format!("{:?}_f32__{}", self.reduction, site.isa).to_lowercase();
        Ok(Arc::new(Prepared { packed, name }))
    }
}

#[derive(Debug)]
struct Prepared {
    packed: kernels::Reduce,
    name: String,
}

impl Kernel for Prepared {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let (x, y) = (floats(call.inputs[0])?, floats_mut(call.outputs[0])?);
        self.packed.run(call.pool, x, y);
        Ok(())
    }
}

/// Half the sum of squares, in double precision.
#[derive(Debug)]
pub(crate) struct L2Loss;

impl Recipe for L2Loss {
    fn prepare(&self, _site: &Site) -> Result<Arc<dyn Kernel>> {
        Ok(Arc::new(Self))
    }
}

impl Kernel for L2Loss {
    fn name(&self) -> String {
        "l2_loss_f32".into()
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let sum: f64 = floats(call.inputs[0])?.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        floats_mut(call.outputs[0])?.fill((sum / 2.0) as f32);
        Ok(())
    }
}
