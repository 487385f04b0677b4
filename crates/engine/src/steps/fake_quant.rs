//! Rounding to some bits in floats, and its gradient. A gradient's sums are made block by block,
//! so that no sum depends on the number of threads.

use std::sync::Arc;

use super::{Call, Kernel, Recipe, Site, floats, floats_mut};
use crate::error::{Error, Result};
use crate::ops::{Levels, Nudged, Range};
use crate::program::Value;

/// Values that a thread takes at a time.
const BLOCK: usize = 1 << 13;
/// Sums that are kept apart, for vectors.
const LANES: usize = 8;

/// Values, with their ends behind them, rounded; or a slope and values, with their ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FakeQuant {
    pub(crate) levels: Levels,
    pub(crate) range: Range,
    pub(crate) gradient: bool,
}

impl Recipe for FakeQuant {
    fn separable(&self, inputs: &[&Value]) -> bool {
        let has_rows = self.range != Range::PerChannel
            || inputs.first().is_some_and(|value| value.shape.len() > 1);
        // The slopes of the ends are sums over all images.
        !self.gradient && has_rows && inputs.iter().skip(1).all(|value| !value.per_image)
    }

    fn prepare(&self, site: &Site) -> Result<Arc<dyn Kernel>> {
        let shape = site.input(usize::from(self.gradient));
        let elements = shape.iter().product();
        let channels = match self.range {
            Range::PerChannel => shape.last().copied().unwrap_or(1).max(1),
            _ => 1,
        };
        Ok(Arc::new(Prepared { recipe: *self, elements, channels }))
    }
}

#[derive(Debug)]
struct Prepared {
    recipe: FakeQuant,
    elements: usize,
    channels: usize,
}

/// Ranges as the kernel reads them: four numbers for each channel.
struct Ranges<'a>(&'a [f32]);

impl Ranges<'_> {
    fn write(to: &mut [f32], Nudged { low, high, scale, zero }: Nudged) {
        to.copy_from_slice(&[low, high, scale, zero]);
    }

    fn of(numbers: &[f32]) -> Nudged {
        match *numbers {
            [low, high, scale, zero] => Nudged { low, high, scale, zero },
            _ => Nudged::NONE,
        }
    }

    /// In the order of channels, over and over.
    fn each(&self) -> impl Iterator<Item = Nudged> {
        self.0.chunks_exact(4).map(Self::of)
    }

    fn first(&self) -> Nudged {
        Self::of(self.0.get(..4).unwrap_or_default())
    }
}

impl Prepared {
    /// Values in a block: whole rows of channels.
    fn block(&self) -> usize {
        (BLOCK / self.channels).max(1) * self.channels
    }

    /// Numbers of the ranges, and of the sums of all blocks.
    fn scratch(&self) -> [usize; 2] {
        let sums = self.elements.div_ceil(self.block()) * 2 * self.channels;
        [4 * self.channels, if self.recipe.gradient { sums } else { 0 }]
    }

