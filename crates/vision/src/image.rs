//! [`Image`]: decoded pixels. Where they come from is `decode`, where they go is `preprocess`.

use crate::{Error, Result};

/// A decoded picture: 8-bit RGB, `[height, width, 3]`, rows from the top, no padding.
///
/// ```
/// let image = mobilenet_vision::Image::new(1, 2, vec![255, 0, 0, 0, 0, 255])?;
/// assert_eq!(image.row(0), Some(&[255, 0, 0, 0, 0, 255][..]));
/// # Ok::<(), mobilenet_vision::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    height: usize,
    width: usize,
    pixels: Vec<u8>,
}

impl Image {
    /// What each of a byte's 255 steps is worth in [0, 1]: `convert_image_dtype`'s
    /// `float32(1/255)`, which bytes are multiplied by.
    pub const STEP: f32 = 1.0 / 255.0;

    /// Wraps `pixels`, `[height, width, 3]`.
    ///
    /// # Errors
    /// If a side is zero or `pixels.len()` is not `height * width * 3`.
    pub fn new(height: usize, width: usize, pixels: Vec<u8>) -> Result<Self> {
        let expected = height.checked_mul(width).and_then(|n| n.checked_mul(3));
        if height == 0 || width == 0 || expected != Some(pixels.len()) {
            return Err(Error::argument(format!(
                "an image of {width}x{height} RGB pixels cannot be made from {} bytes",
                pixels.len()
            )));
        }
        Ok(Self { height, width, pixels })
    }

    /// The number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The number of pixels in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// All pixels: `[height, width, 3]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// All pixels, `[height, width, 3]`, to change in place.
    pub fn pixels_mut(&mut self) -> &mut [u8] {
        &mut self.pixels
    }

    /// The pixels themselves, `[height, width, 3]`.
    pub fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }

    /// Row `y`, `[width, 3]`; `None` below the picture.
    pub fn row(&self, y: usize) -> Option<&[u8]> {
        self.pixels.chunks_exact(self.width * 3).nth(y)
    }
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({}x{} RGB)", self.width, self.height)
    }
}
