//! How a photo becomes the module's input. Every flag overrides what the module decides.

use clap::{Args, ValueEnum};
use mobilenet::{Crop, DecidedBy, DecodeOptions, Module, Preprocessing, Resize};

use super::one_of;
use crate::failure::Failure;

/// Overrides of a module's preprocessing.
#[derive(Args, Debug)]
#[command(next_help_heading = "Preprocessing")]
pub(crate) struct PixelArgs {
    /// Resize with this kernel [default: what the module decides]
    #[arg(long, value_name = "NAME", value_parser = one_of::<Resize>(Resize::all().map(Resize::name)))]
    resize: Option<Resize>,

    /// Crop first: none, or central:FRACTION such as central:0.875 [default: what the module
    /// decides]
    #[arg(long, value_name = "CROP")]
    crop: Option<Crop>,

    /// Decode JPEG exactly as TensorFlow's accurate decoder does, or faster: large photos at a
    /// half, a quarter or an eighth of their size, while that is enough for the module
    ///
    /// At 128 pixels, where photos of 256 are halved, fast gave 148 of 183 ImageNet photos the class
    /// that exact gives them, and was right as often (86).
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Decode::Exact)]
    decode: Decode,

    /// Ignore the EXIF orientation, as TensorFlow does
    #[arg(long)]
    ignore_exif: bool,
}

/// How JPEG files become pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Decode {
    Exact,
    Fast,
}

impl PixelArgs {
    /// How photos are decoded, unless the module decides otherwise; nothing where that depends on
    /// its size.
    pub(crate) fn decoding(&self) -> Option<DecodeOptions> {
        let options = DecodeOptions { ignore_exif: self.ignore_exif, ..DecodeOptions::default() };
        (self.decode == Decode::Exact).then_some(options)
    }

    /// The preprocessing of `module` with these flags applied.
    pub(crate) fn preprocessing(&self, module: &Module) -> Result<Preprocessing, Failure> {
        let mut chosen = module.preprocessing()?;
        if self.resize.is_some() || self.crop.is_some() {
            chosen.decided_by = DecidedBy::Caller;
        }
        if let Some(resize) = self.resize {
            chosen.resize = resize;
        }
        if let Some(crop) = self.crop {
            chosen.crop = crop;
        }
        chosen.decode.ignore_exif |= self.ignore_exif;
        if self.decode == Decode::Fast {
            chosen.decode_fast();
        }
        Ok(chosen)
    }
}
