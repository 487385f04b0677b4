//! Checkpoints of both versions, found by what is there, and hostile ones.

use std::collections::BTreeMap;

use prost::Message as _;

use super::*;
use crate::table::TableWriter;
use crate::tensorflow::BundleWriter;
use crate::tensorflow::messages::{
    SavedSlice, SavedSliceMeta, SavedTensorSliceMeta, SavedTensorSlices, TensorProto,
    TensorShapeProto, TensorSliceProto, VersionDef, tensor_slice_proto::Extent,
};
use crate::tensorflow::ordered_code::slice_key;
use crate::{MemoryFiles, TensorData};

fn tensors() -> BTreeMap<String, Tensor> {
    let of = |shape: &[usize], data: TensorData| Tensor::new(shape, data).unwrap();
    BTreeMap::from([
        ("a/weights".to_owned(), of(&[2, 3], vec![1f32, 2., 3., 4., 5., 6.].into())),
        ("b".to_owned(), of(&[], vec![7i64].into())),
        ("c".to_owned(), of(&[0, 2], Vec::<f64>::new().into())),
        ("d".to_owned(), of(&[2], TensorData::BF16(vec![1, 0x3f80]))),
        ("e".to_owned(), of(&[3], vec![true, false, true].into())),
    ])
}

fn open(files: MemoryFiles, prefix: &str) -> Result<Checkpoint> {
    Checkpoint::open(Arc::new(files), prefix, &Limits::default())
}

#[test]
fn both_versions_are_opened_by_what_is_there() {
    let mut writer = BundleWriter::default();
    tensors().iter().for_each(|(name, tensor)| writer.add(name, tensor).unwrap());
    let mut files = writer.finish("model.ckpt-2").unwrap();
    files.insert("model.ckpt-1", write_v1(&tensors()).unwrap());
    files.insert(STATE_FILE, state_file(&["model.ckpt-1", "model.ckpt-2"]));
    for prefix in ["model.ckpt-1", "model.ckpt-2", ""] {
        let checkpoint = open(files.clone(), prefix).unwrap();
        assert!(checkpoint.names().iter().eq(tensors().keys()));
        for (name, tensor) in tensors() {
            assert_eq!(checkpoint.read(&name).unwrap(), tensor, "{prefix} {name}");
            assert_eq!(checkpoint.entry(&name).unwrap().shape, tensor.shape());
        }
        assert_eq!(checkpoint.read("z").unwrap_err().kind(), ErrorKind::NotFound);
    }
    let error = open(files, "model.ckpt-3").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("model.ckpt-3.index"), "{error}");
}

#[test]
fn a_state_file_cannot_lead_out_of_the_folder() {
    let of = |path: &str| latest(format!("model_checkpoint_path: \"{path}\"\n").as_bytes());
    assert_eq!(of("/home/someone/train/model.ckpt-9").unwrap(), "model.ckpt-9");
    assert_eq!(of("../../model.ckpt-9").unwrap(), "model.ckpt-9");
    assert_eq!(of("/home/..").unwrap_err().kind(), ErrorKind::UnsafePath);
    assert_eq!(latest(b"nonsense").unwrap_err().kind(), ErrorKind::Malformed);
}

/// A V1 file with one tensor `w` of float32 `[2, 2]`, in these parts (first row, rows, values).
fn parts(parts: &[(i64, i64, &[f32])]) -> Vec<u8> {
    let slice = |start, length| TensorSliceProto {
        extent: vec![Extent { start, length: Some(length) }, Extent::default()],
    };
    let meta = SavedSliceMeta {
        name: "w".into(),
        shape: Some(TensorShapeProto::of(&[2, 2])),
        r#type: 1,
        slice: parts.iter().map(|&(start, rows, _)| slice(start, rows)).collect(),
    };
    let meta = Some(SavedTensorSliceMeta { tensor: vec![meta], versions: None });
    let mut table = TableWriter::default();
    table.add(b"", &SavedTensorSlices { meta, data: None }.encode_to_vec()).unwrap();
    for &(start, rows, values) in parts {
        let data = Some(TensorProto { float_val: values.to_vec(), ..Default::default() });
        let slice = slice(start, rows);
        let key = slice_key("w", &slice);
        let saved = SavedSlice { name: "w".into(), slice: Some(slice), data };
        let record = SavedTensorSlices { meta: None, data: Some(saved) };
        table.add(&key, &record.encode_to_vec()).unwrap();
    }
    table.finish()
}

fn read_parts(list: &[(i64, i64, &[f32])]) -> Result<Tensor> {
    CheckpointV1::open(&parts(list), &Limits::default())?.read("w")
}

#[test]
fn partitioned_values_are_put_together() {
    let tensor = read_parts(&[(0, 1, &[1., 2.]), (1, 1, &[3., 4.])]).unwrap();
    assert_eq!(tensor.as_f32(), Some(&[1., 2., 3., 4.][..]));
}

#[test]
fn values_that_do_not_fill_their_slice_are_refused() {
    let kind = |list: &[(i64, i64, &[f32])]| read_parts(list).unwrap_err().kind();
    assert_eq!(kind(&[(0, 2, &[1.])]), ErrorKind::Mismatch);
    assert_eq!(kind(&[(0, 1, &[1., 2.])]), ErrorKind::Malformed);
    assert_eq!(kind(&[(1, 2, &[1., 2., 3., 4.])]), ErrorKind::Malformed);
    assert_eq!(kind(&[]), ErrorKind::Malformed);
}

#[test]
fn a_file_without_list_or_of_a_newer_version_is_refused() {
    let kind = |bytes: &[u8]| CheckpointV1::open(bytes, &Limits::default()).unwrap_err().kind();
    assert_eq!(kind(&TableWriter::default().finish()), ErrorKind::Malformed);
    let versions = Some(VersionDef { min_consumer: 2, ..Default::default() });
    let meta = Some(SavedTensorSliceMeta { tensor: vec![], versions });
    let mut table = TableWriter::default();
    table.add(b"", &SavedTensorSlices { meta, data: None }.encode_to_vec()).unwrap();
    assert_eq!(kind(&table.finish()), ErrorKind::Unsupported);
    assert_eq!(kind(b"not a table"), ErrorKind::Truncated);
}

#[test]
fn strings_and_nameless_tensors_are_not_written() {
    for (name, data) in [("s", TensorData::String(vec![vec![]])), ("", vec![1f32].into())] {
        let tensors = BTreeMap::from([(name.to_owned(), Tensor::vector(data))]);
        assert_eq!(write_v1(&tensors).unwrap_err().kind(), ErrorKind::Unsupported);
    }
}
