//! The order of blocks in a scan.
//!
//! A scan of one channel goes through that channel's blocks, row by row. A scan of several goes
//! through MCUs: `v` rows of `h` blocks of each channel in turn.

use fearless_simd::{Level, dispatch};

use super::bits::{Bits, Entropy};
use super::segments::{Frame, Scan};
use super::{Block, Plane};
use crate::{Error, Result};

/// More blocks than an MCU may have.
const MAX_MCU_BLOCKS: usize = 10;

/// Turns bits into one block's coefficients.
pub(super) trait Coder {
    /// Forgets what was predicted: a restart.
    fn restart(&mut self);
    /// Decodes the block of channel `slot` of the scan.
    fn block(&mut self, bits: &mut Bits<'_>, slot: usize, block: &mut Block);
}

/// A channel in a scan.
struct Member {
    /// Its place in the frame.
    plane: usize,
    /// Its blocks in an MCU.
    across: usize,
    down: usize,
}

/// The blocks a scan goes through.
pub(super) struct Window {
    members: Vec<Member>,
    /// MCUs in a row, and rows of them.
    pub(super) columns: usize,
    pub(super) rows: usize,
}

impl Window {
    pub(super) fn new(frame: &Frame, scan: &Scan) -> Result<Self> {
        let mut members = Vec::new();
        for named in &scan.components {
            let place = frame.components.iter().position(|component| component.id == named.id);
            let place = place.filter(|&place| members.iter().all(|m: &Member| m.plane != place));
            let component = place.and_then(|place| Some((place, frame.components.get(place)?)));
            let (plane, component) = component.ok_or_else(|| {
                Error::damaged(format!("JPEG: a scan names channel {} wrongly", named.id))
            })?;
            members.push(Member { plane, across: component.h, down: component.v });
        }
        if let [single] = &mut members[..] {
            let (columns, rows) = frame
                .components
                .get(single.plane)
                .map_or((0, 0), |component| frame.samples(component));
            (single.across, single.down) = (1, 1);
            return Ok(Self { members, columns: columns.div_ceil(8), rows: rows.div_ceil(8) });
        }
        if members.iter().map(|m| m.across * m.down).sum::<usize>() > MAX_MCU_BLOCKS {
            return Err(Error::damaged("JPEG: a scan has too many blocks in an MCU"));
        }
        Ok(Self { members, columns: frame.mcus_wide(), rows: frame.mcus_high() })
    }

    /// How many blocks the scan goes through.
    pub(super) fn block_count(&self) -> usize {
        self.columns * self.rows * self.members.iter().map(|m| m.across * m.down).sum::<usize>()
    }

    /// The frame's channels that take part.
    pub(super) fn slots(&self) -> impl Iterator<Item = usize> {
        self.members.iter().map(|member| member.plane)
    }

    /// Rows of blocks of each channel in a row of MCUs: (plane, rows).
    pub(super) fn depths(&self) -> impl Iterator<Item = (usize, usize)> {
        self.members.iter().map(|member| (member.plane, member.down))
    }
}

/// Where a scan stands: its pieces of data, and the MCUs until the next restart.
pub(super) struct Walk<'a> {
    entropy: &'a Entropy,
    interval: usize,
    piece: usize,
    until_restart: usize,
    bits: Bits<'a>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(entropy: &'a Entropy, interval: usize) -> Self {
        let until_restart = if interval == 0 { usize::MAX } else { interval };
        Self { entropy, interval, piece: 0, until_restart, bits: entropy.piece(0) }
    }

    /// Decodes a row of MCUs into `planes`, whose rows of blocks start at MCU row `base`.
    ///
    /// # Errors
    /// If the file ended before the row did.
    pub(super) fn row<C: Coder>(
        &mut self,
        level: Level,
        window: &Window,
        planes: &mut [Plane],
        base: usize,
        coder: &mut C,
    ) -> Result<()> {
        // No vectors here, but the instructions that shift faster.
        dispatch!(level, _ => self.row_inlined(window, planes, base, coder))
    }

    #[inline(always)]
    fn row_inlined<C: Coder>(
        &mut self,
        window: &Window,
        planes: &mut [Plane],
        base: usize,
        coder: &mut C,
    ) -> Result<()> {
        let mut bits = self.bits;
        for column in 0..window.columns {
            if self.until_restart == 0 {
                bits = self.restart(coder);
            }
            self.until_restart -= 1;
            // As in libjpeg, nothing is decoded past the end of a piece.
            if bits.exhausted() {
                continue;
            }
            for (slot, member) in window.members.iter().enumerate() {
                let Some(plane) = planes.get_mut(member.plane) else { continue };
                for down in 0..member.down {
                    let row = (base * member.down + down) * plane.wide + column * member.across;
                    let blocks = plane.blocks.get_mut(row..row + member.across);
                    for block in blocks.into_iter().flatten() {
                        coder.block(&mut bits, slot, block);
                    }
                }
            }
        }
        self.bits = bits;
        if self.entropy.cut_off && bits.exhausted() {
            return Err(Error::damaged("JPEG: the file ends before its picture does"));
        }
        Ok(())
    }

    #[cold]
    fn restart<C: Coder>(&mut self, coder: &mut C) -> Bits<'a> {
        self.piece += 1;
        self.until_restart = self.interval;
        coder.restart();
        self.entropy.piece(self.piece)
    }
}
