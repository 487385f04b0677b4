//! MobileNet V1 modules from TensorFlow Hub, without TensorFlow.
//!
//! [`Module`] is a loaded module: call it with tensors, by signature. [`Classifier`] names what
//! photos show, [`Embedder`] turns them into vectors. [`pipeline`] keeps all cores busy with many
//! files. What is below is its own business: `mobilenet-hub` finds files, `mobilenet-formats`
//! decodes them, `mobilenet-engine` compiles and runs graphs, `mobilenet-vision` reads photos.
//!
//! ```no_run
//! use mobilenet::{Classifier, Module};
//!
//! let module = Module::load("mobilenet_v1_025_192/classification/1.tar.gz")?;
//! for prediction in Classifier::new(module)?.classify_path("photo.jpg", 5)? {
//!     println!("{:5.1}% {}", prediction.probability * 100.0, prediction.label);
//! }
//! # Ok::<(), mobilenet::Error>(())
//! ```

pub mod builder;
pub mod evaluation;
pub mod explain;
pub mod export;
pub mod family;
pub mod pipeline;
pub mod quantize;
pub mod training;
pub mod tuning;

mod choice;
mod classifier;
mod embedded;
mod embedder;
mod error;
mod file;
mod module;
mod normalization;
mod options;
mod plans;
mod preprocessing;
mod profile;
mod range;
mod runner;
mod signature;
mod source;
mod step;

pub use choice::{Choice, Prediction};
pub use classifier::{Classifier, ClassifierOptions, Worker};
pub use embedder::{EmbedWorker, Embedder, EmbedderOptions};
pub use error::{Error, ErrorKind, Result};
pub use export::ExportFormat;
pub use file::open_image;
pub use module::{DEFAULT_HANDLE, Module, PUBLISHED_HANDLE, Request};
pub use normalization::Normalization;
pub use options::ModuleOptions;
pub use preprocessing::{DecidedBy, Preprocessing};
pub use profile::{Profile, StepTime};
pub use runner::Runner;
pub use signature::{Port, Scores, Signature};
pub use step::TrainingStep;

pub use mobilenet_engine::{Graph, Node, Plan, StepInfo, Summary};
pub use mobilenet_formats::{DType, FileSource, Limits, MemoryFiles, Tensor, TensorData, npy};
pub use mobilenet_hub::{
    Cache, CacheEntry, EntryState, Handle, Hub, HubOptions, ModuleDir, ModuleFile, Progress,
};
pub use mobilenet_kernels::{Isa, Precision, prefer_large_pages};
pub use mobilenet_train::report;
pub use mobilenet_vision::{
    Crop, DecodeOptions, Image, Labels, Resize, Scratch, encode_jpeg, encode_png, metrics, synset,
    synset_index, thumbnail,
};
