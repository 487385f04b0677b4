//! What every file format becomes before it is a [`Module`](crate::Module): a graph, its
//! signatures, its weights and what the file says about images. A format is one file that makes
//! a [`Source`], and one line in [`FORMATS`].

mod hub_module;

use std::fmt;
use std::sync::Arc;

use mobilenet_engine::Graph;
use mobilenet_formats::tensorflow::HubModule;
use mobilenet_formats::{FileSource, Limits, Tensor};
use mobilenet_hub::ModuleDir;
use mobilenet_vision::Labels;

use crate::error::{Error, ErrorKind, Result};
use crate::normalization::Normalization;
use crate::signature::Signature;

/// A model as its file describes it.
pub(crate) struct Source {
    pub(crate) graph: Graph,
    /// Sorted by name.
    pub(crate) signatures: Vec<Signature>,
    /// Every set of tags there is a graph for.
    pub(crate) tag_sets: Vec<Vec<String>>,
    /// `(height, width)`, if the file says it.
    pub(crate) image_size: Option<(usize, usize)>,
    pub(crate) weights: Box<dyn Weights>,
    /// The file itself, if it is a hub module.
    pub(crate) hub_module: Option<Arc<HubModule>>,
    /// The names of the classes, if the file has them and they are not among its assets.
    pub(crate) labels: Option<Labels>,
    /// What the file does not say and was assumed, and which of its tensors answer: sentences.
    pub(crate) notes: Vec<String>,
}

/// The values of variables, read when asked for.
pub(crate) trait Weights: Send + Sync {
    /// The value of the variable `name`.
    fn read(&self, name: &str) -> Result<Arc<Tensor>>;

    /// Every variable: its name and shape.
    fn list(&self) -> Vec<(String, Vec<usize>)>;
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("signatures", &self.signatures.len())
            .field("tag_sets", &self.tag_sets)
            .field("image_size", &self.image_size)
            .finish_non_exhaustive()
    }
}

/// What is read from the files of a model.
pub(crate) struct Wanted<'a> {
    pub(crate) files: &'a ModuleDir,
    pub(crate) tags: &'a [String],
    pub(crate) limits: &'a Limits,
    /// What the network wants to see, where its file does not hold that.
    pub(crate) normalization: Option<Normalization>,
}

/// A file format: whether these files are of it, and how they are read.
struct Format {
    name: &'static str,
    is: fn(&ModuleDir) -> bool,
    read: fn(&Wanted<'_>) -> Result<Source>,
}

/// Every format, in the order they are tried.
const FORMATS: &[Format] = &[Format {
    name: "a TensorFlow Hub module (saved_model.pb)",
    is: |files| has(files, "saved_model.pb"),
    read: hub_module::read,
}];

fn has(files: &ModuleDir, path: &str) -> bool {
    matches!(files.len(path), Ok(Some(_)))
}

impl Source {
    /// Reads the graph with the wanted tags.
    pub(crate) fn read(wanted: &Wanted<'_>) -> Result<Source> {
        match FORMATS.iter().find(|format| (format.is)(wanted.files)) {
            Some(format) => (format.read)(wanted),
            None => Err(unknown(wanted.files)),
        }
    }
}

fn unknown(files: &ModuleDir) -> Error {
    let known: Vec<_> = FORMATS.iter().map(|format| format.name).collect();
    let message = format!("{} is no {}", files.handle().as_str(), known.join(" or "));
    Error::new(ErrorKind::Format, message)
}
