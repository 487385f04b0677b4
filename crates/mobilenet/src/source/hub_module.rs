//! TF1 Hub modules and plain SavedModels of TensorFlow 1 as a [`Source`]. Files stay where they
//! are: of one meta graph a plan decodes what it needs, and reads the variables in it.

use std::borrow::Cow;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use mobilenet_formats::tensorflow::messages::{SignatureDef, TensorInfo};
use mobilenet_formats::tensorflow::{HubModule, MetaGraph, SavedModel};
use mobilenet_formats::{DType, FileSource, Limits, Tensor};
use mobilenet_hub::ModuleDir;

use super::network::is_probable;
use super::{Candidate, Graphs, SAVED_MODEL, Source, Wanted, Weights, functions};
use crate::error::{Error, ErrorKind, Result};
use crate::signature::{Port, Scores, Signature};

/// Reads the meta graph with the wanted tags.
pub(super) fn read(wanted: &Wanted<'_>, file: &Candidate<'_>) -> Result<Source> {
    let files: Arc<dyn FileSource> = match file.path {
        SAVED_MODEL => Arc::new(wanted.files.clone()),
        other => Arc::new(Renamed { files: wanted.files.clone(), path: other.to_owned() }),
    };
    let module = if super::has(wanted.files, "tfhub_module.pb") {
        HubModule::open(files, wanted.limits)?
    } else {
        HubModule::new(SavedModel::open(files, wanted.limits)?)
    };
    of_module(module, wanted)
}

/// The meta graph with the wanted tags of a module that is open already.
pub(super) fn of_module(module: HubModule, wanted: &Wanted<'_>) -> Result<Source> {
    let tags: Vec<&str> = wanted.tags.iter().map(String::as_str).collect();
    // TensorFlow 2 tags its only graph for serving.
    let served = tags.is_empty() && module.meta_graph(&[]).is_err();
    let meta_graph = match module.meta_graph(&["serve"]) {
        Ok(served_graph) if served => served_graph,
        _ => module.meta_graph(&tags)?,
    };
    if meta_graph.has_object_graph()? && functions::is(meta_graph.def()?) {
        return functions::read(wanted, &module, meta_graph.def()?);
    }
    let tag_sets = module.saved_model().meta_graphs().iter().map(|graph| graph.tags().to_vec());
    let (tag_sets, image_size) = (tag_sets.collect(), image_size(meta_graph)?);
    let signatures = signatures(meta_graph)?;
    let tags = meta_graph.tags().to_vec();
    let module = Arc::new(module);
    let weights = Box::new(Variables(Arc::clone(&module)));
    let graphs = Graphs::of_module(Arc::clone(&module), tags);
    let scores = scores(&graphs, &signatures);
    Ok(Source {
        format: "",
        graphs,
        signatures,
        tag_sets,
        image_size,
        weights,
        hub_module: Some(module),
        scores,
        labels: None,
        notes: Vec::new(),
    })
}

/// `(height, width)` of the attachment `image_module_info`, if there is one.
pub(super) fn image_size(meta_graph: &MetaGraph) -> Result<Option<(usize, usize)>> {
    let info = meta_graph.image_module_info()?;
    let Some(size) = info.and_then(|info| info.default_image_size) else { return Ok(None) };
    match (usize::try_from(size.height), usize::try_from(size.width)) {
        (Ok(height @ 1..=65536), Ok(width @ 1..=65536)) => Ok(Some((height, width))),
        _ => {
            let message =
                format!("image_module_info asks for {}x{} pixels", size.width, size.height);
            Err(Error::new(ErrorKind::Format, message))
        }
    }
}

fn signatures(meta_graph: &MetaGraph) -> Result<Vec<Signature>> {
    let all = meta_graph.signatures()?.iter().map(|(name, def)| signature(name, def));
    all.collect()
}

