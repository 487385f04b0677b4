//! Values: shapes, types, where the bytes are, and how chunks are unpacked.

use std::collections::BTreeSet;
use std::io::Read;

use flate2::read::ZlibDecoder;

use super::header::{Message, kind};
use super::view::{File, View};
use crate::error::Within;
use crate::tensor::element_count;
use crate::{DType, Error, ErrorKind, Limits, Result, Tensor, TensorData, elements};

/// The type of an element.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Element {
    Number {
        dtype: DType,
        big_endian: bool,
    },
    /// Bytes up to the first NUL, or to the trailing spaces.
    FixedString {
        len: usize,
        spaces: bool,
    },
    /// A string in a global heap.
    Reference,
}

fn unsupported(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported, what)
}

fn malformed(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Malformed, what)
}

/// Reads a dataset from the messages of its header.
pub(super) fn dataset(file: &File<'_>, messages: &[Message<'_>]) -> Result<Tensor> {
    let find = |kind: u16| messages.iter().find(|message| message.kind == kind);
    let need = |kind: u16, what: &str| {
        find(kind).map(|found| found.data.clone()).ok_or_else(|| malformed(format!("no {what}")))
    };
    if find(kind::EXTERNAL_FILES).is_some() {
        return Err(unsupported("data in other files"));
    }
    let shape = dataspace(file, need(kind::DATASPACE, "dataspace")?)?;
    let (element, size) = datatype(&mut need(kind::DATATYPE, "datatype")?)?;
    let filters = match find(kind::FILTERS) {
        Some(message) => filters(message.data.clone())?,
        None => Vec::new(),
    };
    let bytes = byte_count(file, &shape, size)?;
    file.count_data(bytes)?;
    let stored = Stored { file, shape: &shape, size, bytes, filters };
    let values = stored.read(need(kind::LAYOUT, "layout")?)?;
    tensor(file, shape, element, size, values)
}

/// Name and value of an attribute message.
pub(super) fn attribute(file: &File<'_>, view: &mut View<'_>) -> Result<(String, Tensor)> {
    let version = view.u8()?;
    let flags = view.u8()?;
    if !(1..=3).contains(&version) || version > 1 && flags != 0 {
        return Err(unsupported(format!("version {version} of an attribute, flags {flags}")));
    }
    let lens = [view.u16()?, view.u16()?, view.u16()?].map(usize::from);
    view.skip(if version == 3 { 1 } else { 0 })?;
    let mut part = |len: usize| view.sub(if version == 1 { len.next_multiple_of(8) } else { len });
    let [name, datatype_len, dataspace_len] = lens;
    let name = part(name)?.string(name)?;
    let (mut type_view, space_view) = (part(datatype_len)?, part(dataspace_len)?);
    let value = || -> Result<Tensor> {
        let (element, size) = datatype(&mut type_view)?;
        let shape = dataspace(file, space_view)?;
        let bytes = byte_count(file, &shape, size)?;
        file.count_data(bytes)?;
        let values = view.take(bytes)?.to_vec();
        tensor(file, shape, element, size, values)
    };
    let value = value().within(|| format!("attribute `{name}`"))?;
    Ok((name, value))
}

fn dataspace(file: &File<'_>, mut view: View<'_>) -> Result<Vec<usize>> {
    let (version, rank) = (view.u8()?, view.u8()?);
    let _flags = view.u8()?;
    match version {
        1 => view.skip(5)?,
        2 if view.u8()? == 2 => return Ok(vec![0]),
        2 => {}
        _ => return Err(unsupported(format!("version {version} of a dataspace"))),
    }
    Limits::check("rank", rank.into(), file.limits.rank as u64)?;
    (0..rank).map(|_| view.length()).collect()
}

/// Bytes of all elements, within the limits.
fn byte_count(file: &File<'_>, shape: &[usize], size: usize) -> Result<usize> {
    let bytes = element_count(shape).and_then(|count| count.checked_mul(size));
    let bytes =
        bytes.ok_or_else(|| Error::new(ErrorKind::Limit, "the shape's product overflows"))?;
    Limits::check("bytes of the dataset", bytes as u64, file.limits.tensor_bytes)?;
    Ok(bytes)
}

