//! From a photo to a module's input: which part of it, how resized, to what size. The module
//! decides; a caller may change any field.

use std::fmt;

use mobilenet_vision::{Crop, DecodeOptions, Image, Preprocess, Resize, Scratch};

use crate::error::Result;

/// How photos become a module's input.
///
/// TensorFlow Hub's image modules record a size and a value range, and nothing more. What the
/// hub's documentation and examples do with them is the default here: the **whole** picture,
/// brought to that size without keeping the aspect ratio, by `tf.image.resize` as it is today
/// (`tf2-bilinear`: half-pixel centres, no antialiasing). For MobileNet V1 slim's evaluation,
/// `central:0.875` with `tf1-legacy-bilinear`, is 2 to 5 points of top-1 better on ImageNet
/// photos, where the object is in the middle; on other photos the crop may cut it off.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocessing {
    /// How files are decoded; by default upright (EXIF) and within the limits.
    pub decode: DecodeOptions,
    /// Which part of the picture is used.
    pub crop: Crop,
    /// How it is brought to size.
    pub resize: Resize,
    /// Rows of the module's input.
    pub height: usize,
    /// Columns of the module's input.
    pub width: usize,
    /// Who decided crop and resize.
    pub decided_by: DecidedBy,
}

/// Where a module's preprocessing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecidedBy {
    /// The convention of TensorFlow Hub's image modules: the file itself says only the size.
    HubConvention,
    /// The module's own record, `assets/preprocessing.json`.
    Module,
    /// The caller.
    Caller,
}

impl fmt::Display for DecidedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DecidedBy::HubConvention => "convention of TensorFlow Hub's image modules",
            DecidedBy::Module => "recorded in the module",
            DecidedBy::Caller => "your choice",
        })
    }
}

impl Preprocessing {
    /// TensorFlow Hub's convention for an input of `height` x `width` pixels.
    pub fn hub_convention(height: usize, width: usize) -> Self {
        Preprocessing {
            decode: DecodeOptions::default(),
            crop: Crop::None,
            resize: Resize::TF2_BILINEAR,
            height,
            width,
            decided_by: DecidedBy::HubConvention,
        }
    }

    /// The record that a module keeps of how it was trained: JSON for [`Self::RECORD`].
    pub fn to_record(&self) -> Vec<u8> {
        let Preprocessing { crop, resize, height, width, .. } = self;
        let record = serde_json::json!({
            "crop": crop.to_string(),
            "resize": resize.name(),
            "height": height,
            "width": width,
            "range": [0, 1],
        });
        format!("{record:#}\n").into_bytes()
    }

    /// Where a module keeps its record.
    pub const RECORD: &'static str = "assets/preprocessing.json";

    /// Reads a record; `None` if it is none.
    pub(crate) fn from_record(bytes: &[u8]) -> Option<Self> {
        let record: serde_json::Value = serde_json::from_slice(bytes).ok()?;
        let side = |key: &str| usize::try_from(record.get(key)?.as_u64()?).ok().filter(|&n| n > 0);
        Some(Preprocessing {
            crop: record.get("crop")?.as_str()?.parse().ok()?,
            resize: record.get("resize")?.as_str()?.parse().ok()?,
            decided_by: DecidedBy::Module,
            ..Self::hub_convention(side("height")?, side("width")?)
        })
    }

    /// Decodes large JPEG files at a half, a quarter or an eighth of their size, as long as the
    /// part that is used keeps more pixels than the module takes. Faster, and the logits differ
    /// from those of exact decoding.
    pub fn decode_fast(&mut self) {
        let kept = if let Crop::Central(fraction) = self.crop { fraction } else { 1.0 };
        self.decode.reduce_to = (self.height.max(self.width) as f64 / kept).ceil() as usize;
    }

    /// Floats of one prepared image: `height * width * 3`.
    pub fn output_len(&self) -> usize {
        self.steps().output_len()
    }

    /// Decodes the bytes of an image file; see [`Image`].
    ///
    /// # Errors
    /// [`ErrorKind::Image`](crate::ErrorKind::Image) for bytes that are no image, or one beyond
    /// the limits.
    pub fn decode(&self, file: &[u8]) -> Result<Image> {
        Ok(mobilenet_vision::decode(file, &self.decode)?)
    }

    /// Crops and resizes `image` into `output`, `[height, width, 3]`, values in [0, 1].
    ///
    /// # Errors
    /// If `output` has another length or the crop leaves nothing.
    pub fn run(&self, image: &Image, output: &mut [f32], scratch: &mut Scratch) -> Result<()> {
        Ok(self.steps().run_with(scratch, image, output)?)
    }

    fn steps(&self) -> Preprocess {
        Preprocess { crop: self.crop, resize: self.resize, height: self.height, width: self.width }
    }
}

impl fmt::Display for Preprocessing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Preprocessing { crop, resize, height, width, decided_by, .. } = self;
        write!(f, "crop {crop}, resize {resize} to {width}x{height} ({decided_by})")
    }
}
