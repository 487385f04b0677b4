//! TFLite files as a [`Source`]: the network's normalisation or input quantisation goes into the
//! graph, labels come from the file's metadata.

mod graph;
mod operators;
mod shifts;
mod sizes;

use mobilenet_formats::tflite::{self, AssociatedFileType, Model, ModelMetadata};
use mobilenet_formats::tflite::{ContentProperties, ProcessUnitOptions, TensorMetadata};
use mobilenet_formats::{FileSource, Limits};
use mobilenet_vision::Labels;

use super::network::Network;
use super::{Candidate, Source, Wanted};
use crate::error::{Error, ErrorKind, Result};
use crate::normalization::Normalization;
use graph::Importer;

/// Reads the model.
pub(super) fn read(wanted: &Wanted<'_>, file: &Candidate<'_>) -> Result<Source> {
    let model = Model::read(file.bytes, wanted.limits)?;
    let about = About::read(&model, file.bytes, wanted.limits)?;
    let as_bytes = wanted.normalization.is_none();
    let stated = about.normalization.is_some();
    let imported = Importer::new(&model, wanted.limits)?.run(as_bytes, stated)?;
    let mut network = Network::new(imported.graph.to_graph_def());
    network.images = Some(imported.images);
    network.range = imported.normalization.or(about.normalization);
    network.output = Some(imported.output);
    network.points = Some(imported.points);
    network.labels = about.labels;
    network.notes.extend(several_outputs(&model));
    let source = network.into_source(wanted)?;
    Ok(Source { image_size: source.image_size.or(about.image_size), ..source })
}

/// That not all of a file is used.
fn several_outputs(model: &Model) -> Option<String> {
    let graph = model.subgraphs.first()?;
    let name = |index: &i32| Some(graph.tensors.get(usize::try_from(*index).ok()?)?.name.as_str());
    let names: Vec<&str> = graph.outputs.iter().filter_map(name).collect();
    let said = format!("the file has several outputs ({}): the first is read", names.join(", "));
    (names.len() > 1).then_some(said)
}

/// What the metadata say.
struct About {
    normalization: Option<Normalization>,
    image_size: Option<(usize, usize)>,
    labels: Option<Labels>,
}

impl About {
    fn read(model: &Model, bytes: &[u8], limits: &Limits) -> Result<Self> {
        let metadata = model.metadata(limits)?;
        let graph = metadata.as_ref().and_then(|metadata| metadata.subgraph_metadata.first());
        let input = graph.and_then(|graph| graph.input_tensor_metadata.first());
        Ok(About {
            normalization: input.map(normalization).transpose()?.flatten(),
            image_size: input.and_then(image_size),
            labels: labels(metadata.as_ref(), bytes, limits)?,
        })
    }
}

fn normalization(input: &TensorMetadata) -> Result<Option<Normalization>> {
    let options = input.process_units.iter().find_map(|unit| match &unit.options {
        ProcessUnitOptions::Normalization(options) => Some(options),
        _ => None,
    });
    let read = options.map(|options| Normalization::from_slices(&options.mean, &options.std));
    read.transpose().map_err(|error| {
        Error::because(ErrorKind::Format, "the normalisation in the file's metadata", error)
    })
}

fn image_size(input: &TensorMetadata) -> Option<(usize, usize)> {
    let ContentProperties::Image(image) = &input.content.as_ref()?.content_properties else {
        return None;
    };
    let size = image.default_size.as_ref()?;
    Some((usize::try_from(size.height).ok()?, usize::try_from(size.width).ok()?))
}

/// The labels of the output, packed behind the model.
fn labels(
    metadata: Option<&ModelMetadata>,
    bytes: &[u8],
    limits: &Limits,
) -> Result<Option<Labels>> {
    const LABELS: [AssociatedFileType; 2] =
        [AssociatedFileType::TENSOR_AXIS_LABELS, AssociatedFileType::TENSOR_VALUE_LABELS];
    let files = tflite::associated_files(bytes, limits)?;
    let outputs = metadata.and_then(|metadata| metadata.subgraph_metadata.first());
    let outputs = outputs.map(|graph| graph.output_tensor_metadata.as_slice()).unwrap_or_default();
    let named = outputs.iter().flat_map(|output| &output.associated_files);
    let named = named.filter(|file| LABELS.contains(&file.r#type)).map(|file| file.name.as_str());
    // Files without metadata, packed by hand.
    let alone = || match files.paths().as_slice() {
        [only] if only.ends_with(".txt") => Some(only.clone()),
        _ => None,
    };
    let Some(name) = named.map(str::to_owned).next().or_else(alone) else { return Ok(None) };
    let Some(file) = files.get(&name) else {
        let message = format!("the metadata name a label file {name:?} that is not in the file");
        return Err(Error::new(ErrorKind::Labels, message));
    };
    Ok(Some(Labels::parse(file)?))
}