/// The element and its size in bytes.
fn datatype(view: &mut View<'_>) -> Result<(Element, usize)> {
    let class_and_version = view.u8()?;
    let bits = [view.u8()?, view.u8()?, view.u8()?];
    let size = view.u32()? as usize;
    let big_endian = bits[0] & 1 != 0;
    let number = |dtype: Option<DType>| {
        let dtype = dtype.ok_or_else(|| unsupported(format!("numbers of {size} bytes")))?;
        Ok((Element::Number { dtype, big_endian }, size))
    };
    match class_and_version & 15 {
        0 => number(integer(size, bits[0] & 8 != 0)),
        1 => {
            view.skip(5)?;
            let exponent = view.u8()?;
            number(match (size, exponent) {
                (2, 5) => Some(DType::F16),
                (2, 8) => Some(DType::BF16),
                (4, 8) => Some(DType::F32),
                (8, 11) => Some(DType::F64),
                _ => None,
            })
        }
        3 if size > 0 => Ok((Element::FixedString { len: size, spaces: bits[0] & 15 == 2 }, size)),
        // An enumeration (Python's booleans) is stored as its base type.
        8 => datatype(view),
        9 if bits[0] & 15 == 1 && size == 8 + view.offset_width() => Ok((Element::Reference, size)),
        class => Err(unsupported(format!("elements of class {class} and {size} bytes"))),
    }
}

fn integer(size: usize, signed: bool) -> Option<DType> {
    match (size, signed) {
        (1, true) => Some(DType::I8),
        (1, false) => Some(DType::U8),
        (2, true) => Some(DType::I16),
        (2, false) => Some(DType::U16),
        (4, true) => Some(DType::I32),
        (4, false) => Some(DType::U32),
        (8, true) => Some(DType::I64),
        (8, false) => Some(DType::U64),
        _ => None,
    }
}

/// Stored bytes as a tensor.
fn tensor(
    file: &File<'_>,
    shape: Vec<usize>,
    element: Element,
    size: usize,
    mut values: Vec<u8>,
) -> Result<Tensor> {
    let data = match element {
        Element::Number { dtype, big_endian } => {
            if big_endian {
                values.chunks_exact_mut(size).for_each(<[u8]>::reverse);
            }
            elements::from_le_bytes(dtype, &values)?
        }
        Element::FixedString { len, spaces } => {
            check_strings(file, values.len() / len)?;
            TensorData::String(values.chunks_exact(len).map(|s| trimmed(s, spaces)).collect())
        }
        Element::Reference => {
            check_strings(file, values.len() / size)?;
            let entry = file.absolute(0);
            let strings = values.chunks_exact(size).map(|bytes| heap_string(file, &entry, bytes));
            TensorData::String(strings.collect::<Result<_>>()?)
        }
    };
    Tensor::new(shape, data)
}

fn check_strings(file: &File<'_>, count: usize) -> Result<()> {
    Limits::check("strings", count as u64, file.limits.tensor_strings as u64)
}

fn trimmed(bytes: &[u8], spaces: bool) -> Vec<u8> {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let text = bytes.get(..end).unwrap_or_default();
    if spaces { text.trim_ascii_end().to_vec() } else { text.to_vec() }
}

/// Follows a reference (length, collection, index) into a global heap.
fn heap_string(file: &File<'_>, widths: &View<'_>, reference: &[u8]) -> Result<Vec<u8>> {
    let mut view = widths.over(reference);
    let len = view.u32()? as usize;
    let collection = view.address()?;
    let index = view.u32()?;
    let Some(collection) = collection.filter(|&at| len > 0 && at != 0) else {
        return Ok(Vec::new());
    };
    let mut heap = file.block(collection, b"GCOL")?;
    heap.skip(4)?;
    let total = heap.length()?;
    let mut objects = file.view(collection)?.sub(total)?;
    objects.skip(heap.position() - objects.position())?;
    while objects.remaining() >= 16 {
        file.count_node()?;
        let found = objects.u16()?;
        objects.skip(6)?;
        let size = objects.length()?;
        if found == 0 {
            break;
        }
        let padded = size.checked_next_multiple_of(8).unwrap_or(usize::MAX);
        let bytes = objects.take(padded)?;
        if u32::from(found) == index {
            file.count_data(len)?;
            let text = bytes.get(..len.min(size)).unwrap_or_default();
            return Ok(text.to_vec());
        }
    }
    Err(malformed(format!("no object {index} in the heap")).offset(collection))
}

/// A step that chunks went through when written.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Filter {
    Deflate,
    Shuffle { size: usize },
    Fletcher32,
}

fn filters(mut view: View<'_>) -> Result<Vec<Filter>> {
    let (version, count) = (view.u8()?, view.u8()?);
    if !(1..=2).contains(&version) {
        return Err(unsupported(format!("version {version} of a filter pipeline")));
    }
    view.skip(if version == 1 { 6 } else { 0 })?;
    (0..count).map(|_| filter(&mut view, version)).collect()
}

