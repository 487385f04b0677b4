//! [`Normalization`]: what a network was trained to see, for files that hold only the network.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};

/// The value range of a network's input: `(pixel - mean) / deviation` on pixels of 0 to 255, one
/// pair for all colours or one each.
///
/// Hub modules hold it in their graph. For other files it comes from their metadata, else it is
/// MobileNet's own, [`Normalization::SIGNED`], or [`Normalization::IMAGENET`] of a MobileNet V2 from
/// PyTorch; [`ModuleOptions::normalization`] overrides them.
/// Whatever it is, callers pass images in [0, 1]: it becomes a part of the graph.
///
/// [`ModuleOptions::normalization`]: crate::ModuleOptions::normalization
///
/// ```
/// use mobilenet::Normalization;
///
/// let imagenet = Normalization::new([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])?;
/// assert_eq!(imagenet, Normalization::IMAGENET);
/// assert!(Normalization::new([0.0; 3], [0.0; 3]).is_err());
/// # Ok::<(), mobilenet::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalization {
    mean: [f32; 3],
    deviation: [f32; 3],
}

impl Normalization {
    /// Values in [-1, 1]: MobileNet's and Inception's convention.
    pub const SIGNED: Self = Self { mean: [127.5; 3], deviation: [127.5; 3] };

    /// ImageNet's mean and deviation by colour: the convention of PyTorch's networks.
    pub const IMAGENET: Self =
        Self { mean: [123.675, 116.28, 103.53], deviation: [58.395, 57.12, 57.375] };

    /// Values in [0, 1].
    pub const UNIT: Self = Self { mean: [0.0; 3], deviation: [255.0; 3] };

    /// Values in [0, 255].
    pub const BYTES: Self = Self { mean: [0.0; 3], deviation: [1.0; 3] };

    /// `mean` is subtracted from pixels of 0 to 255, the difference divided by `deviation`.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for numbers that are not finite, and deviations that are not positive.
    pub fn new(mean: [f32; 3], deviation: [f32; 3]) -> Result<Self> {
        let fits = mean.iter().all(|mean| mean.is_finite())
            && deviation.iter().all(|by| by.is_finite() && *by > 0.0);
        if fits {
            return Ok(Self { mean, deviation });
        }
        let message = format!("mean {mean:?} and deviation {deviation:?} normalise nothing");
        Err(Error::new(ErrorKind::Input, message))
    }

    /// As [`Self::new`], for one number or three.
    ///
    /// # Errors
    /// As there, and for other counts.
    pub fn from_slices(mean: &[f32], deviation: &[f32]) -> Result<Self> {
        let three = |values: &[f32]| match *values {
            [all] => Ok([all; 3]),
            [red, green, blue] => Ok([red, green, blue]),
            _ => {
                let message = format!("one number or three wanted, not {}", values.len());
                Err(Error::new(ErrorKind::Input, message))
            }
        };
        Self::new(three(mean)?, three(deviation)?)
    }

    /// The normalisation that is `x * scale - offset` for `x` in [0, 1], by colour.
    pub(crate) fn from_affine(scale: [f64; 3], offset: [f64; 3]) -> Result<Self> {
        let width = |colour: usize| 255.0 / scale[colour];
        let colours = [0, 1, 2];
        let mean = colours.map(|colour| (offset[colour] * width(colour)) as f32);
        Self::new(mean, colours.map(|colour| width(colour) as f32))
    }

    /// What is subtracted from pixels of 0 to 255.
    pub fn mean(&self) -> [f32; 3] {
        self.mean
    }

    /// What the difference is divided by.
    pub fn deviation(&self) -> [f32; 3] {
        self.deviation
    }

    /// `x * scale - offset` for `x` in [0, 1], by colour; rounded once.
    pub(crate) fn affine(&self) -> ([f32; 3], [f32; 3]) {
        let scale = self.deviation.map(|by| (255.0 / f64::from(by)) as f32);
        let pairs = [0, 1, 2].map(|c: usize| (self.mean[c], self.deviation[c]));
        (scale, pairs.map(|(mean, by)| (f64::from(mean) / f64::from(by)) as f32))
    }
}

impl fmt::Display for Normalization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.mean, self.deviation) {
            _ if *self == Self::SIGNED => f.write_str("values in [-1, 1]"),
            _ if *self == Self::UNIT => f.write_str("values in [0, 1]"),
            ([m, n, o], [d, e, g]) if m == n && n == o && d == e && e == g => {
                write!(f, "(pixel - {m}) / {d}")
            }
            (mean, deviation) => write!(f, "(pixel - {mean:?}) / {deviation:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_ranges_are_exact() {
        assert_eq!(Normalization::SIGNED.affine(), ([2.0; 3], [1.0; 3]));
        assert_eq!(Normalization::UNIT.affine(), ([1.0; 3], [0.0; 3]));
        assert_eq!(Normalization::from_slices(&[0.0], &[1.0]).unwrap().affine().0, [255.0; 3]);
        for range in [Normalization::SIGNED, Normalization::UNIT, Normalization::BYTES] {
            let (scale, offset) = range.affine();
            let (scale, offset) = (scale.map(f64::from), offset.map(f64::from));
            assert_eq!(Normalization::from_affine(scale, offset).unwrap(), range);
        }
        assert!(Normalization::from_affine([-1.0; 3], [0.0; 3]).is_err());
        assert_eq!(Normalization::SIGNED.to_string(), "values in [-1, 1]");
    }

    #[test]
    fn numbers_that_normalise_nothing_are_refused() {
        for (mean, deviation) in [(f32::NAN, 1.0), (0.0, 0.0), (0.0, -1.0), (0.0, f32::INFINITY)] {
            assert!(Normalization::from_slices(&[mean], &[deviation]).is_err());
        }
        assert!(Normalization::from_slices(&[0.0, 1.0], &[1.0]).is_err());
    }
}
