//! `Cast`: another dtype; folded, and at run time from `uint8` to `float32`.

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::{DType, Tensor};

use super::Op;
use crate::attributes::Attributes;
use crate::error::Result;
use crate::facts::Fact;
use crate::lower::Lowering;
use crate::reference::{self, Numbers};

#[derive(Debug)]
pub(super) struct Cast {
    to: DType,
}

impl Cast {
    pub(super) fn import(attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Self { to: attributes.dtype("DstT", DType::F32)? }))
    }
}

impl Op for Cast {
    fn arity(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        Ok(vec![Fact::new(self.to, inputs[0].shape.clone())])
    }

    fn evaluate(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let is_real = matches!(self.to, DType::F32 | DType::F64);
        let numbers = match reference::numbers(inputs[0])? {
            Numbers::Real(x) if !is_real && self.to == DType::Bool => {
                Numbers::Whole(x.into_iter().map(|x| i64::from(x != 0.0)).collect())
            }
            Numbers::Real(x) if !is_real => {
                Numbers::Whole(x.into_iter().map(|x| x as i64).collect())
            }
            Numbers::Whole(x) if is_real => {
                Numbers::Real(x.into_iter().map(|x| x as f64).collect())
            }
            numbers => numbers,
        };
        Ok(vec![reference::tensor(self.to, inputs[0].shape(), numbers)?])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        lowering.cast()
    }
}
