//! A module as files of another format. A format is one function that makes the files, and one line
//! in `EXPORTS`; writing them to disk is the caller's business.

mod bare;
mod frozen;
mod onnx;
mod saver;
mod slim;
pub mod tflite;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use mobilenet_formats::archive::{self, Compression};
use mobilenet_formats::tensorflow::messages::{
    GraphDef, MetaGraphDef, SignatureDef, TensorInfo, meta_graph_def, tensor_info,
};
use mobilenet_formats::tensorflow::{BundleWriter, HubModule, SavedModel};
use mobilenet_formats::{MemoryFiles, Tensor, npy, safetensors};
use mobilenet_vision::Labels;
use prost::Message as _;

pub(crate) use bare::Bare;
pub(crate) use slim::Slim;
use tflite::WeightType;

use crate::builder::attachments;
use crate::error::{Error, ErrorKind, Result};
use crate::module::Module;
use crate::normalization::Normalization;
use crate::signature::{Port, Signature};
use crate::source::safetensors as keys;
use crate::source::slim::knows as slim_names;

/// A format that [`Module::export`] writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExportFormat {
    /// A TensorFlow 1 Hub module, as a folder.
    HubModule,
    /// The same as a `.tar.gz`.
    HubArchive,
    /// A SavedModel that TensorFlow 2 loads: `serving_default`, tag `serve`; with variables if the
    /// module has them or is a MobileNet V1, else with constants.
    SavedModel,
    /// One `GraphDef` with the weights as constants.
    FrozenGraph,
    /// A checkpoint of version 2 with its `.meta` graph.
    Checkpoint,
    /// ONNX, opset 13.
    Onnx,
    /// TFLite, with metadata and labels.
    TfLite,
    /// The same with weights in half precision.
    TfLiteHalf,
    /// The variables as safetensors.
    SafeTensors,
    /// The variables as NumPy's `.npz`.
    Numpy,
}

struct Export {
    format: ExportFormat,
    name: &'static str,
    /// How the output's name ends, if that says it.
    ending: &'static str,
    /// Makes the files of the output called so, relative to the folder it is in.
    files: fn(&Module, &str) -> Result<MemoryFiles>,
}

const EXPORTS: &[Export] = &[
    Export { format: ExportFormat::HubModule, name: "hub", ending: "", files: hub_folder },
    Export {
        format: ExportFormat::HubArchive,
        name: "hub-archive",
        ending: ".tar.gz",
        files: hub_archive,
    },
    Export {
        format: ExportFormat::SavedModel,
        name: "saved-model",
        ending: "",
        files: saved_model,
    },
    Export {
        format: ExportFormat::FrozenGraph,
        name: "frozen",
        ending: ".pb",
        files: frozen_graph,
    },
    Export {
        format: ExportFormat::Checkpoint,
        name: "checkpoint",
        ending: ".ckpt",
        files: checkpoint,
    },
    Export {
        format: ExportFormat::TfLite,
        name: "tflite",
        ending: ".tflite",
        files: |module, name| Ok(one(name, module.to_tflite(WeightType::Float32)?)),
    },
    Export {
        format: ExportFormat::TfLiteHalf,
        name: "tflite-f16",
        ending: "",
        files: |module, name| Ok(one(name, module.to_tflite(WeightType::Float16)?)),
    },
    Export { format: ExportFormat::Onnx, name: "onnx", ending: ".onnx", files: onnx_file },
    Export {
        format: ExportFormat::SafeTensors,
        name: "safetensors",
        ending: ".safetensors",
        files: safe_tensors,
    },
    Export { format: ExportFormat::Numpy, name: "npz", ending: ".npz", files: numpy },
];

impl ExportFormat {
    /// The format that the output's name asks for; `None` for names that say nothing, such as those
    /// of folders.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        let lower = name.to_ascii_lowercase();
        let found = EXPORTS.iter().filter(|export| !export.ending.is_empty());
        found.into_iter().find(|export| lower.ends_with(export.ending)).map(|export| export.format)
    }

    /// The names of all formats.
    pub fn names() -> impl Iterator<Item = &'static str> {
        EXPORTS.iter().map(|export| export.name)
    }
}

impl fmt::Display for ExportFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let export = EXPORTS.iter().find(|export| export.format == *self);
        f.write_str(export.map_or("", |export| export.name))
    }
}

