//! GIF: the first frame, laid on the canvas.
//!
//! Transparent pixels show their palette colour (alpha is dropped, not blended); what the frame
//! leaves uncovered is black. Later frames are not read.

use ::gif::{ColorOutput, DecodingError, MemoryLimit};

use super::{DecodeOptions, Decoded, Orientation, zeros};
use crate::{Error, Image, Result};

/// Decodes the first frame of a GIF file.
pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Decoded> {
    let mut settings = ::gif::DecodeOptions::new();
    settings.set_color_output(ColorOutput::Indexed);
    let limit = options.limits.max_bytes.max(1);
    settings.set_memory_limit(MemoryLimit::Bytes(
        limit.try_into().unwrap_or(std::num::NonZeroU64::MIN),
    ));
    let mut decoder = settings.read_info(bytes).map_err(failed)?;
    let (width, height) = (usize::from(decoder.width()), usize::from(decoder.height()));
    let frame = decoder.next_frame_info().map_err(failed)?;
    let frame = frame.ok_or_else(|| Error::damaged("GIF: there is no frame"))?;
    if frame.width == 0 || frame.height == 0 {
        return Err(Error::damaged("GIF: the first frame is empty"));
    }
    let [left, top, frame_width, frame_height] =
        [frame.left, frame.top, frame.width, frame.height].map(usize::from);
    // As Pillow does, the canvas grows to hold its first frame.
    let (width, height) = (width.max(left + frame_width), height.max(top + frame_height));
    options.limits.check(width, height, 3 + 1)?;
    let mut indices = zeros(frame_width * frame_height)?;
    decoder.read_into_buffer(&mut indices).map_err(failed)?;
    let palette = decoder.palette().map_err(failed)?.as_chunks::<3>().0;
    let mut pixels = zeros(width * height * 3)?;
    let rows = pixels.chunks_exact_mut(width * 3).skip(top);
    for (row, line) in rows.zip(indices.chunks_exact(frame_width)) {
        for (pixel, &index) in row.as_chunks_mut::<3>().0.iter_mut().skip(left).zip(line) {
            *pixel = palette.get(usize::from(index)).copied().unwrap_or_default();
        }
    }
    Ok(Decoded { image: Image::new(height, width, pixels)?, orientation: Orientation::Upright })
}

fn failed(error: DecodingError) -> Error {
    Error::damaged(format!("GIF: {error}"))
}
