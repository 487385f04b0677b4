//! A module as files of another format. A format is one function that makes the files, and one line
//! in `EXPORTS`; writing them to disk is the caller's business.

mod bare;
mod frozen;
mod onnx;
pub mod tflite;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use mobilenet_formats::archive::{self, Compression};
use mobilenet_formats::tensorflow::messages::CollectionDef;
use mobilenet_formats::tensorflow::messages::{
    ImageModuleInfo, ImageSize, MetaGraphDef, ModuleAttachment, SignatureDef, TensorInfo,
    collection_def, meta_graph_def, tensor_info,
};
use mobilenet_formats::tensorflow::{BundleWriter, HubModule, SavedModel};
use mobilenet_formats::{MemoryFiles, Tensor, npy, safetensors};
use prost::Message as _;

pub(crate) use bare::Bare;
use tflite::WeightType;

use crate::error::{Error, ErrorKind, Result};
use crate::module::Module;
use crate::signature::{Port, Signature};

/// A format that [`Module::export`] writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExportFormat {
    /// A TensorFlow 1 Hub module, as a folder.
    HubModule,
    /// The same as a `.tar.gz`.
    HubArchive,
    /// A SavedModel that TensorFlow 2 loads: `serving_default`, tag `serve`, weights as constants.
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
    /// [`ErrorKind::Graph`] for what the format cannot represent, naming the op.
    pub fn export(&self, format: ExportFormat, name: &str) -> Result<MemoryFiles> {
        let found = EXPORTS.iter().find(|export| export.format == format);
        found.map_or_else(|| Ok(MemoryFiles::default()), |export| (export.files)(self, name))
    }
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

/// The module itself, or one of the frozen graph for other files.
fn hub(module: &Module) -> Result<MemoryFiles> {
    if let Some(own) = module.hub_module() {
        return Ok(own.to_files()?);
    }
    let mut model = SavedModel::default();
    let mut graph = meta_graph(module, frozen::Keep::Every)?;
    let (height, width) = module.expected_image_size()?;
    let side = |side: usize| i32::try_from(side).unwrap_or(i32::MAX);
    let size = ImageSize { height: side(height), width: side(width) };
    let info = ImageModuleInfo { default_image_size: Some(size) };
    let key = "image_module_info".to_owned();
    let attachment = ModuleAttachment { key, value: info.encode_to_vec() };
    let list = collection_def::BytesList { value: vec![attachment.encode_to_vec().into()] };
    let list = CollectionDef { kind: Some(collection_def::Kind::BytesList(list)) };
    graph.collection_def.insert("hub_module_attachments".into(), list);
    model.push_meta_graph(graph);
    if let Some(labels) = module.own_labels()? {
        let lines: Vec<&str> = labels.iter().collect();
        model.set_file("assets/labels.txt", lines.join("\n") + "\n");
    }
    Ok(HubModule::new(model).to_files()?)
}

fn hub_folder(module: &Module, name: &str) -> Result<MemoryFiles> {
    Ok(below(name, &hub(module)?))
}

fn hub_archive(module: &Module, name: &str) -> Result<MemoryFiles> {
    Ok(one(name, archive::write(&hub(module)?, Compression::Gzip)?))
}

/// The module's signatures over its graph with constants.
fn meta_graph(module: &Module, keep: frozen::Keep) -> Result<MetaGraphDef> {
    let info = meta_graph_def::MetaInfoDef {
        tensorflow_version: "1.15.0".to_owned(),
        ..meta_graph_def::MetaInfoDef::default()
    };
    let signatures = module.signatures().iter().map(|s| (s.name.clone(), signature_def(s)));
    Ok(MetaGraphDef {
        meta_info_def: Some(info),
        graph_def: Some(frozen::graph(module, keep)?),
        signature_def: signatures.collect(),
        ..MetaGraphDef::default()
    })
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

fn saved_model(module: &Module, name: &str) -> Result<MemoryFiles> {
    let mut graph = meta_graph(module, frozen::Keep::Every)?;
    if let Some(info) = &mut graph.meta_info_def {
        info.tags = vec!["serve".into()];
    }
    let served = graph.signature_def.get(module.first_signature()?).cloned().unwrap_or_default();
    let method_name = "tensorflow/serving/predict".to_owned();
    for signature in graph.signature_def.values_mut() {
        signature.method_name.clone_from(&method_name);
    }
    let served = SignatureDef { method_name, ..served };
    graph.signature_def.insert("serving_default".into(), served);
    let mut model = SavedModel::default();
    model.push_meta_graph(graph);
    Ok(below(name, &model.to_files()?))
}

fn frozen_graph(module: &Module, name: &str) -> Result<MemoryFiles> {
    Ok(one(name, frozen::graph(module, frozen::Keep::First)?.encode_to_vec()))
}

fn onnx_file(module: &Module, name: &str) -> Result<MemoryFiles> {
    Ok(one(name, onnx::model(module)?))
}

/// Every variable, or why there is none.
fn variables(module: &Module) -> Result<BTreeMap<String, Arc<Tensor>>> {
    let names = module.variables();
    if names.is_empty() {
        let message = format!(
            "the weights of this {} are constants of its graph, and this format holds variables; \
             write a hub module, a frozen graph, a SavedModel or ONNX",
            module.format()
        );
        return Err(Error::new(ErrorKind::Graph, message));
    }
    names.into_iter().map(|(name, _)| Ok((name.clone(), module.variable(&name)?))).collect()
}

fn checkpoint(module: &Module, name: &str) -> Result<MemoryFiles> {
    let mut writer = BundleWriter::default();
    for (name, value) in variables(module)? {
        writer.add(&name, &value)?;
    }
    let mut files = writer.finish(name)?;
    let graph_def = Some(module.graph()?.to_graph_def());
    let meta = MetaGraphDef { graph_def, ..MetaGraphDef::default() };
    files.insert(format!("{name}.meta"), meta.encode_to_vec());
    Ok(files)
}

fn safe_tensors(module: &Module, name: &str) -> Result<MemoryFiles> {
    let variables = variables(module)?;
    let mut metadata = BTreeMap::from([("format".to_owned(), "mobilenet".to_owned())]);
    if let Ok((height, width)) = module.expected_image_size() {
        let key = crate::source::safetensors::IMAGE_SIZE.to_owned();
        metadata.insert(key, format!("{height}x{width}"));
    }
    let tensors = variables.iter().map(|(name, value)| (name.as_str(), &**value));
    Ok(one(name, safetensors::write(tensors, &metadata)?))
}

fn numpy(module: &Module, name: &str) -> Result<MemoryFiles> {
    let mut arrays: BTreeMap<String, Tensor> = BTreeMap::new();
    for (name, value) in variables(module)? {
        arrays.insert(name, (*value).clone());
    }
    if let Ok((height, width)) = module.expected_image_size() {
        let size = Tensor::vector(vec![height as i64, width as i64]);
        arrays.insert(crate::source::safetensors::IMAGE_SIZE.to_owned(), size);
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
