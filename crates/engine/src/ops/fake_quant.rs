//! `FakeQuantWithMinMaxArgs`, `FakeQuantWithMinMaxVars` and `FakeQuantWithMinMaxVarsPerChannel`:
//! what rounding to some bits makes of a value, in floats; and their gradients, which let a slope
//! through where the value is in range and hand it to the end that cut it off where it is not.
//!
//! Everything is in single precision and in TensorFlow's order, because which value a rounding
//! takes is what these ops are about.

use std::ops::RangeInclusive;
use std::sync::Arc;

use mobilenet_formats::Tensor;

use super::{Op, convolution::expect_float};
use crate::attributes::Attributes;
use crate::error::{Error, Result};
use crate::facts::{Fact, Shape};
use crate::lower::Lowering;
use crate::reference;

/// The integers that values are rounded to: from `least` to `most`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Levels {
    least: f32,
    most: f32,
}

impl Levels {
    fn import(attributes: &Attributes) -> Result<Self> {
        let bits = attributes.int("num_bits", 8)?;
        if !(2..=16).contains(&bits) {
            return Err(Error::invalid(format!("num_bits {bits}: 2 to 16 wanted")));
        }
        let narrow = attributes.bool("narrow_range", false)?;
        Ok(Self { least: f32::from(u8::from(narrow)), most: ((1u32 << bits) - 1) as f32 })
    }

    /// The range moved so that 0 is one of the values.
    pub(crate) fn nudge(self, min: f32, max: f32) -> Nudged {
        if min == 0.0 && max == 0.0 {
            return Nudged::NONE;
        }
        let span = self.most - self.least;
        let scale = (max - min) / span;
        let from_min = self.least - min / scale;
        let zero = if from_min < self.least {
            self.least
        } else if from_min > self.most {
            self.most
        } else {
            from_min.round()
        };
        let low = (self.least - zero) * scale;
        let high = (self.most - zero) * scale;
        Nudged { low, high, scale, zero: (-low / scale + 0.5).floor() }
    }
}

/// A range whose values are multiples of a scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Nudged {
    /// The least value.
    pub(crate) low: f32,
    /// The largest value.
    pub(crate) high: f32,
    /// From one value to the next.
    pub(crate) scale: f32,
    /// The steps from the least value to 0.
    pub(crate) zero: f32,
}

impl Nudged {
    /// Between ends that are 0 every value is 0, NaN too, and every slope passes.
    pub(crate) const NONE: Self = Self {
        low: f32::NEG_INFINITY,
        high: f32::INFINITY,
        scale: 0.0,
        // No other range has this one: steps are whole.
        zero: 0.5,
    };

    #[inline]
    fn is_none(&self) -> bool {
        self.zero == Self::NONE.zero
    }

    /// The value nearest to `x`, the upper one of two; NaN stays NaN.
    #[inline]
    pub(crate) fn round(&self, x: f32) -> f32 {
        // `clamp` panics where the ends are in the wrong order, as a file may have them.
        let cut = if x > self.high { self.high } else { x };
        let cut = if cut < self.low { self.low } else { cut };
        let y = floor((cut - self.low) / self.scale - self.zero + 0.5) * self.scale;
        if self.is_none() { 0.0 } else { y }
    }

    /// Whether a slope passes.
    #[inline]
    pub(crate) fn contains(&self, x: f32) -> bool {
        x >= self.low && x <= self.high || self.is_none()
    }
}

/// Rounds down numbers of less than 2^22, without a call that keeps loops from being vectorised.
#[inline]
fn floor(x: f32) -> f32 {
    const HALVES: f32 = 12_582_912.0;
    let near = (x + HALVES) - HALVES;
    near - if near > x { 1.0 } else { 0.0 }
}

/// Where the range comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Range {
    /// Attributes.
    Args(f32, f32),
    /// Two scalar inputs.
    Vars,
    /// Two inputs with a range for each channel.
    PerChannel,
}

/// Values rounded, or the slope of it.
#[derive(Debug)]
pub(super) struct FakeQuant {
    levels: Levels,
    range: Range,
    gradient: bool,
}

macro_rules! imports {
    ($($name:ident $range:ident $gradient:literal,)*) => {
        impl FakeQuant {
            $(pub(super) fn $name(attributes: &Attributes) -> Result<Arc<dyn Op>> {
                let (levels, range) = (Levels::import(attributes)?, $range(attributes)?);
                Ok(Arc::new(Self { levels, range, gradient: $gradient }))
            })*
        }
    };
}

imports! {
    args args_range false,
    args_gradient args_range true,
    vars vars_range false,
    vars_gradient vars_range true,
    per_channel channel_range false,
    per_channel_gradient channel_range true,
}

