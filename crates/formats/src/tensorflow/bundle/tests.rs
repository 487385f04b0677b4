//! Bundles written and read, partitioned tensors, and hostile bundles.

use std::sync::Arc;

use prost::Message as _;

use super::*;
use crate::table::TableWriter;
use crate::tensorflow::messages::{
    BundleEntryProto, TensorShapeProto, TensorSliceProto, VersionDef, tensor_slice_proto::Extent,
};
use crate::tensorflow::ordered_code::slice_key;
use crate::{DType, MemoryFiles, Tensor, TensorData, checksum};

const PREFIX: &str = "variables/variables";

fn open(files: MemoryFiles) -> Result<BundleReader> {
    BundleReader::open(Arc::new(files), PREFIX, &Limits::default())
}

fn header() -> BundleHeaderProto {
    BundleHeaderProto { num_shards: 1, ..Default::default() }
}

/// A bundle of these raw index entries and data, in one shard.
fn files(
    header: &BundleHeaderProto,
    entries: &[(Vec<u8>, BundleEntryProto)],
    data: &[u8],
) -> MemoryFiles {
    let mut index = TableWriter::default();
    index.add(b"", &header.encode_to_vec()).unwrap();
    for (name, entry) in entries {
        index.add(name, &entry.encode_to_vec()).unwrap();
    }
    let mut files = MemoryFiles::default();
    files.insert(index_path(PREFIX), index.finish());
    files.insert(shard_path(PREFIX, 0, 1), data);
    files
}

/// The entry of float32 `shape` at the start of `data`.
fn floats(shape: &[i64], data: &[u8]) -> BundleEntryProto {
    let mut proto = TensorShapeProto::of(&vec![0; shape.len()]);
    proto.dim.iter_mut().zip(shape).for_each(|(dim, &size)| dim.size = size);
    BundleEntryProto {
        dtype: 1,
        shape: Some(proto),
        size: data.len() as i64,
        crc32c: checksum::masked_crc32c(data),
        ..Default::default()
    }
}

fn read_one(entry: BundleEntryProto, data: &[u8]) -> Result<Tensor> {
    open(files(&header(), &[(b"w".to_vec(), entry)], data))?.read("w")
}

fn kind(entry: BundleEntryProto, data: &[u8]) -> ErrorKind {
    read_one(entry, data).unwrap_err().kind()
}

#[test]
fn every_type_round_trips() {
    let tensors: Vec<(&str, TensorData)> = vec![
        ("b", vec![true, false].into()),
        ("bf16", TensorData::BF16(vec![0x3f80, 1])),
        ("f16", TensorData::F16(vec![0x3c00, 1])),
        ("f32", vec![1.5f32, -0.0].into()),
        ("f64", vec![1.5f64, 1e300].into()),
        ("i64", vec![i64::MIN, 7].into()),
        ("s", vec![b"labels".to_vec(), vec![0; 300]].into()),
        ("u8", vec![0u8, 255].into()),
    ];
    let mut writer = BundleWriter::default();
    for (name, data) in &tensors {
        writer.add(name, &Tensor::new([1, 2], data.clone()).unwrap()).unwrap();
    }
    writer.add("scalar", &Tensor::new([], vec![3i32]).unwrap()).unwrap();
    writer.add("empty", &Tensor::new([0, 4], Vec::<f32>::new()).unwrap()).unwrap();
    let bundle = open(writer.finish(PREFIX).unwrap()).unwrap();
    assert_eq!(bundle.len(), tensors.len() + 2);
    for (name, data) in tensors {
        assert_eq!(bundle.read(name).unwrap(), Tensor::new([1, 2], data).unwrap());
    }
    assert_eq!(bundle.read("scalar").unwrap().as_i32(), Some(&[3][..]));
    assert_eq!(bundle.entry("empty").unwrap().shape, [0, 4]);
    assert!(bundle.read("empty").unwrap().is_empty());
}

