//! A graph with its signatures and collections, as TensorFlow Hub's exporter lays them out.

use std::collections::BTreeMap;

use mobilenet_formats::DType;
use mobilenet_formats::tensorflow::messages::{
    CollectionDef, ImageModuleInfo, ImageSize, MetaGraphDef, ModuleAttachment, SignatureDef,
    TensorInfo, VariableDef, collection_def, meta_graph_def, tensor_info,
};
use prost::Message as _;

use super::MobilenetV1;
use super::network::{EndPoint, Network, Writer, initial_value_name};
use super::node::shape_proto;
use super::variable::VariableSpec;

/// The whole meta graph: tags `{}` for inference, `{"train"}` for training.
pub(super) fn build(config: &MobilenetV1, training: bool) -> MetaGraphDef {
    let network = Writer::new(config, training).write();
    let tags = if training { vec!["train".to_owned()] } else { Vec::new() };
    MetaGraphDef {
        meta_info_def: Some(meta_graph_def::MetaInfoDef {
            tags,
            tensorflow_version: "1.15.0".to_owned(),
            ..meta_graph_def::MetaInfoDef::default()
        }),
        collection_def: collections(config, &network, training),
        signature_def: signatures(&network),
        graph_def: Some(network.graph_def),
        ..MetaGraphDef::default()
    }
}

fn signatures(network: &Network) -> BTreeMap<String, SignatureDef> {
    let mut signatures = BTreeMap::new();
    let mut add = |name: &str, output: &EndPoint| {
        let outputs = network.end_points.iter().chain([output]);
        signatures.insert(name.to_owned(), signature([&network.images], outputs));
        if let Some(momentum) = &network.momentum {
            let outputs = network.end_points.iter().chain([output]);
            let with_momentum = signature([&network.images, momentum], outputs);
            signatures.insert(format!("{name}_with_bn_hparams"), with_momentum);
        }
    };
    add("image_feature_vector", &network.feature_vector);
    if let Some(logits) = &network.logits {
        add("image_classification", logits);
    }
    let default = network.logits.as_ref().unwrap_or(&network.feature_vector);
    signatures.insert("default".to_owned(), signature([&network.images], [default]));
    signatures
}

fn signature<'a>(
    inputs: impl IntoIterator<Item = &'a EndPoint>,
    outputs: impl IntoIterator<Item = &'a EndPoint>,
) -> SignatureDef {
    let infos = |points: &mut dyn Iterator<Item = &'a EndPoint>| {
        points.map(|point| (point.key.clone(), tensor_info(point))).collect()
    };
    SignatureDef {
        inputs: infos(&mut inputs.into_iter()),
        outputs: infos(&mut outputs.into_iter()),
        ..SignatureDef::default()
    }
}

fn tensor_info(point: &EndPoint) -> TensorInfo {
    TensorInfo {
        encoding: Some(tensor_info::Encoding::Name(format!("{}:0", point.tensor))),
        dtype: DType::F32.to_tensorflow(),
        tensor_shape: Some(shape_proto(&point.shape)),
    }
}

fn collections(
    config: &MobilenetV1,
    network: &Network,
    training: bool,
) -> BTreeMap<String, CollectionDef> {
    let variables = config.variables();
    let all = || variables.iter().map(variable_def);
    let trainable = variables.iter().filter(|variable| variable.trainable).map(variable_def);
    let mut collections = BTreeMap::from([
        ("variables".to_owned(), bytes(all())),
        ("model_variables".to_owned(), bytes(all())),
        ("trainable_variables".to_owned(), bytes(trainable)),
        ("regularization_losses".to_owned(), nodes(&network.regularization_losses)),
        attachments(config.image_size.into()),
    ]);
    if training {
        collections.insert("update_ops".to_owned(), nodes(&network.update_ops));
    }
    collections
}

fn variable_def(variable: &VariableSpec) -> Vec<u8> {
    let name = &variable.name;
    VariableDef {
        variable_name: format!("{name}:0"),
        initializer_name: format!("{name}/Assign"),
        initial_value_name: format!("{}:0", initial_value_name(variable)),
        snapshot_name: format!("{name}/Read/ReadVariableOp:0"),
        is_resource: true,
        trainable: variable.trainable,
        ..VariableDef::default()
    }
    .encode_to_vec()
}

/// The collection that says what size of images, `(height, width)` in pixels, a hub module wants; its
/// name first.
pub(crate) fn attachments((height, width): (usize, usize)) -> (String, CollectionDef) {
    let side = |side: usize| i32::try_from(side).unwrap_or(i32::MAX);
    let size = ImageSize { height: side(height), width: side(width) };
    let info = ImageModuleInfo { default_image_size: Some(size) };
    let key = "image_module_info".to_owned();
    let attachment = ModuleAttachment { key, value: info.encode_to_vec() };
    ("hub_module_attachments".to_owned(), bytes([attachment.encode_to_vec()]))
}

fn bytes(values: impl IntoIterator<Item = Vec<u8>>) -> CollectionDef {
    let value = values.into_iter().map(Into::into).collect();
    let list = collection_def::BytesList { value };
    CollectionDef { kind: Some(collection_def::Kind::BytesList(list)) }
}

fn nodes(names: &[String]) -> CollectionDef {
    let list = collection_def::NodeList { value: names.to_vec() };
    CollectionDef { kind: Some(collection_def::Kind::NodeList(list)) }
}
