//! From a hub module to a network that can be trained.

use std::collections::BTreeMap;
use std::sync::Arc;

use mobilenet_engine::Graph;
use mobilenet_formats::Tensor;
use mobilenet_formats::tensorflow::messages::{MetaGraphDef, tensor_info::Encoding};
use mobilenet_formats::tensorflow::{HubModule, MetaGraph};
use mobilenet_train::objective::Objective;
use mobilenet_train::run::Network;
use mobilenet_train::trainer::TrainingGraph;
use mobilenet_train::validation::Inference;

use crate::error::{Error, ErrorKind, Result};
use crate::normalization::Normalization;
use crate::source::{hub_normalization, replace_normalization};

/// The signature that gives logits.
const SIGNATURE: &str = "image_classification";

/// Both graphs of a classification module with an objective, and its values.
pub(super) fn of(module: &HubModule) -> Result<Network> {
    let train = module.meta_graph(&["train"])?;
    let mut graph = Graph::import(train.graph_def()?)?;
    let (images, logits) = ends(train)?;
    let objective = Objective::add(&mut graph, &logits, train.regularization_losses()?)?;
    let names = |variable: mobilenet_formats::tensorflow::messages::VariableDef| {
        variable.variable_name.trim_end_matches(":0").to_owned()
    };
    let training = TrainingGraph {
        graph,
        images,
        objective,
        trainable: train.trainable_variables()?.into_iter().map(names).collect(),
        update_ops: train.update_ops()?.to_vec(),
    };
    let plain = module.meta_graph(&[])?;
    let (images, logits) = ends(plain)?;
    let inference = Inference { graph: Graph::import(plain.graph_def()?)?, images, logits };
    let mut variables = BTreeMap::new();
    for name in module.saved_model().variable_names() {
        variables.insert(name.to_owned(), Arc::new(module.variable(name)?));
    }
    Ok(Network { training, inference, variables, frozen: None })
}

/// The module with other pixel values in front of both of its networks.
pub(super) fn normalised(mut module: HubModule, range: Normalization) -> Result<HubModule> {
    if range == Normalization::SIGNED {
        return Ok(module);
    }
    let model = module.saved_model_mut();
    let graphs: Vec<MetaGraphDef> =
        model.meta_graphs().iter().map(|graph| graph.def().cloned()).collect::<Result<_, _>>()?;
    for mut graph in graphs {
        if let Some(graph) = &mut graph.graph_def {
            replace_normalization(graph, range);
        }
        model.push_meta_graph(graph);
    }
    Ok(module)
}

/// What the network of a hub module wants to see, by the nodes that slim's modules have for it; where
/// there are none, MobileNet's own.
pub(super) fn normalization(module: &HubModule) -> Normalization {
    let graph = module.meta_graph(&[]).and_then(|graph| graph.def());
    let graph = graph.ok().and_then(|graph| graph.graph_def.as_ref());
    graph.and_then(hub_normalization).unwrap_or(Normalization::SIGNED)
}

/// The value of a variable, for compiling.
pub(super) fn lookup(
    variables: &BTreeMap<String, Arc<Tensor>>,
    name: &str,
) -> std::result::Result<Arc<Tensor>, mobilenet_engine::Error> {
    variables.get(name).cloned().ok_or_else(|| {
        let message = format!("the module has no variable {name:?}");
        mobilenet_engine::Error::new(mobilenet_engine::ErrorKind::NotFound, message)
    })
}

/// Names of the tensors that images go into and logits come out of.
fn ends(graph: &MetaGraph) -> Result<(String, String)> {
    let signature = graph.signature(SIGNATURE)?;
    let tensor = |ports: &BTreeMap<String, _>, key: &str| {
        let info: Option<&mobilenet_formats::tensorflow::messages::TensorInfo> = ports.get(key);
        match info.and_then(|info| info.encoding.as_ref()) {
            Some(Encoding::Name(name)) => Ok(name.clone()),
            _ => {
                let message = format!("signature `{SIGNATURE}` has no tensor `{key}`");
                Err(Error::new(ErrorKind::NotFound, message))
            }
        }
    };
    Ok((tensor(&signature.inputs, "images")?, tensor(&signature.outputs, "default")?))
}
