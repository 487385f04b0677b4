//! The segments of a JPEG file: finding them, and reading tables, frame and scan headers.
//!
//! A segment is `FF`, a marker byte, and for most markers a length of two bytes (which counts
//! itself) and a body. Entropy-coded data follows a scan's header; `bits` finds its end.

use super::huffman::Table;
use super::{Block, idct, standard};
use crate::decode::Orientation;
use crate::{Error, Result};

/// Where coefficient `k` of a file's order lies in a block. Indices past 63 (runs of a
/// damaged file) land on the last.
static ZIGZAG: [u8; 256] = {
    let mut table = [idct::place(7, 7) as u8; 256];
    let (mut x, mut y, mut k) = (0usize, 0usize, 0);
    while k < 64 {
        table[k] = idct::place(y, x) as u8;
        // Up and to the right on even diagonals, down and to the left on odd ones.
        match ((x + y) % 2 == 0, x, y) {
            (true, 7, _) => y += 1,
            (true, _, 0) => x += 1,
            (true, _, _) => (x, y) = (x + 1, y - 1),
            (false, _, 7) => x += 1,
            (false, 0, _) => y += 1,
            (false, _, _) => (x, y) = (x - 1, y + 1),
        }
        k += 1;
    }
    table
};

/// Where coefficient `k` lies in a block.
#[inline(always)]
pub(super) fn place(k: usize) -> usize {
    usize::from(ZIGZAG[k & 255] & 63)
}

/// A part of the file.
pub(super) enum Segment<'a> {
    Frame(Frame),
    Scan(Scan),
    Other(u8, &'a [u8]),
}

/// The segments of a file, in turn.
pub(super) struct Segments<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Segments<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 2 }
    }

    /// What follows the last segment.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or(&[])
    }

    /// Goes over `length` bytes.
    pub(super) fn skip(&mut self, length: usize) {
        self.at += length;
    }

    /// The next segment; `None` at the end of the picture, or of the file.
    pub(super) fn next(&mut self) -> Result<Option<Segment<'a>>> {
        while let Some(marker) = self.marker() {
            let segment = match marker {
                0xD9 => return Ok(None),
                // Markers without a body, and start of image once more.
                0x01 | 0xD0..=0xD8 => continue,
                0xC0..=0xC2 => Segment::Frame(Frame::read(self.body(marker)?, marker == 0xC2)?),
                0xC9..=0xCF => {
                    return Err(Error::unsupported("JPEG: arithmetic coding is not decoded here"));
                }
                0xC3 | 0xC5..=0xC7 => {
                    return Err(Error::unsupported(
                        "JPEG: lossless and hierarchical files are not decoded here",
                    ));
                }
                0xDA => Segment::Scan(Scan::read(self.body(marker)?)?),
                0xC4 | 0xDB | 0xDD => Segment::Other(marker, self.body(marker)?),
                // Comments and the like may be cut off: the file ends there.
                _ => match self.body(marker) {
                    Ok(body) => Segment::Other(marker, body),
                    Err(_) => return Ok(None),
                },
            };
            return Ok(Some(segment));
        }
        Ok(None)
    }

    /// The next marker, whatever lies before it.
    fn marker(&mut self) -> Option<u8> {
        loop {
            self.at += self.rest().iter().position(|&b| b == 0xFF)?;
            self.at += self.rest().iter().position(|&b| b != 0xFF)?;
            let marker = *self.bytes.get(self.at)?;
            self.at += 1;
            if marker != 0 {
                return Some(marker);
            }
        }
    }

    /// The body of the segment whose marker was just read.
    fn body(&mut self, marker: u8) -> Result<&'a [u8]> {
        let start = self.at;
        let length = self.rest().first_chunk().map_or(0, |b| usize::from(u16::from_be_bytes(*b)));
        let body = self.bytes.get(start + 2..).and_then(|rest| rest.get(..length.checked_sub(2)?));
        self.at += length;
        body.ok_or_else(|| {
            let text = format!("JPEG: segment FF{marker:02X} at byte {start} runs past the end");
            Error::damaged(text)
        })
    }
}

/// A channel as the frame header describes it.
#[derive(Debug, Clone)]
pub(super) struct Component {
    pub(super) id: u8,
    /// Samples in an MCU are 8 times these.
    pub(super) h: usize,
    pub(super) v: usize,
    /// Which quantisation table it takes.
    pub(super) table: usize,
}

