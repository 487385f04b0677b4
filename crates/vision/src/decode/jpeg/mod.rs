//! JPEG: baseline, extended and progressive Huffman files of 8 bits, in grey, YCbCr, RGB, CMYK
//! and YCCK; to the bit what libjpeg-turbo gives with its accurate IDCT and fancy upsampling.
//!
//! A file is a list of segments (`segments`): tables, one frame header, and scans. A scan is a
//! stream of bits (`bits`) in prefix codes (`huffman`) that `sequential` or `progressive` turns
//! into coefficients of 8x8 blocks, in the order that `scan` walks; `idct` turns those into
//! samples, `upsample` brings the channels to one size, and `color` makes RGB of them.
//!
//! Arithmetic coding, lossless files and 12 bits are errors that say so. Like libjpeg, a bad code
//! or a scan that stops early leaves grey in the picture; a file that ends early is an error.

mod bits;
mod color;
mod huffman;
mod idct;
mod progressive;
mod reduced;
mod scan;
mod segments;
mod sequential;
mod standard;
mod upsample;

use fearless_simd::Level;

use super::{DecodeOptions, Decoded, KEPT_BYTES, resized};
use crate::{Error, Image, Result};
use bits::Entropy;
use color::Conversion;
pub(super) use color::pixel as ycc_to_rgb;
use scan::Window;
use segments::{Frame, Header, Scan, Segment, Segments};
use upsample::Channel;

/// Coefficients of a block, each at its [`idct::place`].
type Block = [i16; 64];

/// What is shown where nothing is decoded.
const GREY: u8 = 128;

/// Memory that is used again.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    entropy: Vec<u8>,
    planes: Vec<(Vec<Block>, Vec<u8>)>,
}

impl Buffers {
    /// Drops what one large file needed.
    pub(super) fn shrink(&mut self) {
        let large = |(blocks, samples): &(Vec<Block>, Vec<u8>)| {
            blocks.capacity() * size_of::<Block>() > KEPT_BYTES || samples.capacity() > KEPT_BYTES
        };
        if self.entropy.capacity() > KEPT_BYTES || self.planes.iter().any(large) {
            *self = Self::default();
        }
    }
}

/// Decodes a JPEG file.
pub(super) fn decode(
    bytes: &[u8],
    options: &DecodeOptions,
    buffers: &mut super::Buffers,
) -> Result<Decoded> {
    let mut segments = Segments::new(bytes);
    let mut header = Header::default();
    let mut decoder = None;
    while let Some(segment) = segments.next()? {
        match segment {
            Segment::Frame(frame) => {
                if decoder.is_some() {
                    return Err(Error::damaged("JPEG: there are two frame headers"));
                }
                decoder = Some(Decoder::new(frame, options, &mut buffers.jpeg)?);
            }
            Segment::Scan(scan) => {
                let decoder = decoder
                    .as_mut()
                    .ok_or_else(|| Error::damaged("JPEG: a scan comes before the frame header"))?;
                header.fill_in(&scan)?;
                let memory = std::mem::take(&mut buffers.jpeg.entropy);
                let (entropy, length) = Entropy::read(segments.rest(), memory);
                let complete = decoder.scan(&header, &scan, &entropy)?;
                buffers.jpeg.entropy = entropy.into_memory();
                if complete {
                    break;
                }
                segments.skip(length);
            }
            Segment::Other(marker, body) => header.read(marker, body)?,
        }
    }
    let decoder = decoder.ok_or_else(|| Error::damaged("JPEG: there is no frame header"))?;
    let image = decoder.finish(&header, buffers)?;
    Ok(Decoded { image, orientation: header.orientation })
}

/// A channel of the picture being decoded.
struct Plane {
    /// Blocks in a row and in a column, whole MCUs.
    wide: usize,
    high: usize,
    /// Coefficients: of one row of MCUs, or of the whole picture if it is progressive.
    blocks: Vec<Block>,
    /// Samples of a block in each direction: 8, or fewer where the picture is made smaller.
    side: usize,
    /// Samples, `[high * side, wide * side]`.
    samples: Vec<u8>,
    /// The factors of the coefficients, as they were when the channel's first scan began.
    factors: Option<Block>,
}

struct Decoder {
    frame: Frame,
    planes: Vec<Plane>,
    side: usize,
    level: Level,
    /// Scans and blocks that may still be decoded.
    scans_left: u32,
    blocks_left: usize,
    seen_scan: bool,
}