impl FromStr for ExportFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = EXPORTS.iter().find(|export| export.name == text);
        found.map(|export| export.format).ok_or_else(|| {
            let names: Vec<&str> = ExportFormat::names().collect();
            format!("the formats are {}", names.join(", "))
        })
    }
}

impl Module {
    /// The files of this module in another format: `name` is that of the output, and every path
    /// begins with it.
    ///
    /// # Errors
    /// [`ErrorKind::Graph`](crate::ErrorKind::Graph) for what the format cannot represent, naming the op.
    pub fn export(&self, format: ExportFormat, name: &str) -> Result<MemoryFiles> {
        let found = EXPORTS.iter().find(|export| export.format == format);
        found.map_or_else(|| Ok(MemoryFiles::default()), |export| (export.files)(self, name))
    }
}

/// Where a module's labels are among its files.
const LABELS: &str = "assets/labels.txt";

/// One name a line.
fn lines(labels: &Labels) -> String {
    labels.iter().map(|label| format!("{label}\n")).collect()
}

fn one(name: &str, bytes: Vec<u8>) -> MemoryFiles {
    let mut files = MemoryFiles::default();
    files.insert(name, bytes);
    files
}

fn below(name: &str, inner: &MemoryFiles) -> MemoryFiles {
    let mut files = MemoryFiles::default();
    for (path, bytes) in inner.iter() {
        files.insert(format!("{name}/{path}"), bytes);
    }
    inner.folders().for_each(|folder| files.insert_folder(format!("{name}/{folder}")));
    files
}

/// The module itself; for other files one that can be trained if they hold a MobileNet V1, else
/// one of the frozen graph.
fn hub(module: &Module) -> Result<MemoryFiles> {
    // A SavedModel for serving has no graph without tags, which is what a hub module is for.
    let own = module.hub_module().filter(|own| own.meta_graph(&[]).is_ok());
    let (mut hub, labels) = match (own, own.is_none().then(|| Slim::of(module))) {
        (Some(own), _) => (own.clone(), module.labels_apart().cloned()),
        (None, Some(Ok(slim))) => (HubModule::new(slim.hub_module()), module.own_labels()?),
        (None, _) => (HubModule::new(frozen_module(module)?), module.own_labels()?),
    };
    if let Some(labels) = labels {
        // In the place of its own, so that it never has two.
        let path = own.and_then(|_| module.label_file());
        hub.saved_model_mut().set_file(path.as_deref().unwrap_or(LABELS), lines(&labels));
    }
    Ok(hub.to_files()?)
}

/// A module of the frozen graph.
fn frozen_module(module: &Module) -> Result<SavedModel> {
    let graph = frozen::graph(module, frozen::Keep::Every)?;
    Ok(hub_model(graph, module.signatures(), module.expected_image_size()?, None))
}

/// A graph without variables as a module of TensorFlow 1's hub.
pub(crate) fn hub_model(
    mut graph: GraphDef,
    signatures: &[Signature],
    size: (usize, usize),
    labels: Option<&Labels>,
) -> SavedModel {
    graph.versions.get_or_insert(frozen::versions());
    let mut model = SavedModel::default();
    let mut graph = meta_graph_of(graph, signatures);
    graph.collection_def.extend([attachments(size)]);
    model.push_meta_graph(graph);
    if let Some(labels) = labels {
        model.set_file(LABELS, lines(labels));
    }
    model
}

fn hub_folder(module: &Module, name: &str) -> Result<MemoryFiles> {
    Ok(below(name, &hub(module)?))
}

fn hub_archive(module: &Module, name: &str) -> Result<MemoryFiles> {
    Ok(one(name, archive::write(&hub(module)?, Compression::Gzip)?))
}

/// The module's signatures over its graph with constants.
fn meta_graph(module: &Module, keep: frozen::Keep) -> Result<MetaGraphDef> {
    let mut graph = meta_graph_of(frozen::graph(module, keep)?, module.signatures());
    graph.collection_def.extend(module.expected_image_size().ok().map(attachments));
    Ok(graph)
}