fn filter(view: &mut View<'_>, version: u8) -> Result<Filter> {
    let id = view.u16()?;
    let name_len = if version == 1 || id >= 256 { usize::from(view.u16()?) } else { 0 };
    let _flags = view.u16()?;
    let count = usize::from(view.u16()?);
    view.skip(if version == 1 { name_len.next_multiple_of(8) } else { name_len })?;
    let values = (0..count).map(|_| view.u32()).collect::<Result<Vec<_>>>()?;
    view.skip(if version == 1 && count % 2 == 1 { 4 } else { 0 })?;
    match (id, values.first()) {
        (1, _) => Ok(Filter::Deflate),
        (2, Some(&size)) if size > 0 => Ok(Filter::Shuffle { size: size as usize }),
        (3, _) => Ok(Filter::Fletcher32),
        _ => Err(unsupported(format!("filter {id}")).hint("write the file with gzip or no filter")),
    }
}

/// A dataset's bytes in the file.
struct Stored<'a, 'f> {
    file: &'f File<'a>,
    shape: &'f [usize],
    size: usize,
    bytes: usize,
    filters: Vec<Filter>,
}

impl Stored<'_, '_> {
    fn read(&self, mut view: View<'_>) -> Result<Vec<u8>> {
        let (version, class) = (view.u8()?, view.u8()?);
        if !(3..=4).contains(&version) || version == 4 && class == 2 {
            let message = format!("version {version} of layout class {class}");
            return Err(unsupported(message).hint("write the file with h5py's default `libver`"));
        }
        let exact = |bytes: &[u8]| match bytes.get(..self.bytes) {
            Some(exact) => Ok(exact.to_vec()),
            None => Err(malformed(format!("{} bytes stored of {}", bytes.len(), self.bytes))),
        };
        match class {
            0 => {
                let len = usize::from(view.u16()?);
                exact(view.take(len)?)
            }
            1 => match view.address()? {
                _ if self.bytes == 0 => Ok(Vec::new()),
                Some(address) => exact(self.file.view(address)?.take(self.bytes)?),
                None => Err(unsupported("a dataset that was never written")),
            },
            2 => self.chunked(view),
            _ => Err(unsupported(format!("layout class {class}"))),
        }
    }

    fn chunked(&self, mut view: View<'_>) -> Result<Vec<u8>> {
        let rank = usize::from(view.u8()?).checked_sub(1);
        if rank != Some(self.shape.len()) {
            return Err(malformed("chunks of another rank than their dataset"));
        }
        let tree = view.address()?;
        let dims = (0..self.shape.len())
            .map(|_| view.u32().map(|dim| dim as usize))
            .collect::<Result<Vec<_>>>()?;
        let bytes = element_count(&dims).and_then(|count| count.checked_mul(self.size));
        let bytes = bytes.filter(|&bytes| bytes > 0).ok_or_else(|| malformed("empty chunks"))?;
        Limits::check("bytes of a chunk", bytes as u64, self.file.limits.tensor_bytes)?;
        if self.bytes == 0 {
            return Ok(Vec::new());
        }
        let tree = tree.ok_or_else(|| unsupported("a dataset that was never written"))?;
        let mut chunks =
            Chunks { dims, bytes, out: vec![0; self.bytes], seen: BTreeSet::new(), covered: 0 };
        self.chunk_node(tree, None, &mut chunks)?;
        if chunks.covered != self.bytes {
            let message = format!(
                "chunks hold {} of {} bytes: some were never written",
                chunks.covered, self.bytes
            );
            return Err(unsupported(message));
        }
        Ok(chunks.out)
    }

    fn chunk_node(&self, address: u64, expected: Option<u8>, chunks: &mut Chunks) -> Result<()> {
        self.file.count_node()?;
        let mut view = self.file.block(address, b"TREE")?;
        let (node_type, level) = (view.u8()?, view.u8()?);
        if node_type != 1 || expected.is_some_and(|expected| expected != level) || level > 32 {
            let message = format!("a node of type {node_type} and level {level} in chunked data");
            return Err(malformed(message).offset(address));
        }
        let entries = view.u16()?;
        view.skip(2 * view.offset_width())?;
        for _ in 0..entries {
            let (len, mask) = (view.u32()? as usize, view.u32()?);
            let mut start = Vec::with_capacity(self.shape.len());
            for _ in self.shape {
                start.push(view.sized(3)?);
            }
            view.sized(3)?;
            let child = view.pointer()?;
            match level.checked_sub(1) {
                Some(below) => self.chunk_node(child, Some(below), chunks)?,
                None => {
                    let packed = self.file.view(child)?.take(len)?;
                    let values = self.unpack(packed, mask, chunks.bytes)?;
                    chunks.place(&start, self.shape, self.size, &values)?;
                }
            }
        }
        Ok(())
    }

