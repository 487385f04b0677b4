//! V1 checkpoints: a sorted string table of `SavedTensorSlices`.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use prost::Message as _;

use crate::error::Within as _;
use crate::table::{Table, TableWriter};
use crate::tensorflow::bundle::{Assembly, BundleEntry};
use crate::tensorflow::messages::{
    SavedSlice, SavedSliceMeta, SavedTensorSliceMeta, SavedTensorSlices, TensorProto,
    TensorShapeProto, TensorSliceProto, VersionDef, tensor_slice_proto::Extent,
};
use crate::tensorflow::ordered_code::slice_key;
use crate::tensorflow::tensor_proto::list_values;
use crate::{DType, Error, ErrorKind, Limits, Result, Tensor, elements, wire};

/// A V1 checkpoint in memory; values are decoded when they are asked for.
pub struct CheckpointV1 {
    limits: Limits,
    tensors: BTreeMap<String, SavedSliceMeta>,
    /// `SavedTensorSlices` with values, by slice key.
    records: BTreeMap<Vec<u8>, Bytes>,
}

impl CheckpointV1 {
    /// Reads the file's bytes.
    ///
    /// # Errors
    /// What is wrong with the table or with its first record, which lists the tensors.
    pub fn open(bytes: &[u8], limits: &Limits) -> Result<Self> {
        let (mut tensors, mut records) = (None, BTreeMap::new());
        Table::open(bytes, limits)?.for_each(|key, value| {
            if key.is_empty() {
                tensors = Some(read_meta(value, limits).within(|| "list of tensors")?);
            } else {
                records.insert(key.to_vec(), Bytes::copy_from_slice(value));
            }
            Ok(())
        })?;
        let missing = || Error::new(ErrorKind::Malformed, "no list of tensors");
        Ok(CheckpointV1 { limits: limits.clone(), tensors: tensors.ok_or_else(missing)?, records })
    }

    /// The names of all tensors, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    fn meta(&self, name: &str) -> Result<&SavedSliceMeta> {
        self.tensors.get(name).ok_or_else(|| {
            let message = format!("no such variable among the {} stored", self.tensors.len());
            Error::new(ErrorKind::NotFound, message).within(place(name))
        })
    }

    /// Type and shape of the tensor `name`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], or what is wrong with its entry.
    pub fn entry(&self, name: &str) -> Result<BundleEntry> {
        self.describe(self.meta(name)?).within(|| place(name))
    }

    fn describe(&self, meta: &SavedSliceMeta) -> Result<BundleEntry> {
        let dtype = DType::from_tensorflow(meta.r#type).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, format!("dtype number {}", meta.r#type))
        })?;
        let shape = meta.shape.as_ref().map(|shape| shape.known(&self.limits)).transpose()?;
        Ok(BundleEntry { dtype, shape: shape.unwrap_or_default() })
    }

    /// The tensor `name`, put together from its slices.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], or what is wrong with its values.
    pub fn read(&self, name: &str) -> Result<Tensor> {
        let meta = self.meta(name)?;
        self.tensor(meta).within(|| place(name))
    }

    fn tensor(&self, meta: &SavedSliceMeta) -> Result<Tensor> {
        let BundleEntry { dtype, shape } = self.describe(meta)?;
        if dtype == DType::String {
            return Err(Error::new(ErrorKind::Unsupported, "strings in a V1 checkpoint"));
        }
        let mut whole = Assembly::new(dtype, &shape, &self.limits)?;
        for slice in &meta.slice {
            let part = self.slice(&meta.name, slice, dtype, &whole.shape_of(slice)?)?;
            whole.copy(slice, &elements::to_le_bytes(part.data())?)?;
        }
        Tensor::new(shape.clone(), elements::from_le_bytes(dtype, &whole.finish()?)?)
    }

    /// The values of one slice; the record holds neither their type nor their shape.
    fn slice(
        &self,
        name: &str,
        slice: &TensorSliceProto,
        dtype: DType,
        shape: &[usize],
    ) -> Result<Tensor> {
        let missing = || Error::new(ErrorKind::NotFound, format!("no values of {slice:?}"));
        let record = self.records.get(&slice_key(name, slice)).ok_or_else(missing)?;
        wire::check_message(record, &self.limits)?;
        let saved = SavedTensorSlices::decode(record.clone())?.data.unwrap_or_default();
        let values = saved.data.unwrap_or_default();
        let stored = list_len(&values, dtype);
        let count = crate::tensor::element_count(shape).unwrap_or(usize::MAX);
        if values.tensor_content.is_empty() && stored != count {
            let message = format!("{stored} values do not fill shape {shape:?}");
            return Err(Error::new(ErrorKind::Mismatch, message));
        }
        let tensor_shape = Some(TensorShapeProto::of(shape));
        let proto = TensorProto { dtype: dtype.to_tensorflow(), tensor_shape, ..values };
        proto.to_tensor(&self.limits)
    }
}

