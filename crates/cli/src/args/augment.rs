//! What is done to training images: a named augmentation, and flags that change single numbers of it.

use clap::Args;
use mobilenet::training::{AUGMENTATIONS, AugmentChanges, Recipe};

use super::{one_of, value};

/// What is done to training images.
#[derive(Args, Debug)]
#[command(next_help_heading = "Augmentation")]
pub(crate) struct AugmentArgs {
    /// What is done to training images; the flags below change single parts of it
    #[arg(long, value_name = "NAME", value_parser = one_of::<String>(AUGMENTATIONS.iter().map(|a| value(a.0, a.1))))]
    pub(crate) augment: Option<String>,

    /// Least share of an image's area in a random crop, above 0; 1 for the whole image
    #[arg(long, value_name = "X")]
    crop: Option<f32>,

    /// Probability of a mirror image
    #[arg(long, value_name = "P", num_args = 0..=1, default_missing_value = "0.5")]
    #[arg(aliases = ["flip_left_right", "horizontal_flip"], value_parser = mirror_probability)]
    flip: Option<f32>,

    /// No mirror images: --flip 0
    #[arg(long = "noflip_left_right", alias = "nohorizontal_flip", hide = true)]
    #[arg(conflicts_with = "flip")]
    no_flip: bool,

    /// Largest rotation, either way, up to 180
    #[arg(long, value_name = "DEGREES", alias = "rotation_range")]
    rotation: Option<f32>,

    /// Largest change of brightness, 0 to 1
    #[arg(long, value_name = "X")]
    brightness: Option<f32>,

    /// Largest change of contrast, 0 to 1
    #[arg(long, value_name = "X")]
    contrast: Option<f32>,

    /// Largest change of saturation, 0 to 1
    #[arg(long, value_name = "X")]
    saturation: Option<f32>,

    /// Largest turn of the colour circle, 0 to 0.5
    #[arg(long, value_name = "X")]
    hue: Option<f32>,

    /// Probability that a rectangle is replaced by grey
    #[arg(long, value_name = "P")]
    erasing: Option<f32>,

    /// Blend pairs of images; the parameter of the beta distribution, 0 for none
    #[arg(long, value_name = "X")]
    mixup: Option<f32>,

    /// Paste parts of images into others; the parameter of the beta distribution, 0 for none
    #[arg(long, value_name = "X")]
    cutmix: Option<f32>,
}

impl AugmentArgs {
    /// Changes the recipe as the flags say.
    pub(crate) fn apply(&self, recipe: &mut Recipe) {
        recipe.changes = AugmentChanges {
            crop: self.crop,
            flip: if self.no_flip { Some(0.0) } else { self.flip },
            rotation: self.rotation,
            brightness: self.brightness,
            contrast: self.contrast,
            saturation: self.saturation,
            hue: self.hue,
            erasing: self.erasing,
        };
        if let Some(name) = &self.augment {
            recipe.augmentation.clone_from(name);
        }
        recipe.blend.mixup = self.mixup.unwrap_or(recipe.blend.mixup);
        recipe.blend.cutmix = self.cutmix.unwrap_or(recipe.blend.cutmix);
    }
}

/// A probability, or whether there are mirror images, as the old tools have it.
fn mirror_probability(text: &str) -> Result<f32, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(0.5),
        "false" => Ok(0.0),
        number => number.parse().map_err(|_| format!("{text:?} is no probability")),
    }
}
