//! Named ways to train: one line each in [`RECIPES`], every number of which may be changed.

use mobilenet_train::batches::Blend;
use mobilenet_train::schedule::Decay;
use mobilenet_vision::Resize;
use mobilenet_vision::augment::{Augment, ColorJitter, DistortedBox, Erasing};

use crate::error::{Error, ErrorKind, Result};

/// Everything about how a network is trained, but data, size and seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// Optimiser, by name.
    pub optimizer: String,
    /// Its momentum; `None`: the optimiser's own.
    pub momentum: Option<f32>,
    /// Highest learning rate, at `batch_size`.
    pub learning_rate: f64,
    /// Images in a batch.
    pub batch_size: usize,
    /// Length of the run.
    pub epochs: f64,
    /// Epochs of linear rise.
    pub warmup_epochs: f64,
    /// What the learning rate does after that.
    pub decay: Decay,
    /// Factor on half the squared norm of each kernel, in the loss; depthwise ones left out.
    pub l2_regularization: f32,
    /// Share of a kernel, times the learning rate, taken away each step: AdamW's decay.
    pub weight_decay: f32,
    /// Probability spread over all classes.
    pub label_smoothing: f32,
    /// Share that the average of the weights keeps each step; `None`: no average.
    pub ema: Option<f32>,
    /// Share of the old moving average that batch norm keeps.
    pub batch_norm_momentum: f32,
    /// Share of features that dropout keeps.
    pub dropout_keep: f32,
    /// What is done to training images: a name of [`AUGMENTATIONS`].
    pub augmentation: String,
    /// Numbers of it that are changed.
    pub changes: AugmentChanges,
    /// Blends of training images.
    pub blend: Blend,
}

/// Numbers of an augmentation to change; `None` leaves one as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AugmentChanges {
    /// Least share of the image's area in a random crop, in (0, 1]; 1: no crop.
    pub crop: Option<f32>,
    /// Probability of a mirror image.
    pub flip: Option<f32>,
    /// Largest rotation, either way, in degrees.
    pub rotation: Option<f32>,
    /// Largest change of brightness, added, either way, in [0, 1].
    pub brightness: Option<f32>,
    /// Largest change of contrast, as a share, either way, in [0, 1].
    pub contrast: Option<f32>,
    /// Largest change of saturation, as a share, either way, in [0, 1].
    pub saturation: Option<f32>,
    /// Largest turn of the colour circle, either way, in [0, 0.5].
    pub hue: Option<f32>,
    /// Probability that a rectangle is replaced by grey.
    pub erasing: Option<f32>,
}

impl AugmentChanges {
    fn apply(&self, augment: &mut Augment) {
        if let Some(least) = self.crop {
            let before = augment.distorted_box.unwrap_or(DistortedBox::GENTLE);
            let changed = DistortedBox { area: (least, 1.0), ..before };
            augment.distorted_box = (least != 1.0).then_some(changed);
        }
        if let Some(probability) = self.erasing {
            let before = augment.erasing.unwrap_or_default();
            augment.erasing = (probability != 0.0).then_some(Erasing { probability, ..before });
        }
        let color = &mut augment.color;
        for (place, value) in [
            (&mut augment.flip, self.flip),
            (&mut augment.rotation_degrees, self.rotation),
            (&mut color.brightness, self.brightness),
            (&mut color.contrast, self.contrast),
            (&mut color.saturation, self.saturation),
            (&mut color.hue, self.hue),
        ] {
            *place = value.unwrap_or(*place);
        }
    }
}

/// A name, a line of help, and what makes it.
pub type Named<T> = (&'static str, &'static str, fn() -> T);

/// Every recipe: name, help, and the recipe.
pub const RECIPES: &[Named<Recipe>] = &[
    (
        "modern",
        "SGD with Nesterov momentum, warm-up, cosine, label smoothing, averaged weights",
        modern,
    ),
    ("slim", "slim's: RMSProp, 0.94 every 2.5 epochs, Inception's crops and colours", slim),
    (
        "fine-tune",
        "for a module on new photos: SGD with Nesterov momentum, cosine, gentle augmentation",
        fine_tune,
    ),
    (
        "quantization-aware",
        "for 8 bits, to answer as in floats: Adam without decay, cosine, gentle augmentation",
        quantization_aware,
    ),
    ("head", "for a new classifier on features: as fine-tune, no augmentation", head),
];

/// Every augmentation: name, help, and what it does.
pub const AUGMENTATIONS: &[Named<Augment>] = &[
    ("none", "the whole image, resized", || Augment::none(Resize::TF2_BILINEAR)),
    ("gentle", "large crops and mirror images: for small data sets", Augment::gentle),
    ("medium", "crops of a quarter or more, mirror images, light changes of colour", medium),
    (
        "inception",
        "Inception's: crops of a twentieth or more, strong changes of colour",
        Augment::inception,
    ),
];

/// The recipe called `name`.
///
/// # Errors
/// [`ErrorKind::NotFound`] with the names there are.
pub fn recipe(name: &str) -> Result<Recipe> {
    Ok(find("recipe", RECIPES, name)?())
}

/// The augmentation called `name`.
///
/// # Errors
/// [`ErrorKind::NotFound`] with the names there are.
pub fn augmentation(name: &str) -> Result<Augment> {
    Ok(find("augmentation", AUGMENTATIONS, name)?())
}

impl Recipe {
    /// What is done to training images.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if no augmentation has that name; [`ErrorKind::Training`] if a
    /// change is out of its range.
    pub fn augment(&self) -> Result<Augment> {
        let mut augment = augmentation(&self.augmentation)?;
        self.changes.apply(&mut augment);
        augment.check().map_err(|error| {
            Error::because(
                ErrorKind::Training,
                "a change of the augmentation is out of range",
                error,
            )
        })?;
        Ok(augment)
    }
}

