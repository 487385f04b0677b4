//! `Shape`: the shape of a tensor, as integers.

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::{DType, Tensor};

use super::Op;
use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::{Fact, Shape};
use crate::reference::{self, Numbers};

#[derive(Debug)]
pub(super) struct ShapeOf {
    out_type: DType,
}

impl ShapeOf {
    pub(super) fn import(attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Self { out_type: attributes.dtype("out_type", DType::I32)? }))
    }

    fn value(&self, dims: &[usize]) -> Result<Tensor> {
        let sizes: Option<Vec<i64>> = dims.iter().map(|&dim| i64::try_from(dim).ok()).collect();
        let sizes = sizes.ok_or_else(|| Error::shape("a dimension is too large"))?;
        reference::tensor(self.out_type, &[dims.len()], Numbers::Whole(sizes))
    }
}

impl Op for ShapeOf {
    fn arity(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        match inputs[0].shape.concrete() {
            Some(dims) => Ok(vec![Fact::constant(Arc::new(self.value(&dims)?))]),
            None => {
                let shape = Shape::new(vec![inputs[0].shape.rank()]);
                Ok(vec![Fact::new(self.out_type, shape)])
            }
        }
    }

    fn evaluate(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        Ok(vec![self.value(inputs[0].shape())?])
    }
}