fn meta_graph_of(graph: GraphDef, signatures: &[Signature]) -> MetaGraphDef {
    let info = meta_graph_def::MetaInfoDef {
        tensorflow_version: "1.15.0".to_owned(),
        ..meta_graph_def::MetaInfoDef::default()
    };
    let signatures = signatures.iter().map(|s| (s.name.clone(), signature_def(s)));
    MetaGraphDef {
        meta_info_def: Some(info),
        graph_def: Some(graph),
        signature_def: signatures.collect(),
        ..MetaGraphDef::default()
    }
}

fn signature_def(signature: &Signature) -> SignatureDef {
    let infos = |ports: &[Port]| -> BTreeMap<String, TensorInfo> {
        ports.iter().map(|port| (port.key.clone(), info(port))).collect()
    };
    SignatureDef {
        inputs: infos(&signature.inputs),
        outputs: infos(&signature.outputs),
        ..SignatureDef::default()
    }
}

fn info(port: &Port) -> TensorInfo {
    let dim = |side: &Option<usize>| side.and_then(|side| i64::try_from(side).ok()).unwrap_or(-1);
    let shape = port.shape.as_ref().map(|shape| {
        crate::builder::node::shape_proto(&shape.iter().map(dim).collect::<Vec<i64>>())
    });
    TensorInfo {
        encoding: Some(tensor_info::Encoding::Name(port.tensor.clone())),
        dtype: port.dtype.to_tensorflow(),
        tensor_shape: shape,
    }
}

/// The graph with its variables where they are a hub module's or slim's, else with constants.
fn saved_model(module: &Module, name: &str) -> Result<MemoryFiles> {
    let mut model = SavedModel::default();
    let mut graph = match graph_of_variables(module)? {
        Some((mut graph, values)) => {
            if graph.saver_def.is_none() {
                saver::add(&mut graph);
            }
            for (name, value) in values {
                model.set_variable(name, (*value).clone());
            }
            graph
        }
        None => meta_graph(module, frozen::Keep::Every)?,
    };
    graph.meta_info_def.get_or_insert_default().tags = vec!["serve".into()];
    let served = graph.signature_def.get(module.first_signature()?).cloned().unwrap_or_default();
    let method_name = "tensorflow/serving/predict".to_owned();
    for signature in graph.signature_def.values_mut() {
        signature.method_name.clone_from(&method_name);
    }
    let served = SignatureDef { method_name, ..served };
    graph.signature_def.insert("serving_default".into(), served);
    model.push_meta_graph(graph);
    if let Some(labels) = module.own_labels()? {
        model.set_file(LABELS, lines(&labels));
    }
    Ok(below(name, &model.to_files()?))
}

type Values = BTreeMap<String, Arc<Tensor>>;

/// The graph for inference of a hub module, or of slim's network, and the values of its variables;
/// `None` for other networks, and for graphs that need files besides.
fn graph_of_variables(module: &Module) -> Result<Option<(MetaGraphDef, Values)>> {
    let Some(own) = module.hub_module() else {
        return Ok(Slim::of(module).ok().map(|slim| {
            let [graph, _] = slim.graphs();
            (graph, slim.values)
        }));
    };
    let Ok(graph) = own.meta_graph(&[]).or_else(|_| own.meta_graph(&["serve"])) else {
        return Ok(None);
    };
    let graph = graph.def()?;
    if !graph.asset_file_def.is_empty() {
        return Ok(None);
    }
    let named = |(name, _): (String, _)| Ok((name.clone(), module.variable(&name)?));
    let values: Values = module.variables().into_iter().map(named).collect::<Result<_>>()?;
    Ok((!values.is_empty()).then(|| (graph.clone(), values)))
}

fn frozen_graph(module: &Module, name: &str) -> Result<MemoryFiles> {
    Ok(one(name, frozen::graph(module, frozen::Keep::First)?.encode_to_vec()))
}

fn onnx_file(module: &Module, name: &str) -> Result<MemoryFiles> {
    Ok(one(name, onnx::model(module)?))
}

/// Weights by name, and the network they are of if it is slim's.
struct Weights {
    values: Values,
    slim: Option<Slim>,
}

