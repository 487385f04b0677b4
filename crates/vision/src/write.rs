//! Pictures going out: PNG and JPEG bytes, thumbnails, and heat maps laid over a photo.
//!
//! Nothing here is on the way to a module; it is for reports and for showing what a network saw.

use crate::{Error, Image, Resize, Result};

/// `image` as a PNG file.
///
/// # Errors
/// If the encoder fails (a side above 2^31).
pub fn encode_png(image: &Image) -> Result<Vec<u8>> {
    let side = |length: usize| {
        u32::try_from(length).map_err(|_| Error::argument("the image is too large for PNG"))
    };
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side(image.width())?, side(image.height())?);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let failed = |error| Error::argument("the image cannot be written as PNG").with_source(error);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(image.pixels()).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(bytes)
}

/// `image` as a JPEG file of `quality` 1 to 100, 4:2:0 below 90.
///
/// # Errors
/// If a side is above 65,535 or the quality out of range.
///
/// ```
/// use mobilenet_vision::{DecodeOptions, Image, decode, encode_jpeg};
/// let image = Image::new(16, 16, vec![200; 768])?;
/// let back = decode(&encode_jpeg(&image, 90)?, &DecodeOptions::default())?;
/// assert_eq!(back, image);
/// # Ok::<(), mobilenet_vision::Error>(())
/// ```
pub fn encode_jpeg(image: &Image, quality: u8) -> Result<Vec<u8>> {
    let sides = u16::try_from(image.width()).ok().zip(u16::try_from(image.height()).ok());
    let (width, height) = sides.filter(|_| (1..=100).contains(&quality)).ok_or_else(|| {
        Error::argument("JPEG takes sides of up to 65535 pixels and a quality from 1 to 100")
    })?;
    let mut bytes = Vec::new();
    jpeg_encoder::Encoder::new(&mut bytes, quality)
        .encode(image.pixels(), width, height, jpeg_encoder::ColorType::Rgb)
        .map_err(|e| Error::argument("the image cannot be written as JPEG").with_source(e))?;
    Ok(bytes)
}

/// `image` made smaller, its longer side `side` pixels; as it is if it is not larger.
///
/// # Errors
/// If `side` is zero.
pub fn thumbnail(image: &Image, side: usize) -> Result<Image> {
    let (height, width) = (image.height(), image.width());
    let longer = height.max(width);
    if side == 0 {
        return Err(Error::argument("a thumbnail needs a side of at least one pixel"));
    }
    if longer <= side {
        return Ok(image.clone());
    }
    let scaled = |length: usize| ((length * side + longer / 2) / longer).max(1);
    let (out_height, out_width) = (scaled(height), scaled(width));
    let source: Vec<f32> = image.pixels().iter().map(|&v| f32::from(v)).collect();
    let mut target = vec![0.0; out_height * out_width * 3];
    Resize::TF2_AREA.run_f32(&source, (height, width), &mut target, (out_height, out_width))?;
    Image::new(out_height, out_width, target.iter().map(|v| v.round() as u8).collect())
}

/// Lays a heat map over a photo: `heat`, `[rows, columns]`, any range (its largest value is
/// hottest, zero and below are cold), stretched over the picture; `opacity` in [0, 1] of the
/// hottest spot.
///
/// # Errors
/// If `heat` does not fit its size.
pub fn overlay_heat(
    image: &Image,
    heat: &[f32],
    (rows, columns): (usize, usize),
    opacity: f32,
) -> Result<Image> {
    if rows.checked_mul(columns) != Some(heat.len()) || heat.is_empty() {
        return Err(Error::argument(format!(
            "{} values are no {columns}x{rows} heat map",
            heat.len()
        )));
    }
    let hottest = heat.iter().copied().filter(|v| v.is_finite()).fold(0.0f32, f32::max);
    let scale = if hottest > 0.0 { 1.0 / hottest } else { 0.0 };
    let level = |&v: &f32| if v.is_finite() { (v * scale).clamp(0.0, 1.0) } else { 0.0 };
    let repeated: Vec<f32> = heat.iter().map(level).flat_map(|v| [v; 3]).collect();
    let (height, width) = (image.height(), image.width());
    let mut stretched = vec![0.0; height * width * 3];
    Resize::TF2_BILINEAR.run_f32(&repeated, (rows, columns), &mut stretched, (height, width))?;
    let opacity = opacity.clamp(0.0, 1.0);
    let mut pixels = image.pixels().to_vec();
    for (pixel, &[level, ..]) in
        pixels.as_chunks_mut::<3>().0.iter_mut().zip(stretched.as_chunks::<3>().0)
    {
        let share = opacity * level;
        for (value, color) in pixel.iter_mut().zip(heat_color(level)) {
            *value = (f32::from(*value) * (1.0 - share) + color * share).round() as u8;
        }
    }
    Image::new(height, width, pixels)
}

/// Blue, cyan, yellow, red: 0 to 1.
fn heat_color(level: f32) -> [f32; 3] {
    let peak = |centre: f32| (1.5 - (4.0 * level - centre).abs()).clamp(0.0, 1.0) * 255.0;
    [peak(3.0), peak(2.0), peak(1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DecodeOptions, decode};

    fn picture() -> Image {
        Image::new(30, 20, (0..1800u32).map(|i| (i / 8) as u8).collect()).unwrap()
    }

    #[test]
    fn png_comes_back_as_it_was_and_jpeg_nearly() {
        let image = picture();
        let options = DecodeOptions::default();
        assert_eq!(decode(&encode_png(&image).unwrap(), &options).unwrap(), image);
        let back = decode(&encode_jpeg(&image, 95).unwrap(), &options).unwrap();
        let worst = back.pixels().iter().zip(image.pixels()).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(worst < Some(12), "{worst:?}");
        assert!(encode_jpeg(&image, 0).is_err());
    }

    #[test]
    fn thumbnails_keep_the_shape_and_the_mean() {
        let small = thumbnail(&picture(), 15).unwrap();
        assert_eq!((small.height(), small.width()), (15, 10));
        let mean = |image: &Image| {
            image.pixels().iter().map(|&v| f64::from(v)).sum::<f64>() / image.pixels().len() as f64
        };
        assert!((mean(&small) - mean(&picture())).abs() < 0.5);
        assert_eq!(thumbnail(&picture(), 30).unwrap(), picture());
        assert!(thumbnail(&picture(), 0).is_err());
    }

    #[test]
    fn heat_colours_the_hot_spot_and_leaves_the_cold() {
        let image = Image::new(4, 4, vec![100; 48]).unwrap();
        let heat = [0.0, 0.0, 0.0, 8.0];
        let hot = overlay_heat(&image, &heat, (2, 2), 1.0).unwrap();
        assert_eq!(hot.row(0).unwrap()[..3], [100; 3]);
        assert_eq!(hot.row(3).unwrap()[9..], [128, 0, 0]);
        let none = overlay_heat(&image, &[f32::NAN; 4], (2, 2), 1.0).unwrap();
        assert_eq!(none, image);
        assert!(overlay_heat(&image, &heat, (3, 2), 1.0).is_err());
    }
}