fn find<T: Copy>(what: &str, table: &[(&str, &str, T)], name: &str) -> Result<T> {
    let found = table.iter().find(|(known, ..)| *known == name);
    found.map(|(.., make)| *make).ok_or_else(|| {
        let names: Vec<&str> = table.iter().map(|(known, ..)| *known).collect();
        let message = format!("no {what} is called {name:?}; there are {}", names.join(", "));
        Error::new(ErrorKind::NotFound, message)
    })
}

fn modern() -> Recipe {
    Recipe {
        optimizer: "nesterov".to_owned(),
        momentum: None,
        learning_rate: 0.1,
        batch_size: 128,
        epochs: 60.0,
        warmup_epochs: 2.0,
        decay: Decay::Cosine { floor: 0.001 },
        l2_regularization: 4e-5,
        weight_decay: 0.0,
        label_smoothing: 0.1,
        ema: Some(0.9995),
        batch_norm_momentum: 0.99,
        dropout_keep: 1.0,
        augmentation: "medium".to_owned(),
        changes: AugmentChanges::default(),
        blend: Blend::default(),
    }
}

fn slim() -> Recipe {
    Recipe {
        optimizer: "rmsprop".to_owned(),
        momentum: None,
        learning_rate: 0.045,
        batch_size: 64,
        epochs: 100.0,
        warmup_epochs: 0.0,
        decay: Decay::Exponential { factor: 0.94, epochs: 2.5 },
        l2_regularization: 4e-5,
        weight_decay: 0.0,
        label_smoothing: 0.0,
        ema: Some(0.9999),
        batch_norm_momentum: 0.9997,
        dropout_keep: 0.999,
        augmentation: "inception".to_owned(),
        changes: AugmentChanges::default(),
        blend: Blend::default(),
    }
}

fn fine_tune() -> Recipe {
    Recipe {
        learning_rate: 0.005,
        batch_size: 32,
        epochs: 15.0,
        warmup_epochs: 1.0,
        ema: Some(0.99),
        dropout_keep: 0.9,
        augmentation: "gentle".to_owned(),
        ..modern()
    }
}

fn quantization_aware() -> Recipe {
    Recipe {
        optimizer: "adamw".to_owned(),
        learning_rate: 1e-5,
        batch_size: 32,
        epochs: 2.0,
        warmup_epochs: 0.2,
        l2_regularization: 0.0,
        label_smoothing: 0.0,
        ema: None,
        augmentation: "gentle".to_owned(),
        ..modern()
    }
}

fn head() -> Recipe {
    Recipe {
        learning_rate: 0.01,
        batch_size: 32,
        epochs: 40.0,
        warmup_epochs: 1.0,
        ema: Some(0.99),
        dropout_keep: 0.9,
        augmentation: "none".to_owned(),
        ..modern()
    }
}

fn medium() -> Augment {
    Augment {
        distorted_box: Some(DistortedBox { area: (0.25, 1.0), aspect: (0.75, 1.33) }),
        flip: 0.5,
        color: ColorJitter { brightness: 0.1, contrast: 0.2, saturation: 0.2, hue: 0.0 },
        ..Augment::none(Resize::TF2_BILINEAR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_numbers_of_an_augmentation_change() {
        let mut recipe = recipe("head").unwrap();
        assert_eq!(recipe.augment().unwrap(), Augment::none(Resize::TF2_BILINEAR));
        recipe.changes = AugmentChanges {
            crop: Some(0.5),
            rotation: Some(10.0),
            hue: Some(0.1),
            erasing: Some(0.25),
            ..AugmentChanges::default()
        };
        let augment = recipe.augment().unwrap();
        assert_eq!(
            augment.distorted_box.map(|b| (b.area, b.aspect)),
            Some(((0.5, 1.0), DistortedBox::GENTLE.aspect))
        );
        assert_eq!((augment.rotation_degrees, augment.color.hue, augment.flip), (10.0, 0.1, 0.0));
        assert_eq!(augment.erasing, Some(Erasing { probability: 0.25, ..Erasing::default() }));
        recipe.augmentation = "inception".to_owned();
        recipe.changes = AugmentChanges {
            crop: Some(1.0),
            erasing: Some(0.0),
            contrast: Some(0.0),
            ..AugmentChanges::default()
        };
        let augment = recipe.augment().unwrap();
        assert_eq!((augment.distorted_box, augment.erasing), (None, None));
        assert_eq!((augment.color.contrast, augment.color.hue), (0.0, 0.2));
        for (crop, flip, erasing) in [
            (1.0, 1.5, 0.0),
            (5.0, 0.0, 0.0),
            (f32::NAN, 0.0, 0.0),
            (1.0, 0.0, -1.0),
            (1.0, 0.0, f32::NAN),
        ] {
            recipe.changes = AugmentChanges {
                crop: Some(crop),
                flip: Some(flip),
                erasing: Some(erasing),
                ..AugmentChanges::default()
            };
            let error = recipe.augment().unwrap_err().to_string();
            assert!(error.contains("out of range"), "{crop} {flip} {erasing}: {error}");
        }
    }

    #[test]
    fn recipes_name_what_exists() {
        for (name, ..) in RECIPES {
            let recipe = recipe(name).unwrap();
            augmentation(&recipe.augmentation).unwrap();
            assert!(mobilenet_train::optimizer::find(&recipe.optimizer).is_some());
        }
        assert!(recipe("old").unwrap_err().to_string().contains("modern, slim"));
    }
}