/// What the classification answers: most modules give logits, some the softmax of them.
fn scores(graphs: &Graphs, signatures: &[Signature]) -> Scores {
    let named = |name: &str| signatures.iter().find(|signature| signature.name == name);
    let found = match (named("image_classification"), named("image_feature_vector")) {
        (None, None) => named("default").or(signatures.first()),
        (classification, _) => classification,
    };
    let Some((signature, output)) = found.and_then(|all| Some((all, all.output("default")?)))
    else {
        return Scores::Logits;
    };
    // slim's modules say it: nothing of the graph need be read.
    let is_logits = |port: &Port| port.key.ends_with("/Logits") && port.tensor == output.tensor;
    if signature.outputs.iter().any(is_logits) {
        return Scores::Logits;
    }
    // What is damaged is said when it is to run.
    let Ok(graph) = graphs.part(&[&output.tensor]) else { return Scores::Logits };
    match graph.tensor(&output.tensor) {
        Ok(tensor) if is_probable(&graph, tensor) => Scores::Probabilities,
        _ => Scores::Logits,
    }
}

fn signature(name: &str, def: &SignatureDef) -> Result<Signature> {
    let ports = |ports: &std::collections::BTreeMap<String, TensorInfo>| {
        ports.iter().map(|(key, info)| port(name, key, info)).collect::<Result<Vec<_>>>()
    };
    Ok(Signature {
        name: name.to_owned(),
        inputs: ports(&def.inputs)?,
        outputs: ports(&def.outputs)?,
    })
}

fn port(signature: &str, key: &str, info: &TensorInfo) -> Result<Port> {
    let place = || format!("signature `{signature}`, tensor `{key}`");
    let dtype = DType::from_tensorflow(info.dtype).ok_or_else(|| {
        Error::new(ErrorKind::Format, format!("{}: unknown dtype {}", place(), info.dtype))
    })?;
    let shape = match &info.tensor_shape {
        Some(shape) => shape.partial(&Limits::default())?,
        None => None,
    };
    // A sparse tensor has no name; whoever asks for it hears so.
    let tensor = info.name().unwrap_or_default().to_owned();
    Ok(Port { key: key.to_owned(), tensor, dtype, shape })
}

/// The files of a SavedModel whose `saved_model.pb` is called `path`.
struct Renamed {
    files: ModuleDir,
    path: String,
}

impl Renamed {
    fn theirs<'a>(&'a self, path: &'a str) -> &'a str {
        if path == SAVED_MODEL { &self.path } else { path }
    }
}

impl FileSource for Renamed {
    fn read(&self, path: &str) -> io::Result<Option<Cow<'_, [u8]>>> {
        self.files.read(self.theirs(path))
    }

    fn paths(&self) -> Vec<String> {
        let others = self.files.paths().into_iter();
        let others = others.filter(|path| *path != self.path && path != SAVED_MODEL);
        let mut paths: Vec<String> = others.chain([SAVED_MODEL.to_owned()]).collect();
        paths.sort_unstable();
        paths
    }

    fn read_range(&self, path: &str, range: Range<u64>) -> io::Result<Option<Cow<'_, [u8]>>> {
        self.files.read_range(self.theirs(path), range)
    }

    fn visit_range(
        &self,
        path: &str,
        range: Range<u64>,
        visit: &mut dyn FnMut(&[u8]),
    ) -> io::Result<bool> {
        self.files.visit_range(self.theirs(path), range, visit)
    }

    fn len(&self, path: &str) -> io::Result<Option<u64>> {
        self.files.len(self.theirs(path))
    }
}

/// Variables of the tensor bundle.
struct Variables(Arc<HubModule>);

impl Weights for Variables {
    fn read(&self, name: &str) -> Result<Arc<Tensor>> {
        Ok(Arc::new(self.0.variable(name)?))
    }

    fn list(&self) -> Vec<(String, Vec<usize>)> {
        let entry = |name: &str| {
            let shape = self
                .0
                .saved_model()
                .variable_entry(name)
                .map(|entry| entry.shape)
                .unwrap_or_default();
            (name.to_owned(), shape)
        };
        self.0.saved_model().variable_names().into_iter().map(entry).collect()
    }
}
