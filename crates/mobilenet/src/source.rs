//! What every file format becomes before it is a [`Module`](crate::Module): a graph, its
//! signatures, its weights and what the file says about images. A format is one file that makes
//! a [`Source`], and one line in [`FORMATS`].
//!
//! Files are known by their content ([`ModelKind`]). A format that is no hub module hands a [`network::Network`] to
//! [`conventions`], which add what the file leaves out.

mod checkpoint;
mod conventions;
mod functions;
mod fused;
mod graph_def;
mod graphs;
mod hub_module;
mod keras;
mod network;
mod npz;
mod onnx;
pub(crate) mod safetensors;
pub(crate) mod slim;
mod tfjs;
mod tflite;
mod unknown;

use std::fmt;
use std::sync::Arc;

use mobilenet_formats::tensorflow::HubModule;
use mobilenet_formats::tensorflow::begins_saved_model;
use mobilenet_formats::{FileSource, Limits, ModelKind, Tensor};
use mobilenet_hub::ModuleDir;
use mobilenet_vision::Labels;

use crate::error::{Error, ErrorKind, Result};
use crate::normalization::Normalization;
use crate::signature::{Scores, Signature};

pub(crate) use conventions::{hub_normalization, replace_normalization};
pub(crate) use graphs::Graphs;
pub(crate) use network::IMAGE_SIZE;

/// A model as its file describes it.
pub(crate) struct Source {
    /// What kind of file it was.
    pub(crate) format: &'static str,
    pub(crate) graphs: Graphs,
    /// Sorted by name.
    pub(crate) signatures: Vec<Signature>,
    /// Every set of tags there is a graph for.
    pub(crate) tag_sets: Vec<Vec<String>>,
    /// `(height, width)`, if the file says it.
    pub(crate) image_size: Option<(usize, usize)>,
    pub(crate) weights: Box<dyn Weights>,
    /// The file itself, if it is a hub module.
    pub(crate) hub_module: Option<Arc<HubModule>>,
    /// What `image_classification` answers.
    pub(crate) scores: Scores,
    /// The names of the classes, if they were given, or the file has them and not among its assets.
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
            .field("format", &self.format)
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
    /// The names of the classes, whatever the file says.
    pub(crate) labels: Option<&'a Labels>,
    /// A checkpoint's moving averages instead of its last values.
    pub(crate) moving_averages: bool,
}

/// A file of a model that a format may know.
pub(crate) struct Candidate<'a> {
    /// Its path in the model's folder.
    pub(crate) path: &'a str,
    pub(crate) bytes: &'a [u8],
}

/// A file format: what it is called, how the names of its files end, and how a model is read from the file that is
/// known by it.
struct Format {
    kind: ModelKind,
    name: &'static str,
    /// How the names of its files usually end, in lower case.
    endings: &'static [&'static str],
    read: fn(&Wanted<'_>, &Candidate<'_>) -> Result<Source>,
}

/// Every format; of a folder's files the one that stands first here is its model.
const FORMATS: &[Format] = &[
    Format {
        kind: ModelKind::SavedModel,
        name: "SavedModel",
        endings: &[],
        read: hub_module::read,
    },
    Format {
        kind: ModelKind::TfLite,
        name: "TFLite model",
        endings: &[".tflite"],
        read: tflite::read,
    },
    Format {
        kind: ModelKind::TensorFlowJs,
        name: "TensorFlow.js model",
        endings: &[],
        read: tfjs::read,
    },
    Format {
        kind: ModelKind::Keras,
        name: "Keras model",
        endings: &[".h5", ".hdf5", ".keras"],
        read: keras::read,
    },
    Format { kind: ModelKind::Onnx, name: "ONNX model", endings: &[".onnx"], read: onnx::read },
    Format {
        kind: ModelKind::Checkpoint,
        name: "checkpoint",
        endings: &[".ckpt", ".index"],
        read: checkpoint::read,
    },
    Format {
        kind: ModelKind::SafeTensors,
        name: "safetensors",
        endings: &[".safetensors"],
        read: safetensors::read,
    },
    Format {
        kind: ModelKind::NumPyArchive,
        name: "NumPy archive",
        endings: &[".npz"],
        read: npz::read,
    },
    Format {
        kind: ModelKind::FrozenGraph,
        name: "frozen graph",
        endings: &[".pb"],
        read: graph_def::read,
    },
];

/// Files looked at in a folder, at most.
const CANDIDATES: usize = 64;

