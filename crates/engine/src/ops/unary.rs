//! Element by element on one operand.

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::Tensor;
use mobilenet_kernels::Activation;

use super::Op;
use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::Fact;
use crate::lower::Lowering;
use crate::reference::{self, Numbers};

/// What is done to an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Exp,
    Floor,
    Log,
    Negate,
    Relu,
    Relu6,
    Rsqrt,
    Sigmoid,
    Sqrt,
    Square,
}

impl Function {
    /// On one element, in double precision. NaN stays NaN.
    fn apply(self, x: f64) -> f64 {
        match self {
            Self::Exp => x.exp(),
            Self::Floor => x.floor(),
            Self::Log => x.ln(),
            Self::Negate => -x,
            // `clamp` keeps NaN, `max` would not.
            Self::Relu => x.clamp(0.0, f64::INFINITY),
            Self::Relu6 => x.clamp(0.0, 6.0),
            Self::Rsqrt => 1.0 / x.sqrt(),
            Self::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Self::Sqrt => x.sqrt(),
            Self::Square => x * x,
        }
    }

    fn activation(self) -> Option<Activation> {
        match self {
            Self::Relu => Some(Activation::Relu),
            Self::Relu6 => Some(Activation::Relu6),
            _ => None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Unary {
    function: Function,
}

macro_rules! imports {
    ($($name:ident $function:ident,)*) => {
        impl Unary {
            $(pub(super) fn $name(_attributes: &Attributes) -> Result<Arc<dyn Op>> {
                Ok(Arc::new(Self { function: Function::$function }))
            })*
        }
    };
}

imports! {
    exp Exp,
    floor Floor,
    log Log,
    negate Negate,
    relu Relu,
    relu6 Relu6,
    rsqrt Rsqrt,
    sigmoid Sigmoid,
    sqrt Sqrt,
    square Square,
}

impl Op for Unary {
    fn arity(&self) -> RangeInclusive<usize> {
        1..=1
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        Ok(vec![Fact { value: None, variable: None, ..inputs[0].clone() }])
    }

    fn evaluate(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let values = match reference::numbers(inputs[0])? {
            Numbers::Real(x) => {
                Numbers::Real(x.into_iter().map(|x| self.function.apply(x)).collect())
            }
            Numbers::Whole(_) => return Err(Error::unsupported("only on floating point")),
        };
        Ok(vec![reference::tensor(inputs[0].dtype(), inputs[0].shape(), values)?])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        match self.function.activation() {
            Some(activation) => lowering.activation(activation),
            None => lowering.unary(self.function),
        }
    }
}
