//! SIMD kernels of mobilenet: slices in, slices out.
