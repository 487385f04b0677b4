//! TensorFlow's resizes, by name.
//!
//! One table ([`TABLE`]) names every method, the coordinates it samples at and its kernel;
//! `bilinear` holds the two-tap methods that photos take, `taps` all others, `axis` the
//! coordinates and weights of both. Pixels come in as `u8` (scaled by `float32(1/255)` as they
//! are read) or `f32`, and leave as `f32`; there is no float copy of the whole picture.

mod axis;
mod bilinear;
mod taps;

use std::fmt;
use std::str::FromStr;

use crate::{Error, Image, Result};
use axis::{Grid, Kernel};

/// A resize method, by name; all of TensorFlow's, with its coordinates and rounding.
///
/// `tf1-*` are `tf.compat.v1.image.resize_*` with their defaults (`align_corners=False`, no
/// half-pixel centres: `source = target * scale`), `tf2-*` are `tf.image.resize`.
///
/// ```
/// use mobilenet_vision::Resize;
/// assert_eq!("tf2-bilinear".parse::<Resize>()?, Resize::TF2_BILINEAR);
/// assert_eq!(Resize::TF1_LEGACY_BILINEAR.to_string(), "tf1-legacy-bilinear");
/// assert!("bilinaer".parse::<Resize>().unwrap_err().to_string().contains("tf2-bilinear"));
/// # Ok::<(), mobilenet_vision::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Resize(&'static Method);

/// A line of the table.
struct Method {
    name: &'static str,
    rule: Rule,
}

/// How a method computes a target pixel.
#[derive(Clone, Copy)]
enum Rule {
    /// Two rows and two columns: `a + (b - a) * t`, columns first.
    Bilinear(Grid),
    /// One source pixel.
    Nearest(Grid),
    /// Four rows and columns of the cubic kernel with its 1024-entry table, rows first.
    Cubic(Grid),
    /// The mean over the target pixel's area.
    Area,
    /// TensorFlow's `ScaleAndTranslate`; `antialias` widens the kernel when the picture shrinks.
    Scale { kernel: Kernel, antialias: bool },
}

const fn scale(name: &'static str, kernel: Kernel, antialias: bool) -> Method {
    Method { name, rule: Rule::Scale { kernel, antialias } }
}

/// Every method: its name and its rule.
static TABLE: [Method; 20] = [
    Method { name: "tf1-legacy-bilinear", rule: Rule::Bilinear(Grid::Legacy) },
    Method { name: "tf1-bilinear-align-corners", rule: Rule::Bilinear(Grid::AlignCorners) },
    Method { name: "tf1-legacy-nearest", rule: Rule::Nearest(Grid::Legacy) },
    Method { name: "tf1-legacy-bicubic", rule: Rule::Cubic(Grid::Legacy) },
    Method { name: "tf1-area", rule: Rule::Area },
    Method { name: "tf2-bilinear", rule: Rule::Bilinear(Grid::HalfPixel) },
    Method { name: "tf2-nearest", rule: Rule::Nearest(Grid::HalfPixel) },
    Method { name: "tf2-bicubic", rule: Rule::Cubic(Grid::HalfPixel) },
    Method { name: "tf2-area", rule: Rule::Area },
    scale("tf2-lanczos3", Kernel::Lanczos(3.0), false),
    scale("tf2-lanczos5", Kernel::Lanczos(5.0), false),
    scale("tf2-gaussian", Kernel::Gaussian, false),
    scale("tf2-mitchellcubic", Kernel::MitchellCubic, false),
    scale("tf2-bilinear-antialias", Kernel::Triangle, true),
    scale("tf2-bicubic-antialias", Kernel::KeysCubic, true),
    scale("tf2-lanczos3-antialias", Kernel::Lanczos(3.0), true),
    scale("tf2-lanczos5-antialias", Kernel::Lanczos(5.0), true),
    scale("tf2-gaussian-antialias", Kernel::Gaussian, true),
    scale("tf2-mitchellcubic-antialias", Kernel::MitchellCubic, true),
    Method { name: "tf1-bicubic-align-corners", rule: Rule::Cubic(Grid::AlignCorners) },
];