fn args_range(attributes: &Attributes) -> Result<Range> {
    let (min, max) = (attributes.float("min", -6.0)?, attributes.float("max", 6.0)?);
    if min < max && min.is_finite() && max.is_finite() {
        return Ok(Range::Args(min, max));
    }
    Err(Error::invalid(format!("a range from {min} to {max}")))
}

fn vars_range(_: &Attributes) -> Result<Range> {
    Ok(Range::Vars)
}

fn channel_range(_: &Attributes) -> Result<Range> {
    Ok(Range::PerChannel)
}

impl FakeQuant {
    /// The place of the values among the inputs; the ends follow.
    fn values(&self) -> usize {
        usize::from(self.gradient)
    }

    /// The ranges of the inputs, one or one for each channel.
    fn nudged(&self, inputs: &[&Tensor]) -> Result<Vec<Nudged>> {
        if let Range::Args(min, max) = self.range {
            return Ok(vec![self.levels.nudge(min, max)]);
        }
        let min = reference::singles(inputs[self.values() + 1])?;
        let max = reference::singles(inputs[self.values() + 2])?;
        Ok(min.iter().zip(max.iter()).map(|(&min, &max)| self.levels.nudge(min, max)).collect())
    }
}

impl Op for FakeQuant {
    fn arity(&self) -> RangeInclusive<usize> {
        let ends = if matches!(self.range, Range::Args(..)) { 0 } else { 2 };
        let count = self.values() + 1 + ends;
        count..=count
    }

    fn infer(&self, inputs: &[Fact]) -> Result<Vec<Fact>> {
        inputs.iter().try_for_each(expect_float)?;
        let x = &inputs[self.values()];
        let shape = x.shape.merge(&inputs[0].shape);
        let shape = shape.ok_or_else(|| Error::shape("slope and values must have one shape"))?;
        let mut end = match self.range {
            Range::PerChannel if shape.rank() == Some(0) => {
                return Err(Error::shape("a range for each channel of a scalar"));
            }
            Range::PerChannel => Shape::new(vec![shape.last()]),
            _ => Shape::scalar(),
        };
        for input in &inputs[self.values() + 1..] {
            end = end.merge(&input.shape).ok_or_else(|| {
                Error::shape(format!("min and max of {shape} must have the shape {end}"))
            })?;
        }
        let fact = |shape| Fact { dtype: x.dtype, shape, ..Fact::unknown() };
        let mut facts = vec![fact(shape)];
        if self.gradient && !matches!(self.range, Range::Args(..)) {
            facts.extend([fact(end.clone()), fact(end)]);
        }
        Ok(facts)
    }

    fn evaluate(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let tensor = inputs[self.values()];
        let x = reference::singles(tensor)?;
        let ranges = self.nudged(inputs)?;
        let (dtype, shape, channels) = (tensor.dtype(), tensor.shape(), ranges.len().max(1));
        let of = |i: usize| ranges.get(i % channels).copied().unwrap_or(Nudged::NONE);
        if !self.gradient {
            let round = |(i, x): (usize, &f32)| of(i).round(*x).into();
            let y = x.iter().enumerate().map(round).collect();
            return Ok(vec![reference::real(dtype, shape, y)?]);
        }
        let dy = reference::reals(inputs[0])?;
        let (mut dx, mut ends) = (dy.clone(), [vec![0.0; channels], vec![0.0; channels]]);
        for (i, (dx, x)) in dx.iter_mut().zip(x.iter().copied()).enumerate() {
            let range = of(i);
            if x < range.low {
                ends[0][i % channels] += *dx;
            } else if x > range.high {
                ends[1][i % channels] += *dx;
            }
            *dx *= f64::from(u8::from(range.contains(x)));
        }
        let mut slopes = vec![reference::real(dtype, shape, dx)?];
        if !matches!(self.range, Range::Args(..)) {
            for (end, input) in ends.into_iter().zip(&inputs[2..]) {
                slopes.push(reference::real(dtype, input.shape(), end)?);
            }
        }
        Ok(slopes)
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<()> {
        lowering.fake_quant(self.levels, self.range, self.gradient)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_floor_is_the_floor() {
        let near = |x: f32| [x - 0.25, x, x + 0.25, x + 0.5, x.next_up(), x.next_down()];
        for x in (-66_000..66_000).step_by(7).flat_map(|i| near(i as f32)) {
            assert_eq!(floor(x).to_bits(), (x.floor() + 0.0).to_bits(), "{x}");
        }
        assert!(floor(f32::NAN).is_nan());
    }
}
