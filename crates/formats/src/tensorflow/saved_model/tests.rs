//! Models made, written, read and changed; hostile models.

use prost::Message as _;

use super::*;
use crate::ModelKind;
use crate::tensorflow::messages::{
    AttrValue, CollectionDef, GraphDef, ImageModuleInfo, ImageSize, MetaGraphDef, ModuleAttachment,
    NameAttrList, NodeDef, VariableDef, attr_value, collection_def, meta_graph_def,
};
use crate::tensorflow::{begins_saved_model, detect_saved_model};
use crate::wire::push_varint;

fn limits() -> Limits {
    Limits::default()
}

fn collection(kind: collection_def::Kind) -> CollectionDef {
    CollectionDef { kind: Some(kind) }
}

fn messages<M: prost::Message>(messages: &[M]) -> CollectionDef {
    let value = messages.iter().map(|message| message.encode_to_vec().into()).collect();
    collection(collection_def::Kind::BytesList(collection_def::BytesList { value }))
}

fn names(names: &[&str]) -> CollectionDef {
    let value = names.iter().map(|&name| name.to_owned()).collect();
    collection(collection_def::Kind::NodeList(collection_def::NodeList { value }))
}

/// A graph of one node with the collections of a hub module.
fn graph(tags: &[&str]) -> MetaGraphDef {
    let tags = tags.iter().map(|&tag| tag.to_owned()).collect();
    let node = NodeDef { name: "images".into(), op: "Placeholder".into(), ..Default::default() };
    let variable =
        VariableDef { variable_name: "w:0".into(), trainable: true, ..Default::default() };
    let size = ImageSize { height: 128, width: 160 };
    let info = ImageModuleInfo { default_image_size: Some(size) }.encode_to_vec();
    let attachment = ModuleAttachment { key: "image_module_info".into(), value: info };
    MetaGraphDef {
        meta_info_def: Some(meta_graph_def::MetaInfoDef { tags, ..Default::default() }),
        graph_def: Some(GraphDef { node: vec![node], ..Default::default() }),
        collection_def: BTreeMap::from([
            ("variables".into(), messages(std::slice::from_ref(&variable))),
            ("trainable_variables".into(), messages(&[variable])),
            ("regularization_losses".into(), names(&["loss:0"])),
            ("update_ops".into(), names(&["update"])),
            ("hub_module_attachments".into(), messages(&[attachment])),
        ]),
        ..Default::default()
    }
}

fn model() -> SavedModel {
    let mut model = SavedModel::default();
    model.push_meta_graph(graph(&[]));
    model.push_meta_graph(graph(&["train", "gpu"]));
    model.set_variable("w", Tensor::new([2], vec![1f32, 2.0]).unwrap());
    model
}

/// Reads a `saved_model.pb` of these bytes.
fn read(bytes: Vec<u8>) -> Result<SavedModel> {
    let mut files = MemoryFiles::default();
    files.insert(SAVED_MODEL_FILE, bytes);
    SavedModel::read(&files, &limits())
}

/// Field `tag`, length-delimited.
fn field(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![tag << 3 | 2];
    push_varint(&mut out, bytes.len() as u64);
    out.extend(bytes);
    out
}

#[test]
fn a_model_is_written_and_read_back() {
    let files = model().to_files().unwrap();
    assert!(files.folders().eq(["assets"]));
    let read = SavedModel::read(&files, &limits()).unwrap();
    assert_eq!(format!("{read:?}"), "SavedModel({} {train, gpu}; 1 variables)");
    assert_eq!(read.variable("w").unwrap().as_f32(), Some(&[1.0, 2.0][..]));
    assert_eq!(read.variable_entry("w").unwrap().shape, [2]);
    for tags in [&[][..], &["train", "gpu"], &["gpu", "train"]] {
        assert_eq!(read.meta_graph(tags).unwrap().graph_def().unwrap().node[0].name, "images");
    }
    assert_eq!(read.to_files().unwrap(), files);
}

#[test]
fn a_file_of_any_name_is_known_by_its_content() {
    let written = model().to_files().unwrap();
    let bytes = written.get(SAVED_MODEL_FILE).unwrap();
    assert_eq!(ModelKind::of(bytes), Some(ModelKind::SavedModel));
    assert!(begins_saved_model(&bytes[..32]));
    // As files without a schema version are written.
    let bare = bytes.strip_prefix(&[8, 1]).unwrap();
    assert_eq!(ModelKind::of(bare), Some(ModelKind::SavedModel));
    assert!(begins_saved_model(&bare[..32]));
    assert_eq!(ModelKind::of(&bytes[..bytes.len() - 1]), None);
    let frozen = model().meta_graph(&[]).unwrap().graph_def().unwrap().encode_to_vec();
    assert!(!detect_saved_model(&frozen) && !begins_saved_model(&frozen));
    // ONNX begins alike: a version, then the name of a producer.
    let onnx = [&[8, 7][..], &field(2, b"pytorch"), &field(7, b"")].concat();
    assert_eq!(ModelKind::of(&onnx), Some(ModelKind::Onnx));
    assert!(!begins_saved_model(&onnx));
    for bytes in [&b""[..], &[8, 1][..], &b"the graph"[..], &field(2, &field(9, b"x"))[..]] {
        assert!(!detect_saved_model(bytes) && !begins_saved_model(bytes), "{bytes:?}");
    }
}

