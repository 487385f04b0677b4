//! [`Preprocess`]: from a decoded picture to the floats a module takes.
//!
//! The order is TensorFlow's and so is every rounding: scale by `float32(1/255)`, crop, resize.
//! (Scaling is done as pixels are read, which gives the same floats.) The range a module wants
//! beyond [0, 1] is inside the module's graph.

use std::fmt;
use std::str::FromStr;

pub use crate::resize::Scratch;
use crate::resize::View;
use crate::{Error, Image, Resize, Result};

/// Which part of the picture is used.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Crop {
    /// All of it.
    #[default]
    None,
    /// `tf.image.central_crop`: the middle, this fraction of each side, in (0, 1].
    /// Slim's evaluation takes 0.875.
    Central(f64),
}

impl Crop {
    /// What remains of a picture of `(height, width)`: `(top, left)` and `(height, width)`.
    pub fn window(self, size: (usize, usize)) -> ((usize, usize), (usize, usize)) {
        let Self::Central(fraction) = self else { return ((0, 0), size) };
        let margin = |side: usize| ((side as f64 - side as f64 * fraction) / 2.0) as usize;
        let (top, left) = (margin(size.0), margin(size.1));
        ((top, left), (size.0.saturating_sub(2 * top), size.1.saturating_sub(2 * left)))
    }
}

impl FromStr for Crop {
    type Err = Error;

    /// `none` or `central:FRACTION`.
    fn from_str(text: &str) -> Result<Self> {
        let fraction = match text {
            "none" => return Ok(Self::None),
            _ => text.strip_prefix("central:").and_then(|f| f.parse().ok()),
        };
        fraction.filter(|f| *f > 0.0 && *f <= 1.0).map(Self::Central).ok_or_else(|| {
            let rule = "none, or central:FRACTION with a fraction above 0 and up to 1";
            Error::argument(format!("{text:?} is no crop; write {rule}, for example central:0.875"))
        })
    }
}

impl fmt::Display for Crop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Central(fraction) => write!(f, "central:{fraction}"),
        }
    }
}

/// Crop and resize, to a fixed size.
///
/// ```
/// use mobilenet_vision::{Crop, Image, Preprocess, Resize};
/// let image = Image::new(2, 2, vec![0, 0, 0, 255, 255, 255, 0, 0, 0, 255, 255, 255])?;
/// let preprocess =
///     Preprocess { crop: Crop::None, resize: Resize::TF2_BILINEAR, height: 1, width: 1 };
/// let mut input = [0.0; 3];
/// preprocess.run(&image, &mut input)?;
/// assert_eq!(input, [0.5; 3]);
/// # Ok::<(), mobilenet_vision::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preprocess {
    /// Which part of the picture is used.
    pub crop: Crop,
    /// How it is brought to size.
    pub resize: Resize,
    /// Rows that the module takes.
    pub height: usize,
    /// Columns that the module takes.
    pub width: usize,
}

impl Preprocess {
    /// Floats that [`Self::run`] writes: `height * width * 3`.
    pub fn output_len(&self) -> usize {
        self.height.saturating_mul(self.width).saturating_mul(3)
    }

    /// Crops and resizes `image` into `output`, `[height, width, 3]`, values in [0, 1]
    /// (cubic and Lanczos methods overshoot a little).
    ///
    /// # Errors
    /// If `output` has another length, a side is zero or the crop leaves nothing.
    pub fn run(&self, image: &Image, output: &mut [f32]) -> Result<()> {
        self.run_with(&mut Scratch::default(), image, output)
    }

    /// As [`Self::run`], with buffers that are used again: for many pictures, one `scratch` a
    /// thread. The result does not depend on what `scratch` held.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_with(&self, scratch: &mut Scratch, image: &Image, output: &mut [f32]) -> Result<()> {
        let size = (image.height(), image.width());
        let (corner, cropped) = self.crop.window(size);
        let view = View::whole(image.pixels(), size)?.window(corner, cropped)?;
        self.resize.run(&view, output, (self.height, self.width), scratch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_read_as_they_print_and_refuse_nonsense() {
        for text in ["none", "central:0.875", "central:1"] {
            assert_eq!(text.parse::<Crop>().unwrap().to_string(), text);
        }
        for text in
            ["", "central", "central:", "central:0", "central:-1", "central:1.5", "central:nan"]
        {
            assert!(text.parse::<Crop>().unwrap_err().to_string().contains("central:0.875"));
        }
    }

    #[test]
    fn central_crop_takes_tensorflows_margins() {
        let central = Crop::Central(0.875);
        assert_eq!(central.window((15, 17)), ((0, 1), (15, 15)));
        assert_eq!(central.window((56, 75)), ((3, 4), (50, 67)));
        assert_eq!(central.window((1, 1)), ((0, 0), (1, 1)));
    }

    #[test]
    fn wrong_sizes_are_errors() {
        let image = Image::new(1, 1, vec![1, 2, 3]).unwrap();
        let mut preprocess =
            Preprocess { crop: Crop::None, resize: Resize::TF2_BILINEAR, height: 2, width: 2 };
        assert!(preprocess.run(&image, &mut [0.0; 11]).is_err());
        assert!(preprocess.run(&image, &mut [0.0; 12]).is_ok());
        preprocess.height = 0;
        assert!(preprocess.run(&image, &mut []).is_err());
    }
}
