//! Channels of fewer samples brought to the picture's size: libjpeg's "fancy" upsampling.
//!
//! Where a channel has half the columns or rows, a sample in between is three parts its nearer
//! neighbour and one part the other; other whole ratios repeat samples.

use fearless_simd::{Level, Simd, dispatch};

use super::Plane;
use super::segments::{Component, Frame};
use crate::{Error, Result};

/// How a channel is brought to size.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Ratio {
    /// It has the size.
    Full,
    /// Half the columns, smoothed.
    HalfColumns,
    /// Half the rows, smoothed.
    HalfRows,
    /// Half of both, smoothed.
    Quarter,
    /// Columns and rows for each sample.
    Repeat(usize, usize),
}

/// A channel and how it is brought to size.
pub(super) struct Channel<'a> {
    samples: &'a [u8],
    stride: usize,
    width: usize,
    height: usize,
    ratio: Ratio,
}

impl<'a> Channel<'a> {
    pub(super) fn new(frame: &Frame, component: &Component, plane: &'a Plane) -> Result<Self> {
        let (across, down) = (frame.h_max / component.h, frame.v_max / component.v);
        if across * component.h != frame.h_max || down * component.v != frame.v_max {
            return Err(Error::unsupported("JPEG: channels of sizes that are no whole ratio"));
        }
        let (width, height) = frame.samples(component);
        let reduced = |length: usize| (length * plane.side).div_ceil(8);
        let (width, height) = (reduced(width), reduced(height));
        let ratio = match (across, down) {
            (1, 1) => Ratio::Full,
            (1, 2) => Ratio::HalfRows,
            (2, 1) if width > 2 => Ratio::HalfColumns,
            (2, 2) if width > 2 => Ratio::Quarter,
            _ => Ratio::Repeat(across, down),
        };
        Ok(Self { samples: &plane.samples, stride: plane.wide * plane.side, width, height, ratio })
    }

    /// Row `y` of the channel's own; the last one again below it.
    fn line(&self, y: usize) -> &'a [u8] {
        let start = y.min(self.height - 1) * self.stride;
        self.samples.get(start..start + self.width).unwrap_or(&[])
    }

    /// The nearer and the farther row of the channel to row `y` of a picture twice as high.
    fn pair(&self, y: usize) -> (&'a [u8], &'a [u8]) {
        let far = if y.is_multiple_of(2) { (y / 2).saturating_sub(1) } else { y / 2 + 1 };
        (self.line(y / 2), self.line(far))
    }
}

/// Rows of all channels at the picture's size.
pub(super) struct Rows<'a> {
    channels: &'a [Channel<'a>],
    width: usize,
    buffers: Vec<Vec<u8>>,
    sums: Vec<u16>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(channels: &'a [Channel<'a>], width: usize) -> Self {
        Self { channels, width, buffers: vec![Vec::new(); channels.len()], sums: Vec::new() }
    }

    /// Row `y` of each channel; empty ones where there are fewer than four.
    pub(super) fn at(&mut self, level: Level, y: usize) -> [&[u8]; 4] {
        let mut rows: [&[u8]; 4] = [&[]; 4];
        let buffers = self.channels.iter().zip(&mut self.buffers);
        for (row, (channel, buffer)) in rows.iter_mut().zip(buffers) {
            let whole = if channel.ratio == Ratio::Full {
                channel.line(y)
            } else {
                dispatch!(level, simd => fill(simd, channel, y, &mut self.sums, buffer));
                &buffer[..]
            };
            *row = whole.get(..self.width).unwrap_or(&[]);
        }
        rows
    }
}

#[inline(always)]
fn fill<S: Simd>(_: S, channel: &Channel<'_>, y: usize, sums: &mut Vec<u16>, row: &mut Vec<u8>) {
    match channel.ratio {
        Ratio::Full => {}
        Ratio::HalfColumns => {
            let line = channel.line(y);
            row.resize(line.len() * 2, 0);
            half_columns(line, row);
        }
        Ratio::HalfRows => {
            let (near, far) = channel.pair(y);
            row.resize(near.len(), 0);
            let bias = if y.is_multiple_of(2) { 1 } else { 2 };
            for (out, (&near, &far)) in row.iter_mut().zip(near.iter().zip(far)) {
                *out = ((u16::from(near) * 3 + u16::from(far) + bias) >> 2) as u8;
            }
        }
        Ratio::Quarter => {
            let (near, far) = channel.pair(y);
            sums.resize(near.len(), 0);
            row.resize(near.len() * 2, 0);
            for (sum, (&near, &far)) in sums.iter_mut().zip(near.iter().zip(far)) {
                *sum = u16::from(near) * 3 + u16::from(far);
            }
            quarter(sums, row);
        }
        Ratio::Repeat(across, down) => {
            row.clear();
            let line = channel.line(y / down);
            row.extend(line.iter().flat_map(|&v| std::iter::repeat_n(v, across)));
        }
    }
}

/// Twice as many columns: `row` is twice as long as `line`, which has three samples at least.
#[inline(always)]
fn half_columns(line: &[u8], row: &mut [u8]) {
    let pairs = row.as_chunks_mut::<2>().0;
    let triples = line.iter().zip(line.iter().skip(1)).zip(line.iter().skip(2));
    for (pair, ((&left, &here), &right)) in pairs.iter_mut().skip(1).zip(triples) {
        let three = u16::from(here) * 3;
        *pair = [
            ((three + u16::from(left) + 1) >> 2) as u8,
            ((three + u16::from(right) + 2) >> 2) as u8,
        ];
    }
    if let ([first, second, ..], [.., before, last], [start, .., end]) = (line, line, pairs) {
        *start = [*first, ((u16::from(*first) * 3 + u16::from(*second) + 2) >> 2) as u8];
        *end = [((u16::from(*last) * 3 + u16::from(*before) + 1) >> 2) as u8, *last];
    }
}

/// Twice as many columns of `sums`, which are four times the samples.
#[inline(always)]
fn quarter(sums: &[u16], row: &mut [u8]) {
    let pairs = row.as_chunks_mut::<2>().0;
    let triples = sums.iter().zip(sums.iter().skip(1)).zip(sums.iter().skip(2));
    for (pair, ((&left, &here), &right)) in pairs.iter_mut().skip(1).zip(triples) {
        *pair = [((here * 3 + left + 8) >> 4) as u8, ((here * 3 + right + 7) >> 4) as u8];
    }
    if let ([first, second, ..], [.., before, last], [start, .., end]) = (sums, sums, pairs) {
        *start = [((first * 4 + 8) >> 4) as u8, ((first * 3 + second + 7) >> 4) as u8];
        *end = [((last * 3 + before + 8) >> 4) as u8, ((last * 4 + 7) >> 4) as u8];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_between_are_three_parts_near_and_one_part_far() {
        let mut row = [0; 8];
        half_columns(&[0, 100, 200, 40], &mut row);
        assert_eq!(row, [0, 25, 75, 125, 175, 160, 80, 40]);
        let mut row = [0; 6];
        quarter(&[0, 400, 800], &mut row);
        assert_eq!(row, [0, 25, 75, 125, 175, 200]);
    }
}
