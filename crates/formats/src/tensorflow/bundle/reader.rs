//! Reads a bundle: the index when it is opened, each tensor's bytes when it is asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;

use super::{check_header, index_path, shard_path, slices, strings};
use crate::error::Within as _;
use crate::files::require_file;
use crate::table::Table;
use crate::tensorflow::messages::{BundleEntryProto, BundleHeaderProto};
use crate::tensorflow::shape::checked_size;
use crate::{
    DType, Error, ErrorKind, FileSource, Limits, Result, Tensor, TensorData, checksum, elements,
};

/// A tensor bundle; tensors are read, and their checksums verified, one at a time.
///
/// ```
/// use std::sync::Arc;
/// use mobilenet_formats::{Limits, Tensor, tensorflow::{BundleReader, BundleWriter}};
///
/// let mut writer = BundleWriter::default();
/// writer.add("bias", &Tensor::new([2], vec![0.5f32, -0.5])?)?;
/// let files = writer.finish("variables/variables")?;
///
/// let bundle = BundleReader::open(Arc::new(files), "variables/variables", &Limits::default())?;
/// assert_eq!(bundle.names().collect::<Vec<_>>(), ["bias"]);
/// assert_eq!(bundle.read("bias")?.shape(), [2]);
/// # Ok::<(), mobilenet_formats::Error>(())
/// ```
pub struct BundleReader {
    source: Arc<dyn FileSource>,
    prefix: String,
    limits: Limits,
    shards: u32,
    entries: BTreeMap<String, BundleEntryProto>,
    /// The parts of partitioned tensors, by slice key.
    slices: BTreeMap<Vec<u8>, BundleEntryProto>,
}

/// What the index says of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleEntry {
    /// Its type in the file, quantised types included.
    pub dtype: DType,
    /// Its shape, outermost dimension first.
    pub shape: Vec<usize>,
}

impl BundleReader {
    /// Reads the index of the bundle `prefix` (`variables/variables`).
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no index, else what is wrong with it.
    pub fn open(source: Arc<dyn FileSource>, prefix: &str, limits: &Limits) -> Result<Self> {
        let (prefix, limits) = (prefix.to_owned(), limits.clone());
        let (entries, slices) = (BTreeMap::new(), BTreeMap::new());
        let empty = Arc::clone(&source);
        let mut bundle = BundleReader { source, prefix, limits, shards: 0, entries, slices };
        let path = index_path(&bundle.prefix);
        let index = require_file(&*empty, &path, bundle.limits.file_bytes)?;
        bundle.read_index(&index).within(|| path)?;
        Ok(bundle)
    }

    fn read_index(&mut self, bytes: &[u8]) -> Result<()> {
        let limits = self.limits.clone();
        let mut header = None;
        Table::open(bytes, &limits)?.for_each(|key, value| {
            let value = Bytes::copy_from_slice(value);
            match key.first() {
                None => header = Some(BundleHeaderProto::decode(value).within(|| "header")?),
                Some(0) => drop(self.slices.insert(key.to_vec(), BundleEntryProto::decode(value)?)),
                Some(_) => {
                    let name = utf8(key)?;
                    let entry = BundleEntryProto::decode(value).within(|| &name)?;
                    self.entries.insert(name, entry);
                }
            }
            Ok(())
        })?;
        let header = header.ok_or_else(|| Error::new(ErrorKind::Malformed, "no header entry"))?;
        self.shards = check_header(&header, &limits).within(|| "header")?;
        Ok(())
    }

    /// The names of all tensors, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// How many tensors there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no tensors.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Type and shape of the tensor `name`, without reading it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], or what is wrong with the entry.
    pub fn entry(&self, name: &str) -> Result<BundleEntry> {
        let entry = self.proto(name)?;
        let described = self.describe(entry).within(|| self.place(name))?;
        Ok(described)
    }

    /// The tensor `name`; quantised types become their plain integers.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], [`ErrorKind::Checksum`] for damaged bytes, or what is wrong with the
    /// entry.
    pub fn read(&self, name: &str) -> Result<Tensor> {
        let entry = self.proto(name)?;
        self.tensor(name, entry).within(|| self.place(name))
    }

    fn place(&self, name: &str) -> String {
        format!("{}: variable `{name}`", self.prefix)
    }

    fn proto(&self, name: &str) -> Result<&BundleEntryProto> {
        self.entries.get(name).ok_or_else(|| {
            let message = format!("no such variable among the {} stored", self.entries.len());
            Error::new(ErrorKind::NotFound, message).within(self.place(name))
        })
    }