#[test]
fn names_are_given_once() {
    let mut writer = BundleWriter::default();
    let tensor = Tensor::vector(vec![0f32]);
    writer.add("a", &tensor).unwrap();
    for name in ["a", "", "\0a"] {
        assert_eq!(writer.add(name, &tensor).unwrap_err().kind(), ErrorKind::Mismatch);
    }
}

#[test]
fn a_missing_variable_is_named() {
    let bundle = open(BundleWriter::default().finish(PREFIX).unwrap()).unwrap();
    let error = bundle.read("MobilenetV1/Conv2d_0/weights").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("variable `MobilenetV1/Conv2d_0/weights`"), "{error}");
}

#[test]
fn a_missing_index_or_shard_is_named() {
    assert_eq!(open(MemoryFiles::default()).unwrap_err().kind(), ErrorKind::NotFound);
    let mut files = files(&header(), &[(b"w".to_vec(), floats(&[1], &[0; 4]))], &[0; 4]);
    files.remove(&shard_path(PREFIX, 0, 1));
    let error = open(files).unwrap().read("w").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("variables.data-00000-of-00001"), "{error}");
}

#[test]
fn a_checksum_mismatch_is_refused() {
    let mut entry = floats(&[2], &[1; 8]);
    assert!(read_one(entry.clone(), &[1; 8]).is_ok());
    assert_eq!(kind(entry.clone(), &[1, 1, 1, 1, 1, 1, 1, 2]), ErrorKind::Checksum);
    entry.crc32c ^= 1;
    assert_eq!(kind(entry, &[1; 8]), ErrorKind::Checksum);
}

#[test]
fn extents_outside_the_shard_are_refused() {
    let at = |offset, size, shape: &[i64]| BundleEntryProto { offset, size, ..floats(shape, &[]) };
    assert_eq!(kind(at(4, 8, &[2]), &[0; 8]), ErrorKind::Truncated);
    assert_eq!(kind(at(i64::MAX, 8, &[2]), &[0; 8]), ErrorKind::Truncated);
    assert_eq!(kind(at(-1, 8, &[2]), &[0; 8]), ErrorKind::Malformed);
    assert_eq!(kind(at(0, -8, &[2]), &[0; 8]), ErrorKind::Mismatch);
    assert_eq!(kind(at(0, 4, &[2]), &[0; 8]), ErrorKind::Mismatch);
    assert_eq!(kind(at(0, i64::MAX, &[2]), &[0; 8]), ErrorKind::Mismatch);
}

#[test]
fn shapes_that_overflow_or_are_negative_are_refused() {
    assert_eq!(kind(floats(&[1 << 62, 1 << 62], &[0; 4]), &[0; 4]), ErrorKind::Malformed);
    assert_eq!(kind(floats(&[-4], &[0; 4]), &[0; 4]), ErrorKind::Malformed);
    assert_eq!(kind(floats(&[1 << 40], &[0; 4]), &[0; 4]), ErrorKind::Limit);
}

#[test]
fn a_wrong_dtype_or_shard_is_refused() {
    let entry = floats(&[1], &[0; 4]);
    let typed = |dtype| BundleEntryProto { dtype, ..entry.clone() };
    assert_eq!(kind(typed(99), &[0; 4]), ErrorKind::Unsupported);
    assert_eq!(kind(typed(DType::Variant as i32), &[0; 4]), ErrorKind::Unsupported);
    assert_eq!(kind(typed(DType::F64 as i32), &[0; 4]), ErrorKind::Mismatch);
    let shard = |shard_id| BundleEntryProto { shard_id, ..entry.clone() };
    assert_eq!(kind(shard(1), &[0; 4]), ErrorKind::Malformed);
    assert_eq!(kind(shard(-1), &[0; 4]), ErrorKind::Malformed);
}