impl Decoder {
    fn new(frame: Frame, options: &DecodeOptions, buffers: &mut Buffers) -> Result<Self> {
        // A byte for each sample, RGB, and coefficients of two bytes in progressive files.
        let channels = frame.components.len() as u64;
        let per_sample = if frame.progressive { 3 } else { 1 };
        options.limits.check(frame.width, frame.height, 3 + channels * per_sample)?;
        let blocks: usize = frame.components.iter().map(|c| frame.blocks(c)).sum();
        let side = side(frame.width.min(frame.height), options.reduce_to);
        let planes = frame.components.iter().map(|component| {
            let (wide, high) = (frame.mcus_wide() * component.h, frame.mcus_high() * component.v);
            let rows = if frame.progressive { high } else { component.v };
            let (mut blocks, mut samples) = buffers.planes.pop().unwrap_or_default();
            blocks.clear();
            blocks.resize(wide * rows, [0; 64]);
            // Every sample is written before it is read.
            samples.resize(wide * high * side * side, GREY);
            Plane { wide, high, blocks, side, samples, factors: None }
        });
        Ok(Self {
            planes: planes.collect(),
            side,
            level: Level::new(),
            scans_left: options.limits.max_scans,
            // Ten passes over every block are many; small pictures may take more.
            blocks_left: blocks * 24 + (1 << 22),
            seen_scan: false,
            frame,
        })
    }

    /// Decodes one scan; says whether it completes the picture, as a sequential scan of all
    /// channels does, whatever follows it.
    fn scan(&mut self, header: &Header, scan: &Scan, entropy: &Entropy) -> Result<bool> {
        let window = Window::new(&self.frame, scan)?;
        self.scans_left = self.scans_left.checked_sub(1).ok_or_else(|| {
            Error::limit("JPEG: more scans than the limit; raise it if you trust the file")
        })?;
        self.blocks_left = self
            .blocks_left
            .checked_sub(window.block_count())
            .ok_or_else(|| Error::limit("JPEG: the scans take more work than any encoder makes"))?;
        for slot in window.slots() {
            let (plane, component) = (self.planes.get_mut(slot), self.frame.components.get(slot));
            if let (Some(plane), Some(component)) = (plane, component)
                && plane.factors.is_none()
            {
                plane.factors = Some(header.factors(component.table)?);
            }
        }
        self.seen_scan = true;
        let restart = header.restart_interval;
        if self.frame.progressive {
            progressive::scan(
                &mut self.planes,
                (header, scan),
                &window,
                (entropy, restart, self.level),
            )?;
        } else {
            let data = (entropy, restart);
            sequential::scan(&mut self.planes, (header, scan), &window, data, self.level)?;
        }
        Ok(!self.frame.progressive && scan.components.len() == self.planes.len())
    }

    /// The samples of all channels, and RGB of them.
    fn finish(mut self, header: &Header, buffers: &mut super::Buffers) -> Result<Image> {
        if !self.seen_scan {
            return Err(Error::damaged("JPEG: there is no scan"));
        }
        for plane in &mut self.planes {
            match plane.factors {
                None => plane.samples.fill(GREY),
                Some(_) if self.frame.progressive => plane.transform(self.level, 0, plane.high),
                Some(_) => {}
            }
        }
        let reduced = |length: usize| (length * self.side).div_ceil(8);
        let (width, height) = (reduced(self.frame.width), reduced(self.frame.height));
        let conversion = Conversion::of(&self.frame, header);
        let channels = self.frame.components.iter().zip(&self.planes);
        let channels: Vec<Channel<'_>> = channels
            .map(|(component, plane)| Channel::new(&self.frame, component, plane))
            .collect::<Result<_>>()?;
        let mut pixels = resized(std::mem::take(&mut buffers.pixels), width * height * 3)?;
        let mut rows = upsample::Rows::new(&channels, width);
        for (y, row) in pixels.chunks_exact_mut(width * 3).enumerate() {
            conversion.row(self.level, &rows.at(self.level, y), row);
        }
        let memory = self.planes.into_iter().map(|plane| (plane.blocks, plane.samples));
        buffers.jpeg.planes.extend(memory);
        Image::new(height, width, pixels)
    }
}

/// Samples of a block in each direction that leave `length` pixels at least `wanted` long.
fn side(length: usize, wanted: usize) -> usize {
    let enough = |side: &usize| wanted > 0 && (length * side).div_ceil(8) >= wanted;
    [1, 2, 4].into_iter().find(enough).unwrap_or(8)
}

impl Plane {
    /// Samples of the first `depth` rows of blocks, which belong to row `row` of that many.
    fn transform(&mut self, level: Level, row: usize, depth: usize) {
        let Some(factors) = &self.factors else { return };
        let strips = self.samples.chunks_exact_mut(self.wide * self.side * self.side);
        let strips = strips.skip(row * depth).take(depth);
        for (blocks, strip) in self.blocks.chunks_exact(self.wide).zip(strips) {
            match self.side {
                8 => idct::row(level, blocks, factors, strip),
                side => reduced::row(level, side, blocks, factors, strip),
            }
        }
    }
}