impl fmt::Debug for CheckpointV1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CheckpointV1({} tensors)", self.tensors.len())
    }
}

fn place(name: &str) -> String {
    format!("variable `{name}`")
}

fn read_meta(record: &[u8], limits: &Limits) -> Result<BTreeMap<String, SavedSliceMeta>> {
    wire::check_message(record, limits)?;
    let meta = SavedTensorSlices::decode(record)?.meta.unwrap_or_default();
    let version = meta.versions.unwrap_or_default().min_consumer;
    if version > 1 {
        let message = format!("the checkpoint wants a reader of version {version}");
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    Ok(meta.tensor.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect())
}

/// How many values the list of `dtype` holds.
fn list_len(proto: &TensorProto, dtype: DType) -> usize {
    match dtype {
        DType::F32 => proto.float_val.len(),
        DType::F64 => proto.double_val.len(),
        DType::I64 => proto.int64_val.len(),
        DType::U32 => proto.uint32_val.len(),
        DType::U64 => proto.uint64_val.len(),
        DType::Bool => proto.bool_val.len(),
        DType::F16 | DType::BF16 => proto.half_val.len(),
        _ => proto.int_val.len(),
    }
}

/// A V1 checkpoint of whole tensors, in order of name.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for strings, [`ErrorKind::Mismatch`] for an empty name.
pub fn write_v1(tensors: &BTreeMap<String, Tensor>) -> Result<Vec<u8>> {
    let mut table = TableWriter::default();
    let metas = tensors.iter().map(|(name, tensor)| slice_meta(name, tensor)).collect();
    let versions = Some(VersionDef { producer: 1, ..Default::default() });
    let meta = Some(SavedTensorSliceMeta { tensor: metas, versions });
    table.add(b"", &SavedTensorSlices { meta, data: None }.encode_to_vec())?;
    let mut records = BTreeMap::new();
    for (name, tensor) in tensors {
        if name.is_empty() || tensor.dtype() == DType::String {
            let message = "only named numbers go into a V1 checkpoint";
            return Err(Error::new(ErrorKind::Unsupported, message).within(place(name)));
        }
        let slice = whole(tensor);
        let key = slice_key(name, &slice);
        let data = Some(list_values(tensor.data()));
        let saved = SavedSlice { name: name.clone(), slice: Some(slice), data };
        records.insert(key, SavedTensorSlices { meta: None, data: Some(saved) });
    }
    for (key, record) in records {
        table.add(&key, &record.encode_to_vec())?;
    }
    Ok(table.finish())
}

fn slice_meta(name: &str, tensor: &Tensor) -> SavedSliceMeta {
    SavedSliceMeta {
        name: name.to_owned(),
        shape: Some(TensorShapeProto::of(tensor.shape())),
        r#type: tensor.dtype().to_tensorflow(),
        slice: vec![whole(tensor)],
    }
}

/// The slice that is all of the tensor.
fn whole(tensor: &Tensor) -> TensorSliceProto {
    TensorSliceProto { extent: vec![Extent::default(); tensor.shape().len()] }
}