/// A frame header.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) progressive: bool,
    pub(super) components: Vec<Component>,
    pub(super) h_max: usize,
    pub(super) v_max: usize,
}

impl Frame {
    fn read(body: &[u8], progressive: bool) -> Result<Self> {
        let damaged = || Error::damaged("JPEG: the frame header is damaged");
        let (&[precision, h0, h1, w0, w1, count], list) =
            body.split_first_chunk().ok_or_else(damaged)?;
        if precision != 8 {
            return Err(Error::unsupported(format!("JPEG: samples of {precision} bits")));
        }
        let (height, width) = (u16::from_be_bytes([h0, h1]), u16::from_be_bytes([w0, w1]));
        if !matches!(count, 1 | 3 | 4) {
            return Err(Error::unsupported(format!("JPEG: {count} channels")));
        }
        let list = list.as_chunks::<3>().0;
        let list = list.get(..usize::from(count)).ok_or_else(damaged)?;
        let component = |&[id, factors, table]: &[u8; 3]| {
            let (h, v) = (usize::from(factors >> 4), usize::from(factors & 15));
            let known = (1..=4).contains(&h) && (1..=4).contains(&v) && table < 4;
            known.then_some(Component { id, h, v, table: usize::from(table) })
        };
        let mut components: Vec<Component> =
            list.iter().map(component).collect::<Option<_>>().ok_or_else(damaged)?;
        if let [single] = &mut components[..] {
            // A lone channel has the size of the picture, whatever it says.
            (single.h, single.v) = (1, 1);
        }
        let h_max = components.iter().map(|c| c.h).max().unwrap_or(1);
        let v_max = components.iter().map(|c| c.v).max().unwrap_or(1);
        let (width, height) = (usize::from(width), usize::from(height));
        Ok(Self { width, height, progressive, components, h_max, v_max })
    }

    pub(super) fn mcus_wide(&self) -> usize {
        self.width.div_ceil(8 * self.h_max)
    }

    pub(super) fn mcus_high(&self) -> usize {
        self.height.div_ceil(8 * self.v_max)
    }

    /// Samples of a channel: (width, height).
    pub(super) fn samples(&self, component: &Component) -> (usize, usize) {
        let width = (self.width * component.h).div_ceil(self.h_max);
        (width, (self.height * component.v).div_ceil(self.v_max))
    }

    /// Blocks of a channel.
    pub(super) fn blocks(&self, component: &Component) -> usize {
        self.mcus_wide() * component.h * self.mcus_high() * component.v
    }
}

/// A channel as a scan header names it.
#[derive(Debug, Clone)]
pub(super) struct ScanComponent {
    pub(super) id: u8,
    pub(super) dc_table: usize,
    pub(super) ac_table: usize,
}

/// A scan header.
#[derive(Debug, Clone)]
pub(super) struct Scan {
    pub(super) components: Vec<ScanComponent>,
    /// First and last coefficient, in the file's order.
    pub(super) first: usize,
    pub(super) last: usize,
    /// Bits known before this scan (0: none), and after it.
    pub(super) high: u8,
    pub(super) low: u8,
}

impl Scan {
    fn read(body: &[u8]) -> Result<Self> {
        let damaged = || Error::damaged("JPEG: a scan header is damaged");
        let (&count, rest) = body.split_first().ok_or_else(damaged)?;
        let count = usize::from(count);
        let list =
            rest.get(..2 * count).filter(|_| (1..=4).contains(&count)).ok_or_else(damaged)?;
        let &[first, last, bits] =
            rest.get(2 * count..).and_then(<[u8]>::first_chunk).ok_or_else(damaged)?;
        // Tables are looked for when they are used: a scan may name one that it does not need.
        let component = |&[id, tables]: &[u8; 2]| {
            let (dc_table, ac_table) = (usize::from(tables >> 4), usize::from(tables & 15));
            ScanComponent { id, dc_table, ac_table }
        };
        Ok(Self {
            components: list.as_chunks().0.iter().map(component).collect(),
            first: usize::from(first),
            last: usize::from(last),
            high: bits >> 4,
            low: bits & 15,
        })
    }
}