impl Source {
    /// Reads the graph with the wanted tags.
    pub(crate) fn read(wanted: &Wanted<'_>) -> Result<Source> {
        let found = match wanted.files.main_file() {
            Some(SAVED_MODEL) => called_saved_model(wanted)?,
            Some(path) => recognise(wanted, path)?,
            None => search(wanted)?,
        };
        let (format, path, bytes) = found.ok_or_else(|| unknown::error(wanted))?;
        let source = (format.read)(wanted, &Candidate { path: &path, bytes: &bytes })?;
        let labels = wanted.labels.cloned().or(source.labels);
        Ok(Source { format: format.name, labels, ..source })
    }
}

type Found = (&'static Format, String, Vec<u8>);

/// The format of one file.
fn recognise(wanted: &Wanted<'_>, path: &str) -> Result<Option<Found>> {
    let Some(bytes) = read_file(wanted, path)? else { return Ok(None) };
    let kind = match checkpoint::is_state(&Candidate { path, bytes: &bytes }) {
        true => Some(ModelKind::Checkpoint),
        false => ModelKind::of(&bytes),
    };
    Ok(kind.and_then(format_of).map(|format| (format, path.to_owned(), bytes)))
}

fn format_of(kind: ModelKind) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.kind == kind)
}

/// What the file `saved_model.pb` is: nearly always what it is called, and its first bytes say so; it
/// is not read whole here. Another model of that name is that; anything else, a damaged SavedModel.
fn called_saved_model(wanted: &Wanted<'_>) -> Result<Option<Found>> {
    const HEAD_BYTES: u64 = 32;
    let head = wanted.files.read_range(SAVED_MODEL, 0..HEAD_BYTES).map_err(|error| {
        Error::because(ErrorKind::Io, format!("cannot read {SAVED_MODEL}"), error)
    })?;
    if !begins_saved_model(&head.unwrap_or_default())
        && let Some(found) = recognise(wanted, SAVED_MODEL)?
    {
        return Ok(Some(found));
    }
    let format = format_of(ModelKind::SavedModel);
    Ok(format.map(|format| (format, SAVED_MODEL.to_owned(), Vec::new())))
}

/// The model of a folder: what the first format in order knows, and once.
fn search(wanted: &Wanted<'_>) -> Result<Option<Found>> {
    let paths = wanted.files.paths();
    if paths.iter().any(|path| path == SAVED_MODEL) {
        return called_saved_model(wanted);
    }
    for main in MAIN_FILES.iter().filter(|main| paths.iter().any(|path| path == *main)) {
        if let Some(found) = recognise(wanted, main)? {
            return Ok(Some(found));
        }
    }
    let mut found: Vec<Found> = Vec::new();
    for path in paths.iter().filter(|path| !path.contains('/')).take(CANDIDATES) {
        found.extend(recognise(wanted, path)?);
    }
    let place = |found: &Found| FORMATS.iter().position(|format| format.name == found.0.name);
    found.sort_by_key(place);
    let first = found.iter().take_while(|other| place(other) == found.first().and_then(place));
    let names: Vec<&str> = first.map(|(_, path, _)| path.as_str()).collect();
    if names.len() > 1 {
        let message = format!(
            "{} holds more than one model: name one of {}",
            wanted.files.handle(),
            names.join(", ")
        );
        return Err(Error::new(ErrorKind::Format, message));
    }
    Ok(found.into_iter().next())
}

const SAVED_MODEL: &str = "saved_model.pb";

/// Files that speak for the folder they are in.
const MAIN_FILES: [&str; 2] = ["checkpoint", "model.json"];

fn has(files: &ModuleDir, path: &str) -> bool {
    matches!(files.len(path), Ok(Some(_)))
}

/// The file at `path`, if there is one in the model's folder, whole.
pub(crate) fn read_file(wanted: &Wanted<'_>, path: &str) -> Result<Option<Vec<u8>>> {
    let failed = |e| Error::because(ErrorKind::Io, format!("cannot read {path}"), e);
    let files = wanted.files.with_neighbours();
    match files.len(path).map_err(failed)? {
        None => Ok(None),
        Some(len) if len > wanted.limits.file_bytes => {
            let message = format!("{path}: {len} bytes, more than {}", wanted.limits.file_bytes);
            Err(Error::new(ErrorKind::Format, message))
        }
        Some(_) => Ok(files.read(path).map_err(failed)?.map(std::borrow::Cow::into_owned)),
    }
}
