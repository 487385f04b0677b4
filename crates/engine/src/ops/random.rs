//! `RandomUniform` and `TruncatedNormal`: other values at each run, from the session's seed.
//!
//! There is no reference evaluation: two runs are not meant to agree.

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::DType;

use super::fill::shape_of_sizes;
use super::{Effect, Op};
use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::Fact;
use crate::lower::Lowering;

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Distribution {
    /// Between 0 and 1, 1 excluded.
    Uniform,
    /// Standard normal, redrawn beyond two standard deviations.
    TruncatedNormal,
}

#[derive(Debug)]
pub(super) struct Random {
    distribution: Distribution,
    dtype: DType,
    seeds: [i64; 2],
}

impl Random {
    pub(super) fn uniform(attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Self::import(Distribution::Uniform, attributes)
    }

    pub(super) fn truncated_normal(attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Self::import(Distribution::TruncatedNormal, attributes)
    }

    fn import(distribution: Distribution, attributes: &Attributes) -> Result<Arc<dyn Op>> {
        let seeds = [attributes.int("seed", 0)?, attributes.int("seed2", 0)?];
        let dtype = attributes.dtype("dtype", DType::F32)?;
        Ok(Arc::new(Self { distribution, dtype, seeds }))
    }
}

impl Op for Random {
    fn arity(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        Ok(vec![Fact::new(self.dtype, shape_of_sizes(&inputs[0])?)])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        if self.dtype != DType::F32 {
            return Err(Error::unsupported(format!("random {}", self.dtype)));
        }
        lowering.random(self.distribution, self.seeds)
    }

    fn effect(&self) -> Effect {
        Effect::Random
    }
}
