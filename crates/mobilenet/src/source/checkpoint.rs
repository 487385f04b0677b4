//! TensorFlow checkpoints of both versions as a [`Source`]: by the names and shapes of slim's
//! variables where they are a MobileNet V1's, else by the graph in the `.meta` file beside them.

use std::collections::BTreeMap;
use std::sync::Arc;

use mobilenet_formats::DType;
use mobilenet_formats::tensorflow::checkpoint::{Checkpoint, STATE_FILE};
use mobilenet_formats::tensorflow::messages::{GraphDef, MetaGraphDef, attr_value::Value};
use mobilenet_formats::tensorflow::{self, MetaGraph, checkpoint};

use super::network::Network;
use super::slim::{self, About, Tensors};
use super::{Candidate, Source, Wanted, hub_module, read_file};
use crate::error::{Error, ErrorKind, Result};

/// Whether a file says which checkpoint of its folder is the latest.
pub(super) fn is_state(file: &Candidate<'_>) -> bool {
    file.path == STATE_FILE && checkpoint::latest(file.bytes).is_ok()
}

/// What slim's training appends to the names of averaged weights.
const AVERAGE: &str = "/ExponentialMovingAverage";

/// Reads the tensors of the network; optimiser slots and counters are left out.
pub(super) fn read(wanted: &Wanted<'_>, file: &Candidate<'_>) -> Result<Source> {
    let prefix = match is_state(file) {
        true => checkpoint::latest(file.bytes)?,
        false => file.path.strip_suffix(".index").unwrap_or(file.path).to_owned(),
    };
    let source = Arc::new(wanted.files.with_neighbours());
    let stored = Checkpoint::open(source, &prefix, wanted.limits)?;
    let names: Vec<&str> = stored.names();
    let meta = Meta::read(wanted, &prefix)?;
    let graph = meta.as_ref().map(|meta| &meta.graph);
    if slim::knows(names.iter().copied()) {
        let mut about = About {
            image_size: meta.as_ref().and_then(Meta::image_size),
            normalization: graph.and_then(super::hub_normalization),
            ..About::default()
        };
        let tensors = tensors(wanted, &stored, &mut about)?;
        return slim::source(wanted, &tensors, about);
    }
    let Some(meta) = meta else {
        let message = format!(
            "{prefix}: its variables are not slim's of a MobileNet V1, and without {prefix}.meta \
             nothing says what they are"
        );
        return Err(Error::new(ErrorKind::Format, message));
    };
    let source = of_graph(wanted, &stored, meta.graph)?;
    Ok(Source { image_size: meta.attached_size.or(source.image_size), ..source })
}

/// Slim's variables, averaged ones in place of the last ones if wanted.
fn tensors(wanted: &Wanted<'_>, stored: &Checkpoint, about: &mut About) -> Result<Tensors> {
    let mut tensors = Tensors::new();
    let mut averaged = 0;
    for name in stored.names().into_iter().filter(|name| name.starts_with("MobilenetV1/")) {
        let average = format!("{name}{AVERAGE}");
        let from = match wanted.moving_averages && stored.entry(&average).is_ok() {
            true => average.as_str(),
            false => name,
        };
        averaged += usize::from(from != name);
        if stored.entry(from)?.dtype == DType::F32 {
            tensors.insert(name.to_owned(), stored.read(from)?);
        }
    }
    if wanted.moving_averages {
        about.notes.push(format!("moving averages taken of {averaged} variables"));
    }
    Ok(tensors)
}

/// What the `.meta` file beside a checkpoint says.
struct Meta {
    graph: GraphDef,
    /// `(height, width)` of a hub module's attachment.
    attached_size: Option<(usize, usize)>,
}

impl Meta {
    /// `None` where there is no such file, or no graph in it.
    fn read(wanted: &Wanted<'_>, prefix: &str) -> Result<Option<Self>> {
        let path = format!("{prefix}.meta");
        let Some(bytes) = read_file(wanted, &path)? else { return Ok(None) };
        let mut meta: MetaGraphDef = tensorflow::decode_message(bytes, wanted.limits)?;
        let Some(graph) = meta.graph_def.take() else { return Ok(None) };
        let attached_size = hub_module::image_size(&MetaGraph::from_def(meta))
            .map_err(|error| Error::because(error.kind(), path, error))?;
        Ok(Some(Meta { graph, attached_size }))
    }

    /// `[height, width]`: the graph of a module for images of any size does not say the usual one.
    fn image_size(&self) -> Option<[usize; 2]> {
        self.attached_size.map(<[usize; 2]>::from).or_else(|| placeholder_size(&self.graph))
    }
}

/// The size of the placeholder for images.
fn placeholder_size(graph: &GraphDef) -> Option<[usize; 2]> {
    let mut placeholders = graph.node.iter().filter(|node| node.op == "Placeholder");
    placeholders.find_map(|node| match &node.attr.get("shape")?.value {
        Some(Value::Shape(shape)) => match shape.dim.as_slice() {
            [_, height, width, _] => {
                let side = |size: i64| usize::try_from(size).ok().filter(|&side| side > 0);
                Some([side(height.size)?, side(width.size)?])
            }
            _ => None,
        },
        _ => None,
    })
}

/// Any network, by its graph.
fn of_graph(wanted: &Wanted<'_>, stored: &Checkpoint, graph: GraphDef) -> Result<Source> {
    let mut variables = BTreeMap::new();
    for node in &graph.node {
        if !["VariableV2", "Variable", "VarHandleOp"].contains(&node.op.as_str()) {
            continue;
        }
        let shared = match node.attr.get("shared_name").and_then(|attr| attr.value.as_ref()) {
            Some(Value::S(name)) if !name.is_empty() => String::from_utf8_lossy(name).into_owned(),
            _ => node.name.clone(),
        };
        let average = format!("{shared}{AVERAGE}");
        let averaged = wanted.moving_averages && stored.entry(&average).is_ok();
        let from = if averaged { &average } else { &shared };
        if stored.entry(from).is_ok() {
            variables.insert(shared.clone(), Arc::new(stored.read(from)?));
        }
    }
    Network { variables, ..Network::new(graph) }.into_source(wanted)
}