    fn describe(&self, entry: &BundleEntryProto) -> Result<BundleEntry> {
        let dtype = DType::from_tensorflow(entry.dtype).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, format!("dtype number {}", entry.dtype))
        })?;
        let shape = match &entry.shape {
            Some(shape) => shape.known(&self.limits).within(|| "shape")?,
            None => Vec::new(),
        };
        Ok(BundleEntry { dtype, shape })
    }

    fn tensor(&self, name: &str, entry: &BundleEntryProto) -> Result<Tensor> {
        let BundleEntry { dtype, shape } = self.describe(entry)?;
        if dtype == DType::String {
            let (count, _) = checked_size(&shape, 1, &self.limits)?;
            let bytes = self.bytes(entry)?;
            let strings = strings::decode(&bytes, count, entry.crc32c, &self.limits)?;
            return Tensor::new(shape, strings);
        }
        let data = match entry.slices.as_slice() {
            [] => self.numbers(entry, dtype, &shape)?,
            slices => elements::from_le_bytes(dtype, &self.assemble(name, slices, dtype, &shape)?)?,
        };
        Tensor::new(shape, data)
    }

    /// The verified values of an entry of numbers, read piece by piece: its bytes are never in
    /// memory as a whole beside them.
    fn numbers(
        &self,
        entry: &BundleEntryProto,
        dtype: DType,
        shape: &[usize],
    ) -> Result<TensorData> {
        let count = self.check_size(entry, dtype, shape)?;
        // The size is only a claim until the bytes arrive.
        let mut data = elements::with_capacity(dtype, count.min(1 << 22))?;
        let crc = self.pieces(entry, |piece| elements::push_le_bytes(&mut data, piece))?;
        checksum::verify_value(checksum::mask(crc), entry.crc32c)?;
        Ok(data)
    }

    /// The number of values of an entry whose bytes fit them.
    fn check_size(&self, entry: &BundleEntryProto, dtype: DType, shape: &[usize]) -> Result<usize> {
        let element = dtype.size().ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, format!("variable of type {dtype}"))
        })?;
        let (count, size) = checked_size(shape, element, &self.limits)?;
        if usize::try_from(entry.size) != Ok(size) {
            let message = format!("{} bytes do not fill {dtype} of shape {shape:?}", entry.size);
            return Err(Error::new(ErrorKind::Mismatch, message));
        }
        Ok(count)
    }

    /// The bytes of an entry, not verified.
    fn bytes(&self, entry: &BundleEntryProto) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.pieces(entry, |piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(bytes)
    }

    /// Visits the bytes of an entry piece by piece; their CRC-32C.
    fn pieces(
        &self,
        entry: &BundleEntryProto,
        mut visit: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<u32> {
        let range = || {
            let start = u64::try_from(entry.offset).ok()?;
            let size = u64::try_from(entry.size).ok()?;
            Some((start, size, start.checked_add(size)?))
        };
        let (start, size, end) = range().ok_or_else(|| {
            let message = format!("{} bytes at offset {}", entry.size, entry.offset);
            Error::new(ErrorKind::Malformed, message)
        })?;
        Limits::check("bytes of the tensor", size, self.limits.tensor_bytes)?;
        let path = self.shard(entry.shard_id)?;
        let (mut seen, mut crc, mut result) = (0, 0, Ok(()));
        let mut take = |piece: &[u8]| {
            seen += piece.len() as u64;
            crc = crc32c::crc32c_append(crc, piece);
            if result.is_ok() {
                result = visit(piece);
            }
        };
        if !self.source.visit_range(&path, start..end, &mut take).within(|| &path)? {
            return Err(Error::new(ErrorKind::NotFound, "the shard is missing").within(path));
        }
        if seen != size {
            let message = format!("bytes {start}..{end} lie beyond the end of the shard");
            return Err(Error::new(ErrorKind::Truncated, message).within(path));
        }
        result.map(|()| crc)
    }

    fn shard(&self, shard: i32) -> Result<String> {
        match u32::try_from(shard) {
            Ok(number) if number < self.shards => Ok(shard_path(&self.prefix, number, self.shards)),
            _ => {
                let message = format!("shard {shard} of {}", self.shards);
                Err(Error::new(ErrorKind::Malformed, message))
            }
        }
    }

    /// The bytes of a partitioned tensor, from its slices.
    fn assemble(
        &self,
        name: &str,
        parts: &[super::super::messages::TensorSliceProto],
        dtype: DType,
        shape: &[usize],
    ) -> Result<Vec<u8>> {
        let mut whole = slices::Assembly::new(dtype, shape, &self.limits)?;
        for slice in parts {
            let key = crate::tensorflow::ordered_code::slice_key(name, slice);
            let missing = || Error::new(ErrorKind::NotFound, format!("no entry of {slice:?}"));
            let entry = self.slices.get(&key).ok_or_else(missing)?;
            let described = self.describe(entry)?;
            if described.dtype != dtype {
                let message = format!("a slice is {}, the tensor {dtype}", described.dtype);
                return Err(Error::new(ErrorKind::Mismatch, message));
            }
            whole.expect(slice, &described.shape)?;
            self.check_size(entry, dtype, &described.shape)?;
            let bytes = self.bytes(entry)?;
            checksum::verify(&bytes, entry.crc32c)?;
            whole.copy(slice, &bytes)?;
        }
        whole.finish()
    }
}

impl fmt::Debug for BundleReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { prefix, shards, entries, .. } = self;
        write!(f, "BundleReader({prefix}: {} tensors in {shards} shards)", entries.len())
    }
}

fn utf8(key: &[u8]) -> Result<String> {
    String::from_utf8(key.to_vec())
        .map_err(|error| Error::new(ErrorKind::Malformed, "a name is not UTF-8").caused_by(error))
}
