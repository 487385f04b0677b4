//! `UniformQuantize` and `UniformDequantize`: real numbers to integers and back,
//! `real = scale * (integer - zero_point)`, one pair for all or one per index of an axis.
//!
//! A network of 8 bits is a network of real numbers with these two around every op that rounds.
//! What stands between a `UniformDequantize` and the next `UniformQuantize` becomes one step on
//! bytes where there is a kernel for it ([`crate::lower`]); the graph says what it approximates.

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::{DType, Tensor};

use super::Op;
use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::Fact;
use crate::lower::Lowering;
use crate::reference::{self, Numbers};

/// The integers of a quantised tensor: their type, their range, and what several scales count along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Coding {
    pub(crate) dtype: DType,
    pub(crate) low: i64,
    pub(crate) high: i64,
    pub(crate) axis: i64,
}

impl Coding {
    /// Of the attribute that holds the integers' type, `Tin` or `Tout`.
    pub(crate) fn import(attributes: &Attributes, dtype: &str) -> Result<Self> {
        let dtype = attributes.dtype(dtype, DType::QI8)?;
        let (least, most) = match dtype {
            DType::QI8 => (-128, 127),
            DType::QI32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
            other => return Err(Error::unsupported(format!("integers of type {other}"))),
        };
        let low = attributes.int("quantization_min_val", least)?;
        let high = attributes.int("quantization_max_val", most)?;
        if low < least || high > most || low > high {
            return Err(Error::invalid(format!("values from {low} to {high} as {dtype}")));
        }
        Ok(Self { dtype, low, high, axis: attributes.int("quantization_axis", -1)? })
    }

    /// Scale and zero point of every element of `shape`.
    fn spread(&self, shape: &[usize], inputs: &[&Tensor]) -> Result<Vec<(f64, i64)>> {
        let scales = reference::reals(inputs[1])?;
        let zeros = reference::integers(inputs[2]).ok_or_else(|| Error::dtype("zero points"))?;
        if scales.len() != zeros.len() {
            return Err(Error::shape("as many scales as zero points wanted"));
        }
        if let Some(scale) = scales.iter().find(|scale| !(**scale > 0.0 && scale.is_finite())) {
            return Err(Error::invalid(format!("a scale of {scale}")));
        }
        let pairs: Vec<(f64, i64)> = scales.into_iter().zip(zeros).collect();
        let count = shape.iter().product();
        if self.axis < 0 {
            return match pairs.as_slice() {
                &[pair] => Ok(vec![pair; count]),
                _ => Err(Error::shape("several scales without an axis")),
            };
        }
        let axis = super::axis(self.axis, shape.len())?;
        if pairs.len() != shape[axis] {
            let message = format!("{} scales for {} indices", pairs.len(), shape[axis]);
            return Err(Error::shape(message));
        }
        let inner: usize = shape[axis + 1..].iter().product();
        Ok((0..count).map(|i| pairs[i / inner.max(1) % pairs.len()]).collect())
    }
}

/// To integers: halves away from zero, beyond the range its ends, NaN the zero point.
#[derive(Debug)]
pub(super) struct Quantize(Coding);

impl Quantize {
    pub(super) fn import(attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Self(Coding::import(attributes, "Tout")?)))
    }
}

impl Op for Quantize {
    fn arity(&self) -> RangeInclusive<usize> {
        3..=3
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        super::convolution::expect_float(&inputs[0])?;
        Ok(vec![Fact::new(self.0.dtype, inputs[0].shape.clone())])
    }

    fn evaluate(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let shape = inputs[0].shape();
        let pairs = self.0.spread(shape, inputs)?;
        let integers = reference::reals(inputs[0])?.into_iter().zip(pairs).map(|(x, pair)| {
            let (scale, zero_point) = pair;
            let steps = (x / scale).round() as i64;
            steps.saturating_add(zero_point).clamp(self.0.low, self.0.high)
        });
        let plain = if self.0.dtype == DType::QI8 { DType::I8 } else { DType::I32 };
        Ok(vec![reference::tensor(plain, shape, Numbers::Whole(integers.collect()))?])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        lowering.quantize()
    }
}

/// Back to real numbers.
#[derive(Debug)]
pub(super) struct Dequantize(Coding);

impl Dequantize {
    pub(super) fn import(attributes: &Attributes) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Self(Coding::import(attributes, "Tin")?)))
    }
}

impl Op for Dequantize {
    fn arity(&self) -> RangeInclusive<usize> {
        3..=3
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        super::expect_dtype(&inputs[0], self.0.dtype)?;
        Ok(vec![Fact::new(DType::F32, inputs[0].shape.clone())])
    }

    fn evaluate(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let integers = reference::integers(inputs[0]).ok_or_else(|| Error::dtype("integers"))?;
        let pairs = self.0.spread(inputs[0].shape(), inputs)?;
        let real = |(x, (scale, zero)): (i64, (f64, i64))| scale * x.saturating_sub(zero) as f64;
        let reals = integers.into_iter().zip(pairs).map(real).collect();
        Ok(vec![reference::real(DType::F64, inputs[0].shape(), reals)?])
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        lowering.dequantize()
    }
}
