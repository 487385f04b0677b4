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
    let mut tensors = Tensors::new();
    for (name, value) in &model.weights {
        let plain = name.rsplit('/').next().unwrap_or_default();
        let part = plain.split(':').next().unwrap_or(plain);
        keras::add(&mut tensors, format!("{}/{part}", keras::owner(name)), value)?;
    }
    // Whatever models a layer is in.
    let key = |path: &[&str]| path.last().copied().unwrap_or_default().to_owned();
    let config = model.topology.get("model_config").unwrap_or(&model.topology);
    keras::source(wanted, &keras::Weights { tensors: &tensors, key }, Some(config))
}
