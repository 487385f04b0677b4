//! MobileNet V1 modules from TensorFlow Hub, without TensorFlow.
