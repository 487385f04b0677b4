//! From the bytes of an image file to RGB pixels.
//!
//! One table ([`FORMATS`]) names the formats, how their bytes begin, and who decodes them; the
//! format is found by content, never by a file's name. This file holds the table, the limits and
//! the safety net around the decoders; the pixels go to [`crate::Preprocess`].
//!
//! Pixel rules are TensorFlow's: alpha is dropped, not blended; 16-bit samples keep their high
//! byte; grey is repeated. EXIF orientation, which TensorFlow ignores, is applied unless
//! [`DecodeOptions::ignore_exif`] is set.

mod bmp;
mod gif;
mod jpeg;
mod orientation;
mod png;
mod tiff;
mod webp;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{Error, ErrorKind, Image, Result};
pub use orientation::Orientation;

/// What a picture may cost. Checked against the file's header, before memory is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most pixels of the picture, width times height. 64 Mi by default.
    pub max_pixels: u64,
    /// Most bytes of memory that decoding may take, estimated from the header. 448 MiB by default.
    pub max_bytes: u64,
    /// Most work in passes over the picture, for progressive JPEG. 100 by default; cameras and
    /// encoders make about 10.
    pub max_scans: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_pixels: 64 << 20, max_bytes: 448 << 20, max_scans: 100 }
    }
}

impl Limits {
    /// Checks a header's claim; `bytes_per_pixel` is what decoding takes besides the file itself.
    pub(crate) fn check(&self, width: usize, height: usize, bytes_per_pixel: u64) -> Result<()> {
        if width == 0 || height == 0 {
            return Err(Error::damaged(format!("the picture is empty: {width}x{height}")));
        }
        let pixels = (width as u64).saturating_mul(height as u64);
        if pixels > self.max_pixels {
            return Err(Error::limit(format!(
                "the picture is {width}x{height} = {pixels} pixels, more than the limit of {}; \
                 make it smaller first, or raise the limit (`Limits`) if you trust the file",
                self.max_pixels
            )));
        }
        let bytes = pixels.saturating_mul(bytes_per_pixel);
        if bytes > self.max_bytes {
            return Err(Error::limit(format!(
                "decoding {width}x{height} would take {bytes} bytes, more than the limit of {}; \
                 make it smaller first, or raise the limit (`Limits`) if you trust the file",
                self.max_bytes
            )));
        }
        Ok(())
    }
}

/// How to decode.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DecodeOptions {
    /// Leave the picture as stored, as TensorFlow does, instead of turning it upright.
    pub ignore_exif: bool,
    /// What the picture may cost.
    pub limits: Limits,
    /// Decode JPEG at a half, a quarter or an eighth of its size where the shorter side keeps at
    /// least this many pixels, which is faster and not what TensorFlow does; 0: always whole.
    pub reduce_to: usize,
}

/// A decoded file: its pixels as stored and how to turn them upright.
pub(crate) struct Decoded {
    pub(crate) image: Image,
    pub(crate) orientation: Orientation,
}

struct Format {
    name: &'static str,
    matches: fn(&[u8]) -> bool,
    decode: fn(&[u8], &DecodeOptions, &mut Buffers) -> Result<Decoded>,
}

/// Every format: its name, how its bytes begin, and who decodes it.
const FORMATS: &[Format] = &[
    Format { name: "JPEG", matches: |b| b.starts_with(&[0xFF, 0xD8, 0xFF]), decode: jpeg::decode },
    Format {
        name: "PNG",
        matches: |b| b.starts_with(b"\x89PNG\r\n\x1a\n"),
        decode: |bytes, options, _| png::decode(bytes, options),
    },
    Format {
        name: "GIF",
        matches: |b| b.starts_with(b"GIF8"),
        decode: |bytes, options, _| gif::decode(bytes, options),
    },
    Format {
        name: "WebP",
        matches: is_webp,
        decode: |bytes, options, _| webp::decode(bytes, options),
    },
    Format {
        name: "BMP",
        matches: |b| b.starts_with(b"BM"),
        decode: |bytes, options, _| bmp::decode(bytes, options),
    },
    Format {
        name: "TIFF",
        matches: is_tiff,
        decode: |bytes, options, _| tiff::decode(bytes, options),
    },
];

fn is_webp(bytes: &[u8]) -> bool {
    bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP")
}

fn is_tiff(bytes: &[u8]) -> bool {
    bytes.starts_with(b"II*\0") || bytes.starts_with(b"MM\0*")
}

