//! `Fill`: one value everywhere; folded only.

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::Tensor;

use super::Op;
use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::{Fact, Shape, elements};
use crate::reference::{self, Numbers};

#[derive(Debug)]
pub(super) struct Fill;

impl Fill {
    pub(super) fn import(_attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Self))
    }
}

/// A shape given as a tensor of sizes.
pub(super) fn shape_of_sizes(sizes: &Fact) -> Result<Shape> {
    let Some(sizes) = sizes.integers() else {
        return Ok(sizes.shape.dim(0).map_or(Shape::unknown(), Shape::of_rank));
    };
    let dims: Option<Vec<usize>> = sizes.iter().map(|&size| usize::try_from(size).ok()).collect();
    let dims = dims.ok_or_else(|| Error::shape(format!("{sizes:?} is no shape")))?;
    elements(&dims)?;
    Ok(Shape::known(&dims))
}

impl Op for Fill {
    fn arity(&self) -> RangeInclusive<usize> {
        2..=2
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        let shape = shape_of_sizes(&inputs[0])?;
        Ok(vec![Fact { dtype: inputs[1].dtype, shape, ..Fact::unknown() }])
    }

    fn evaluate(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let shape = shape_of_sizes(&Fact::constant(Arc::new(inputs[0].clone())))?;
        let shape = shape.concrete().ok_or_else(|| Error::shape("the shape is not known"))?;
        let count = elements(&shape)?;
        let filled = match reference::numbers(inputs[1])? {
            Numbers::Real(x) if x.len() == 1 => Numbers::Real(vec![x[0]; count]),
            Numbers::Whole(x) if x.len() == 1 => Numbers::Whole(vec![x[0]; count]),
            _ => return Err(Error::shape("the value must be a scalar")),
        };
        Ok(vec![reference::tensor(inputs[1].dtype(), &shape, filled)?])
    }
}