impl Resize {
    /// Slim's evaluation: TF1 `resize_bilinear` without half-pixel centres.
    pub const TF1_LEGACY_BILINEAR: Self = Self(&TABLE[0]);
    /// TF2 `tf.image.resize` with its defaults: half-pixel centres, no antialiasing.
    pub const TF2_BILINEAR: Self = Self(&TABLE[5]);
    /// TF2 bicubic (Keys, a = -0.5), no antialiasing.
    pub const TF2_BICUBIC: Self = Self(&TABLE[7]);
    /// The mean over each target pixel's area.
    pub const TF2_AREA: Self = Self(&TABLE[8]);
    /// TF2 bilinear with antialiasing.
    pub const TF2_BILINEAR_ANTIALIAS: Self = Self(&TABLE[13]);

    /// Every method, in the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(Self)
    }

    /// The name that [`FromStr`] takes.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Resizes floats, `source`: `[height, width, 3]`, into `target`: `[height, width, 3]`.
    ///
    /// # Errors
    /// If a side is zero or a length does not fit its size.
    pub fn run_f32(
        self,
        source: &[f32],
        source_size: (usize, usize),
        target: &mut [f32],
        target_size: (usize, usize),
    ) -> Result<()> {
        let view = View::whole(source, source_size)?;
        self.run(&view, target, target_size, &mut Scratch::default())
    }

    pub(crate) fn run<T: Sample>(
        self,
        source: &View<'_, T>,
        target: &mut [f32],
        target_size: (usize, usize),
        scratch: &mut Scratch,
    ) -> Result<()> {
        let (height, width) = target_size;
        if height == 0 || width == 0 || target.len() != height * width * 3 {
            return Err(Error::argument(format!(
                "a target of {width}x{height} RGB pixels takes {} floats, not {}",
                height.saturating_mul(width).saturating_mul(3),
                target.len()
            )));
        }
        match self.0.rule {
            Rule::Bilinear(grid) => bilinear::run(grid, source, target, width, scratch),
            rule => taps::run(rule, source, target, target_size, scratch),
        }
        Ok(())
    }
}

impl FromStr for Resize {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::all().find(|method| method.name() == name).ok_or_else(|| {
            let names: Vec<_> = Self::all().map(Self::name).collect();
            Error::argument(format!("no resize is named {name:?}; there are {}", names.join(", ")))
        })
    }
}

impl fmt::Display for Resize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Resize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Resize({})", self.name())
    }
}

impl PartialEq for Resize {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Resize {}

/// Buffers that resizing uses again: tables for the last sizes, and rows of floats.
#[derive(Debug, Default)]
pub struct Scratch {
    bilinear: bilinear::Scratch,
    taps: taps::Scratch,
}

/// A pixel's sample as the float that TensorFlow resizes.
pub(crate) trait Sample: Copy {
    fn to_f32(self) -> f32;
}

impl Sample for u8 {
    /// `convert_image_dtype`: one multiplication.
    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from(self) * Image::STEP
    }
}

impl Sample for f32 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }
}

/// A window on a picture: `height` rows of `width` RGB pixels, `stride` samples apart.
pub(crate) struct View<'a, T> {
    samples: &'a [T],
    stride: usize,
    height: usize,
    width: usize,
}

impl<'a, T> View<'a, T> {
    /// All of `samples`, `[height, width, 3]`.
    pub(crate) fn whole(samples: &'a [T], (height, width): (usize, usize)) -> Result<Self> {
        let length = height.checked_mul(width).and_then(|n| n.checked_mul(3));
        if length != Some(samples.len()) || samples.is_empty() {
            return Err(Error::argument(format!(
                "{} samples are no picture of {width}x{height} RGB pixels",
                samples.len()
            )));
        }
        Ok(Self { samples, stride: width * 3, height, width })
    }

    /// The part that starts at `top`, `left` and has the given size; it must lie inside.
    pub(crate) fn window(
        self,
        (top, left): (usize, usize),
        (height, width): (usize, usize),
    ) -> Result<Self> {
        let inside = top + height <= self.height && left + width <= self.width;
        let start = top * self.stride + left * 3;
        match self.samples.get(start..) {
            Some(samples) if inside && height > 0 && width > 0 => {
                Ok(Self { samples, stride: self.stride, height, width })
            }
            _ => Err(Error::argument("the crop lies outside the picture")),
        }
    }

    /// Row `y`, `[width, 3]`; empty outside.
    fn row(&self, y: usize) -> &'a [T] {
        let start = y * self.stride;
        self.samples.get(start..start + self.width * 3).unwrap_or(&[])
    }
}
