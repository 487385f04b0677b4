//! Element by element with broadcasting, for what is not folded into a convolution.

use std::sync::Arc;

use mobilenet_kernels as kernels;
use mobilenet_kernels::{BinaryOp, Isa, UnaryOp};

use super::walk::Walk;
use super::{Call, Kernel, Recipe, Site, floats, floats_mut, refused};
use crate::error::Result;
use crate::ops::{Arithmetic, Function};
use crate::program::Value;

/// Whether operands line up image by image: each is per image with the rank of the output, or
/// the same for all images.
fn in_rows(inputs: &[&Value]) -> bool {
    let rank = inputs.iter().map(|value| value.shape.len()).max().unwrap_or(0);
    inputs.iter().all(|value| {
        let shared = value.shape.len() < rank || value.shape.first() == Some(&1);
        if value.per_image { value.shape.len() == rank } else { shared }
    })
}

/// Two operands.
#[derive(Clone, Debug)]
pub(crate) struct Binary {
    pub(crate) arithmetic: Arithmetic,
}

impl Recipe for Binary {
    fn separable(&self, inputs: &[&Value]) -> bool {
        in_rows(inputs)
    }

    fn prepare(&self, site: &Site) -> Result<Arc<dyn Kernel>> {
        let (a, b) = (site.input(0), site.input(1));
        let op = match self.arithmetic {
            Arithmetic::Add => BinaryOp::Add,
            Arithmetic::Subtract => BinaryOp::Sub,
            Arithmetic::Multiply => BinaryOp::Mul,
            Arithmetic::Divide => BinaryOp::Div,
            Arithmetic::Maximum => BinaryOp::Maximum,
            Arithmetic::Minimum => BinaryOp::Minimum,
            Arithmetic::SquaredDifference => BinaryOp::SquaredDifference,
            Arithmetic::Greater | Arithmetic::GreaterEqual => {
                return Ok(Arc::new(Compare {
                    or_equal: self.arithmetic == Arithmetic::GreaterEqual,
                    walk: Walk::new([a, b])?,
                }));
            }
        };
        let packed = kernels::Binary::new(site.isa, op, a, b).map_err(refused)?;
        let name = format!("{:?}_f32__{}", self.arithmetic, site.isa).to_lowercase();
        Ok(Arc::new(Calculate { packed, name }))
    }
}

#[derive(Debug)]
struct Calculate {
    packed: kernels::Binary,
    name: String,
}

impl Kernel for Calculate {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let (a, b) = (floats(call.inputs[0])?, floats(call.inputs[1])?);
        self.packed.run(call.pool, a, b, floats_mut(call.outputs[0])?);
        Ok(())
    }
}

#[derive(Debug)]
struct Compare {
    or_equal: bool,
    walk: Walk<2>,
}

impl Kernel for Compare {
    fn name(&self) -> String {
        if self.or_equal { "greaterequal_f32" } else { "greater_f32" }.into()
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let (a, b) = (floats(call.inputs[0])?, floats(call.inputs[1])?);
        self.walk.each(call.outputs[0], |y, [i, j]| {
            *y = u8::from(if self.or_equal { a[i] >= b[j] } else { a[i] > b[j] });
        });
        Ok(())
    }
}

/// One operand.
#[derive(Clone, Debug)]
pub(crate) struct Unary {
    pub(crate) function: Function,
}

impl Recipe for Unary {
    fn separable(&self, _inputs: &[&Value]) -> bool {
        true
    }

    fn prepare(&self, site: &Site) -> Result<Arc<dyn Kernel>> {
        let op = match self.function {
            Function::Exp => UnaryOp::Exp,
            Function::Floor => UnaryOp::Floor,
            Function::Log => UnaryOp::Log,
            Function::Negate => UnaryOp::Neg,
            Function::Relu => UnaryOp::Relu,
            Function::Relu6 => UnaryOp::Relu6,
            Function::Rsqrt => UnaryOp::Rsqrt,
            Function::Sigmoid => UnaryOp::Sigmoid,
            Function::Sqrt => UnaryOp::Sqrt,
            Function::Square => UnaryOp::Square,
        };
        Ok(Arc::new(Map { isa: site.isa, op }))
    }
}

#[derive(Debug)]
struct Map {
    isa: Isa,
    op: UnaryOp,
}

impl Kernel for Map {
    fn name(&self) -> String {
        format!("{:?}_f32__{}", self.op, self.isa).to_lowercase()
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let (x, y) = (floats(call.inputs[0])?, floats_mut(call.outputs[0])?);
        kernels::unary(self.isa, call.pool, self.op, x, y);
        Ok(())
    }
}

/// The second operand where the first is true, else the third.
#[derive(Debug)]
pub(crate) struct Select;

impl Recipe for Select {
    fn separable(&self, inputs: &[&Value]) -> bool {
        in_rows(inputs)
    }

    fn prepare(&self, site: &Site) -> Result<Arc<dyn Kernel>> {
        Ok(Arc::new(Choose { walk: Walk::new([site.input(0), site.input(1), site.input(2)])? }))
    }
}

#[derive(Debug)]
struct Choose {
    walk: Walk<3>,
}

impl Kernel for Choose {
    fn name(&self) -> String {
        "select_f32".into()
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let (condition, a, b) = (call.inputs[0], floats(call.inputs[1])?, floats(call.inputs[2])?);
        let out = floats_mut(call.outputs[0])?;
        self.walk.each(out, |y, [c, i, j]| *y = if condition[c] != 0 { a[i] } else { b[j] });
        Ok(())
    }
}