    /// Undoes the filters, last applied first; `mask` has a bit for each that was left out.
    fn unpack(&self, packed: &[u8], mask: u32, expected: usize) -> Result<Vec<u8>> {
        self.file.count_node()?;
        self.file.count_data(expected)?;
        let mut values = packed.to_vec();
        for (i, filter) in self.filters.iter().enumerate().rev() {
            if mask.checked_shr(i as u32).is_some_and(|mask| mask & 1 == 1) {
                continue;
            }
            values = match filter {
                Filter::Deflate => inflate(&values, expected + 4)?,
                Filter::Shuffle { size } => unshuffle(&values, *size),
                Filter::Fletcher32 => {
                    values.truncate(values.len().saturating_sub(4));
                    values
                }
            };
        }
        if values.len() != expected {
            return Err(malformed(format!("a chunk of {} bytes, not {expected}", values.len())));
        }
        Ok(values)
    }
}

/// At most `limit` bytes of a zlib stream.
fn inflate(packed: &[u8], limit: usize) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut decoder = ZlibDecoder::new(packed).take(limit as u64 + 1);
    decoder
        .read_to_end(&mut out)
        .map_err(|error| malformed(format!("a chunk does not unpack: {error}")).caused_by(error))?;
    if out.len() > limit {
        return Err(Error::new(ErrorKind::Limit, "a chunk unpacks to more than its size"));
    }
    Ok(out)
}

/// First bytes of all elements, then second bytes, …: back to whole elements. A rest shorter than
/// an element stays at the end.
fn unshuffle(values: &[u8], size: usize) -> Vec<u8> {
    let count = values.len() / size;
    let whole = count * size;
    let mut out = vec![0; whole];
    for (byte, plane) in values.chunks_exact(count.max(1)).take(size).enumerate() {
        for (element, &value) in out.chunks_exact_mut(size).zip(plane) {
            if let Some(slot) = element.get_mut(byte) {
                *slot = value;
            }
        }
    }
    out.extend_from_slice(values.get(whole..).unwrap_or_default());
    out
}

/// A dataset being filled chunk by chunk.
struct Chunks {
    dims: Vec<usize>,
    bytes: usize,
    out: Vec<u8>,
    /// Where chunks began so far.
    seen: BTreeSet<Vec<usize>>,
    /// Bytes placed so far; equal to the dataset's size when every chunk came.
    covered: usize,
}

impl Chunks {
    /// Copies the part of a chunk that lies inside the dataset, row by row.
    fn place(
        &mut self,
        start: &[usize],
        shape: &[usize],
        size: usize,
        values: &[u8],
    ) -> Result<()> {
        let inside = start
            .iter()
            .zip(shape)
            .zip(&self.dims)
            .all(|((&at, &dim), &chunk)| at < dim && at % chunk == 0);
        if !inside || !self.seen.insert(start.to_vec()) {
            return Err(malformed(format!("a chunk at {start:?} of shape {shape:?}")));
        }
        let extent: Vec<usize> = start
            .iter()
            .zip(shape)
            .zip(&self.dims)
            .map(|((&at, &dim), &chunk)| chunk.min(dim - at))
            .collect();
        let row = extent.last().map_or(size, |last| last * size);
        let rows = extent.iter().rev().skip(1).product::<usize>();
        for index in 0..rows {
            let (from, to) = self.row(index, start, shape, &extent);
            let (from, to) = (from * size, to * size);
            let Some(slot) = self.out.get_mut(to..to + row) else { continue };
            slot.copy_from_slice(values.get(from..from + row).unwrap_or_default());
            self.covered += row;
        }
        Ok(())
    }

    /// Positions of row `index` of the part, in elements: in the chunk and in the dataset.
    fn row(
        &self,
        index: usize,
        start: &[usize],
        shape: &[usize],
        extent: &[usize],
    ) -> (usize, usize) {
        let (mut index, mut from, mut to) = (index, 0, 0);
        let (mut chunk_stride, mut stride) = (1, 1);
        let dims = start.iter().zip(shape).zip(extent.iter().zip(&self.dims)).enumerate().rev();
        for (i, ((&at, &dim), (&extent, &chunk))) in dims {
            let step = if i + 1 == start.len() { 0 } else { index % extent };
            if i + 1 != start.len() {
                index /= extent;
            }
            from += step * chunk_stride;
            to += (at + step) * stride;
            chunk_stride *= chunk;
            stride *= dim;
        }
        (from, to)
    }
}