#[test]
fn strings_longer_than_their_entry_are_refused() {
    let text = |count: i64, data: &[u8]| BundleEntryProto { dtype: 7, ..floats(&[count], data) };
    // A count that the bytes cannot hold, a huge length, a wrong checksum of the lengths.
    assert_eq!(kind(text(1 << 20, &[0; 9]), &[0; 9]), ErrorKind::Limit);
    let huge = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0];
    assert_eq!(kind(text(1, &huge), &huge), ErrorKind::Checksum);
    let (mut bytes, crc) = strings::encode(&[b"abc".to_vec()]);
    let entry = BundleEntryProto { crc32c: crc, ..text(1, &bytes) };
    assert!(read_one(entry.clone(), &bytes).is_ok());
    bytes[5] = b'x';
    assert_eq!(kind(entry, &bytes), ErrorKind::Checksum);
}

#[test]
fn headers_we_do_not_understand_are_refused() {
    let kind = |header: BundleHeaderProto| open(files(&header, &[], &[])).unwrap_err().kind();
    let version = VersionDef { min_consumer: 2, ..Default::default() };
    assert_eq!(
        kind(BundleHeaderProto { version: Some(version), ..header() }),
        ErrorKind::Unsupported
    );
    assert_eq!(kind(BundleHeaderProto { endianness: 1, ..header() }), ErrorKind::Unsupported);
    assert_eq!(kind(BundleHeaderProto { num_shards: -1, ..header() }), ErrorKind::Malformed);
    assert_eq!(kind(BundleHeaderProto { num_shards: i32::MAX, ..header() }), ErrorKind::Limit);
    let mut empty = MemoryFiles::default();
    empty.insert(index_path(PREFIX), TableWriter::default().finish());
    assert_eq!(open(empty).unwrap_err().kind(), ErrorKind::Malformed);
}

/// A `[3, 4]` tensor in parts of `[start, length]` for each dimension.
fn partitioned(parts: &[[(i64, Option<i64>); 2]]) -> Result<Tensor> {
    let slice = |part: &[(i64, Option<i64>); 2]| TensorSliceProto {
        extent: part.iter().map(|&(start, length)| Extent { start, length }).collect(),
    };
    let (mut data, mut entries) = (Vec::new(), Vec::new());
    for part in parts {
        let [(row, rows), (column, columns)] = *part;
        let (rows, columns) = (rows.unwrap_or(3 - row), columns.unwrap_or(4 - column));
        let values =
            (row..row + rows).flat_map(|r| (column..column + columns).map(move |c| r * 4 + c));
        let bytes: Vec<u8> = values.flat_map(|v| (v as f32).to_le_bytes()).collect();
        let entry =
            BundleEntryProto { offset: data.len() as i64, ..floats(&[rows, columns], &bytes) };
        data.extend(bytes);
        entries.push((slice_key("w", &slice(part)), entry));
    }
    let slices = parts.iter().map(slice).collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    entries.dedup_by(|a, b| a.0 == b.0);
    entries.push((b"w".to_vec(), BundleEntryProto { slices, ..floats(&[3, 4], &[]) }));
    open(files(&header(), &entries, &data))?.read("w")
}

#[test]
fn a_partitioned_tensor_is_put_together() {
    let whole: Vec<f32> = (0..12).map(|v| v as f32).collect();
    let rows = [[(0, Some(2)), (0, None)], [(2, Some(1)), (0, None)]];
    let tiles =
        [[(0, Some(1)), (0, None)], [(1, Some(2)), (0, Some(3))], [(1, Some(2)), (3, Some(1))]];
    assert_eq!(partitioned(&rows).unwrap().as_f32(), Some(whole.as_slice()));
    assert_eq!(partitioned(&tiles).unwrap().as_f32(), Some(whole.as_slice()));
}

#[test]
fn slices_with_holes_overlaps_or_extents_out_of_range_are_refused() {
    let kind = |parts: &[[(i64, Option<i64>); 2]]| partitioned(parts).unwrap_err().kind();
    let top = [(0, Some(2)), (0, None)];
    assert_eq!(kind(&[top]), ErrorKind::Malformed);
    assert_eq!(kind(&[top, [(1, Some(2)), (0, None)]]), ErrorKind::Malformed);
    assert_eq!(kind(&[top, [(2, Some(2)), (0, None)]]), ErrorKind::Malformed);
    assert_eq!(kind(&[top, [(5, Some(1)), (0, None)]]), ErrorKind::Malformed);
}
