//! Frozen graphs as a [`Source`]: one `GraphDef` whose weights are constants, as Google published
//! MobileNet V1 (`mobilenet_v1_*_frozen.pb`) and as `retrain.py` wrote its graphs.

use mobilenet_formats::tensorflow::{self, messages::GraphDef};

use super::network::Network;
use super::{Candidate, Source, Wanted};
use crate::error::Result;

/// Reads the graph; its input and outputs are found in it.
pub(super) fn read(wanted: &Wanted<'_>, file: &Candidate<'_>) -> Result<Source> {
    let graph: GraphDef = tensorflow::decode_message(file.bytes.to_vec(), wanted.limits)
        .map_err(|error| error.within(file.path))?;
    Network::new(graph).into_source(wanted)
}