/// Decodes the first picture in `bytes`, whatever its format, to upright RGB.
///
/// # Errors
/// If the format is unknown, the file is damaged or uses what is not decoded here, or decoding
/// would cost more than the limits. Never panics: a panic inside a third-party decoder becomes
/// an error of kind [`ErrorKind::Internal`].
///
/// ```
/// use mobilenet_vision::{DecodeOptions, ErrorKind, decode};
/// let header = *b"BM\x42\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x04\0\0\0\x01\0\0\0\x01\0\x18";
/// let bmp = [&header[..], &[0; 25], &[3, 2, 1].repeat(4)].concat();
/// let image = decode(&bmp, &DecodeOptions::default())?;
/// assert_eq!(image.pixels()[..3], [1, 2, 3]);
///
/// let error = decode(b"<html>", &DecodeOptions::default()).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::UnknownFormat);
/// # Ok::<(), mobilenet_vision::Error>(())
/// ```
pub fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Image> {
    Decoder::new(*options).decode(bytes)
}

/// Decodes many files, using its memory again: one a thread.
///
/// ```
/// use mobilenet_vision::{DecodeOptions, Decoder, Image, encode_jpeg};
/// let file = encode_jpeg(&Image::new(8, 8, vec![50; 192])?, 90)?;
/// let mut decoder = Decoder::new(DecodeOptions::default());
/// for _ in 0..3 {
///     let image = decoder.decode(&file)?;
///     decoder.recycle(image); // once it is used
/// }
/// # Ok::<(), mobilenet_vision::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Decoder {
    options: DecodeOptions,
    buffers: Buffers,
}

impl Decoder {
    /// With these options for all files.
    pub fn new(options: DecodeOptions) -> Self {
        Self { options, buffers: Buffers::default() }
    }

    /// As [`decode`].
    ///
    /// # Errors
    /// As [`decode`].
    pub fn decode(&mut self, bytes: &[u8]) -> Result<Image> {
        let format = FORMATS.iter().find(|f| (f.matches)(bytes)).ok_or_else(|| unknown(bytes))?;
        let decoded = guarded(format, bytes, &self.options, &mut self.buffers);
        self.buffers.jpeg.shrink();
        let Decoded { image, orientation } = decoded?;
        Ok(if self.options.ignore_exif { image } else { orientation.apply(image) })
    }

    /// Gives back the memory of a picture that is no longer needed.
    pub fn recycle(&mut self, image: Image) {
        let pixels = image.into_pixels();
        if pixels.capacity() <= KEPT_BYTES {
            self.buffers.pixels = pixels;
        }
    }
}

/// Larger buffers are not kept from one file to the next.
const KEPT_BYTES: usize = 32 << 20;

/// Memory that is used again.
#[derive(Debug, Default)]
struct Buffers {
    pixels: Vec<u8>,
    jpeg: jpeg::Buffers,
}

/// The name of the format of `bytes` ("JPEG", "PNG", …), by content; `None` if unknown.
pub fn format_name(bytes: &[u8]) -> Option<&'static str> {
    FORMATS.iter().find(|f| (f.matches)(bytes)).map(|f| f.name)
}

/// Runs a decoder with the safety net: a panic inside becomes an error.
fn guarded(
    format: &Format,
    bytes: &[u8],
    options: &DecodeOptions,
    buffers: &mut Buffers,
) -> Result<Decoded> {
    let run = AssertUnwindSafe(|| (format.decode)(bytes, options, buffers));
    catch_unwind(run).unwrap_or_else(|_| {
        let text = format!("the {} decoder failed on this file; please report it", format.name);
        Err(Error::new(ErrorKind::Internal, text))
    })
}

fn unknown(bytes: &[u8]) -> Error {
    let text = match bytes {
        [] => "the file is empty".to_owned(),
        _ if looks_like_text(bytes) => {
            "this is text, not an image (a web page saved in its place?)".to_owned()
        }
        _ => {
            let names: Vec<_> = FORMATS.iter().map(|f| f.name).collect();
            format!("not an image of a known format ({})", names.join(", "))
        }
    };
    Error::new(ErrorKind::UnknownFormat, text)
}

fn looks_like_text(bytes: &[u8]) -> bool {
    bytes.iter().take(64).all(|&b| b.is_ascii_graphic() || b.is_ascii_whitespace())
}

/// Grey to RGB by repetition.
pub(crate) fn repeat_grey(grey: impl IntoIterator<Item = u8>) -> Vec<u8> {
    grey.into_iter().flat_map(|v| [v; 3]).collect()
}

/// TensorFlow's rule for Adobe's inverted inks: `r = c * k / 255` in integers, rounded down.
pub(crate) fn ink_to_rgb([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    [c, m, y].map(|v| (u16::from(v) * u16::from(k) / 255) as u8)
}

/// A vector of zeros, or an error instead of an abort where memory is short.
pub(crate) fn zeros(length: usize) -> Result<Vec<u8>> {
    resized(Vec::new(), length)
}

/// `buffer` made `length` long, whatever it holds; an error where memory is short.
pub(crate) fn resized(mut buffer: Vec<u8>, length: usize) -> Result<Vec<u8>> {
    buffer.try_reserve_exact(length.saturating_sub(buffer.len())).map_err(|e| {
        Error::limit(format!("no memory for a picture of {length} bytes")).with_source(e)
    })?;
    buffer.resize(length, 0);
    Ok(buffer)
}