/// What the other segments have said so far.
#[derive(Default)]
pub(super) struct Header {
    quantisers: [Option<Block>; 4],
    dc_tables: [Option<Box<Table>>; 4],
    ac_tables: [Option<Box<Table>>; 4],
    /// MCUs between restarts; 0: none.
    pub(super) restart_interval: usize,
    pub(super) orientation: Orientation,
    seen_exif: bool,
    pub(super) jfif: bool,
    /// Adobe's colour transform.
    pub(super) adobe: Option<u8>,
}

impl Header {
    pub(super) fn read(&mut self, marker: u8, body: &[u8]) -> Result<()> {
        match marker {
            0xC4 => self.huffman(body),
            0xDB => self.quantisers(body),
            0xDD => {
                let interval = body.first_chunk().map(|b| u16::from_be_bytes(*b));
                let interval =
                    interval.ok_or_else(|| Error::damaged("JPEG: empty restart interval"))?;
                self.restart_interval = usize::from(interval);
                Ok(())
            }
            0xE0 => {
                self.jfif |= body.starts_with(b"JFIF\0") && body.len() >= 14;
                Ok(())
            }
            0xE1 if body.starts_with(b"Exif\0\0") && !self.seen_exif => {
                self.orientation = Orientation::from_exif_block(body);
                self.seen_exif = true;
                Ok(())
            }
            0xEE if body.starts_with(b"Adobe") && body.len() >= 12 => {
                self.adobe = body.get(11).copied();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The factors of quantisation table `index`.
    pub(super) fn factors(&self, index: usize) -> Result<Block> {
        let table = self.quantisers.get(index).copied().flatten();
        table.ok_or_else(|| Error::damaged(format!("JPEG: quantisation table {index} is missing")))
    }

    pub(super) fn dc_table(&self, index: usize) -> Result<&Table> {
        table(&self.dc_tables, index, "DC")
    }

    pub(super) fn ac_table(&self, index: usize) -> Result<&Table> {
        table(&self.ac_tables, index, "AC")
    }

    /// Puts the standard's tables where a scan needs one that the file does not have.
    pub(super) fn fill_in(&mut self, scan: &Scan) -> Result<()> {
        for component in &scan.components {
            if let Some(slot @ None) = self.dc_tables.get_mut(component.dc_table) {
                *slot = Some(standard::dc(component.dc_table)?);
            }
            if let Some(slot @ None) = self.ac_tables.get_mut(component.ac_table) {
                *slot = Some(standard::ac(component.ac_table)?);
            }
        }
        Ok(())
    }

    fn quantisers(&mut self, mut body: &[u8]) -> Result<()> {
        while let Some((&kind, rest)) = body.split_first() {
            let wide = kind >> 4 != 0;
            let length = if wide { 128 } else { 64 };
            let values = rest.get(..length);
            let slot = self.quantisers.get_mut(usize::from(kind & 15));
            let (Some(values), Some(slot)) = (values, slot) else {
                return Err(Error::damaged("JPEG: a quantisation table is damaged"));
            };
            let mut table = [0i16; 64];
            for k in 0..64 {
                let at = |i: usize| values.get(i).copied().unwrap_or(0);
                let value = if wide { [at(2 * k), at(2 * k + 1)] } else { [0, at(k)] };
                table[place(k)] = i16::from_be_bytes(value);
            }
            *slot = Some(table);
            body = rest.get(length..).unwrap_or(&[]);
        }
        Ok(())
    }

    fn huffman(&mut self, mut body: &[u8]) -> Result<()> {
        while !body.is_empty() {
            let damaged = || Error::damaged("JPEG: a Huffman table is damaged");
            let (&[kind], rest) = body.split_first_chunk().ok_or_else(damaged)?;
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or_else(damaged)?;
            let total = counts.iter().map(|&n| usize::from(n)).sum();
            let values =
                rest.get(..total).filter(|values| values.len() <= 256).ok_or_else(damaged)?;
            let tables = if kind >> 4 == 0 { &mut self.dc_tables } else { &mut self.ac_tables };
            let slot = tables.get_mut(usize::from(kind & 15)).filter(|_| kind >> 4 < 2);
            *slot.ok_or_else(damaged)? = Some(Table::new(counts, values)?);
            body = rest.get(total..).unwrap_or(&[]);
        }
        Ok(())
    }
}

fn table<'t>(tables: &'t [Option<Box<Table>>; 4], index: usize, kind: &str) -> Result<&'t Table> {
    let table = tables.get(index).and_then(Option::as_deref);
    table.ok_or_else(|| Error::damaged(format!("JPEG: {kind} Huffman table {index} is missing")))
}
