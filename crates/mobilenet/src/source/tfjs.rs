//! TensorFlow.js models as a [`Source`]: JSON with its shards, a graph or Keras's layers.

use mobilenet_formats::tfjs::{Kind, Model};

use super::network::Network;
use super::slim::Tensors;
use super::{Candidate, Source, Wanted, keras};
use crate::error::Result;

/// Reads the model; shards only from beside it.
pub(super) fn read(wanted: &Wanted<'_>, file: &Candidate<'_>) -> Result<Source> {
    let model = Model::read(&wanted.files.with_neighbours(), file.path, wanted.limits)?;
    if model.kind == Kind::Graph {
        return Network::new(model.graph_def()?).into_source(wanted);
    }
    let named = |name: &str| {
        let mut parts = name.rsplit('/');
        let (part, layer) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        format!("{layer}/{}", part.split(':').next().unwrap_or(part))
    };
    let tensors: Tensors =
        model.weights.iter().map(|(name, value)| (named(name), value.clone())).collect();
    let config = model.topology.get("model_config").unwrap_or(&model.topology);
    keras::source(wanted, &tensors, Some(config))
}
