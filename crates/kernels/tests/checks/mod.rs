//! What is checked: every kernel of every instruction set of this CPU against the plainest loops,
//! over every layer of the MobileNet V1 family and odd shapes.
//!
//! `MOBILENET_FAMILY=25,50` in the environment restricts the family to some multipliers, for
//! emulators.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod float;
mod int8;

use mobilenet_kernels::Pool;
use mobilenet_kernels::family::{self, Layer};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Makes tests of the checks, and for programs a table by name.
macro_rules! checks {
    ($($module:ident { $($check:ident)* })*) => {
        #[cfg(test)]
        mod tests {
            $(mod $module {
                $(#[test]
                fn $check() {
                    crate::checks::$module::$check();
                })*
            })*
        }

        /// Every check by name.
        #[cfg(not(test))]
        pub const CHECKS: &[(&str, fn())] = &[$($(
            (concat!(stringify!($module), "::", stringify!($check)), $module::$check),
        )*)*];
    };
}

checks! {
    float {
        every_layer_of_the_family
        pointwise_around_every_tile
        pointwise_corners
        depthwise_odd_shapes
        depthwise_any_geometry
        conv2d_any_geometry
        first_convolution_odd_shapes
        magnitudes_are_as_assumed
    }
    int8 {
        every_layer_of_the_family
        pointwise_around_every_tile
        depthwise_odd_shapes
        depthwise_any_geometry
        conv2d_any_geometry
        first_convolution_odd_shapes
        both_sides_of_every_step
        extreme_weights_and_sums
        neighbours_at_the_edge_of_16_bits
        quantize_rounds_as_division_does
        what_does_not_fit_is_an_error
    }
}

static POOL: LazyLock<Pool> = LazyLock::new(|| Pool::new(2));

/// Every different layer of the family.
fn family_layers() -> BTreeSet<Vec<usize>> {
    let mut all = BTreeSet::new();
    let chosen = std::env::var("MOBILENET_FAMILY").unwrap_or_default();
    let is_chosen = |percent: &usize| {
        chosen.is_empty() || chosen.split(',').any(|text| text == percent.to_string())
    };
    for percent in family::MULTIPLIERS.into_iter().filter(is_chosen) {
        for size in family::SIZES {
            for layer in family::layers(percent, size, 1001) {
                all.insert(match layer {
                    Layer::First { size, outputs } => vec![0, size, outputs],
                    Layer::Separable { size, inputs, outputs, stride } => {
                        vec![1, size, inputs, outputs, stride]
                    }
                    Layer::GlobalMean { .. } => continue,
                    Layer::Logits { inputs, outputs } => vec![2, inputs, outputs],
                });
            }
        }
    }
    all
}
