//! Photos to pixels, and numbers to labels.
//!
//! The two ends of the road: [`decode`] turns the bytes of an image file into an [`Image`],
//! [`Preprocess`] crops and resizes it exactly as TensorFlow does into the floats a module takes;
//! after the module has run, [`Labels`], [`softmax`] and [`top_k`] turn logits into answers,
//! and [`metrics`] says how good they are.
//! [`augment`] varies pictures for training; [`encode_png`] and the like write them out.
//! It opens no files, knows no graph and prints nothing.

pub mod augment;
mod decode;
mod error;
mod image;
mod labels;
pub mod metrics;
mod preprocess;
mod resize;
mod scores;
mod write;

pub use decode::{DecodeOptions, Decoder, Limits, Orientation, decode, format_name};
pub use error::{Error, ErrorKind, Result};
pub use image::Image;
pub use labels::{Labels, synset, synset_index};
pub use preprocess::{Crop, Preprocess, Scratch};
pub use resize::Resize;
pub use scores::{Scored, softmax, top_k};
pub use write::{encode_jpeg, encode_png, overlay_heat, thumbnail};
