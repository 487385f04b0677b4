//! Scans of progressive files: each adds coefficients, or a bit to those known.
//!
//! Four kinds of scan: DC or AC coefficients, for the first time or one bit more. AC scans have
//! one channel and can end many blocks at once (`blocks_to_skip`).

use fearless_simd::Level;

use super::bits::{Bits, Entropy};
use super::huffman::Table;
use super::scan::{Coder, Walk, Window};
use super::segments::{Header, Scan, place};
use super::{Block, Plane};
use crate::{Error, Result};

/// Decodes a scan into coefficients.
pub(super) fn scan(
    planes: &mut [Plane],
    (header, scan): (&Header, &Scan),
    window: &Window,
    data: (&Entropy, usize, Level),
) -> Result<()> {
    let (first, last) = (scan.first, scan.last);
    let dc = first == 0;
    let sane =
        if dc { last == 0 } else { first <= last && last < 64 && scan.components.len() == 1 };
    if !sane || scan.low > 13 {
        return Err(Error::damaged(format!(
            "JPEG: a progressive scan of coefficients {first} to {last}, bit {}",
            scan.low
        )));
    }
    let ac_table =
        || scan.components.first().map_or(Ok(None), |c| header.ac_table(c.ac_table).map(Some));
    match (dc, scan.high) {
        (true, 0) => {
            let tables = scan.components.iter().map(|c| header.dc_table(c.dc_table));
            let tables = tables.collect::<Result<Vec<_>>>()?;
            let last = vec![0; tables.len()];
            walk(planes, window, data, DcFirst { tables, last, low: scan.low })
        }
        (true, _) => walk(planes, window, data, DcMore { bit: 1 << scan.low }),
        (false, high) => {
            let Some(table) = ac_table()? else { return Ok(()) };
            let band = Band { table, first, last, low: scan.low, blocks_to_skip: 0 };
            if high == 0 {
                walk(planes, window, data, AcFirst(band))
            } else {
                walk(planes, window, data, AcMore(band))
            }
        }
    }
}

fn walk<C: Coder>(
    planes: &mut [Plane],
    window: &Window,
    (entropy, restart, level): (&Entropy, usize, Level),
    mut coder: C,
) -> Result<()> {
    let mut walk = Walk::new(entropy, restart);
    (0..window.rows).try_for_each(|row| walk.row(level, window, planes, row, &mut coder))
}

struct DcFirst<'a> {
    tables: Vec<&'a Table>,
    last: Vec<i32>,
    low: u8,
}

impl Coder for DcFirst<'_> {
    fn restart(&mut self) {
        self.last.fill(0);
    }

    fn block(&mut self, bits: &mut Bits<'_>, slot: usize, block: &mut Block) {
        if let (Some(table), Some(last)) = (self.tables.get(slot), self.last.get_mut(slot)) {
            *last = last.wrapping_add(bits.step(table).value().into());
            block[0] = (*last << self.low) as i16;
        }
    }
}

struct DcMore {
    bit: i16,
}

impl Coder for DcMore {
    fn restart(&mut self) {}

    fn block(&mut self, bits: &mut Bits<'_>, _: usize, block: &mut Block) {
        if bits.bit() {
            block[0] |= self.bit;
        }
    }
}

/// Coefficients `first` to `last`, down to bit `low`.
struct Band<'a> {
    table: &'a Table,
    first: usize,
    last: usize,
    low: u8,
    blocks_to_skip: u32,
}

struct AcFirst<'a>(Band<'a>);

impl Coder for AcFirst<'_> {
    fn restart(&mut self) {
        self.0.blocks_to_skip = 0;
    }

    fn block(&mut self, bits: &mut Bits<'_>, _: usize, block: &mut Block) {
        let band = &mut self.0;
        if band.blocks_to_skip > 0 {
            band.blocks_to_skip -= 1;
            return;
        }
        let mut k = band.first;
        while k <= band.last {
            let step = bits.step(band.table);
            let (run, value) = (step.run(), step.value());
            k += run as usize;
            if value != 0 {
                block[place(k)] = value << band.low;
            } else if run < 15 {
                band.blocks_to_skip = (1 << run) + bits.number(run) - 1;
                return;
            }
            k += 1;
        }
    }
}

struct AcMore<'a>(Band<'a>);

impl Coder for AcMore<'_> {
    fn restart(&mut self) {
        self.0.blocks_to_skip = 0;
    }

    fn block(&mut self, bits: &mut Bits<'_>, _: usize, block: &mut Block) {
        let band = &mut self.0;
        let mut k = band.first;
        if band.blocks_to_skip == 0 {
            while k <= band.last {
                let step = bits.step(band.table);
                let (run, value) = (step.run(), step.value());
                if value == 0 && run < 15 {
                    band.blocks_to_skip = (1 << run) + bits.number(run);
                    break;
                }
                // The value is one bit: the sign of a coefficient that is now 1 or -1.
                let value = value.signum() << band.low;
                k = refine(bits, block, (k, band.last), band.low, run);
                if value != 0 && k <= band.last {
                    block[place(k)] = value;
                }
                k += 1;
            }
        }
        if band.blocks_to_skip > 0 {
            refine(bits, block, (k, band.last), band.low, u32::MAX);
            band.blocks_to_skip -= 1;
        }
    }
}

/// Adds a bit to the coefficients known between `k` and `last`, and goes over `zeros` unknown
/// ones; where it stopped.
fn refine(
    bits: &mut Bits<'_>,
    block: &mut Block,
    (mut k, last): (usize, usize),
    low: u8,
    mut zeros: u32,
) -> usize {
    let one = 1i16 << low;
    while k <= last {
        let value = &mut block[place(k)];
        if *value == 0 {
            if zeros == 0 {
                break;
            }
            zeros -= 1;
        } else if bits.bit() && *value & one == 0 {
            *value = value.wrapping_add(if *value > 0 { one } else { -one });
        }
        k += 1;
    }
    k
}