#[test]
fn collections_are_typed() {
    let model = model();
    let graph = model.meta_graph(&[]).unwrap();
    assert_eq!(graph.variables().unwrap()[0].variable_name, "w:0");
    assert!(graph.trainable_variables().unwrap()[0].trainable);
    assert_eq!(graph.regularization_losses().unwrap(), ["loss:0"]);
    assert_eq!(graph.update_ops().unwrap(), ["update"]);
    assert_eq!(graph.image_size().unwrap(), Some((128, 160)));
    assert!(graph.nodes("absent").unwrap().is_empty());
    assert_eq!(graph.nodes("variables").unwrap_err().kind(), ErrorKind::Malformed);
    assert_eq!(graph.messages("update_ops").unwrap_err().kind(), ErrorKind::Malformed);
}

#[test]
fn a_part_of_a_graph_is_what_some_tensors_need() {
    let node = |name: &str, inputs: &[&str]| NodeDef {
        name: name.into(),
        op: "NoOp".into(),
        input: inputs.iter().map(|&input| input.to_owned()).collect(),
        ..Default::default()
    };
    let mut first = node("y", &["x:1", "^ready"]);
    first.attr.insert("_class".into(), AttrValue::default());
    first.attr.insert("T".into(), AttrValue { value: Some(attr_value::Value::Type(1)) });
    let nodes = vec![
        first,
        node("other", &["y"]),
        node("x", &["w"]),
        node("ready", &[]),
        node("w", &[]),
        node("loop", &["loop"]),
    ];
    let versions =
        Some(crate::tensorflow::messages::VersionDef { producer: 26, ..Default::default() });
    let def = GraphDef { node: nodes, versions: versions.clone(), ..Default::default() };
    let def = MetaGraphDef { graph_def: Some(def), ..graph(&[]) };
    let mut made = SavedModel::default();
    made.push_meta_graph(def);
    let read = read(made.to_files().unwrap().get(SAVED_MODEL_FILE).unwrap().to_vec()).unwrap();
    for model in [made, read] {
        let meta_graph = model.meta_graph(&[]).unwrap();
        let names = |tensors: &[&str]| {
            let part = meta_graph.graph_part(tensors).unwrap();
            assert_eq!(part.versions, versions);
            part.node.into_iter().map(|node| node.name).collect::<Vec<_>>()
        };
        assert_eq!(names(&["y:0"]), ["y", "x", "ready", "w"]);
        let y = meta_graph.graph_part(&["y"]).unwrap().node.swap_remove(0);
        assert_eq!(y.attr.keys().collect::<Vec<_>>(), ["T"], "no notes");
        assert_eq!(y.input, ["x:1", "^ready"]);
        assert_eq!(names(&["ready", "absent"]), ["ready"]);
        assert_eq!(names(&["loop"]), ["loop"]);
        assert_eq!(meta_graph.image_size().unwrap(), Some((128, 160)), "without the graph");
        assert_eq!(meta_graph.graph_def().unwrap().node.len(), 6);
    }
}