impl Weights {
    /// Those of slim's network, else the variables of another.
    ///
    /// # Errors
    /// For networks whose weights are constants, or named as slim's, and that are not slim's.
    fn of(module: &Module) -> Result<Weights> {
        let names = module.variables();
        match Slim::of(module) {
            Ok(slim) => Ok(Weights { values: slim.values.clone(), slim: Some(slim) }),
            Err(error) => {
                let read_as_slim = slim_names(names.iter().map(|(name, _)| name.as_str()));
                if names.is_empty() || read_as_slim {
                    return Err(only_slim(error));
                }
                let named = |(name, _): (String, _)| Ok((name.clone(), module.variable(&name)?));
                let values = names.into_iter().map(named).collect::<Result<_>>()?;
                Ok(Weights { values, slim: None })
            }
        }
    }

    /// What a network of these weights wants to see.
    fn normalization(&self) -> Option<Normalization> {
        self.slim.as_ref().map(|slim| slim.normalization)
    }
}

/// Says what to write where a network is not slim's.
fn only_slim(error: Error) -> Error {
    if error.kind() != ErrorKind::Graph {
        return error;
    }
    let message = format!(
        "{error}: this format holds the weights of slim's MobileNet V1 and nothing else; write a \
         frozen graph, a SavedModel or a hub module"
    );
    Error::new(ErrorKind::Graph, message)
}

fn checkpoint(module: &Module, name: &str) -> Result<MemoryFiles> {
    let weights = Weights::of(module)?;
    let mut writer = BundleWriter::default();
    for (name, value) in &weights.values {
        writer.add(name, value)?;
    }
    let mut files = writer.finish(name)?;
    let meta = match weights.slim.filter(|_| module.hub_module().is_none()) {
        Some(slim) => {
            let [graph, _] = slim.graphs();
            graph
        }
        None => {
            let graph_def = Some(module.graph()?.to_graph_def());
            // A graph for images of any size does not say the usual one.
            let size = module.expected_image_size().ok();
            let collection_def = size.map(attachments).into_iter().collect();
            MetaGraphDef { graph_def, collection_def, ..MetaGraphDef::default() }
        }
    };
    files.insert(format!("{name}.meta"), meta.encode_to_vec());
    Ok(files)
}

fn safe_tensors(module: &Module, name: &str) -> Result<MemoryFiles> {
    let weights = Weights::of(module)?;
    let mut metadata = BTreeMap::from([("format".to_owned(), "mobilenet".to_owned())]);
    let mut say = |key: &str, value: String| metadata.insert(key.to_owned(), value);
    if let Ok((height, width)) = module.expected_image_size() {
        say(keys::IMAGE_SIZE, format!("{height}x{width}"));
    }
    if let Some(range) = weights.normalization() {
        let text = |values: [f32; 3]| values.map(|value| value.to_string()).join(",");
        say(keys::IMAGE_MEAN, text(range.mean()));
        say(keys::IMAGE_DEVIATION, text(range.deviation()));
    }
    if let Some(labels) = module.own_labels()? {
        say(keys::LABELS, lines(&labels));
    }
    let tensors = weights.values.iter().map(|(name, value)| (name.as_str(), &**value));
    Ok(one(name, safetensors::write(tensors, &metadata)?))
}

fn numpy(module: &Module, name: &str) -> Result<MemoryFiles> {
    let weights = Weights::of(module)?;
    let mut arrays: BTreeMap<String, Tensor> = BTreeMap::new();
    for (name, value) in &weights.values {
        arrays.insert(name.clone(), (**value).clone());
    }
    if let Ok((height, width)) = module.expected_image_size() {
        let size = Tensor::vector(vec![height as i64, width as i64]);
        arrays.insert(keys::IMAGE_SIZE.to_owned(), size);
    }
    if let Some(range) = weights.normalization() {
        arrays.insert(keys::IMAGE_MEAN.to_owned(), Tensor::vector(range.mean().to_vec()));
        arrays.insert(keys::IMAGE_DEVIATION.to_owned(), Tensor::vector(range.deviation().to_vec()));
    }
    Ok(one(name, npy::write_archive(&arrays)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_formats() {
        assert_eq!(ExportFormat::of_name("a/1.TAR.GZ"), Some(ExportFormat::HubArchive));
        assert_eq!(ExportFormat::of_name("a.onnx"), Some(ExportFormat::Onnx));
        assert_eq!(ExportFormat::of_name("folder"), None);
        for name in ExportFormat::names() {
            assert_eq!(name.parse::<ExportFormat>().unwrap().to_string(), name);
        }
        assert!("x".parse::<ExportFormat>().unwrap_err().contains("saved-model"));
    }
}
