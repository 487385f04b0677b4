//! The published MobileNet V1 family: what TensorFlow Hub had under which handle, and how good
//! each network is.
//!
//! Accuracies are slim's, on ImageNet's 50,000 validation images, in percent; sizes and
//! multiply-adds are counted from the architecture.

use crate::builder::MobilenetV1;

/// Depth multiplier as handles write it, and as a number.
const MULTIPLIERS: [(&str, f64); 4] = [("100", 1.0), ("075", 0.75), ("050", 0.5), ("025", 0.25)];

/// Image sizes, large to small.
const SIZES: [usize; 4] = [224, 192, 160, 128];

/// Top-1 and top-5 of the float networks, rows by multiplier, columns by size.
const FLOAT_ACCURACY: [[(f64, f64); 4]; 4] = [
    [(70.9, 89.9), (70.0, 89.2), (68.0, 87.7), (65.2, 85.8)],
    [(68.4, 88.2), (67.2, 87.3), (65.3, 86.0), (62.1, 83.9)],
    [(63.3, 84.9), (61.7, 83.6), (59.1, 81.9), (56.3, 79.4)],
    [(49.8, 74.2), (47.7, 72.3), (45.5, 70.3), (41.5, 66.3)],
];

/// Top-1 of the networks trained for eight bits.
const QUANTIZED_ACCURACY: [[f64; 4]; 4] = [
    [69.7, 69.0, 67.3, 64.0],
    [67.9, 66.2, 63.9, 59.8],
    [62.2, 60.4, 57.7, 54.9],
    [48.2, 45.8, 43.5, 39.9],
];

/// One published module.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// Handle of version 1.
    pub handle: String,
    /// Depth multiplier.
    pub depth_multiplier: f64,
    /// Height and width of the images, in pixels.
    pub image_size: usize,
    /// Trained for eight bits ("quantops").
    pub quantized: bool,
    /// Leaves the classifier out.
    pub feature_vector: bool,
    /// Trained values.
    pub parameters: u64,
    /// For one image.
    pub multiply_adds: u64,
    /// In percent.
    pub top1: f64,
    /// In percent; not published for the eight-bit networks.
    pub top5: Option<f64>,
}

/// Every published module: classification and feature vector, float and eight bits.
///
/// ```
/// let all: Vec<_> = mobilenet::family::published().collect();
/// assert_eq!(all.len(), 64);
/// assert_eq!(all[0].handle, "https://tfhub.dev/google/imagenet/mobilenet_v1_100_224/classification/1");
/// assert_eq!(all[0].multiply_adds, 568_741_376);
/// ```
pub fn published() -> impl Iterator<Item = Published> {
    [(false, false), (false, true), (true, false), (true, true)].into_iter().flat_map(
        |(quantized, feature_vector)| {
            (0..MULTIPLIERS.len() * SIZES.len()).map(move |index| {
                describe(index / SIZES.len(), index % SIZES.len(), quantized, feature_vector)
            })
        },
    )
}

fn describe(row: usize, column: usize, quantized: bool, feature_vector: bool) -> Published {
    let (digits, depth_multiplier) = MULTIPLIERS[row];
    let image_size = SIZES[column];
    let mut network = MobilenetV1::new(depth_multiplier, [image_size; 2]);
    if feature_vector {
        network.classes = None;
    }
    let quantops = if quantized { "quantops/" } else { "" };
    let kind = if feature_vector { "feature_vector" } else { "classification" };
    let (top1, top5) = FLOAT_ACCURACY[row][column];
    Published {
        handle: format!(
            "https://tfhub.dev/google/imagenet/mobilenet_v1_{digits}_{image_size}/{quantops}{kind}/1"
        ),
        depth_multiplier,
        image_size,
        quantized,
        feature_vector,
        parameters: network.parameters(),
        multiply_adds: network.multiply_adds(),
        top1: if quantized { QUANTIZED_ACCURACY[row][column] } else { top1 },
        top5: (!quantized).then_some(top5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_the_published_ones() {
        let millions = |value: u64| (value as f64 / 1e5).round() / 10.0;
        let float: Vec<_> = published().take(16).collect();
        let multiply_adds: Vec<f64> = float.iter().map(|m| millions(m.multiply_adds)).collect();
        assert_eq!(
            multiply_adds,
            [
                568.7, 418.1, 290.7, 186.4, 325.4, 239.3, 166.4, 106.8, 149.5, 110.0, 76.5, 49.2,
                41.0, 30.2, 21.1, 13.6
            ]
        );
        let parameters: Vec<f64> =
            float.iter().step_by(4).map(|m| millions(m.parameters)).collect();
        assert_eq!(parameters, [4.2, 2.6, 1.3, 0.5]);
    }
}