#[test]
fn a_missing_tag_set_signature_or_variable_is_named() {
    let model = model();
    let error = model.meta_graph(&["serve"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("{} and {train, gpu}"), "{error}");
    assert!(model.meta_graph(&["train"]).is_err(), "not a part of a tag set either");
    let error = model.meta_graph(&[]).unwrap().signature("default").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(model.variable("v").unwrap_err().kind(), ErrorKind::NotFound);
    let stored = SavedModel::read(&model.to_files().unwrap(), &limits()).unwrap();
    assert_eq!(stored.variable("v").unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_change_touches_nothing_else() {
    let mut files = model().to_files().unwrap();
    files.insert("assets/labels.txt", "background\n");
    files.insert("assets.extra/note", "kept");
    files.insert("fingerprint.pb", "stale once something changes");
    let mut changed = SavedModel::read(&files, &limits()).unwrap();
    assert!(changed.to_files().unwrap().iter().eq(files.iter()));
    changed.set_variable("v", Tensor::vector(vec![3i64]));
    changed.set_file("assets/more.txt", "x");
    assert_eq!(changed.asset_names(), ["labels.txt", "more.txt"]);
    assert_eq!(changed.asset("labels.txt", &limits()).unwrap(), b"background\n");
    let written = changed.to_files().unwrap();
    assert!(written.get("fingerprint.pb").is_none());
    assert_eq!(written.get("assets.extra/note"), files.get("assets.extra/note"));
    assert_eq!(written.get(SAVED_MODEL_FILE), files.get(SAVED_MODEL_FILE));
    let again = SavedModel::read(&written, &limits()).unwrap();
    assert_eq!(again.variable_names(), ["v", "w"]);
    changed.clear_variables();
    changed.set_variable("v", Tensor::vector(vec![4i64]));
    let again = SavedModel::read(&changed.to_files().unwrap(), &limits()).unwrap();
    assert_eq!(again.variable_names(), ["v"]);
}

#[test]
fn a_meta_graph_that_is_not_decoded_keeps_its_unknown_fields() {
    let mut bytes = graph(&[]).encode_to_vec();
    bytes.extend(field(15, b"from the future"));
    let outer = [vec![8, 1], field(2, &bytes)].concat();
    let model = read(outer.clone()).unwrap();
    assert!(model.meta_graph(&[]).unwrap().def().is_ok());
    assert_eq!(model.to_files().unwrap().get(SAVED_MODEL_FILE), Some(outer.as_slice()));
}

#[test]
fn a_file_that_is_no_model_is_refused() {
    let error = SavedModel::read(&MemoryFiles::default(), &limits()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("saved_model.pb"), "{error}");
    assert_eq!(read(vec![]).unwrap_err().kind(), ErrorKind::Malformed, "no meta graph");
    assert_eq!(read(b"<html>".to_vec()).unwrap_err().kind(), ErrorKind::Malformed);
    let sound = [vec![8, 1], field(2, &field(1, b""))].concat();
    assert!(read(sound.clone()).is_ok());
    for odd in [vec![0, 0], vec![2 << 3, 5], field(1, b""), field(2, &[2 << 3, 5])] {
        let error = read([sound.clone(), odd.clone()].concat()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{odd:?}");
    }
    assert_eq!(
        read([vec![8, 9], field(2, b"")].concat()).unwrap_err().kind(),
        ErrorKind::Unsupported
    );
}

#[test]
fn giant_varints_and_lengths_are_refused() {
    assert!(read([vec![8], vec![0xff; 12]].concat()).is_err());
    assert!(read(vec![0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]).is_err());
    let inner = field(2, &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]);
    let model = read(field(2, &inner)).unwrap();
    assert_eq!(model.meta_graphs()[0].def().unwrap_err().kind(), ErrorKind::Malformed);
}

#[test]
fn deep_nesting_is_refused() {
    let mut value = AttrValue::default();
    for _ in 0..200 {
        let attr = BTreeMap::from([("a".to_owned(), value)]);
        let func = Box::new(NameAttrList { name: "f".into(), attr });
        value = AttrValue { value: Some(attr_value::Value::Func(func)) };
    }
    let attr = BTreeMap::from([("a".to_owned(), value)]);
    let node = NodeDef { attr, ..Default::default() };
    let graph = GraphDef { node: vec![node], ..Default::default() };
    let graph = MetaGraphDef { graph_def: Some(graph), ..Default::default() };
    let model = read(field(2, &graph.encode_to_vec())).unwrap();
    assert_eq!(model.meta_graphs()[0].def().unwrap_err().kind(), ErrorKind::Malformed);
}

#[test]
fn millions_of_empty_nodes_are_refused() {
    let nodes = field(2, &[0x0a, 0].repeat(3_000_000));
    assert_eq!(read(field(2, &nodes)).unwrap_err().kind(), ErrorKind::Limit);
}

#[test]
fn a_huge_file_is_refused_before_it_is_read() {
    let small = Limits { message_bytes: 10, ..limits() };
    let mut files = MemoryFiles::default();
    files.insert(SAVED_MODEL_FILE, vec![0; 11]);
    assert_eq!(SavedModel::read(&files, &small).unwrap_err().kind(), ErrorKind::Limit);
}

#[test]
fn an_image_size_without_pixels_is_refused() {
    for (height, width) in [(0, 192), (192, -1)] {
        let info = ImageModuleInfo { default_image_size: Some(ImageSize { height, width }) };
        let attachment =
            ModuleAttachment { key: "image_module_info".into(), value: info.encode_to_vec() };
        let mut def = graph(&[]);
        def.collection_def.insert("hub_module_attachments".into(), messages(&[attachment]));
        let mut model = SavedModel::default();
        model.push_meta_graph(def);
        assert_eq!(model.meta_graphs()[0].image_size().unwrap_err().kind(), ErrorKind::Malformed);
    }
}
