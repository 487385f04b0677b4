//! Scans of baseline and extended files: every block complete at once.
//!
//! A row of MCUs is decoded, then transformed into samples while it is in the cache.

use fearless_simd::Level;

use super::bits::{Bits, Entropy};
use super::huffman::Table;
use super::scan::{Coder, Walk, Window};
use super::segments::{Header, Scan};
use super::{Block, Plane};
use crate::Result;

/// The tables of each channel of the scan, and the last DC value.
struct Sequential<'a>(Vec<Channel<'a>>);

struct Channel<'a> {
    dc: &'a Table,
    ac: &'a Table,
    last: i32,
}

/// Decodes a scan into samples.
pub(super) fn scan(
    planes: &mut [Plane],
    (header, scan): (&Header, &Scan),
    window: &Window,
    (entropy, restart): (&Entropy, usize),
    level: Level,
) -> Result<()> {
    let channels = scan.components.iter().map(|component| {
        let (dc, ac) = (header.dc_table(component.dc_table)?, header.ac_table(component.ac_table)?);
        Ok(Channel { dc, ac, last: 0 })
    });
    let mut coder = Sequential(channels.collect::<Result<_>>()?);
    let mut walk = Walk::new(entropy, restart);
    for row in 0..window.rows {
        for plane in window.slots() {
            planes.get_mut(plane).into_iter().for_each(|plane| plane.blocks.fill([0; 64]));
        }
        walk.row(level, window, planes, 0, &mut coder)?;
        for (plane, depth) in window.depths() {
            if let Some(plane) = planes.get_mut(plane) {
                plane.transform(level, row, depth);
            }
        }
    }
    Ok(())
}

impl Coder for Sequential<'_> {
    fn restart(&mut self) {
        self.0.iter_mut().for_each(|channel| channel.last = 0);
    }

    #[inline(always)]
    fn block(&mut self, bits: &mut Bits<'_>, slot: usize, block: &mut Block) {
        let Some(channel) = self.0.get_mut(slot) else { return };
        channel.last = channel.last.wrapping_add(bits.step(channel.dc).value().into());
        block[0] = channel.last as i16;
        bits.coefficients(channel.ac, block);
    }
}
