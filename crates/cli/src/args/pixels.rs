//! How a photo becomes the module's input. Every flag overrides what the module decides.

use clap::Args;
use mobilenet::{Crop, DecidedBy, Module, Preprocessing, Resize};

use crate::failure::Failure;

/// Overrides of a module's preprocessing.
#[derive(Args, Debug)]
#[command(next_help_heading = "Preprocessing")]
pub(crate) struct PixelArgs {
    /// Resize with this kernel [default: what the module decides]
    #[arg(long, value_name = "NAME")]
    resize: Option<Resize>,

    /// Crop first: none, or central:FRACTION such as central:0.875 [default: what the module
    /// decides]
    #[arg(long, value_name = "CROP")]
    crop: Option<Crop>,

    /// Ignore the EXIF orientation, as TensorFlow does
    #[arg(long)]
    ignore_exif: bool,
}

impl PixelArgs {
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
        Ok(chosen)
    }
}
