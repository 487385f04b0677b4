//! The checks of [`checks`] as tests.

mod checks;

macro_rules! tests {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                checks::$name();
            }
        )*

        #[test]
        fn no_check_is_forgotten() {
            assert_eq!(checks::CHECKS.len(), [$(stringify!($name)),*].len());
        }
    };
}

tests! {
    every_layer_of_the_family
    pointwise_around_every_tile
    pointwise_corners
    depthwise_odd_shapes
    depthwise_any_geometry
    conv2d_any_geometry
    first_convolution_odd_shapes
    magnitudes_are_as_assumed
}