    fn round(&self, call: &mut Call<'_>, ranges: &Ranges<'_>) -> Result<()> {
        let x = floats(call.inputs[0])?;
        let (block, channels) = (self.block(), self.channels);
        call.pool.for_each_chunk(floats_mut(call.outputs[0])?, block, &|index, y| {
            let x = x.get(index * block..).unwrap_or_default();
            if channels == 1 {
                let range = ranges.first();
                return y.iter_mut().zip(x).for_each(|(y, x)| *y = range.round(*x));
            }
            for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
                let each = y.iter_mut().zip(x).zip(ranges.each());
                each.for_each(|((y, x), range)| *y = range.round(*x));
            }
        });
        Ok(())
    }

    fn slopes(&self, call: &mut Call<'_>, ranges: &Ranges<'_>, sums: &mut [f32]) -> Result<()> {
        let (dy, x) = (floats(call.inputs[0])?, floats(call.inputs[1])?);
        let (block, channels) = (self.block(), self.channels);
        let part = |values: &'_ [f32], index: usize| {
            let start = (index * block).min(values.len());
            start..(start + block).min(values.len())
        };
        let pass = |range: &Nudged, dy: f32, x: f32| {
            if range.contains(x) { dy } else { 0.0 }
        };
        call.pool.for_each_chunk(floats_mut(call.outputs[0])?, block, &|index, dx| {
            let (dy, x) = (&dy[part(dy, index)], &x[part(x, index)]);
            if channels == 1 {
                let range = ranges.first();
                let each = dx.iter_mut().zip(dy.iter().zip(x));
                return each.for_each(|(dx, (dy, x))| *dx = pass(&range, *dy, *x));
            }
            let rows = dx.chunks_exact_mut(channels).zip(dy.chunks_exact(channels));
            for ((dx, dy), x) in rows.zip(x.chunks_exact(channels)) {
                let each = dx.iter_mut().zip(dy.iter().zip(x)).zip(ranges.each());
                each.for_each(|((dx, (dy, x)), range)| *dx = pass(&range, *dy, *x));
            }
        });
        if matches!(self.recipe.range, Range::Args(..)) {
            return Ok(());
        }
        call.pool.for_each_chunk(sums, 2 * channels, &|index, sums| {
            let (dy, x) = (&dy[part(dy, index)], &x[part(x, index)]);
            let (below, above) = sums.split_at_mut(channels);
            if channels == 1 {
                let (low, high) = beyond(&ranges.first(), dy, x);
                below.fill(low);
                return above.fill(high);
            }
            below.fill(0.0);
            above.fill(0.0);
            for (dy, x) in dy.chunks_exact(channels).zip(x.chunks_exact(channels)) {
                let ends = below.iter_mut().zip(above.iter_mut()).zip(ranges.each());
                for (((below, above), range), (dy, x)) in ends.zip(dy.iter().zip(x)) {
                    *below += if *x < range.low { *dy } else { 0.0 };
                    *above += if *x > range.high { *dy } else { 0.0 };
                }
            }
        });
        let [_, min, max, ..] = &mut call.outputs;
        for (end, offset) in [(floats_mut(min)?, 0), (floats_mut(max)?, channels)] {
            for (channel, end) in end.iter_mut().enumerate() {
                let blocks = sums.chunks_exact(2 * channels);
                let parts = blocks.filter_map(|sums| sums.get(offset + channel));
                *end = parts.map(|&part| f64::from(part)).sum::<f64>() as f32;
            }
        }
        Ok(())
    }
}

/// The slopes of what lies below and above a range, summed.
fn beyond(range: &Nudged, dy: &[f32], x: &[f32]) -> (f32, f32) {
    let (mut below, mut above) = ([0.0f32; LANES], [0.0f32; LANES]);
    for (dy, x) in dy.chunks(LANES).zip(x.chunks(LANES)) {
        for (lane, (dy, x)) in dy.iter().zip(x).enumerate() {
            below[lane] += if *x < range.low { *dy } else { 0.0 };
            above[lane] += if *x > range.high { *dy } else { 0.0 };
        }
    }
    (below.iter().sum(), above.iter().sum())
}

impl Kernel for Prepared {
    fn name(&self) -> String {
        let per = if self.recipe.range == Range::PerChannel { "_per_channel" } else { "" };
        let gradient = if self.recipe.gradient { "_grad" } else { "" };
        format!("fake_quant{per}{gradient}_f32")
    }

    fn scratch_bytes(&self) -> usize {
        self.scratch().iter().sum::<usize>().saturating_mul(4)
    }

    fn run(&self, call: &mut Call<'_>) -> Result<()> {
        let FakeQuant { levels, range, gradient } = self.recipe;
        let scratch = floats_mut(std::mem::take(&mut call.scratch))?;
        let (ranges, sums) = scratch
            .split_at_mut_checked(self.scratch()[0])
            .ok_or_else(|| Error::input("scratch memory is too short"))?;
        let first = usize::from(gradient) + 1;
        for (channel, to) in ranges.chunks_exact_mut(4).enumerate() {
            let (min, max) = match range {
                Range::Args(min, max) => (min, max),
                _ => {
                    let end = |i: usize| -> Result<f32> {
                        let values = floats(call.inputs[first + i])?;
                        Ok(values.get(channel).copied().unwrap_or(0.0))
                    };
                    (end(0)?, end(1)?)
                }
            };
            Ranges::write(to, levels.nudge(min, max));
        }
        let sums = sums.get_mut(..self.scratch()[1]).unwrap_or_default();
        match gradient {
            false => self.round(call, &Ranges(ranges)),
            true => self.slopes(call, &Ranges(ranges), sums),
        }
    }
}
